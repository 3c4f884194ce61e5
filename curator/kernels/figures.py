"""The figures of a text: its numbers, and the operators that touch them. With other figures it is another problem.

A number is `(?:D{1,3}(?:,D{3})+(?!D)|D+)(?:\\.D+)*` where D is any character with a Unicode digit value (`²` and `２`
count as 2), with the commas left out: 1,000 is 1000. An operator counts where only white space lies between it and a
number; a hyphen after a number needs white space before it, so that `3-digit` is `3 digit`.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np

from curator.kernels.jit import kernel, part
from curator.kernels.words import decode

OTHER, SPACE, COMMA, POINT, DIGIT, MINUS = 0, 1, 2, 3, 64, 128  # 64-73 are the digits 0-9; from 128 on, operators
OPERATORS = {"-": MINUS, "−": MINUS, "+": 129, "*": 130, "×": 130, "·": 130, "⋅": 130, "/": 131, "÷": 131, "^": 132,
             "=": 133, "<": 134, ">": 135, "!": 136, "%": 137, "±": 138, "≤": 139, "≥": 140, "≠": 141,
             "√": 142}  # fmt: skip


def _class(character: str) -> int:
    digit = unicodedata.digit(character, -1)
    if digit >= 0:
        return DIGIT + digit
    if character.isspace():
        return SPACE
    return {",": COMMA, ".": POINT}.get(character, OPERATORS.get(character, OTHER))


@lru_cache(maxsize=2)
def classes(size: int = 0x110000) -> Any:
    """Return uint8[size], the class of each code point; 128 is enough where all bytes are ASCII."""
    table = np.zeros(size, np.uint8)
    for point in range(size):
        table[point] = _class(chr(point))
    table.flags.writeable = False
    return table


@part
def _mix(x: Any) -> Any:  # pragma: no cover - compiled
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@part
def _codes(data: Any, table: Any, codes: Any, places: Any) -> Any:  # pragma: no cover - compiled
    """Write the class of each character of one row, and where its digits and operators are; return how many are."""
    high = np.uint8(0)
    for c in data:
        high |= c
    found, count = np.uint64(0), np.int64(0)
    if high < 128:
        for i in range(data.size):  # no branch depends on a byte
            code = table[data[i]]
            codes[i] = code
            places[found] = i
            found += np.uint64(code >> np.uint8(6) != 0)
        count = data.size
    else:
        at: Any = np.int64(0)
        last = np.int64(data.size)
        while at < last:
            point, width = np.int64(data[at]), np.int64(1)
            if point >= 128:
                point, width = decode(data, at, last)
            code = table[point]
            codes[count] = code
            places[found] = count
            found += np.uint64(code >> np.uint8(6) != 0)
            count += 1
            at += width
    codes[count : count + 5] = OTHER  # what follows a row is no digit
    return np.int64(found)


@part
def _digit(c: Any) -> Any:  # pragma: no cover - compiled
    return c >> np.uint8(6) == 1


@part
def _number(codes: Any, i: Any) -> Any:  # pragma: no cover - compiled
    """Return (hash of the number that begins at `i`, the place after it)."""
    h, start = np.uint64(0xCBF29CE484222325), i
    while _digit(codes[i]):
        h = (h ^ np.uint64(codes[i])) * np.uint64(0x100000001B3)
        i += 1
    while i - start <= 3 or start < 0:
        if codes[i] != COMMA or not (_digit(codes[i + 1]) and _digit(codes[i + 2]) and _digit(codes[i + 3])):
            break
        if _digit(codes[i + 4]):
            break
        for k in range(i + 1, i + 4):
            h = (h ^ np.uint64(codes[k])) * np.uint64(0x100000001B3)
        i, start = i + 4, np.int64(-1)
    while codes[i] == POINT and _digit(codes[i + 1]):
        h = (h ^ np.uint64(POINT)) * np.uint64(0x100000001B3)
        i += 1
        while _digit(codes[i]):
            h = (h ^ np.uint64(codes[i])) * np.uint64(0x100000001B3)
            i += 1
    return h, i


@part
def _row(codes: Any, places: Any, found: Any, ordered: Any) -> Any:  # pragma: no cover - compiled
    total, end, at = np.uint64(0), np.int64(0), np.int64(0)
    number, waiting = False, np.uint8(0)  # what stands before: a number; an operator that does not count yet
    step = np.uint64(0x9E3779B97F4A7C15)
    while at < found:
        i = np.int64(places[at])
        gap = end
        while gap < i and codes[gap] == SPACE:
            gap += 1
        if gap < i:
            number, waiting = False, np.uint8(0)
        c = codes[i]
        if _digit(c):
            if waiting and ordered:
                total = total * step + np.uint64(waiting)
            h, end = _number(codes, i)
            total = total * step + _mix(h) if ordered else total + _mix(h)
            number, waiting = True, np.uint8(0)
            while at < found and places[at] < end:
                at += 1
        else:
            counts = number and (c != MINUS or i > end)
            if counts and ordered:
                total = total * step + np.uint64(c)
            number, waiting = False, np.uint8(0) if counts else c
            end = i + 1
            at += 1
    return _mix(total)


@kernel
def figure_prints(data: Any, offsets: Any, table: Any, ordered: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Fingerprint the figures of each row.

    Args:
        data: uint8[bytes], UTF-8, the rows one after another.
        offsets: int32 or int64[rows + 1].
        table: uint8[0x110000], `classes()`, or its first 128 where all bytes are ASCII.
        ordered: True: numbers and operators in their order. False: the numbers alone, in any order, with repeats.
        out: uint64[rows], written; 0 where a row has no number.
    """
    longest = np.int64(0)
    for row in range(offsets.size - 1):
        longest = max(longest, np.int64(offsets[row + 1]) - np.int64(offsets[row]))
    codes, places = np.empty(longest + 5, np.uint8), np.empty(longest + 1, np.int64)
    for row in range(offsets.size - 1):
        found = _codes(data[np.int64(offsets[row]) : np.int64(offsets[row + 1])], table, codes, places)
        out[row] = _row(codes, places, found, ordered)


def figures(data: Any, offsets: Any, *, ordered: bool = True) -> Any:
    """Return uint64[rows]: equal where the figures of two rows are, 0 where there is none; see `figure_prints`."""
    seen = data[int(offsets[0]) : int(offsets[-1])]
    table = classes(0x110000 if seen.size and int(seen.max()) > 127 else 128)
    out = np.empty(len(offsets) - 1, np.uint64)
    figure_prints(data, offsets, table, ordered, out)
    return out
