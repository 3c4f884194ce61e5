"""Products of vectors: cosines, those that reach a threshold, and hashes of whole rows. Pure arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import kernel, part


@part(fastmath={"reassoc", "contract"})
def _cosine(left: Any, right: Any) -> Any:  # pragma: no cover - compiled
    """Return the product of two float32[d], summed in float64; at most 1."""
    total = 0.0
    for j in range(left.size):
        total += np.float64(left[j]) * np.float64(right[j])
    return min(1.0, total)


@part(fastmath={"reassoc", "contract"})
def _product(left: Any, right: Any) -> Any:  # pragma: no cover - compiled
    total = np.float32(0.0)
    for j in range(left.size):
        total += left[j] * right[j]
    return total


@kernel
def cosines(vectors: Any, found: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write float64[k], the product of each pair, int64[k, 2], of rows of float32[n, d]; at most 1."""
    for k in range(found.shape[0]):
        out[k] = _cosine(vectors[found[k, 0]], vectors[found[k, 1]])


LANES = 64  # looked at together; a constant, or the comparison is not done in vector registers


@part
def _reached(values: Any, least: Any) -> Any:  # pragma: no cover - compiled
    hit = np.int32(0)
    for k in range(LANES):
        hit |= np.int32(values[k] >= least)
    return hit != 0


@kernel
def above(
    bounds: Any, least: Any, wide: Any, whole: Any, starts: Any, threshold: Any, out: Any, values: Any
) -> Any:  # pragma: no cover - compiled
    """Write the pairs of two blocks of vectors whose product reaches the threshold; return how many.

    Args:
        bounds: float32[r, c], bounds of the products.
        least: float32; pairs with a bound below are not looked at.
        wide: float32[n, w], whose products are narrower bounds, looked at next.
        whole: float32[n, d], the vectors.
        starts: where the rows and the columns of `bounds` begin in `wide` and `whole`; only columns after a row count.
        threshold: least product.
        out: int64[r * c, 2], written: pairs.
        values: float64[r * c], written: their products, at most 1.
    """
    count = np.int64(0)
    for i in range(bounds.shape[0]):
        row, a = bounds[i], starts[0] + i
        for at in range(0, row.size, LANES):
            stop = min(at + LANES, row.size)
            if stop - at == LANES and not _reached(row[at : at + LANES], least):
                continue
            for j in range(at, stop):
                b = starts[1] + j
                if row[j] >= least and b > a and _product(wide[a], wide[b]) >= least:
                    value = _cosine(whole[a], whole[b])
                    if value >= threshold:
                        out[count, 0], out[count, 1], values[count] = a, b, value
                        count += 1
    return count


@kernel
def row_hashes(rows: Any, salts: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write a hash of each row of uint32[k, d] and its salt, uint64[k], into uint64[k]: four chains, which overlap."""
    one = np.uint64(0xD6E8FEB86659FD93)
    size = rows.shape[1]
    for k in range(rows.shape[0]):
        row = rows[k]
        a = salts[k] + np.uint64(0x9E3779B97F4A7C15)
        b, c, d = a ^ np.uint64(1), a ^ np.uint64(2), a ^ np.uint64(3)
        j = 0
        while j + 4 <= size:
            a, b = (a ^ np.uint64(row[j])) * one, (b ^ np.uint64(row[j + 1])) * one
            c, d = (c ^ np.uint64(row[j + 2])) * one, (d ^ np.uint64(row[j + 3])) * one
            a, b, c, d = a ^ a >> np.uint64(32), b ^ b >> np.uint64(32), c ^ c >> np.uint64(32), d ^ d >> np.uint64(32)
            j += 4
        while j < size:
            a = (a ^ np.uint64(row[j])) * one
            a ^= a >> np.uint64(32)
            j += 1
        for other in (b, c, d):
            a = (a ^ other) * one
            a ^= a >> np.uint64(32)
        out[k] = a


def row_prints(rows: Any, salts: Any) -> Any:
    """Return uint64[k]: a hash of each row of uint32[k, d] and its salt, uint64[k]."""
    out = np.empty(len(rows), np.uint64)
    row_hashes(rows, salts, out)
    return out
