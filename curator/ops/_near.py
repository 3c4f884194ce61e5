"""Near duplicates: rows of a view, and of an index, into a matcher of `near_dup`; decisions into dedup_result."""

from __future__ import annotations

import glob
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator import fold
from curator.op import Names, View
from curator.ops import _against
from curator.ops._sql import literal
from curator.words import HASHED

if TYPE_CHECKING:
    from curator.near_dup.bands import Bands


@dataclass(frozen=True)
class Plan:
    """The settings of `dedup`, resolved."""

    method: str
    on: Names
    keep: str
    threshold: float
    numbers: bool
    cluster: str
    unit: str
    n: int
    how: Bands | None
    normalise: Names
    model: str | None
    vectors: str | None
    block_by: Names
    exact_up_to: int

    @property
    def columns(self) -> Names:
        """What is read of each row beside its id."""
        texts = () if self.vectors and not self.numbers else self.on
        return tuple(dict.fromkeys((*texts, *((self.vectors,) if self.vectors else ()), *self.block_by)))

    @property
    def made(self) -> dict[str, Any]:
        """The settings that decide what an index holds."""
        shared: dict[str, Any] = {"method": self.method, "on": list(self.on)}
        if self.method == "exact":
            return shared | {"normalise": list(self.normalise)}
        shared |= {"numbers": self.numbers, "block_by": list(self.block_by)}
        if self.method == "semantic":
            return shared | {"model": self.model}
        hashed = {_against.HASHED: HASHED} if self.unit == "word" else {}
        return shared | {"unit": self.unit, "n": self.n} | hashed


def decide(plan: Plan, view: View, index: list[str]) -> None:
    """Make the views dedup_rows, what `near_dup.clusters.decide` says of each row, and dedup_result, those in clusters.

    dedup_rows has the order of `rows`, so the two are read side by side: a join would hold one of them.
    """
    from curator.near_dup import clusters, spill

    ((folder, threads),) = view.con.execute(
        "select current_setting('temp_directory'), current_setting('threads')"
    ).fetchall()
    matcher = _matcher(plan, str(folder), int(threads))
    matcher.add(_pieces(plan, view.batches(["row_id", *plan.columns])))
    ids: list[Any] = []
    _add_index(plan, matcher, _against.batches(index, plan.columns, plan.made), ids)
    outside = pa.chunked_array(ids, pa.string()) if ids else pa.array([], pa.string())
    view.give_back()
    names = clusters.picker(lambda: (b.column(0) for b in view.batches(["row_id"])), matcher.inner, outside)
    path = spill.named(str(folder))
    clusters.decide(view.con, matcher, plan.cluster, plan.keep, names, path)
    held = f"read_parquet({literal(glob.escape(path))}, hive_partitioning = false)"  # as `table.sql_files` reads
    view.con.execute(f"create or replace view dedup_rows as from {held}")
    view.con.execute("create or replace view dedup_result as from dedup_rows where row_id is not null")


def _matcher(plan: Plan, folder: str, threads: int) -> Any:
    if plan.method == "edit":
        from curator.near_dup.edit import Edit

        return Edit(plan.normalise, plan.threshold, numbers=plan.numbers)
    if plan.method == "semantic":
        from curator.near_dup.semantic import Semantic

        return Semantic(plan.threshold, plan.exact_up_to)
    from curator.near_dup.minhash import MinHash, Recipe

    assert plan.how is not None
    return MinHash(Recipe(plan.unit, plan.n, plan.numbers), plan.how, folder, threads)


def _column(batch: pa.RecordBatch, name: str) -> Any:
    return batch.column(batch.schema.get_field_index(name))


def texts(batch: pa.RecordBatch, on: Names) -> Any:
    """Return the text of each row: its columns, one a line; what is not text as `fold.strings` writes it."""
    import pyarrow.compute as pc  # 0.05 s that `check` need not pay

    columns = [fold.strings(_column(batch, name)) for name in on]
    if len(columns) == 1:
        return columns[0]
    return pc.binary_join_element_wise(*columns, pa.scalar("\n", pa.large_string()), null_handling="skip")


def _block(batch: pa.RecordBatch, plan: Plan) -> Any:
    import numpy as np

    block = np.zeros(batch.num_rows, np.uint64)
    for name in plan.block_by:
        block = block * np.uint64(0x9E3779B97F4A7C15) + fold.hashes(_column(batch, name), ())[:, 0]
    return block


def _pieces(plan: Plan, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, Any]]:
    from curator.diversity.features import vectors  # 0.1 s of numpy that `check` need not pay

    for batch in batches:
        if plan.method != "semantic":
            yield texts(batch, plan.on), _block(batch, plan)
            continue
        salt = _block(batch, plan)
        if plan.numbers:
            from curator.kernels import figures, words

            salt = salt + figures.figures(*words.text_buffers(texts(batch, plan.on)), ordered=False)
        if plan.vectors is not None:
            yield vectors(_column(batch, plan.vectors), plan.vectors, batch.column(0), "dedup"), salt
        else:
            yield _encoded(str(plan.model), texts(batch, plan.on)), salt


@lru_cache(maxsize=1)
def _model(name: str) -> Any:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name)


def _encoded(model: str, array: Any) -> Any:
    import numpy as np
    import pyarrow.compute as pc

    found = _model(model).encode(array.fill_null("").to_pylist(), convert_to_numpy=True, show_progress_bar=False)
    found = np.asarray(found, np.float32)
    found[np.asarray(pc.equal(pc.utf8_length(array.fill_null("")), 0))] = 0  # no text is like no other
    return found


def payload(plan: Plan, batch: pa.RecordBatch) -> Any:
    """Return what an index keeps of each row, binary: 8 bytes of salt, then its n-grams or its vector."""
    import numpy as np

    if plan.method == "minhash":
        from curator.near_dup.minhash import Recipe, make

        grams, salt = make(texts(batch, plan.on), Recipe(plan.unit, plan.n, plan.numbers))
        salt = salt + _block(batch, plan) * np.uint64(0x9E3779B97F4A7C15)
        values, ends = grams.hashes, grams.ends
    else:
        ((found, salt),) = _pieces(plan, [batch])
        values, ends = found.reshape(-1), np.arange(0, found.size + 1, found.shape[1])
    return pa.array(
        [salt[k].tobytes() + values[ends[k] : ends[k + 1]].tobytes() for k in range(len(salt))], pa.binary()
    )


def _add_index(plan: Plan, matcher: Any, batches: Iterable[pa.RecordBatch], ids: list[Any]) -> None:
    import numpy as np

    for batch in batches:
        ids.append(batch.column(0).cast(pa.string()))
        if _against.PAYLOAD not in batch.schema.names or plan.method == "edit":
            matcher.add(_pieces(plan, [batch]), outside=True)
            continue
        held = [value or bytes(8) for value in batch.column(1).to_pylist()]
        salt = np.array([np.frombuffer(v[:8], np.uint64)[0] for v in held], np.uint64)
        rest = b"".join(v[8:] for v in held)
        if plan.method == "semantic":
            matcher.add([(np.frombuffer(rest, np.float32).reshape(len(held), -1), salt)], outside=True)
            continue
        ends = np.concatenate([[0], np.cumsum([len(v) // 4 - 2 for v in held])]).astype(np.int64)
        matcher.add_kept(np.frombuffer(rest, np.uint32), ends, salt)
