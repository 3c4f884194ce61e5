"""One data set measured in one pass over batches of its rows: moments of its vectors, and a sample of rows by hash.

In memory are PARTS x d x d numbers and SAMPLE rows, whatever the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from curator.diversity import features
from curator.diversity.spread import PARTS, Group, Interval, contributions, intervals, parted, whole
from curator.diversity.texts import Texts, texts
from curator.diversity.vendi import Moments
from curator.errors import InputError

SAMPLE = 20_000  # rows held, the first by hash of their id; draws of equal n come from them
WAIT = 512  # rows of a part that are added at once: a small product costs as much memory traffic as a large one


@dataclass(frozen=True)
class Asked:
    """What to measure: vector columns, a text column, a column of groups with its largest values, an id column."""

    vectors: tuple[str, ...] = ()
    text: str | None = None
    by: str | None = None
    labels: tuple[str, ...] = ()
    id: str | None = None
    seed: int = 0

    def columns(self, names: Iterable[str]) -> list[str]:
        """Return the columns to read of those there are, the id first."""
        there = list(names)
        wanted = [self.id, *self.vectors, self.text, self.by]
        wanted += [c for on in self.vectors for c in features.source_columns(on, there)]
        return list(dict.fromkeys(c for c in wanted if c is not None))


@dataclass
class Vectors:
    """What is known of one vector column. `x`: float32[k, d], the sample, in the order of a hash."""

    on: str
    n: int
    d: int
    zero: int
    missing: int
    source: features.Source | None
    spectrum: Any
    scores: Mapping[float, Interval]
    groups: list[Group]
    x: Any


@dataclass
class Dataset:
    """A measured data set."""

    name: str
    rows: int
    vectors: dict[str, Vectors] = field(default_factory=dict)
    texts: Texts | None = None


class Cells:
    """Moments of many parts at once; rows wait until there are enough of a part."""

    def __init__(self, count: int) -> None:
        self.moments = [Moments() for _ in range(count)]
        self._waiting: list[list[Any]] = [[] for _ in range(count)]
        self._sizes = np.zeros(count, np.int64)

    def add(self, keys: Any, x: Any) -> None:
        """Add rows, float[k, d], each to the part of its key, int[k]."""
        order = np.argsort(keys, kind="stable")
        cells, starts = np.unique(keys[order], return_index=True)
        for cell, rows in zip(cells.tolist(), np.split(order, starts[1:]), strict=True):
            self._waiting[cell].append(x[rows])
            self._sizes[cell] += len(rows)
            if self._sizes[cell] >= WAIT:
                self._settle(cell)

    def _settle(self, cell: int) -> None:
        if self._waiting[cell]:
            self.moments[cell].add(np.concatenate(self._waiting[cell]))
        self._waiting[cell], self._sizes[cell] = [], 0

    def done(self) -> list[Moments]:
        """Return the moments of all parts."""
        for cell in range(len(self.moments)):
            self._settle(cell)
        return self.moments


class Sample:
    """The rows with the smallest ranks: which they are depends on no order of rows."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._ranks = np.zeros(0, np.uint64)
        self._values: list[Any] = []  # pieces of rows, in the order of `_ranks`

    def add(self, ranks: Any, values: Any) -> None:
        """Add rows: their ranks and their values, a numpy matrix or an Arrow array."""
        self._ranks = np.concatenate([self._ranks, ranks])
        self._values.append(values)
        if len(self._ranks) > 2 * self.size:
            self._cut()

    def _cut(self) -> None:
        chosen = np.argsort(self._ranks, kind="stable")[: self.size]
        self._values = [self._all(chosen)] if self._values else []
        self._ranks = self._ranks[chosen]

    def _all(self, chosen: Any) -> Any:
        if isinstance(self._values[0], pa.Array):
            return pa.chunked_array(self._values).take(pa.array(chosen)).combine_chunks()
        return np.concatenate(self._values)[chosen]

    def done(self) -> Any:
        """Return the values in the order of their ranks; None where there are none."""
        self._cut()
        return self._values[0] if self._values else None


def measure(name: str, batches: Iterable[pa.RecordBatch], asked: Asked, rows: int) -> Dataset:
    """Return what is asked of the rows in `batches`, which have the columns `asked.columns`.

    Args:
        name: of the data set.
        batches: its rows; streamed.
        asked: what to measure.
        rows: how many rows there will be.

    Raises:
        InputError: see `features.vectors` and `features.same_source`.
    """
    found = Dataset(name, 0)
    held = {on: _Column(on, name, asked, small=rows <= SAMPLE) for on in asked.vectors}
    words = Sample(SAMPLE)
    for batch in batches:
        found.rows += batch.num_rows
        ranks = _ranks(batch, asked)
        for column in held.values():
            column.add(batch, ranks)
        if asked.text is not None:
            array = batch.column(batch.schema.get_field_index(asked.text))
            there = np.asarray(array.is_valid())
            words.add(ranks[there], array.cast(pa.large_string()).drop_null())
    found.vectors = {on: column.done() for on, column in held.items()}
    told = words.done()
    found.texts = texts(told) if told is not None and len(told) else None
    return found


def _ranks(batch: pa.RecordBatch, asked: Asked) -> Any:
    """Numbers that put the rows in an order by chance: of the id, or where there is none, of what the row holds."""
    if asked.id is not None:
        return features.ranks(batch.column(batch.schema.get_field_index(asked.id)).cast(pa.string()), asked.seed)
    from curator.fold import strings

    name = asked.text if asked.text is not None else asked.vectors[0]
    return features.ranks(strings(batch.column(batch.schema.get_field_index(name))), asked.seed)


class _Column:
    """One vector column while its rows stream by. `small`: the sample will hold all rows, so nothing else is kept."""

    def __init__(self, on: str, name: str, asked: Asked, *, small: bool) -> None:
        self.on, self.name, self.asked, self.small = on, name, asked, small
        self.sample, self.labels = Sample(SAMPLE), Sample(SAMPLE)
        self.parts, self.groups = Cells(PARTS), Cells(len(asked.labels) + 1)
        self.kinds: set[features.Source] = set()
        self.n = self.zero = self.missing = 0
        self.size: tuple[int, str] | None = None

    def add(self, batch: pa.RecordBatch, ranks: Any) -> None:
        """Add a batch."""
        for _, x, there, zeros in features.read([_first(batch, self.asked, self.on)], self.on, self.name):
            self.kinds |= features.sources(batch, self.on, there)
            self.n, self.zero = self.n + len(x), self.zero + zeros
            self.missing += len(there) - len(x) - zeros
            if not len(x):
                return
            self._fits(x.shape[1])
            self.sample.add(ranks[there], x)
            labels = self._labels(batch)
            if labels is not None:
                self.labels.add(ranks[there], labels[there])
            if not self.small:
                self.parts.add((ranks[there] % np.uint64(PARTS)).astype(np.int64), x)
                if labels is not None:
                    self.groups.add(labels[there], x)

    def _fits(self, size: int) -> None:
        if self.size is not None and self.size[0] != size:
            msg = f"{self.name}: '{self.on}' has vectors of {self.size[0]} and of {size} numbers; all must have as many"
            raise InputError(msg)
        self.size = (size, self.on)

    def _labels(self, batch: pa.RecordBatch) -> Any:
        if self.asked.by is None:
            return None
        import pyarrow.compute as pc

        column = batch.column(batch.schema.get_field_index(self.asked.by)).cast(pa.string())
        found = pc.index_in(column, pa.array(self.asked.labels, pa.string()))
        return found.fill_null(len(self.asked.labels)).to_numpy(zero_copy_only=False).astype(np.int64)

    def done(self) -> Vectors:
        """Return what is known when all rows have been seen."""
        x = self.sample.done()
        x = np.zeros((0, 0), np.float32) if x is None else x
        source = features.same_source(self.kinds, self.name, self.on)
        groups = self.groups
        labels = self.labels.done()
        if self.small and labels is not None:
            groups.add(labels, x)
        parts = parted(x) if self.small else self.parts.done()
        named = zip([*self.asked.labels, "other"], groups.done(), strict=True)
        found = whole(parts)
        told = contributions(list(named)) if self.asked.by is not None else []
        return Vectors(self.on, found.n, found.d, self.zero, self.missing, source, found.spectrum(),
                       intervals(parts, seed=self.asked.seed), told, x)  # fmt: skip


def _first(batch: pa.RecordBatch, asked: Asked, on: str) -> pa.RecordBatch:
    """A batch with an id for messages in front: the number of the row where there is none."""
    vector = batch.column(batch.schema.get_field_index(on))
    ids = pa.array(range(batch.num_rows)) if asked.id is None else batch.column(batch.schema.get_field_index(asked.id))
    return pa.RecordBatch.from_arrays([ids, vector], ["id", on])
