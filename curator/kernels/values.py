"""Numbers in the bytes of a text, hashed by value, and where an answer begins; see `kernels.features`."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.hashes import finish
from curator.kernels.jit import part

ANSWERS = np.frombuffer(b"answer\0solution\0response\0a\0", np.uint8)
PRIME = np.uint64(0x100000001B3)
VALUE = np.uint64(0x84222325CBF29CE4)


@part
def mix(h: Any) -> Any:  # pragma: no cover - compiled
    """Return a hash of which all bits depend on all letters, and which is odd."""
    return finish(h) | np.uint64(1)


@part
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
        h = (h ^ np.uint64(c)) * PRIME
    return h


@part
def _past(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Return the first byte from `i` on that is no digit."""
    while i < stop and 48 <= data[i] <= 57:
        i += 1
    return i


@part
def _past_space(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Return the first byte from `i` on that is no white space."""
    while i < stop and (data[i] == 32 or 9 <= data[i] <= 13):
        i += 1
    return i


@part
def read_number(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
    """Return (hash, byte after it) of the number that begins at `data[i]`: `3`, `1,000`, `2.50`, `1 / 2`."""
    end = _past(data, i, stop)
    below = _past_space(data, end, stop)
    last = end
    if below < stop and data[below] == 47:
        below = _past_space(data, below + 1, stop)
        last = max(end, _past(data, below, stop)) if below < stop and 48 <= data[below] <= 57 else end
    if last == end and end + 1 < stop:
        if data[end] == 46 and 48 <= data[end + 1] <= 57:
            end = _past(data, end + 1, stop)
        elif end - i <= 3:
            while end < stop and data[end] == 44 and _past(data, end + 1, stop) == end + 4:
                end += 4
        last = end
    h = _value(VALUE, data, i, end)
    if last > end:
        h = _value((h ^ np.uint64(47)) * PRIME, data, below, last)
    return mix(h), last


@part
def begins_answer(data: Any, i: Any, stop: Any) -> Any:  # pragma: no cover - compiled
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
