"""Bags of characters: a bound on the edit distance of two texts that costs nanoseconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import kernel
from curator.kernels.words import decode

BINS = 64


@kernel
def count_chars(data: Any, offsets: Any, bags: Any, sizes: Any) -> None:  # pragma: no cover - compiled
    """Count the characters of each row.

    Args:
        data: uint8[bytes], UTF-8.
        offsets: int32 or int64[rows + 1].
        bags: uint8[rows, BINS], zeros, written: how often characters of each bin occur, 255 at most.
        sizes: int64[rows], written: characters of the row.
    """
    for row in range(offsets.size - 1):
        i, last, count = np.int64(offsets[row]), np.int64(offsets[row + 1]), np.int64(0)
        while i < last:
            point, width = np.int64(data[i]), np.int64(1)
            if point >= 128:
                point, width = decode(data, i, last)
            slot = (point ^ point >> 6 ^ point >> 12) & (BINS - 1)
            if bags[row, slot] < 255:
                bags[row, slot] += np.uint8(1)
            count += 1
            i += width
        sizes[row] = count


@kernel
def near_bags(
    bags: Any, sizes: Any, blocks: Any, rows: Any, inner: Any, share: Any, state: Any, out: Any
) -> Any:  # pragma: no cover - compiled
    """Write the pairs whose Indel distance may be at most `share` of their characters together; none is left out.

    One insertion or deletion moves one count by one, so the difference of two bags is never above the distance.

    Args:
        bags: uint8[k, BINS], ordered by block, then by size.
        sizes: int64[k].
        blocks: uint64[k]: only rows of one block are compared.
        rows: int64[k], the numbers of the rows.
        inner: rows from here on are an index: no pairs among them.
        share: 1 - least normalised similarity.
        state: int64[2], zeros at first; where to go on, written.
        out: int64[capacity, 2], written: smaller row first.

    Returns:
        How many pairs; where it is the capacity, call again.
    """
    count, i, j = np.int64(0), np.int64(state[0]), np.int64(state[1])
    while i < sizes.size:
        j = max(j, i + 1)
        while j < sizes.size and blocks[j] == blocks[i]:
            most = np.int64(share * (sizes[i] + sizes[j]) + 1e-9)
            if sizes[j] - sizes[i] > most:
                break
            a, b = min(rows[i], rows[j]), max(rows[i], rows[j])
            if a < inner:
                apart = np.int64(0)
                for k in range(BINS):
                    apart += abs(np.int16(bags[i, k]) - np.int16(bags[j, k]))
                if apart <= most:
                    if count == out.shape[0]:
                        state[0], state[1] = i, j
                        return count
                    out[count, 0], out[count, 1] = a, b
                    count += 1
            j += 1
        i += 1
        j = np.int64(0)
    state[0] = i
    return count
