"""Runs of n tokens: rolling hashes, looking them up among the runs of many items, and what row and item then share.

Tokens come from `kernels.words` or `contamination.tokens` as uint64 hashes, rows one after another. A run's key is
`sum(token[k] * BASE^(n-1-k))` modulo 2^64; wherever a pair of row and item is reported, the tokens themselves were
compared, so two runs with one key do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from curator.kernels.jit import kernel, part

BASE = np.uint64(0x9E3779B97F4A7C15)
_SLOT = np.uint64(0x9FB21C651E98DF25)


class Table(NamedTuple):
    """A set of keys, to be looked up.

    `bits`: uint64[power of two], 16 bits a key and more, of which a key sets three: they answer most look-ups.
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
    `least`: the smallest of `sizes` above 0.
    `gate`: uint64[power of two], bits of the first `least` tokens of runs that are shorter than n.
    """

    table: Table
    keys: Any
    sizes: Any
    least: int
    gate: Any


@part
def power(base: Any, n: Any) -> Any:  # pragma: no cover - compiled
    """Return base^n modulo 2^64."""
    found = np.uint64(1)
    for _ in range(n):
        found *= base
    return found


@kernel
def gram_hashes(tokens: Any, n: int, base: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write the rolling hash of each run of `n` tokens into out: uint64[tokens - n + 1], modulo 2^64."""
    top = power(base, n - 1)
    h = np.uint64(0)
    for i in range(tokens.size):
        if i >= n:
            h -= tokens[i - n] * top
        h = h * base + tokens[i]
        if i >= n - 1:
            out[i - n + 1] = h


@part
def word_of(key: Any, size: Any) -> Any:  # pragma: no cover - compiled
    """Return which of `size` words of 64 bits, a power of two, holds the bits of a key."""
    return ((key * _SLOT) >> np.uint64(40)) & np.uint64(size - 1)


@part
def bits_of(key: Any) -> Any:  # pragma: no cover - compiled
    """Return the bits of a key, at most three."""
    mixed, low = key * _SLOT, np.uint64(63)
    found = np.uint64(1) << (mixed & low) | np.uint64(1) << (mixed >> np.uint64(34) & low)
    return found | np.uint64(1) << (mixed >> np.uint64(28) & low)


@kernel
def fill_table(keys: Any, bits: Any, slots: Any, first: Any) -> None:  # pragma: no cover - compiled
    """Insert sorted keys (uint64) into `Table` arrays of zeros; of equal keys the first is kept. 0 is left out."""
    mask = np.uint64(slots.size - 1)
    for k in range(keys.size):
        key = keys[k]
        if key == 0 or (k > 0 and keys[k - 1] == key):
            continue
        slot = (key * _SLOT) >> np.uint64(20) & mask
        while slots[slot] != 0:
            slot = (slot + np.uint64(1)) & mask
        slots[slot], first[slot] = key, k
        bits[word_of(key, bits.size)] |= bits_of(key)


@kernel
def look_up(key: Any, bits: Any, slots: Any) -> Any:  # pragma: no cover - compiled
    """Return the slot of a key, or -1."""
    mine = bits_of(key)
    if bits[word_of(key, bits.size)] & mine != mine or key == 0:
        return np.int64(-1)
    mask = np.uint64(slots.size - 1)
    slot = (key * _SLOT) >> np.uint64(20) & mask
    while slots[slot] != 0 and slots[slot] != key:
        slot = (slot + np.uint64(1)) & mask
    return np.int64(slot) if slots[slot] == key else np.int64(-1)


@part
def write_pairs(
    key: Any, size: Any, row: Any, place: Any, bits: Any, slots: Any, first: Any, keys: Any, sizes: Any, count: Any,
    out: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Write the runs of `size` that have this key, see `find_pairs`; return `count` with them."""
    slot = look_up(key, bits, slots)
    if slot < 0:
        return count
    at = first[slot]
    while at < keys.size and keys[at] == key:
        if sizes[at] == size:
            if count < out.shape[0]:
                out[count, 0], out[count, 1], out[count, 2] = row, place, at
            count += 1
        at += 1
    return count


@kernel
def find_pairs(
    tokens: Any, ends: Any, n: int, base: Any, bits: Any, slots: Any, first: Any, keys: Any, sizes: Any, least: int,
    gate: Any, out: Any,
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
        least: of `Runs`.
        gate: of `Runs`.
        out: int64[room, 3]; what has no room is only counted.

    Returns:
        The number of pairs.
    """
    count, one = np.int64(0), np.uint64(1)
    top, short_top = power(base, n - 1), power(base, least - 1)
    long, few = np.uint64(n), np.uint64(least)
    for row in range(ends.size - 1):
        h, short = np.uint64(0), np.uint64(0)
        start, stop = np.uint64(ends[row]), np.uint64(ends[row + 1])  # numba wraps negative indices, at a price
        for i in range(start, stop):
            h = h * base + tokens[i]
            past = i + one - start
            if past >= long:
                mine = bits_of(h)
                if bits[word_of(h, bits.size)] & mine == mine:
                    place = np.int64(past - long)
                    count = write_pairs(h, n, row, place, bits, slots, first, keys, sizes, count, out)
                h -= tokens[i + one - long] * top
            if few == long:
                continue
            short = short * base + tokens[i]
            if past < few:
                continue
            mine = bits_of(short)
            if gate[word_of(short, gate.size)] & mine == mine:
                key, begin = short, i + one - few
                longest: Any = min(n, np.int64(stop - begin) + 1)
                for size in range(least, longest):
                    if size > least:
                        key = key * base + tokens[begin + np.uint64(size) - one]
                    place = np.int64(begin - start)
                    count = write_pairs(key, size, row, place, bits, slots, first, keys, sizes, count, out)
            short -= tokens[i + one - few] * short_top
        if stop - start < long:
            whole = -np.int64(stop - start)
            count = write_pairs(h, whole, row, np.int64(0), bits, slots, first, keys, sizes, count, out)
    return count


def grams(tokens: Any, n: int) -> Any:
    """Return uint64[max(0, tokens - n + 1)]: the hash of each run of `n` tokens."""
    out = np.empty(max(0, len(tokens) - n + 1), np.uint64)
    gram_hashes(tokens, n, BASE, out)
    return out


def table_of(keys: Any) -> Table:
    """Return the table of sorted uint64 keys, a quarter full at most."""
    size = 1 << max(10, int(4 * len(keys)).bit_length())
    table = Table(np.zeros(size // 16, np.uint64), np.zeros(size, np.uint64), np.zeros(size, np.int64))
    fill_table(keys, *table)
    return table


def runs(keys: Any, sizes: Any, n: int, beginning: Callable[[int], Any]) -> Runs:
    """Return what `pairs` looks up.

    Args:
        keys: uint64[runs], sorted.
        sizes: int64[runs], tokens of each; negative where the run must be the whole row.
        n: tokens of the longest runs.
        beginning: the keys of the first tokens, as many as it is given, of all runs with fewer than n.
    """
    least = int(sizes[sizes > 0].min(initial=n))
    begun = np.unique(beginning(least)) if least < n else np.zeros(0, np.uint64)
    return Runs(table_of(keys), keys, sizes, least, table_of(begun).bits)


def pairs(tokens: Any, ends: Any, n: int, known: Runs) -> Any:
    """Return int64[pairs, 3]: row, place of the run in the row, entry of `known.keys`."""
    out = np.empty((len(ends) + 1024, 3), np.int64)
    for _ in range(2):
        count = find_pairs(tokens, ends, n, BASE, *known.table, *known[1:], out)
        if count <= len(out):
            break
        out = np.empty((count, 3), np.int64)
    return out[:count]
