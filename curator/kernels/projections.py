"""Random projections of long vectors from counters: any slice can be projected alone. Pure arrays in, arrays out.

The counter is the place of a number in the whole vector. Word n of a key is the n-th output of splitmix64 with that key
as its seed (Steele, Lea and Flood, OOPSLA 2014), so nothing is stored and nothing is drawn in order.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from curator.kernels.jit import kernel, part

STEP, FIRST, SECOND = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # splitmix64
_STEP, _FIRST, _SECOND = np.uint64(STEP), np.uint64(FIRST), np.uint64(SECOND)
SPARE = 128  # room that a row of signs needs beside its d: it begins and ends with whole words
_HALF = 32  # a constant number of turns, or the loop over bits is not done in vector registers


@part(inline="always")
def _word(key: Any, counter: Any) -> Any:  # pragma: no cover - compiled
    word = key + np.uint64(counter) * _STEP
    word = (word ^ word >> np.uint64(30)) * _FIRST
    word = (word ^ word >> np.uint64(27)) * _SECOND
    return word ^ word >> np.uint64(31)


@part
def _unpack(word: Any, out: Any, at: Any) -> Any:  # pragma: no cover - compiled
    """Write the 64 bits of a word as signs, 0 is +1, from `at` on."""
    low, high = np.uint32(word & np.uint64(0xFFFFFFFF)), np.uint32(word >> np.uint64(32))
    for k in range(_HALF):
        out[at + k] = np.float32(1) - np.float32(2) * np.float32(np.int32(low >> np.uint32(k) & np.uint32(1)))
    for k in range(_HALF):
        out[at + 32 + k] = np.float32(1) - np.float32(2) * np.float32(np.int32(high >> np.uint32(k) & np.uint32(1)))
    return None


@part
def _signs(key: Any, first: Any, out: Any, count: Any) -> Any:  # pragma: no cover - compiled
    """Write the signs of the places from `first` on; return where they begin. `out` has room for SPARE more."""
    skipped = first & 63
    at = 0
    while at < skipped + count:
        _unpack(_word(key, (first >> 6) + (at >> 6)), out, at)
        at += 64
    return skipped


@partial(kernel, fastmath={"contract"})
def countsketch(values: Any, starts: Any, owners: Any, keys: Any, signs: Any, out: Any) -> None:  # pragma: no cover
    """Add the sketches of slices: each number, with its sign, to one of d buckets.

    Place p has the sign of bit p % 64 of word p // 64, and the bucket (p + word of p // d) % d: a run of d numbers
    meets d different buckets, in the order of the run but turned. So two numbers share a bucket with probability 1 / d
    or never, which is all that the sketch's variance asks of its hash (Charikar, Chen and Farach-Colton 2002), and the
    work is a sum of vectors.

    Args:
        values: float32[k, n], the slices.
        starts: int64[k] or int64[1] for all, where they begin in the whole vector.
        owners: int64[k], the row of `out` that each belongs to.
        keys: uint64[2], of signs and of turns.
        signs: float32[d + SPARE], scratch.
        out: float32[rows, d], added to.
    """
    n, d = values.shape[1], out.shape[1]
    shared = starts.size == 1 and values.shape[0] > 1
    for one in range(1 if shared else values.shape[0]):
        first, last = (0, values.shape[0]) if shared else (one, one + 1)
        at = 0
        while at < n:
            place = starts[one] + at
            block = place // d
            inside = place - block * d
            bucket = (inside + np.int64(_word(keys[1], block) % np.uint64(d))) % d
            run = min(n - at, d - inside, d - bucket)
            skipped = _signs(keys[0], place, signs, run)
            for k in range(first, last):
                row, source = out[owners[k]], values[k]
                for j in range(run):
                    row[bucket + j] += signs[skipped + j] * source[at + j]
            at += run


@kernel
def rademacher(start: Any, key: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write the rows `start`, `start + 1`, ... of the matrix of signs into float32[k, d], d a multiple of 64.

    Entry (p, j) has the sign of bit j % 64 of word p * (d // 64) + j // 64.
    """
    words = out.shape[1] // 64
    for i in range(out.shape[0]):
        row = out[i]
        for w in range(words):
            _unpack(_word(key, (start + i) * words + w), row, w * 64)
