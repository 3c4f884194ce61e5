"""Which texts may lie within an edit distance: a lossless filter on lengths and counts of characters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from curator.kernels.jit import kernel

BUCKETS = 32


@kernel
def near(
    counts: Any, lengths: Any, item_counts: Any, item_lengths: Any, ratio: Any, out: Any
) -> Any:  # pragma: no cover - compiled
    """Write (row, item) of every pair whose normalised Indel ratio may reach `ratio`.

    An insertion or deletion moves one count by one, so the distance is at least the sum of their differences.

    Args:
        counts: int32[rows, BUCKETS], characters of each row by code point modulo BUCKETS.
        lengths: int64[rows], characters.
        item_counts: int32[items, BUCKETS]; items in ascending order of length.
        item_lengths: int64[items], ascending.
        ratio: 0 to 1.
        out: int64[room, 2].

    Returns:
        The number of pairs; what had no room was only counted.
    """
    found = 0
    for row in range(lengths.size):
        length = lengths[row]
        # |a - b| <= (1 - ratio) (a + b), one character more for rounding
        first = np.searchsorted(item_lengths, np.int64(ratio / (2.0 - ratio) * length) - 1)
        for item in range(first, item_lengths.size):
            room = np.int64((1.0 - ratio) * (length + item_lengths[item])) + 1
            if item_lengths[item] - length > room:
                break
            apart = 0
            for k in range(BUCKETS):
                apart += abs(counts[row, k] - item_counts[item, k])
            if apart <= room:
                if found < out.shape[0]:
                    out[found, 0], out[found, 1] = row, item
                found += 1
    return found


def count(texts: Sequence[str]) -> tuple[Any, Any]:
    """Return (int32[texts, BUCKETS], int64[texts]): counts of characters, and lengths."""
    counts = np.zeros((len(texts), BUCKETS), np.int32)
    for k, text in enumerate(texts):
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
        counts[k] = np.bincount(points % BUCKETS, minlength=BUCKETS)
    return counts, np.array([len(t) for t in texts], np.int64)


def candidates(rows: tuple[Any, Any], items: tuple[Any, Any], ratio: float) -> Any:
    """Return int64[pairs, 2]: row and item (ascending in length) that may reach `ratio`; both as `count` gives them."""
    out = np.empty((4 * len(rows[1]) + 64, 2), np.int64)
    for _ in range(2):
        found = near(*rows, *items, ratio, out)
        if found <= len(out):
            break
        out = np.empty((found, 2), np.int64)
    return out[:found]
