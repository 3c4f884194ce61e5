"""Words of rows that are plain ASCII, and how a word is hashed; see `kernels.words`."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import part

PRIME = np.uint64(0x100000001B3)
START = np.uint64(0xCBF29CE484222325)


@part
def finish(h: Any) -> Any:  # pragma: no cover - compiled
    """Return a word's hash, mixed so that all its bits depend on all letters; never 0."""
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    h ^= h >> np.uint64(32)
    return h if h != 0 else np.uint64(1)


@part
def _step(low: Any, h: Any, count: Any, inside: Any) -> Any:  # pragma: no cover - compiled
    """Take one more character: return (hash, words that have ended, whether a word goes on)."""
    word = np.uint64(low != 0)
    return ((h if inside else START) ^ np.uint64(low)) * PRIME, count + (inside & ~word), word


@part
def plain_words(data: Any, ascii: Any, hashes: Any, start: Any) -> Any:  # pragma: no cover - compiled
    """Words of one ASCII row. No branch depends on a byte: mispredicted word ends would cost more than the rest.

    A hash waits for the multiplication of the letter before, so two halves of the row, cut where no word goes over, are
    hashed in turns: the second's words stand apart at first.
    """
    one = np.uint64(1)  # all unsigned: numba wraps negative indices around, at a price
    size, half = np.uint64(data.size), np.uint64(data.size + 1) >> one
    while half < size and ascii[data[half]] != 0:
        half += one
    begin = np.uint64(start)
    apart = begin + (half >> one) + one
    h, count, inside = START, begin, np.uint64(0)
    g, other, within = START, apart, np.uint64(0)
    for i in range(size - half):
        h, count, inside = _step(ascii[data[i]], h, count, inside)
        hashes[count] = h
        g, other, within = _step(ascii[data[half + i]], g, other, within)
        hashes[other] = g
    for i in range(size - half, half):
        h, count, inside = _step(ascii[data[i]], h, count, inside)
        hashes[count] = h
    count += inside
    other += within
    for k in range(begin, count):
        hashes[k] = finish(hashes[k])
    for k in range(apart, other):
        hashes[count] = finish(hashes[k])
        count += one
    return np.int64(count)
