"""Words of text straight from Arrow buffers, by the full Unicode rule of Python's `re`: no Python string per word.

A word is what `re.finditer(r"\\w+", text)` finds on `str`. Its hash is over its characters after a *folding*, a table
that maps each character by itself:

- `lower`: `character.lower()`;
- `nfkc`: NFKC of the character, lower-cased, what is not `\\w` left out.

By itself means that the two foldings that look at neighbours are not applied: the final sigma (`str.lower` of a whole
word ends it in U+03C2, this in U+03C3) and the composition of Hangul letters in NFKC. The tables are made from the
running Python's own Unicode data, so kernel and `re` cannot disagree after an upgrade.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from curator.kernels.blocks import BLOCK, pointer
from curator.kernels.commands import NO_COMMANDS, Commands
from curator.kernels.hashes import START, add, take
from curator.kernels.jit import kernel, part
from curator.kernels.runs import CHUNK, ROOM, find_edges, hash_runs

Folding = Literal["lower", "nfkc"]


class Words(NamedTuple):
    """Words of some rows: `hashes` uint64[words], never 0; `ends` int64[rows + 1], where each row's words start.

    `starts`, `stops`: int64[words], the bytes of a word within its row, half open; both empty where not asked for.
    """

    hashes: Any
    ends: Any
    starts: Any
    stops: Any


class Tables(NamedTuple):
    """A folding: `fold` int32[0x110000], 0 = no word character, c > 0 = folds to c, -k = to entry k - 1 of `more`.

    Entry k of `more` (int32) lies at `bounds[k]:bounds[k + 1]` (int64).
    """

    fold: Any
    more: Any
    bounds: Any


@lru_cache(maxsize=2)
def tables(folding: Folding) -> Tables:
    """Return the tables of a folding; about 0.2 s on first use, and only needed where a byte above 127 is seen."""
    whole = np.arange(0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    fold = np.zeros(0x110000, np.int32)
    more: list[int] = []
    bounds = [0]
    for run in re.finditer(r"\w+", whole):
        for place, character in enumerate(run[0], run.start()):
            put = _folded(character, folding)
            if len(put) == 1:
                fold[place] = ord(put)
                continue
            more += map(ord, put)
            bounds.append(len(more))
            fold[place] = 1 - len(bounds)
    return Tables(fold, np.array(more or [0], np.int32), np.array(bounds, np.int64))


def _folded(character: str, folding: Folding) -> str:
    if folding == "lower":
        return character.lower()
    return re.sub(r"\W", "", unicodedata.normalize("NFKC", character).lower())


@lru_cache(maxsize=1)
def no_tables() -> Tables:
    """Return tables for text without a byte above 127, which never looks into them."""
    return Tables(np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int64))


def _ascii() -> Any:
    table = np.zeros(128, np.uint8)
    for c in range(128):
        if re.fullmatch(r"\w", chr(c)):
            table[c] = ord(chr(c).lower())
    return table


ASCII = _ascii()


@part
def decode(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Return (code point, its bytes) of the UTF-8 character at `data[i]` >= 128; (U+FFFD, 1) where it is broken."""
    c = np.int64(data[i])
    if c >= 0xC0 and c < 0xE0 and i + 1 < stop:
        return (c & 0x1F) << 6 | (np.int64(data[i + 1]) & 0x3F), 2
    if c >= 0xE0 and c < 0xF0 and i + 2 < stop:
        return (c & 0x0F) << 12 | (np.int64(data[i + 1]) & 0x3F) << 6 | (np.int64(data[i + 2]) & 0x3F), 3
    if c >= 0xF0 and i + 3 < stop:
        high = (c & 0x07) << 18 | (np.int64(data[i + 1]) & 0x3F) << 12
        point = high | (np.int64(data[i + 2]) & 0x3F) << 6 | (np.int64(data[i + 3]) & 0x3F)
        if point < 0x110000:
            return point, 4
    return np.int64(0xFFFD), 1


@kernel
def find_words(
    data: Any, offsets: Any, ascii: Any, fold: Any, more: Any, bounds: Any, names: Any, puts: Any, hashes: Any,
    ends: Any, starts: Any, stops: Any, room: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Hash every word of every row.

    A row is read in two passes over a few kilobytes: where runs of word bytes begin and end, then their hashes. A
    branch that a machine cannot foresee costs more than a word, so the first pass has none that depends on a byte, and
    the second asks little more than whether a word is longer than eight. Bytes above 127 count as word bytes at first;
    the few runs that hold one are read again, character by character.

    Args:
        data: uint8[64 bytes and more], UTF-8, the rows one after another.
        offsets: int64[rows + 1], where each row starts in `data`.
        ascii: uint8[128], `ASCII`: 0 = no word character, else its lower case.
        fold: int32[0x110000], see `Tables`.
        more: int32, see `Tables`.
        bounds: int64, see `Tables`.
        names: of `Commands`.
        puts: of `Commands`.
        hashes: uint64[at least (bytes + rows) / 2 + 2], written: the hash of each word.
        ends: int64[rows + 1], written: where each row's words start in `hashes`.
        starts: int64 as `hashes`, written: first byte of the word in its row; or of size 0, then not written.
        stops: int64 as `starts`: the byte after the word.
        room: uint64[3, ROOM], to work with.

    Returns:
        The number of words.
    """
    edges, found, long = pointer(room[0]), pointer(room[1]), pointer(room[2])
    text, size = pointer(data), np.uint64(data.size)
    folding = pointer(ascii), pointer(fold), pointer(more), pointer(bounds)
    swap = pointer(names), pointer(puts), np.uint64(names.size)
    out = pointer(hashes), pointer(starts), pointer(stops), starts.size > 0
    one, count = np.uint64(1), np.uint64(0)
    ends[0] = 0
    for row in range(offsets.size - 1):
        first, last = np.uint64(offsets[row]), np.uint64(offsets[row + 1])
        here, inside, number = first, np.uint64(0), np.uint64(0)
        while here < last:
            until = min(here + np.uint64(CHUNK), last)
            inside, number = find_edges(text, size, here, until, inside, edges, number)
            if until == last and inside:
                edges[number] = last
                number += one
            runs = number >> one
            if hash_runs(text, size, edges, runs, found, long) or names.size or starts.size:
                count = _with_others(text, first, edges, found, runs, folding, swap, out, count)
            else:
                for k in range(runs):
                    out[0][count + k] = found[k]
                count += runs
            number &= one
            if number:  # a run goes on
                edges[0] = edges[np.uint64(2) * runs]
            here = until
        ends[row + 1] = count
    return np.int64(count)


@part
def _with_others(
    data: Any, first: Any, edges: Any, found: Any, runs: Any, folding: Any, swap: Any, out: Any, count: Any
) -> Any:  # pragma: no cover - compiled
    """Write the words of runs, some of which are not plain, have places, or follow a backslash.

    `first` is where their row begins. Return the number of words by now.
    """
    two, one = np.uint64(2), np.uint64(1)
    for k in range(runs):
        if found[k] != 0:
            count = _put(found[k], data, first, edges[two * k], edges[two * k + one], swap, out, count)
        else:
            count = _any(data, first, edges[two * k], edges[two * k + one], folding, swap, out, count)
    return count


@part
def _put(
    h: Any, data: Any, first: Any, start: Any, stop: Any, swap: Any, out: Any, count: Any
) -> Any:  # pragma: no cover - compiled
    """Write one word, or what `Commands` puts in its place where it follows a backslash."""
    names, puts, size = swap
    hashes, starts, stops, places = out
    one = np.uint64(1)
    if size and start > first and data[start - one] == 92:
        slot = h & (size - one)
        while names[slot] != 0 and names[slot] != h:
            slot = (slot + one) & (size - one)
        h = puts[slot] if names[slot] == h else h
    hashes[count] = h
    if places:
        starts[count], stops[count] = np.int64(start - first), np.int64(stop - first)
    return count + np.uint64(h != 0)


@part
def _any(
    data: Any, first: Any, i: Any, last: Any, folding: Any, swap: Any, out: Any, count: Any
) -> Any:  # pragma: no cover - compiled
    """Write the words of `data[i:last]`, of any script, character by character."""
    ascii, fold, more, bounds = folding
    while i < last:
        begin = i
        h, chunk, filled, width = START, np.uint64(0), np.uint64(0), np.int64(1)
        while i < last:
            point, width = np.int64(data[i]), np.int64(1)
            if point < 128:
                put = np.int64(ascii[point])
            else:
                point, width = decode(data, np.int64(i), np.int64(last))
                put = np.int64(fold[point])
            if put == 0:
                break
            i += np.uint64(width)
            if put > 0:
                h, chunk, filled = take(put, h, chunk, filled)
            else:
                for k in range(bounds[-put - 1], bounds[-put]):
                    h, chunk, filled = take(np.int64(more[k]), h, chunk, filled)
        if i > begin:
            count = _put(add(h, chunk) if filled else h, data, first, begin, i, swap, out, count)
        else:
            i += np.uint64(width)
    return count


def text_buffers(array: Any) -> tuple[Any, Any]:
    """Return (uint8[bytes], int64[rows + 1]) of a text array; no text is copied where it holds no null.

    Both are read-only and offsets are always int64, so that kernels are compiled for one type.

    Args:
        array: `string`, `large_string`, `string_view` or dictionary of text, chunked or not. Null counts as "".
    """
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
        array = array.chunk(0) if isinstance(array, pa.ChunkedArray) else array
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        array = array.cast(pa.large_string())
    if array.null_count:
        array = array.fill_null("")
    wide = np.int64 if pa.types.is_large_string(array.type) else np.int32
    _, where, data = array.buffers()
    if where is None or not len(array):
        return _frozen(np.zeros(1, np.uint8)), _frozen(np.zeros(len(array) + 1, np.int64))
    offsets = np.frombuffer(where, wide)[array.offset : array.offset + len(array) + 1]
    seen = np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)
    return _frozen(seen), _frozen(offsets.astype(np.int64, copy=False))


def _frozen(array: Any) -> Any:
    """Read-only, like most of what Arrow gives: numba compiles the kernels once more for a writable one."""
    array.flags.writeable = False
    return array


def tables_for(data: Any, offsets: Any, folding: Folding) -> Tables:
    """Return the tables that these rows need: none where all their bytes are ASCII."""
    seen = data[int(offsets[0]) : int(offsets[-1])]
    return tables(folding) if seen.size and int(seen.max()) > 127 else no_tables()


def words(
    data: Any, offsets: Any, folding: Folding = "lower", *, places: bool = False, swap: Commands = NO_COMMANDS
) -> Words:
    """Return the words of the rows of a UTF-8 buffer.

    Args:
        data: uint8[bytes]; read-only, as `text_buffers` gives it.
        offsets: int64[rows + 1].
        folding: what words are compared by, see the module.
        places: also where each word stands.
        swap: what becomes of words that follow a backslash.
    """
    if data.size < BLOCK:
        data = _frozen(np.r_[data, np.zeros(BLOCK, np.uint8)])
    rows, size = len(offsets) - 1, int(offsets[-1]) - int(offsets[0])
    hashes, ends = np.empty((size + rows) // 2 + 2, np.uint64), np.empty(rows + 1, np.int64)
    starts, stops = (np.empty(len(hashes) if places else 0, np.int64) for _ in range(2))
    tables_, room = tables_for(data, offsets, folding), np.empty((3, ROOM), np.uint64)
    count = find_words(data, offsets, ASCII, *tables_, *swap, hashes, ends, starts, stops, room)
    return Words(hashes[:count], ends, starts[:count], stops[:count])
