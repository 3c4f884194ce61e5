"""Characters and white-space words of a UTF-8 buffer as tokens with places."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from curator.kernels.hashes import finish
from curator.kernels.jit import kernel
from curator.kernels.words import Words, decode

_PRIME = np.uint64(0x100000001B3)
_START = np.uint64(0xCBF29CE484222325)


@lru_cache(maxsize=2)
def folding(size: int) -> Any:
    """Return int32[size]: the lower case of each code point (the first of it where it is several), 0 for white space.

    White space is what `str.isspace` says, and so what `str.split` and `\\s` cut at.
    """
    letters = (chr(c) for c in range(size))
    return np.array([0 if c.isspace() else ord(c.lower()[0]) or 0xFFFD for c in letters], np.int32)


@kernel
def find_pieces(
    data: Any, offsets: Any, fold: Any, joined: Any, hashes: Any, ends: Any, starts: Any, stops: Any
) -> Any:  # pragma: no cover - compiled
    """Hash every character that is not white space, or every run of them.

    Args:
        data: uint8[bytes], UTF-8, the rows one after another.
        offsets: int32 or int64[rows + 1], where each row starts in `data`.
        fold: int32, `folding` of all code points that occur.
        joined: bool; False = a token is a character, True = a run of characters without white space.
        hashes: uint64[at least bytes + 1], written: one hash a token, never 0.
        ends: int64[rows + 1], written: where each row's tokens start in `hashes`.
        starts: int64 as `hashes`, written: first byte of the token in its row.
        stops: int64 as `hashes`, written: the byte after it.

    Returns:
        The number of tokens.
    """
    count = 0
    ends[0] = 0
    for row in range(offsets.size - 1):
        first, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        h = _START
        inside = False
        i = first
        while i < last:
            here = i
            point, width = np.int64(data[i]), np.int64(1)
            if point >= 128:
                point, width = decode(data, i, last)
            i += width
            put = fold[point]
            if put == 0:
                inside = False
                continue
            if not inside or not joined:
                h = _START
                starts[count] = here - first
                count += 1
            inside = True
            h = (h ^ np.uint64(put)) * _PRIME
            hashes[count - 1] = finish(h)
            stops[count - 1] = i - first
        ends[row + 1] = count
    return count


def pieces(data: Any, offsets: Any, *, joined: bool) -> Words:
    """Return the characters of the rows of a UTF-8 buffer, or their white-space words, folded to lower case."""
    size = int(offsets[-1]) - int(offsets[0])
    hashes, starts, stops = np.empty(size + 1, np.uint64), np.empty(size + 1, np.int64), np.empty(size + 1, np.int64)
    ends = np.empty(len(offsets), np.int64)
    seen = data[int(offsets[0]) : int(offsets[-1])]
    fold = folding(0x110000 if seen.size and int(seen.max()) > 127 else 128)
    count = find_pieces(data, offsets, fold, joined, hashes, ends, starts, stops)
    return Words(hashes[:count], ends, starts[:count], stops[:count])
