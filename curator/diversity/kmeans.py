"""Spherical k-means (Dhillon and Modha 2001) as Prismatic Synthesis uses it (arXiv 2505.20161), exact and repeatable.

The first k rows are the first centroids, so callers order rows by a hash of their ids, and the result depends on no
stored order and no shards. A row belongs to the centroid of largest cosine, the first of several; a centroid is the
normalised sum of its rows.

Lloyd's iterations, with work left out that cannot change anything: a centroid whose rows are those of before has not
moved. So a row whose best centroid has not moved, or has moved towards it, is compared with moved centroids only; the
others were no better before and are the same now. The result is that of comparing all, up to rounding; with k = n / 10
most centroids rest after a few iterations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

ROWS, COLUMNS = 1024, 4096  # of a block of products
CLOSE = 1e-6  # a cosine this near to 1 is a row at its centroid, in float32


@dataclass(frozen=True)
class Clusters:
    """What k-means found.

    centroids: float32[k, d], zero for a cluster without rows. labels: int32[n]. cosines: float32[n], to the centroid of
    the label. sizes: int64[k]. iterations: updates that were done.
    """

    centroids: Any
    labels: Any
    cosines: Any
    sizes: Any
    iterations: int


def count(n: int, *, legacy: bool = False) -> int:
    """Return how many clusters n rows get: a tenth, at least 2; `legacy`: int(0.1 n), as released."""
    return int(0.1 * n) if legacy else max(2, n // 10)


def sparse(sizes: Any, ratio: float, *, legacy: bool = False) -> Any:
    """Return bool[k]: which clusters are sparse.

    The ceil(ratio * k) smallest, ties to the smaller number. `legacy`, as released: those strictly below the size at
    place int(k * ratio), which is nothing where all are equal.

    Raises:
        IndexError: legacy, and there is no such place (ratio 1).
    """
    k = len(sizes)
    if legacy:
        limit = np.sort(sizes)[int(k * ratio)]
        return np.asarray(sizes) < limit
    found = np.zeros(k, bool)
    found[np.argsort(sizes, kind="stable")[: math.ceil(ratio * k - 1e-9)]] = True
    return found


def cluster(x: Any, k: int, *, iterations: int = 20, legacy: bool = False) -> Clusters:
    """Return the clusters of unit rows, float32[n, d]; the first k rows are the first centroids.

    An empty cluster is given the row that fits its own cluster worst, of those that are not alone in it; where all rows
    lie at their centroids it stays empty, and no row may join it. Labels and cosines are to the centroids returned.

    Args:
        x: the rows.
        k: clusters, 1 to n.
        iterations: updates of the centroids, at most.
        legacy: as released: the centroid of an empty cluster is zero from then on, and labels date from before the last
            update.
    """
    centroids = x[:k].copy()
    labels, values = nearest(x, centroids)
    dirty, done = np.ones(k, bool), 0
    while done < iterations and len(x):
        if not legacy:
            dirty |= _fill(labels, values, k)
        moved = _update(x, labels, centroids, dirty)
        done += 1
        if not moved.any() or (legacy and done == iterations):
            break
        empty = np.zeros(k, bool) if legacy else np.bincount(labels, minlength=k) == 0
        before = labels.copy()
        _reassign(x, centroids, labels, values, moved, empty)
        changed = np.flatnonzero(before != labels)
        dirty = np.zeros(k, bool)
        dirty[before[changed]] = dirty[labels[changed]] = True
    sizes = np.bincount(labels, minlength=k)
    if not legacy:
        centroids[sizes == 0] = 0
    values = own(x, centroids, labels)
    return Clusters(centroids, labels.astype(np.int32), values, sizes, done)


def nearest(x: Any, centroids: Any, *, joinable: Any = None) -> tuple[Any, Any]:
    """Return int64[n], the centroid of largest cosine, the first of several, and float32[n], that cosine.

    Args:
        x: float32[n, d] of length 1.
        centroids: float32[k, d].
        joinable: bool[k]; rows join no others. All of them if not given.
    """
    closed = None if joinable is None else ~joinable
    return _best(x, None, centroids, None, closed)


def own(x: Any, centroids: Any, labels: Any, rows: Any = None) -> Any:
    """Return float32[rows]: the cosine of each row, or of those in `rows`, to the centroid of its label."""
    rows = np.arange(len(x)) if rows is None else rows
    out = np.empty(len(rows), np.float32)
    for at in range(0, len(rows), ROWS):
        some = rows[at : at + ROWS]
        np.einsum("ij,ij->i", x[some], centroids[labels[some]], out=out[at : at + ROWS])
    return out


def _best(x: Any, rows: Any, centroids: Any, numbers: Any, closed: Any) -> tuple[Any, Any]:
    """`nearest` for some rows and some centroids only (None: all), by their numbers."""
    n = len(x) if rows is None else len(rows)
    k = len(centroids) if numbers is None else len(numbers)
    labels, values = np.zeros(n, np.int64), np.full(n, -2, np.float32)
    buffer = np.empty(ROWS * min(k, COLUMNS), np.float32)
    for j in range(0, k, COLUMNS):
        some = centroids[j : j + COLUMNS] if numbers is None else centroids[numbers[j : j + COLUMNS]]
        shut = _closed(closed, numbers, j)
        for i in range(0, n, ROWS):
            part = slice(i, min(i + ROWS, n))
            left = x[part] if rows is None else x[rows[part]]
            products = buffer[: len(left) * len(some)].reshape(len(left), len(some))
            np.matmul(left, some.T, out=products)
            if shut is not None and len(shut):
                products[:, shut] = -2
            at = products.argmax(1)
            best = products[np.arange(len(left)), at]
            better = best > values[part]
            labels[part][better], values[part][better] = at[better] + j, best[better]
    return (labels if numbers is None else numbers[labels]), values


def _closed(closed: Any, numbers: Any, at: int) -> Any:
    if closed is None:
        return None
    part = slice(at, at + COLUMNS)
    return np.flatnonzero(closed[part] if numbers is None else closed[numbers[part]])


def _fill(labels: Any, values: Any, k: int) -> Any:
    """Give each empty cluster the worst fitting row that is not alone in its own; return bool[k]: what changed."""
    sizes, touched = np.bincount(labels, minlength=k), np.zeros(k, bool)
    empties = np.flatnonzero(sizes == 0).tolist()
    if not empties:
        return touched
    for row in np.argsort(values, kind="stable").tolist():
        if not empties or values[row] > 1 - CLOSE:
            break
        old = labels[row]
        if sizes[old] > 1:
            new = empties.pop(0)
            sizes[old] -= 1
            labels[row] = new
            touched[old] = touched[new] = True
    return touched


def _update(x: Any, labels: Any, centroids: Any, dirty: Any) -> Any:
    """Write the normalised sums of the rows of the clusters in `dirty`, bool[k]; return bool[k]: which moved."""
    k = len(centroids)
    moved = np.zeros(k, bool)
    rows = np.flatnonzero(dirty[labels])
    rows = rows[np.argsort(labels[rows], kind="stable")]
    numbers, starts = np.unique(labels[rows], return_index=True)
    ends = np.append(starts[1:], len(rows))
    at = 0
    while at < len(numbers):
        stop = max(at + 1, int(np.searchsorted(ends, starts[at] + ROWS, "right")))
        block = x[rows[starts[at] : ends[stop - 1]]].astype(np.float64)
        sums = np.add.reduceat(block, starts[at:stop] - starts[at], axis=0)
        length = np.linalg.norm(sums, axis=1, keepdims=True)
        new = np.divide(sums, length, out=np.zeros_like(sums), where=length > 0).astype(np.float32)
        some = numbers[at:stop]
        moved[some] = (new != centroids[some]).any(1)
        centroids[some] = new
        at = stop
    gone = dirty & (np.bincount(labels, minlength=k) == 0)
    moved |= gone & centroids.any(1)
    centroids[gone] = 0
    return moved


def _reassign(x: Any, centroids: Any, labels: Any, values: Any, moved: Any, empty: Any) -> None:
    """Bring labels and values up to date after the centroids in `moved`, bool[k], have moved."""
    numbers = np.flatnonzero(moved)
    if len(numbers) > len(centroids) // 2:
        labels[:], values[:] = _best(x, None, centroids, None, empty)
        return
    own_moved = np.flatnonzero(moved[labels])
    now = values.copy()
    now[own_moved] = own(x, centroids, labels, own_moved)
    away = np.zeros(len(x), bool)
    away[own_moved] = now[own_moved] < values[own_moved]
    values[:] = now
    rest = np.flatnonzero(~away)
    found, best = _best(x, rest, centroids, numbers, empty)
    better = (best > values[rest]) | ((best == values[rest]) & (found < labels[rest]))
    labels[rest[better]], values[rest[better]] = found[better], best[better]
    lost = np.flatnonzero(away)
    if len(lost):
        labels[lost], values[lost] = _best(x, lost, centroids, None, empty)
