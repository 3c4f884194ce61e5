"""Characters as tokens: what character n-grams are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.figures import SPACE, classes
from curator.kernels.hashes import finish
from curator.kernels.jit import kernel
from curator.kernels.words import Words, decode, no_tables, tables


@kernel
def find_chars(
    data: Any, offsets: Any, kinds: Any, space: Any, fold: Any, more: Any, bounds: Any, hashes: Any, ends: Any
) -> Any:  # pragma: no cover - compiled
    """Hash every character of every row: white space as one space, none at the ends; letters by the folding.

    Args:
        data: uint8[bytes], UTF-8.
        offsets: int32 or int64[rows + 1].
        kinds: uint8[code points], `figures.classes`.
        space: the class of white space.
        fold: int32, `words.Tables`, like the next two; for ASCII of size 1.
        more: int32.
        bounds: int64.
        hashes: uint64[at least 2 * bytes + rows], written.
        ends: int64[rows + 1], written: where each row's characters start.

    Returns:
        The number of characters.
    """
    count = np.int64(0)
    ends[0] = 0
    for row in range(offsets.size - 1):
        i, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        gap = False
        while i < last:
            point, width = np.int64(data[i]), 1
            if point >= 128:
                point, width = decode(data, i, last)
            i += width
            if kinds[point] == space:
                gap = count > ends[row]
                continue
            if gap:
                hashes[count] = finish(np.uint64(33))
                count += 1
                gap = False
            put = np.int64(fold[point]) if fold.size > 1 else np.int64(0)
            if fold.size == 1 and 65 <= point <= 90:
                put = point + 32
            if put >= 0:
                hashes[count] = finish(np.uint64((put if put else point) + 1))
                count += 1
            else:
                for k in range(bounds[-put - 1], bounds[-put]):
                    hashes[count] = finish(np.uint64(more[k] + 1))
                    count += 1
        ends[row + 1] = count
    return count


def characters(data: Any, offsets: Any) -> Words:
    """Return the characters of the rows of a UTF-8 buffer, letters folded to lower case, without their places."""
    rows, first, last = len(offsets) - 1, int(offsets[0]), int(offsets[-1])
    plain = not (last > first and int(data[first:last].max()) > 127)
    kinds, folding = classes(128 if plain else 0x110000), no_tables() if plain else tables("lower")
    hashes, ends = np.empty(2 * (last - first) + rows, np.uint64), np.empty(rows + 1, np.int64)
    count = find_chars(data, offsets, kinds, SPACE, *folding, hashes, ends)
    return Words(hashes[:count], ends, hashes[:0], hashes[:0])
