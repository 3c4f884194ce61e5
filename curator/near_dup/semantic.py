"""Pairs of vectors by cosine similarity: every pair, by blocked matrix products of shortened vectors; IVF above a size.

Rotated to the axes of largest spread, a product of two unit vectors is bounded by the product of their first k
coordinates plus the product of the lengths of what is left (Cauchy-Schwarz). That bound is itself a product of vectors
of k + 1 coordinates; only pairs where it reaches the threshold are computed in full, so no pair is missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from curator.errors import InputError
from curator.kernels import pairs
from curator.kernels import vectors as products

BLOCK = 512  # rows of a product: it stays in the second cache
SLACK = 1e-5  # of a product in float32
ROUNDING = 1e-6  # of the square of a length in float32
SAMPLE = 1024
WIDE = 4  # times the coordinates of the first bound has the second, which is looked at where the first is reached
ALONE = 25  # times what a pair costs as part of a product is what it costs alone


class Semantic:
    """All rows of one deduplication; see `clusters.Matcher`. Holds 4 bytes a coordinate and row in memory.

    Args:
        threshold: least cosine similarity.
        exact_up_to: rows of one block above which neighbours come from an inverted file (faiss), which may miss pairs.
    """

    def __init__(self, threshold: float, exact_up_to: int) -> None:
        self.threshold, self.exact_up_to = threshold, exact_up_to
        self.inner = self.total = self.size = 0
        self._vectors: list[Any] = []
        self._salts: list[Any] = []
        self._there: list[Any] = [np.zeros(0, bool)]
        self._whole: Any = None

    def add(self, pieces: Iterable[tuple[Any, Any]], *, outside: bool = False) -> None:
        """Take (float32[rows, d] vectors, uint64[rows] salt) pieces: only rows of one salt are compared.

        Vectors are scaled to length 1; a zero vector stands for a row that is like no other. d is 0 where no row of a
        piece has a vector.
        """
        for vectors, salt in pieces:
            size = vectors.shape[1]
            if size and self.size and size != self.size:
                msg = f"dedup: vectors of {size} and of {self.size} numbers cannot be compared"
                raise InputError(msg)
            self.size = self.size or size
            length = np.linalg.norm(vectors, axis=1, keepdims=True)
            self._there.append(length[:, 0] > 0)
            self._vectors.append(np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0))
            self._salts.append(salt)
            self.total += len(vectors)
            self.inner += 0 if outside else len(vectors)

    @property
    def vectors(self) -> Any:
        """All vectors, float32[total, d]."""
        if self._whole is None:
            size = max(1, self.size)
            empty = [np.zeros((0, size), np.float32)]
            held = [v if v.shape[1] else np.zeros((len(v), size), np.float32) for v in self._vectors]
            self._whole = np.concatenate(empty + held)
            self._vectors = []
        return self._whole

    def groups(self) -> Any:
        """Return int64[total]: a row with the same vector and salt, the first by number."""
        first = np.arange(self.total)
        there = np.flatnonzero(np.concatenate(self._there))
        if len(there):
            salts = np.concatenate(self._salts)[there]
            raw = np.ascontiguousarray(self.vectors[there]).view(np.uint32)
            prints = products.row_prints(raw, salts)
            _, where, inverse = np.unique(prints, return_index=True, return_inverse=True)
            first[there] = there[where][inverse]
        return first

    def edges(self, parent: Any = None) -> Iterator[tuple[Any, Any]]:
        """Yield the similar pairs of rows with different vectors; see `clusters.Matcher`."""
        groups = self.groups()
        if parent is not None:
            pairs.unite(parent, np.stack([groups, np.arange(self.total)], axis=1))
        rows = np.flatnonzero((groups == np.arange(self.total)) & np.concatenate(self._there))
        salts = np.concatenate(self._salts)[rows] if self._salts else np.zeros(0, np.uint64)
        order = np.argsort(salts, kind="stable")
        rows, salts = rows[order], salts[order]
        edges = np.flatnonzero(np.concatenate([[True], salts[1:] != salts[:-1], [True]])) if len(rows) else [0]
        for start, stop in zip(edges[:-1], edges[1:], strict=True):
            block = rows[start:stop]
            if len(block) < 2 or block[0] >= self.inner:
                continue
            vectors = self.vectors if len(block) == self.total else self.vectors[block]
            near = _inverted if len(block) > self.exact_up_to else _exact
            for found, values in near(vectors, self.threshold):
                found = np.sort(block[found], axis=1)
                good = found[:, 0] < self.inner
                if parent is not None:
                    pairs.unite(parent, found[good])
                if good.any():
                    yield found[good], values[good]

    def similarity(self, found: Any) -> Any:
        """Return float64[k], the cosine of each pair, int64[k, 2]."""
        out = np.empty(len(found))
        products.cosines(self.vectors, np.ascontiguousarray(found), out)
        return out


def _exact(vectors: Any, threshold: float) -> Iterator[tuple[Any, Any]]:
    """Yield (int64[k, 2] pairs i < j, float64[k] products) of all at the threshold: float32[n, d] of unit vectors."""
    short, wide = _shortened(vectors, threshold)
    buffer = np.empty(BLOCK * BLOCK, np.float32)
    out, values = np.empty((BLOCK * BLOCK, 2), np.int64), np.empty(BLOCK * BLOCK)
    least = np.float32(threshold - SLACK)
    held: list[tuple[Any, Any]] = []
    for i in range(0, len(short), BLOCK):
        rows = short[i : i + BLOCK]
        for j in range(i, len(short), BLOCK):
            columns = short[j : j + BLOCK]
            bounds = buffer[: len(rows) * len(columns)].reshape(len(rows), len(columns))
            np.matmul(rows, columns.T, out=bounds)
            if count := products.above(bounds, least, wide, vectors, (i, j), threshold, out, values):
                held.append((out[:count].copy(), values[:count].copy()))
        if held:
            yield np.concatenate([p for p, _ in held]), np.concatenate([v for _, v in held])
            held = []


def _shortened(vectors: Any, threshold: float) -> tuple[Any, Any]:
    """Return float32[n, k + 1] and [n, 4 k + 1] whose products bound those of `vectors`; these where that saves nothing."""  # noqa: E501
    n, d = vectors.shape
    if n < 2 * SAMPLE or d < 32:
        return vectors, vectors
    some = vectors[:: -(-n // SAMPLE)]
    _, axes = np.linalg.eigh((some.T @ some).astype(np.float64))
    axes = np.ascontiguousarray(axes[:, ::-1]).astype(np.float32)
    turned = some @ axes
    best, cost = d, float(d)
    for k in (k for k in (15, 31, 47, 63, 95, 127, 191, 255) if k < d):  # k + 1 fills whole vector registers
        short = _cut(turned, k)
        share = ((short @ short.T >= threshold - SLACK).sum() - len(some)) / len(some) ** 2
        if (spent := k + 8 + ALONE * min(d, WIDE * k) * share) < cost:
            best, cost = k, spent
    if best == d:
        return vectors, vectors
    size = WIDE * (best + 1) - 1
    turned = vectors @ axes[:, : min(d, size)]
    return _cut(turned, best), _cut(turned, size) if size < d else vectors


def _cut(turned: Any, k: int) -> Any:
    """Return float32[n, k + 1]: the first k coordinates of unit vectors, and the length of what is left of each."""
    out = np.empty((len(turned), k + 1), np.float32)
    out[:, :k] = turned[:, :k]
    out[:, k] = np.sqrt(np.maximum(0, 1 - np.einsum("ij,ij->i", out[:, :k], out[:, :k])) + ROUNDING)
    return out


def _inverted(vectors: Any, threshold: float) -> Iterator[tuple[Any, Any]]:
    """Yield pairs as `_exact`, those that an inverted file finds: ordered by content, so that row order does not count."""  # noqa: E501
    try:
        import faiss
    except ImportError:
        msg = (f"dedup: {len(vectors)} vectors in one block are above exact_up_to, which needs faiss: "
               'pip install "trace-curator[index]"; or raise exact_up_to, or set block_by')  # fmt: skip
        raise InputError(msg) from None
    n, d = vectors.shape
    order = np.argsort(products.row_prints(np.ascontiguousarray(vectors).view(np.uint32), np.zeros(n, np.uint64)))
    ordered = np.ascontiguousarray(vectors[order])
    lists = int(4 * np.sqrt(n))
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(d), d, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(ordered[:: max(1, n // (64 * lists))])
    index.add(ordered)
    index.nprobe = min(lists, 32)
    for at in range(0, n, 4096):
        limits, _, found = index.range_search(ordered[at : at + 4096], threshold - SLACK)
        left = np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64))) + at
        near = np.stack([order[left], order[found]], axis=1)[found > left]
        values = np.empty(len(near))
        products.cosines(vectors, near, values)
        yield near[values >= threshold], values[values >= threshold]
