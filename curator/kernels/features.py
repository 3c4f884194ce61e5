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

from curator.kernels.words import text_buffers

MOST = 2000  # features of a row; what has more is no problem but a book
ROOM = 4096  # slots of a row's own hash table, a power of two
SLOTS = 512  # of the table of number words, a power of two
STEM = 5  # letters
DIGITS, SPELLED, NAME, LOWER = 1, 2, 4, 8  # flags of a feature
ANSWERS = tuple(np.frombuffer(w, np.uint8) for w in (b"answer", b"solution", b"response", b"a"))
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
def read_number(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Return (hash, byte after it) of the number that begins at `data[i]`: `3`, `1,000`, `2.50`, `1 / 2`."""
    j = i
    plain, begun = _VALUE, False  # the hash of digits alone, which most numbers are
    while j < stop and data[j] >= 48 and data[j] <= 57:
        begun = begun or data[j] != 48 or j + 1 == stop or data[j + 1] < 48 or data[j + 1] > 57
        if begun:
            plain = (plain ^ np.uint64(data[j])) * _PRIME
        j += 1
    k = j
    while k < stop and (data[k] == 32 or (data[k] >= 9 and data[k] <= 13)):
        k += 1
    if k == stop or (data[k] != 47 and (k > j or (data[k] != 44 and data[k] != 46))):
        return _mix(plain), j
    if k < stop and data[k] == 47:
        k += 1
        while k < stop and (data[k] == 32 or (data[k] >= 9 and data[k] <= 13)):
            k += 1
        if _digit(data, k, stop):
            last = k
            while _digit(data, last, stop):
                last += 1
            h = (_value(_VALUE, data, i, j) ^ np.uint64(47)) * _PRIME
            return _mix(_value(h, data, k, last)), last
    if j - i <= 3:
        groups = j
        while (
            groups < stop
            and data[groups] == 44
            and _digit(data, groups + 1, stop)
            and _digit(data, groups + 2, stop)
            and _digit(data, groups + 3, stop)
            and not _digit(data, groups + 4, stop)
        ):
            groups += 4
        if groups > j:
            return _mix(_value(_VALUE, data, i, groups)), groups
    if j < stop and data[j] == 46 and _digit(data, j + 1, stop):
        j += 1
        while _digit(data, j, stop):
            j += 1
    return _mix(_value(_VALUE, data, i, j)), j


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def _answer(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Return whether the answer begins at `data[i]`: `####`, or a line that begins with `Answer:` and the like."""
    if data[i] == 35:
        return i + 3 < stop and data[i + 1] == 35 and data[i + 2] == 35 and data[i + 3] == 35
    i += 1
    while i < stop and (data[i] == 32 or data[i] == 9):
        i += 1
    for word in (ANSWERS[0], ANSWERS[1], ANSWERS[2], ANSWERS[3]):
        k = 0
        while k < word.size and i + k < stop and data[i + k] | 32 == word[k]:
            k += 1
        if k == word.size:
            k += i
            while k < stop and (data[k] == 32 or data[k] == 9):
                k += 1
            if k < stop and data[k] == 58:
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
def read_all(
    data: Any, offsets: Any, words: Any, means: Any, out: Any, out_flags: Any, ends: Any
) -> Any:  # pragma: no cover
    """Write the features of all rows one after another, `ends` int64[rows + 1]; with no room nothing but `ends`."""
    seen, at = np.full(ROOM, -1, np.int32), np.empty(ROOM, np.int32)
    feats, flags = np.empty(MOST, np.uint64), np.empty(MOST, np.uint8)
    total = 0
    ends[0] = 0
    for row in range(offsets.size - 1):
        count = read_row(data, offsets[row], offsets[row + 1], words, means, row, seen, at, feats, flags)
        count = max(count, 0)
        if out.size:
            out[total : total + count] = feats[:count]
            out_flags[total : total + count] = flags[:count]
        total += count
        ends[row + 1] = total
    return total


def wide(array: Any) -> tuple[Any, Any]:
    """Return (uint8[bytes], int64[rows + 1]) of a text column; one type of offsets is compiled, not two."""
    data, offsets = text_buffers(array)
    return data, offsets.astype(np.int64)


NO_WORDS = Spelled(np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.uint64))


def read_texts(texts: Sequence[str], spelled: Spelled = NO_WORDS) -> Features:
    """Return the features of some texts, each in order of first appearance."""
    data, offsets = wide(pa.array(texts, pa.large_string()))
    ends = np.empty(len(offsets), np.int64)
    total = read_all(data, offsets, *spelled, np.empty(0, np.uint64), np.empty(0, np.uint8), ends)
    found = Features(np.empty(total, np.uint64), np.empty(total, np.uint8), ends)
    if total:
        read_all(data, offsets, *spelled, *found)
    return found


def number_words(values: Mapping[str, str]) -> Spelled:
    """Return number words for `read_texts`: word -> value, "" where the word is no feature."""
    found = Spelled(np.zeros(SLOTS, np.uint64), np.zeros(SLOTS, np.uint64))
    for word, value in sorted(values.items()):
        h = _whole(word)
        k = h >> 40 & SLOTS - 1
        while found.words[k]:
            k = (k + 1) % SLOTS
        found.words[k], found.means[k] = h, int(read_texts([value]).hashes[0]) if value else 0
    return found


def _whole(word: str) -> int:
    """Return the hash that `read_word` gives to a whole word, not to its stem."""
    h = int(_WORD)
    for byte in word.encode():
        h = (h ^ byte) * int(_PRIME) & _ALL
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93 & _ALL
    return (h ^ h >> 32) | 1
