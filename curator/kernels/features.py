"""The features of a problem, stems of words and values of numbers, straight from the bytes of an Arrow buffer.

They are what `contamination.problem` reads, but for letters: here those are ASCII letters and bytes above 127 that are
no punctuation. `kernels.likeness` searches with them; Python decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numba
import numpy as np
import pyarrow as pa

from curator.kernels.ngrams import Table, look_up, table_of
from curator.kernels.words import text_buffers

MOST = 2000  # features of a row; what has more is no problem but a book
ROOM = 4096  # slots of a row's own hash table, a power of two
SLOTS = 512  # of the table of number words, a power of two
STEM = 5  # letters
DIGITS, SPELLED, NAME, LOWER = 1, 2, 4, 8  # flags of a feature
ANSWERS = np.frombuffer(b"answer\0solution\0response\0a\0", np.uint8)
_PRIME = np.uint64(0x100000001B3)
_WORD = np.uint64(0xCBF29CE484222325)
_VALUE = np.uint64(0x84222325CBF29CE4)
_ALL = (1 << 64) - 1


def _kinds() -> Any:
    """Return uint8[256]: what a byte begins. 0 nothing, 1 letter, 2 digit, 3 a sign of 2 bytes, 4 perhaps of 3."""
    kinds = np.zeros(256, np.uint8)
    kinds[128:] = 1
    kinds[[*range(65, 91), *range(97, 123)]] = 1
    kinds[48:58] = 2
    kinds[0xC2] = 3  # U+0080-00BF: signs
    kinds[0xE2] = 4  # U+2000-207F: quotes, dashes
    return kinds


KINDS = _kinds()


class Spelled(NamedTuple):
    """Number words: `words` uint64[SLOTS], a hash table with 0 where free; `means` uint64[SLOTS], the value of each
    as a feature, 0 = no feature at all.
    """

    words: Any
    means: Any


class Sieve(NamedTuple):
    """What items know of numbers, so that rows with other numbers need not be read.

    `table`: of all features of the items.
    `posts`: int64, the items that hold each feature, `posts_at[f]:posts_at[f + 1]` (int64) those of feature f.
    `values`: uint64[items]: `value_bit` of each of its numbers.
    `one`: hash of the value 1, which says no more than a word does.
    """

    table: Table
    posts: Any
    posts_at: Any
    values: Any
    one: Any


class Features(NamedTuple):
    """Distinct features of some texts: `hashes` uint64, `flags` uint8, `ends` int64[texts + 1]."""

    hashes: Any
    flags: Any
    ends: Any


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _mix(h: Any) -> Any:  # pragma: no cover - compiled
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    h ^= h >> np.uint64(32)
    return h | np.uint64(1)


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def value_bit(feature: Any) -> Any:  # pragma: no cover - compiled
    """Return the bit of a feature by which an item that lacks it is mostly seen to lack it."""
    return np.uint64(1) << (np.uint64(feature) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(58))


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _digit(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    return i < stop and 48 <= data[i] <= 57


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _value(h: Any, data: Any, start: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Hash a number: without commas, zeros before it, and zeros that end its decimals."""
    point = False
    for i in range(start, stop):
        point |= data[i] == 46
    while point and data[stop - 1] == 48:
        stop -= 1
    if point and data[stop - 1] == 46:
        stop -= 1
    begun = False
    for i in range(start, stop):
        c = data[i]
        if c == 44 or (c == 48 and not begun and i + 1 < stop and data[i + 1] != 46):
            continue
        begun = True
        h = (h ^ np.uint64(c)) * _PRIME
    return h


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _past(data: Any, i: Any, stop: Any, spaces: Any) -> Any:  # pragma: no cover - compiled
    """Return the first byte from `i` on that is no digit, or, where asked, no white space."""
    while i < stop:
        c = data[i]
        if not (spaces and (c == 32 or 9 <= c <= 13)) and not (not spaces and 48 <= c <= 57):
            break
        i += 1
    return i


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def read_number(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Return (hash, byte after it) of the number that begins at `data[i]`: `3`, `1,000`, `2.50`, `1 / 2`."""
    end = _past(data, i, stop, False)
    below, last = _past(data, end, stop, True), end
    if below < stop and data[below] == 47:
        below = _past(data, below + 1, stop, True)
        last = _past(data, below, stop, False)
        if last == below:
            last = end
    if last == end and end < stop:
        if data[end] == 46:
            last = end = max(end, _past(data, end + 1, stop, False) if _digit(data, end + 1, stop) else end)
        elif data[end] == 44 and end - i <= 3:
            while end + 4 <= stop and data[end] == 44 and _past(data, end + 1, min(end + 5, stop), False) == end + 4:
                end += 4
            last = end
    h = _value(_VALUE, data, i, end)
    if last > end:
        h = _value((h ^ np.uint64(47)) * _PRIME, data, below, last)
    return _mix(h), last


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _answer(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Return whether the answer begins at `data[i]`: `####`, or a line that begins with `Answer:` and the like."""
    if data[i] == 35:
        return i + 3 < stop and data[i + 1] == 35 and data[i + 2] == 35 and data[i + 3] == 35
    i += 1
    while i < stop and (data[i] == 32 or data[i] == 9):
        i += 1
    w = 0
    while w < ANSWERS.size:
        k, same = i, True
        while ANSWERS[w] != 0:
            same = same and k < stop and data[k] | 32 == ANSWERS[w]
            k += 1
            w += 1
        w += 1
        while same and k < stop and (data[k] == 32 or data[k] == 9):
            k += 1
        if same and k < stop and data[k] == 58:
            return True
    return False


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def read_word(data: Any, i: Any, stop: Any, words: Any, means: Any) -> Any:  # pragma: no cover - compiled
    """Return (hash, flag, byte after it) of the word that begins at `data[i]`; hash 0 where it is no feature."""
    begin, length = i, 0
    full, stem = _WORD, _WORD
    lower = True
    while i < stop:
        kind = KINDS[data[i]]
        if kind == 0 or kind == 2 or kind == 3 or (kind == 4 and i + 1 < stop and data[i + 1] <= 0x81):
            break
        c = np.uint64(data[i])
        if c >= np.uint64(65) and c <= np.uint64(90):
            c += np.uint64(32)
            lower = False
        full = (full ^ c) * _PRIME
        length += 1
        if length == STEM:
            stem = full
        i += 1
    h = _mix(full)
    k = h >> np.uint64(40) & np.uint64(SLOTS - 1)
    while words[k] != 0 and words[k] != h:
        k = (k + np.uint64(1)) & np.uint64(SLOTS - 1)
    if words[k] == h:
        return means[k], np.uint8(SPELLED), i
    if length == 1:
        return np.uint64(0), np.uint8(LOWER), i
    named = not lower and 65 <= data[begin] <= 90
    return _mix(stem if length >= STEM else full), np.uint8(NAME) if named else np.uint8(LOWER), i


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def read_row(
    data: Any, start: Any, stop: Any, words: Any, means: Any, stamp: Any, seen: Any, at: Any, feats: Any, flags: Any
) -> Any:  # pragma: no cover - compiled
    """Write the distinct features of the question in `data[start:stop]`, return their number; -1 if they are too many.

    Args:
        data: uint8[bytes].
        start: first byte.
        stop: byte after the last.
        words: of `Spelled`.
        means: of `Spelled`.
        stamp: a number not used with `seen` before.
        seen: int32[ROOM], scratch: which slots of `at` are of this row.
        at: int32[ROOM], scratch.
        feats: uint64[MOST], written.
        flags: uint8[MOST], written: sums of DIGITS, SPELLED, NAME (capitalised), LOWER (seen in lower case).
    """
    count = 0
    i = np.int64(start)
    while i < stop:
        kind = KINDS[data[i]]
        if kind == 2:
            h, i = read_number(data, i, stop)
            flag = np.uint8(DIGITS)
        elif kind == 1 or (kind == 4 and not (i + 1 < stop and data[i + 1] <= 0x81)):
            h, flag, i = read_word(data, i, stop, words, means)
            if h == 0:
                continue
        else:
            if (data[i] == 10 or data[i] == 35) and count and _answer(data, i, stop):
                break
            i += 1 if kind == 0 else np.int64(kind) - 1
            continue
        slot = (h >> np.uint64(17)) & np.uint64(ROOM - 1)
        while seen[slot] == stamp and feats[at[slot]] != h:
            slot = (slot + np.uint64(1)) & np.uint64(ROOM - 1)
        if seen[slot] == stamp:
            flags[at[slot]] |= flag
            continue
        if count == MOST:
            return -1
        seen[slot], at[slot] = stamp, count
        feats[count], flags[count] = h, flag
        count += 1
    return count


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def may_match(
    data: Any, start: Any, stop: Any, bits: Any, slots: Any, first: Any, posts: Any, posts_at: Any, values: Any,
    one: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Return whether some item may have all numbers of a row; see `Sieve`. Most rows need be read no further."""
    anchor, mine = np.int64(-1), np.uint64(0)
    i = np.int64(start)
    while i < stop:
        c = data[i]
        if c < 48 or c > 57:
            if (c == 10 or c == 35) and _answer(data, i, stop):
                break
            i += 1
            continue
        h, i = read_number(data, i, stop)
        if h == one:
            continue
        slot = look_up(h, bits, slots)
        if slot < 0:
            return False
        feature = first[slot]
        mine |= value_bit(feature)
        if anchor < 0 or posts_at[feature + 1] - posts_at[feature] < posts_at[anchor + 1] - posts_at[anchor]:
            anchor = feature
    if anchor < 0:
        return True
    p = posts_at[anchor]
    while p < posts_at[anchor + 1] and mine & ~values[posts[p]] != 0:
        p += 1
    return p < posts_at[anchor + 1]


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def read_all(
    data: Any, offsets: Any, words: Any, means: Any, bits: Any, slots: Any, first: Any, posts: Any, posts_at: Any,
    values: Any, one: Any, out: Any, out_flags: Any, ends: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Write the features of all rows that pass the sieve one after another.

    Args:
        data: uint8[bytes].
        offsets: int64[rows + 1].
        words: of `Spelled`.
        means: of `Spelled`.
        bits: of the table of `Sieve`.
        slots: as `bits`.
        first: as `bits`.
        posts: of `Sieve`.
        posts_at: of `Sieve`.
        values: of `Sieve`; empty where nothing is sifted.
        one: of `Sieve`.
        out: uint64[room], written.
        out_flags: uint8[room], written.
        ends: int64[rows + 1], written.

    Returns:
        The number of features.
    """
    seen, at = np.full(ROOM, -1, np.int32), np.empty(ROOM, np.int32)
    feats, flags = np.empty(MOST, np.uint64), np.empty(MOST, np.uint8)
    total = 0
    ends[0] = 0
    for row in range(offsets.size - 1):
        start, stop = offsets[row], offsets[row + 1]
        count = 0
        if not values.size or may_match(data, start, stop, bits, slots, first, posts, posts_at, values, one):
            count = max(0, read_row(data, start, stop, words, means, row, seen, at, feats, flags))
        for k in range(count):
            out[total + k], out_flags[total + k] = feats[k], flags[k]
        total += count
        ends[row + 1] = total
    return total


NO_WORDS = Spelled(np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.uint64))
_NOTHING = np.zeros(0, np.int64)
NO_SIEVE = Sieve(table_of(np.zeros(0, np.uint64)), _NOTHING, _NOTHING, np.zeros(0, np.uint64), np.uint64(0))


def read_array(array: Any, spelled: Spelled = NO_WORDS, sieve: Sieve = NO_SIEVE) -> Features:
    """Return the features of a text column, each row's in order of first appearance; none of rows left in the sieve."""
    data, offsets = text_buffers(array)
    ends = np.empty(len(offsets), np.int64)
    size, rows = int(offsets[-1]) - int(offsets[0]), len(offsets) - 1
    room = min(2 * size // 3 + rows, MOST * rows) + 1  # a number of one byte, a word of two, and so on
    out, flags = np.empty(room, np.uint64), np.empty(room, np.uint8)
    total = read_all(data, offsets, *spelled, *sieve.table, *sieve[1:], out, flags, ends)
    return Features(out[:total], flags[:total], ends)


def read_texts(texts: Sequence[str], spelled: Spelled = NO_WORDS) -> Features:
    """Return the features of some texts."""
    return read_array(pa.array(texts, pa.large_string()), spelled)


def number_words(values: Mapping[str, str]) -> Spelled:
    """Return number words for `read_texts`: word -> value, "" where the word is no feature."""
    found = Spelled(np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.uint64))
    for word, value in sorted(values.items()):
        h = hash_bytes(word.encode(), number=False)
        k = h >> 40 & SLOTS - 1
        while found.words[k]:
            k = (k + 1) % SLOTS
        found.words[k], found.means[k] = h, hash_bytes(value.encode(), number=True) if value else 0
    return found


def hash_bytes(data: bytes, *, number: bool) -> int:
    """Return the hash of a value (`1000`, `2.5`, `1/2`), of a stem or of a whole word in lower case."""
    h = int(_VALUE if number else _WORD)
    for byte in data:
        h = (h ^ byte) * int(_PRIME) & _ALL
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93 & _ALL
    return (h ^ h >> 32) | 1
