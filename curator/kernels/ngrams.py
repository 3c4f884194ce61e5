"""Runs of n tokens: rolling hashes, looking them up among the runs of many items, and what row and item then share.

Tokens come from `kernels.words` or `contamination.tokens` as uint64 hashes, rows one after another. A run's key is
`sum(token[k] * BASE^(n-1-k))` modulo 2^64; wherever a pair of row and item is reported, the tokens themselves were
compared, so two runs with one key do no harm.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np

BASE = np.uint64(0x9E3779B97F4A7C15)
_SLOT = np.uint64(0x9FB21C651E98DF25)
GATE = 64  # words of 64 bits


class Table(NamedTuple):
    """A set of keys, to be looked up.

    `bits`: uint64[power of two], 16 bits a key and more, which answer most look-ups from the cache.
    `slots`: uint64[power of two], the keys, 0 where free.
    `first`: int64 as `slots`, the place of the key in the array that the table was made of.
    """

    bits: Any
    slots: Any
    first: Any


class Runs(NamedTuple):
    """Runs of items' tokens, to be looked up.

    `table`: of `keys`.
    `keys`: uint64[runs], sorted.
    `sizes`: int64[runs]: tokens of the run; negative where the run must be the whole row.
    `gate`: uint64[GATE], bits of the first tokens of runs that are shorter than n.
    """

    table: Table
    keys: Any
    sizes: Any
    gate: Any


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def gram_hashes(tokens: Any, n: int, base: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write the rolling hash of each run of `n` tokens into out: uint64[tokens - n + 1], modulo 2^64."""
    top = np.uint64(1)
    for _ in range(n - 1):
        top *= base
    h = np.uint64(0)
    for i in range(tokens.size):
        if i >= n:
            h -= tokens[i - n] * top
        h = h * base + tokens[i]
        if i >= n - 1:
            out[i - n + 1] = h


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def fill_table(keys: Any, bits: Any, slots: Any, first: Any) -> None:  # pragma: no cover - compiled
    """Insert sorted keys (uint64) into `Table` arrays of zeros; of equal keys the first is kept. 0 is left out."""
    mask, wide = np.uint64(slots.size - 1), np.uint64(bits.size * 64 - 1)
    for k in range(keys.size):
        key = keys[k]
        if key == 0 or (k > 0 and keys[k - 1] == key):
            continue
        mixed = key * _SLOT
        slot = mixed >> np.uint64(20) & mask
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot], first[slot] = key, k
        bit = (mixed >> np.uint64(40)) & wide
        bits[bit >> np.uint64(6)] |= np.uint64(1) << (bit & np.uint64(63))


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def look_up(key: Any, bits: Any, slots: Any) -> Any:  # pragma: no cover - compiled
    """Return the slot of a key, or -1."""
    mixed = key * _SLOT
    bit = (mixed >> np.uint64(40)) & np.uint64(bits.size * 64 - 1)
    if not (bits[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) or key == 0:
        return -1
    mask = np.uint64(slots.size - 1)
    slot = mixed >> np.uint64(20) & mask
    while slots[slot] != 0 and slots[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot) if slots[slot] == key else -1


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def write_pairs(
    key: Any, length: Any, row: Any, place: Any, whole: Any, bits: Any, slots: Any, first: Any, keys: Any, sizes: Any,
    count: Any, out: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Write the entries of `keys` that equal one run, see `find_pairs`; return `count` with them."""
    slot = look_up(key, bits, slots)
    if slot < 0:
        return count
    at = first[slot]
    while at < keys.size and keys[at] == key:
        if sizes[at] == length or (whole and sizes[at] == -length):
            if count < out.shape[0]:
                out[count, 0], out[count, 1], out[count, 2] = row, place, at
            count += 1
        at += 1
    return count


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def find_pairs(
    tokens: Any, ends: Any, n: int, base: Any, bits: Any, slots: Any, first: Any, keys: Any, sizes: Any, gate: Any,
    out: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Write every (row, place of the run in the row, entry of `keys`) whose keys are equal, in one pass.

    Args:
        tokens: uint64[tokens of the rows].
        ends: int64[rows + 1].
        n: tokens in a run; there may be shorter ones.
        base: `BASE`.
        bits: of the table of `keys`.
        slots: as `bits`.
        first: as `bits`.
        keys: of `Runs`.
        sizes: of `Runs`.
        gate: of `Runs`.
        out: int64[room, 3]; what has no room is only counted.

    Returns:
        The number of pairs.
    """
    count = np.int64(0)
    top = np.uint64(1)
    for _ in range(n - 1):
        top *= base
    for row in range(ends.size - 1):
        h = np.uint64(0)
        start, stop = ends[row], ends[row + 1]
        for i in range(start, stop):
            token = tokens[i]
            if i - start >= n:
                h -= tokens[i - n] * top
            h = h * base + token
            if i - start >= n - 1:
                whole = stop - start == n
                count = write_pairs(
                    h, n, row, i - start - n + 1, whole, bits, slots, first, keys, sizes, count, out
                )  # fmt: skip
            if (gate[token & np.uint64(GATE - 1)] >> (token >> np.uint64(58))) & np.uint64(1):
                key = np.uint64(0)
                for length in range(1, min(n, stop - i + 1)):
                    key = key * base + tokens[i + length - 1]
                    whole = stop - start == length
                    count = write_pairs(
                        key, length, row, i - start, whole, bits, slots, first, keys, sizes, count, out
                    )  # fmt: skip
    return count


def grams(tokens: Any, n: int) -> Any:
    """Return uint64[max(0, tokens - n + 1)]: the hash of each run of `n` tokens."""
    out = np.empty(max(0, len(tokens) - n + 1), np.uint64)
    gram_hashes(tokens, n, BASE, out)
    return out


def table_of(keys: Any) -> Table:
    """Return the table of sorted uint64 keys, a quarter full at most."""
    size = 1 << max(6, int(4 * len(keys)).bit_length())
    table = Table(np.zeros(max(1, size // 16), np.uint64), np.zeros(size, np.uint64), np.zeros(size, np.int64))
    fill_table(keys, *table)
    return table


def runs(keys: Any, sizes: Any, starts: Any) -> Runs:
    """Return what `pairs` looks up.

    Args:
        keys: uint64[runs], sorted.
        sizes: int64[runs], tokens of each; negative where the run must be the whole row.
        starts: uint64, the first tokens of the runs that are shorter than n.
    """
    gate = np.zeros(GATE, np.uint64)
    np.bitwise_or.at(gate, starts & np.uint64(GATE - 1), np.uint64(1) << (starts >> np.uint64(58)))
    return Runs(table_of(keys), keys, sizes, gate)


def pairs(tokens: Any, ends: Any, n: int, known: Runs) -> Any:
    """Return int64[pairs, 3]: row, place of the run in the row, entry of `known.keys`."""
    out = np.empty((len(ends) + 1024, 3), np.int64)
    for _ in range(2):
        count = find_pairs(tokens, ends, n, BASE, *known.table, known.keys, known.sizes, known.gate, out)
        if count <= len(out):
            break
        out = np.empty((count, 3), np.int64)
    return out[:count]
