"""The features of a problem, stems of words and values of numbers, straight from the bytes of an Arrow buffer.

They are what `contamination.problem` reads, but for letters: here those are ASCII letters and bytes above 127 that are
no punctuation. `kernels.likeness` searches with them; Python decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curator.kernels.jit import kernel, part
from curator.kernels.ngrams import Table, look_up, table_of
from curator.kernels.values import PRIME, VALUE, begins_answer, mix, read_number
from curator.kernels.words import text_buffers

MOST = 2000  # features of a row; what has more is no problem but a book
ROOM = 4096  # slots of a row's own hash table, a power of two
SLOTS = 512  # of the table of number words, a power of two
STEM = 5  # letters
DIGITS, SPELLED, NAME, LOWER = 1, 2, 4, 8  # flags of a feature
_WORD = np.uint64(0xCBF29CE484222325)
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


@part
def value_bit(feature: Any) -> Any:  # pragma: no cover - compiled
    """Return the bit of a feature by which an item that lacks it is mostly seen to lack it."""
    return np.uint64(1) << (np.uint64(feature) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(58))


@part
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
        full = (full ^ c) * PRIME
        length += 1
        if length == STEM:
            stem = full
        i += 1
    h = mix(full)
    k = h >> np.uint64(40) & np.uint64(SLOTS - 1)
    while words[k] != 0 and words[k] != h:
        k = (k + np.uint64(1)) & np.uint64(SLOTS - 1)
    if words[k] == h:
        return means[k], np.uint8(SPELLED), i
    if length == 1:
        return np.uint64(0), np.uint8(LOWER), i
    named = not lower and 65 <= data[begin] <= 90
    return mix(stem if length >= STEM else full), np.uint8(NAME) if named else np.uint8(LOWER), i


@part
def read_row(
    data: Any, start: Any, stop: Any, words: Any, means: Any, stamp: Any, seen: Any, at: Any, base: Any, feats: Any,
    flags: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Write the distinct features of the question in `data[start:stop]`, return their number; 0 if they are too many.

    Args:
        data: uint8[bytes].
        start: first byte.
        stop: byte after the last.
        words: of `Spelled`.
        means: of `Spelled`.
        stamp: a number not used with `seen` before.
        seen: int32[ROOM], scratch: which slots of `at` are of this row.
        at: int32[ROOM], scratch.
        base: where to write.
        feats: uint64[base + MOST and more], written.
        flags: uint8 as `feats`, written: sums of DIGITS, SPELLED, NAME (capitalised), LOWER (seen in lower case).
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
            if (data[i] == 10 or data[i] == 35) and count and begins_answer(data, i, stop):
                break
            i += 1 if kind == 0 else np.int64(kind) - 1
            continue
        slot = (h >> np.uint64(17)) & np.uint64(ROOM - 1)
        while seen[slot] == stamp and feats[base + at[slot]] != h:
            slot = (slot + np.uint64(1)) & np.uint64(ROOM - 1)
        if seen[slot] == stamp:
            flags[base + at[slot]] |= flag
            continue
        if count == MOST:
            return np.int64(0)
        seen[slot], at[slot] = stamp, count
        feats[base + count], flags[base + count] = h, flag
        count += 1
    return count


@part
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
            if (c == 10 or c == 35) and begins_answer(data, i, stop):
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


@kernel
def read_all(
    data: Any, offsets: Any, words: Any, means: Any, bits: Any, slots: Any, first: Any, posts: Any, posts_at: Any,
    values: Any, one: Any, seen: Any, at: Any, out: Any, out_flags: Any, ends: Any,
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
        seen: int32[ROOM], -1 everywhere.
        at: int32[ROOM], scratch.
        out: uint64[room + MOST], written.
        out_flags: uint8 as `out`, written.
        ends: int64[rows + 1], written.

    Returns:
        The number of features.
    """
    total = np.int64(0)
    ends[0] = 0
    for row in range(offsets.size - 1):
        start, stop = offsets[row], offsets[row + 1]
        if values.size == 0 or may_match(data, start, stop, bits, slots, first, posts, posts_at, values, one):
            total += read_row(data, start, stop, words, means, row, seen, at, total, out, out_flags)
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
    out, flags = np.empty(room + MOST, np.uint64), np.empty(room + MOST, np.uint8)
    seen, at = np.full(ROOM, -1, np.int32), np.empty(ROOM, np.int32)
    total = read_all(data, offsets, *spelled, *sieve.table, *sieve[1:], seen, at, out, flags, ends)
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
    h = int(VALUE if number else _WORD)
    for byte in data:
        h = (h ^ byte) * int(PRIME) & _ALL
    h = (h ^ h >> 32) * 0xD6E8FEB86659FD93 & _ALL
    return (h ^ h >> 32) | 1
