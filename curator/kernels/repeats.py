"""Runs of n tokens that come again and again in a corpus: counted in one small array, then exactly where it matters.

Counting every run of a corpus in a table would hold most of the corpus. So a first pass counts into an array of small
counters, indexed by a part of the run's hash: such a counter is never too low, so runs whose counter stays at the limit
are done with. A second pass counts the few others exactly. Runs are told apart by 64-bit hashes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import kernel, part
from curator.kernels.ngrams import BASE, Table, look_up, table_of

_START = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
_MIX = np.uint64(0xD6E8FEB86659FD93)
_HELD = 1 << 22  # candidate hashes held before they are counted together


def _spaces() -> Any:
    """1 for the bytes below 128 at which `str.split` splits."""
    return np.array([int(chr(c).isspace()) if c < 128 else 0 for c in range(256)], np.uint8)


SPACES = _spaces()


@part
def _wide_space(data: Any, i: Any, last: Any) -> Any:  # pragma: no cover - compiled
    """Bytes of the non-ASCII space at `i`, 0 where there is none."""
    c = data[i]
    if c == 0xC2 and i + 1 < last:
        return 2 if data[i + 1] == 0x85 or data[i + 1] == 0xA0 else 0
    if i + 2 >= last:
        return 0
    b, d = data[i + 1], data[i + 2]
    if c == 0xE1:
        return 3 if b == 0x9A and d == 0x80 else 0
    if c == 0xE2:
        if b == 0x80:
            return 3 if d <= 0x8A or d == 0xA8 or d == 0xA9 or d == 0xAF else 0
        return 3 if b == 0x81 and d == 0x9F else 0
    return 3 if c == 0xE3 and b == 0x80 and d == 0x80 else 0


@part(inline="always")
def _split_ascii(data: Any, spaces: Any, hashes: Any, start: Any) -> Any:  # pragma: no cover - compiled
    """Pieces of one ASCII row. No branch depends on a byte: mispredicted ends would cost more than the rest."""
    h, count = _START, np.uint64(start)
    inside = np.uint64(0)
    for c in data:
        space = np.uint64(spaces[c])
        count += inside & space
        h = ((h if inside else _START) ^ np.uint64(c)) * _PRIME
        hashes[count] = h
        inside = np.uint64(1) - space
    return np.int64(count + inside)


@kernel
def split(data: Any, offsets: Any, spaces: Any, hashes: Any, ends: Any) -> Any:  # pragma: no cover - compiled
    """Hash the pieces of `str.split()` of every row, case and punctuation kept.

    Args:
        data: uint8[bytes], UTF-8.
        offsets: int32 or int64[rows + 1].
        spaces: `SPACES`.
        hashes: uint64[room], written.
        ends: int64[rows + 1], written: where each row's pieces start.

    Returns:
        The number of pieces.
    """
    count = 0
    ends[0] = 0
    for row in range(offsets.size - 1):
        i, last = np.int64(offsets[row]), np.int64(offsets[row + 1])
        high = np.uint8(0)
        for k in range(i, last):
            high |= data[k]
        if high < 128:
            count = _split_ascii(data[i:last], spaces, hashes, count)
            ends[row + 1] = count
            continue
        h, inside = _START, False
        while i < last:
            c = data[i]
            wide = 0
            if c >= 0xC2 and c <= 0xE3:
                wide = _wide_space(data, i, last)
            if spaces[c] != 0 or wide > 0:
                if inside:
                    hashes[count] = h
                    count += 1
                    h, inside = _START, False
                i += max(1, wide)
                continue
            h = (h ^ np.uint64(c)) * _PRIME
            inside = True
            i += 1
        if inside:
            hashes[count] = h
            count += 1
        ends[row + 1] = count
    return count


@part
def _weight(n: Any, base: Any) -> Any:  # pragma: no cover - compiled
    """Return what the first token of a run of `n` weighs in the run's hash."""
    top = np.uint64(1)
    for _ in range(n - 1):
        top *= base
    return top


@part
def _shift(size: Any) -> Any:  # pragma: no cover - compiled
    """Return by how much a hash is shifted to be one of `size` places, a power of two."""
    shift = np.uint64(64)
    while size > 1:
        size >>= 1
        shift -= np.uint64(1)
    return shift


@kernel
def count_runs(tokens: Any, ends: Any, n: int, base: Any, counters: Any) -> None:  # pragma: no cover - compiled
    """Add the runs of `n` tokens of every row to counters: an unsigned array of a power of two, which saturate."""
    top, shift = _weight(n, base), _shift(counters.size)
    full = counters.dtype.type(-1)
    for row in range(ends.size - 1):
        h = np.uint64(0)
        start, stop = ends[row], ends[row + 1]
        for i in range(start, stop):
            if i - start >= n:
                h -= tokens[i - n] * top
            h = h * base + tokens[i]
            if i - start >= n - 1:
                at = (h * _MIX) >> shift
                if counters[at] < full:
                    counters[at] += 1


@kernel
def frequent_runs(  # pragma: no cover - compiled
    tokens: Any, ends: Any, n: int, base: Any, counters: Any, limit: Any, out: Any
) -> Any:
    """Write the hashes of runs whose counter is over `limit` into out: uint64[tokens]; return how many."""
    top, shift = _weight(n, base), _shift(counters.size)
    count = 0
    for row in range(ends.size - 1):
        h = np.uint64(0)
        start, stop = ends[row], ends[row + 1]
        for i in range(start, stop):
            if i - start >= n:
                h -= tokens[i - n] * top
            h = h * base + tokens[i]
            if i - start >= n - 1 and counters[(h * _MIX) >> shift] > limit:
                out[count] = h
                count += 1
    return count


@kernel
def worst_runs(  # pragma: no cover - compiled
    tokens: Any, ends: Any, n: int, base: Any, bits: Any, slots: Any, first: Any, times: Any, counts: Any, places: Any
) -> None:
    """Write, for every row, how often the corpus has its most frequent run of the table, and where that run starts.

    Args:
        tokens: uint64[tokens].
        ends: int64[rows + 1].
        n: tokens of a run.
        base: `ngrams.BASE`.
        bits: of the table of sorted hashes, see `ngrams.Table`.
        slots: as bits.
        first: as bits.
        times: int64[hashes], how often each comes.
        counts: int64[rows], written; 0 where the row has none.
        places: int64[rows], written: the first token of the first such run.
    """
    top = _weight(n, base)
    for row in range(ends.size - 1):
        h = np.uint64(0)
        start, stop = ends[row], ends[row + 1]
        counts[row] = places[row] = 0
        for i in range(start, stop):
            if i - start >= n:
                h -= tokens[i - n] * top
            h = h * base + tokens[i]
            if i - start < n - 1:
                continue
            slot = look_up(h, bits, slots)
            if slot >= 0 and times[first[slot]] > counts[row]:
                counts[row], places[row] = times[first[slot]], i - start - n + 1


def pieces(data: Any, offsets: Any) -> tuple[Any, Any]:
    """Return (uint64[pieces], int64[rows + 1]): the hashes of the whitespace-separated pieces of each row."""
    rows, size = len(offsets) - 1, int(offsets[-1]) - int(offsets[0])
    hashes, ends = np.empty((size + rows) // 2 + 1, np.uint64), np.empty(rows + 1, np.int64)
    return hashes[: split(data, offsets, SPACES, hashes, ends)], ends


class Corpus:
    """Counts the runs of `n` tokens of a corpus that comes in pieces, twice over.

    Args of the constructor:
        n: tokens of a run.
        limit: runs that come more often are frequent.
        tokens: about how many tokens there are; decides the size of the array, at most 256 MiB.
    """

    def __init__(self, n: int, limit: int, tokens: int) -> None:
        self.n, self.limit = n, limit
        kind = np.uint8 if limit < 255 else np.uint32
        room = (1 << 28) // np.dtype(kind).itemsize
        # A counter holds a fifth of the limit on average: of such one in 10^9 passes it by chance (limit 20, Poisson).
        # Small, because it should stay in the cache.
        size = 1 << max(12, int(5 * max(1, tokens) / limit).bit_length())
        self._counters = np.zeros(min(size, room), kind)
        self._held: list[Any] = []
        self._size = 0
        self._keys, self._times = np.zeros(0, np.uint64), np.zeros(0, np.int64)

    def count(self, tokens: Any, ends: Any) -> None:
        """First pass."""
        count_runs(tokens, ends, self.n, BASE, self._counters)

    def recount(self, tokens: Any, ends: Any) -> None:
        """Second pass, after all of the first."""
        out = np.empty(len(tokens), np.uint64)
        found = out[: frequent_runs(tokens, ends, self.n, BASE, self._counters, self.limit, out)]
        if len(found):
            self._held.append(found.copy())
            self._size += len(found)
            if self._size > _HELD:
                self._settle()

    def _settle(self) -> None:
        keys, times = np.unique(np.concatenate([*self._held, np.zeros(0, np.uint64)]), return_counts=True)
        merged, where = np.unique(np.concatenate([self._keys, keys]), return_inverse=True)
        total = np.zeros(len(merged), np.int64)
        np.add.at(total, where, np.concatenate([self._times, times]))
        self._keys, self._times, self._held, self._size = merged, total, [], 0

    def frequent(self) -> tuple[Table, Any] | None:
        """Return the table of the frequent runs and how often each comes; None where there is none."""
        self._settle()
        keep = self._times > self.limit
        self._keys, self._times = self._keys[keep], self._times[keep]
        return (table_of(self._keys), self._times) if len(self._keys) else None


def worst(tokens: Any, ends: Any, n: int, table: Table, times: Any) -> tuple[Any, Any]:
    """Return int64[rows] twice: how often the corpus has each row's most frequent run, and the token it starts at."""
    counts, places = np.zeros(len(ends) - 1, np.int64), np.zeros(len(ends) - 1, np.int64)
    worst_runs(tokens, ends, n, BASE, table.bits, table.slots, table.first, times, counts, places)
    return counts, places
