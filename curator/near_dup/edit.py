"""Pairs of texts by edit similarity: 1 - (insertions + deletions) / (both lengths), which is rapidfuzz's `ratio`.

Every pair at the threshold is found: lengths and bags of characters rule out the others without a miss. Cost grows
with the square of the rows of one block (one block: the same figures, where numbers count), at some nanoseconds a pair;
texts are held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from curator import fold
from curator.kernels import bags, figures, pairs, vectors, words

CHUNK = 1 << 16


class Edit:
    """All rows of one deduplication; see `clusters.Matcher`.

    Args:
        normalise: names of normalisers, in the order of application.
        numbers: only rows with the same figures are compared.
        threshold: least similarity, 0 to 1.
    """

    def __init__(self, normalise: tuple[str, ...], threshold: float, *, numbers: bool) -> None:
        self.names, self.numbers, self.threshold = normalise, numbers, threshold
        self.inner = self.total = 0
        self._texts: list[Any] = []
        self._blocks: list[Any] = []
        self._whole: Any = None

    def add(self, columns: Iterable[tuple[Any, Any]], *, outside: bool = False) -> None:
        """Take (text column, uint64 block of each row) pieces; `outside`: they are the index."""
        for texts, block in columns:
            plain = [None if t is None else fold.normalise(t, self.names) for t in texts.to_pylist()]
            array = pa.array([t or None for t in plain], pa.large_string())
            salt = figures.figures(*words.text_buffers(array)) if self.numbers else np.zeros(len(plain), np.uint64)
            self._texts.append(array)
            self._blocks.append(salt + block * np.uint64(0x9E3779B97F4A7C15))
            self.total += len(plain)
            self.inner += 0 if outside else len(plain)

    @property
    def texts(self) -> Any:
        """All texts: one `large_string` array; null where there is none or it is empty."""
        if self._whole is None:
            self._whole = pa.concat_arrays(self._texts) if self._texts else pa.array([], pa.large_string())
            self._texts = []
        return self._whole

    @property
    def blocks(self) -> Any:
        """The block of each row, uint64[total]: only rows of one block are compared."""
        return np.concatenate([*self._blocks, np.zeros(0, np.uint64)])

    def groups(self) -> Any:
        """Return int64[total]: a row of the same block that has the same text, the first by number."""
        first = np.arange(self.total)
        there = np.flatnonzero(np.asarray(self.texts.is_valid()))
        if len(there):
            codes = np.asarray(self.texts.take(pa.array(there)).dictionary_encode().indices).astype(np.uint32)
            _, where, inverse = np.unique(
                vectors.row_prints(codes.reshape(-1, 1), self.blocks[there]), return_index=True, return_inverse=True
            )
            first[there] = there[where][inverse]
        return first

    def edges(self, parent: Any = None) -> Iterator[tuple[Any, Any]]:
        """Yield the similar pairs of rows with different texts; see `clusters.Matcher`."""
        groups = self.groups()
        if parent is not None:
            pairs.unite(parent, np.stack([groups, np.arange(self.total)], axis=1))
        rows = np.flatnonzero((groups == np.arange(self.total)) & np.asarray(self.texts.is_valid()))
        texts = self.texts.take(pa.array(rows))
        counts, sizes = np.zeros((len(rows), bags.BINS), np.uint8), np.empty(len(rows), np.int64)
        bags.count_chars(*words.text_buffers(texts), counts, sizes)
        blocks = self.blocks[rows]
        order = np.lexsort((sizes, blocks))
        state, out = np.zeros(2, np.int64), np.empty((CHUNK, 2), np.int64)
        ordered = (counts[order], sizes[order], blocks[order], rows[order])
        while count := bags.near_bags(*ordered, self.inner, 1 - self.threshold, state, out):
            found = out[:count]
            if parent is not None:
                new = np.empty(count, bool)
                pairs.apart(parent, found, new)
                found = found[new]
            values = self.similarity(found, self.threshold)
            good = values >= self.threshold - 1e-12
            if parent is not None:
                pairs.unite(parent, found[good])
            yield found[good].copy(), values[good]
            if count < CHUNK:
                return

    def similarity(self, found: Any, least: float = 0.0) -> Any:
        """Return float64[k], the similarity of each pair, int64[k, 2]; 0 where it is below `least`."""
        from rapidfuzz import fuzz, process

        left, right = (self.texts.take(pa.array(found[:, k])).to_pylist() for k in (0, 1))
        return process.cpdist(left, right, scorer=fuzz.ratio, score_cutoff=100 * least, dtype=np.float64) / 100
