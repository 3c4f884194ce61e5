"""Runs of word bytes in text: where they begin and end, and their hashes, where they are plain ASCII.

A branch that a machine cannot foresee costs more than a word, so nothing here branches on a byte but for words longer
than eight. Each function is one short loop over some kilobytes; what they hand on stays in the first-level cache. The
data must hold at least `blocks.BLOCK` bytes: what is read at its end is then read from farther before, and shifted.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.blocks import BLOCK, PACKS, eight_bytes, how_many, lowest, pack_places, word_bits
from curator.kernels.hashes import START, add, folded
from curator.kernels.jit import part

CHUNK = 2048  # bytes of text at once
ROOM = CHUNK + 10  # edges of a chunk: one carried on, one at the end of the row, and up to 8 written beyond the last
TOP = np.uint64(0x8080808080808080)


@part
def write_places(bits: Any, here: Any, out: Any, at: Any) -> Any:  # pragma: no cover - compiled
    """Do what `pack_places` does. Eight are written at a time: whether there are more is easier to foresee than how many."""  # noqa: E501
    eight = np.uint64(8)
    while bits != 0:
        for k in range(eight):
            out[at + k] = here + lowest(bits)
            bits &= bits - np.uint64(1)
        at += eight


@part
def find_edges(
    data: Any, size: Any, here: Any, last: Any, inside: Any, edges: Any, found: Any
) -> Any:  # pragma: no cover - compiled
    """Write where runs of word bytes begin and end in `data[here:last]`, in turns, to `edges[found:]`.

    Args:
        data: pointer to uint8[size].
        size: see `data`.
        here: the first byte.
        last: the byte after the last: at most `CHUNK` on, and a multiple of 64 where a run may go on there.
        inside: 1 where the byte before `here` belongs to a run, else 0.
        edges: pointer to uint64[ROOM], written.
        found: edges that are there, 0 or 1.

    Returns:
        (1 if a run goes on at `last`, else 0; edges that are there by now)
    """
    one, block = np.uint64(1), np.uint64(BLOCK)
    limit = size - block
    while here < last:
        at = min(here, limit)
        bits = word_bits(data, at) >> (here - at)
        if last - here < block:
            bits &= (one << (last - here)) - one
        changes = bits ^ (bits << one | inside)
        inside = bits >> np.uint64(63)
        if PACKS:
            pack_places(changes, here, edges, found)
        else:
            write_places(changes, here, edges, found)
        found += how_many(changes)
        here += block
    return inside, found


@part
def _first_bytes(data: Any, start: Any, length: Any, limit: Any) -> Any:  # pragma: no cover - compiled
    """Return the first eight bytes of a run as an integer, filled up with zeros; at `limit` begin the last."""
    eight, at = np.uint64(8), min(start, limit)
    found = eight_bytes(data, at) >> (eight * (start - at))
    return found & ~np.uint64(0) >> (np.uint64(64) - eight * min(length, eight))


@part
def hash_runs(data: Any, size: Any, edges: Any, runs: Any, found: Any, long: Any) -> Any:  # pragma: no cover - compiled
    """Write the hash of each run to `found`, 0 where it is not plain ASCII. Return how many are not.

    Args:
        data: pointer to uint8[size].
        size: see `data`.
        edges: pointer to uint64, first byte of each run and the byte after it.
        runs: their number.
        found: pointer to uint64[runs], written.
        long: pointer to uint64[runs], written: to work with.
    """
    one, two, eight = np.uint64(1), np.uint64(2), np.uint64(8)
    limit = size - eight
    longer, other = np.uint64(0), np.uint64(0)
    free = runs > 0 and edges[two * runs - two] <= limit  # then LLVM makes a loop without the minimum
    for k in range(runs):
        start = edges[two * k]
        length = edges[two * k + one] - start
        if free:
            found[k] = eight_bytes(data, start) & ~np.uint64(0) >> (np.uint64(64) - eight * min(length, eight))
        else:
            found[k] = _first_bytes(data, start, length, limit)
        long[longer] = k
        longer += np.uint64(length > eight)
    for k in range(runs):
        h = found[k]
        plain = h & TOP == 0
        other += np.uint64(not plain)
        found[k] = add(START, folded(h)) if plain else np.uint64(0)
    for j in range(longer):
        k = long[j]
        h, at, stop = found[k], edges[two * k] + eight, edges[two * k + one]
        while at < stop and h != 0:
            more = _first_bytes(data, at, stop - at, limit)
            h = np.uint64(0) if more & TOP else add(h, folded(more))
            other += np.uint64(h == 0)
            at += eight
        found[k] = h
    return other
