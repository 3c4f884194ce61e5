"""What a row and an item share, from the places of their equal runs: merged runs, weighted shares, numbers in place."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

TOP = 3  # longest runs that are told
SLACK = 0.2  # of the item's length, on both sides of the place where it would lie; inserted words move it


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def flag_numbers(data: Any, offsets: Any, ends: Any, starts: Any, stops: Any, out: Any) -> None:  # pragma: no cover
    """Set out: uint8[tokens] to 1 where a token holds an ASCII digit, 2 where it holds none but a byte above 127."""
    for row in range(ends.size - 1):
        base = np.int64(offsets[row])
        for k in range(ends[row], ends[row + 1]):
            out[k] = 0
            for i in range(base + starts[k], base + stops[k]):
                if 48 <= data[i] <= 57:
                    out[k] = 1
                    break
                if data[i] >= 128:
                    out[k] = 2


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def covered(first: Any, length: Any, order: Any, before: Any, base: Any) -> Any:  # pragma: no cover - compiled
    """Return the weight of the union of runs `[first, first + length)`, visited in `order` of their first place.

    `before`: float64, `before[base + k]` is the weight of the k first tokens.
    """
    total, at = 0.0, np.int64(0)
    for k in order:
        low, high = max(at, first[k]), first[k] + length[k]
        if high > low:
            total += before[base + high] - before[base + low]
            at = high
    return total


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def common(one: Any, other: Any, places: Any, low: Any, high: Any) -> Any:  # pragma: no cover - compiled
    """Return how many of `one` (sorted uint64) are among `other` (sorted), counting repeats as often as both have them.

    `places`: int64 as `other`, ascending among equal ones; only those in `[low, high)` count.
    """
    count = 0
    i = 0
    while i < one.size:
        j = i
        while j < one.size and one[j] == one[i]:
            j += 1
        left, right = np.searchsorted(other, one[i], "left"), np.searchsorted(other, one[i], "right")
        inside = np.searchsorted(places[left:right], high, "left") - np.searchsorted(places[left:right], low, "left")
        count += min(j - i, inside)
        i = j
    return count


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def numbers_of(tokens: Any, flags: Any) -> Any:  # pragma: no cover - compiled
    """Return (uint64, int64): the flagged tokens of a text, sorted, and their places, ascending among equal ones."""
    places = np.flatnonzero(flags == 1)
    order = np.argsort(tokens[places], kind="mergesort")
    return tokens[places[order]], places[order]


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def merge(place: Any, other: Any, n: int, tokens: Any, item_tokens: Any) -> Any:  # pragma: no cover - compiled
    """Return (places in the row, places in the item, lengths): matches that follow each other as one run.

    Matches whose tokens differ (two runs with one key) are left out.
    """
    a, b, m = np.empty(place.size, np.int64), np.empty(place.size, np.int64), np.empty(place.size, np.int64)
    count = 0
    for k in range(place.size):
        p, q = place[k], other[k]
        equal = True
        for t in range(n):
            if tokens[p + t] != item_tokens[q + t]:
                equal = False
                break
        if not equal:
            continue
        if count and b[count - 1] - a[count - 1] == q - p and p <= a[count - 1] + m[count - 1]:
            m[count - 1] = p + n - a[count - 1]
        else:
            a[count], b[count], m[count] = p, q, n
            count += 1
    return a[:count], b[:count], m[:count]


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def longest(a: Any, b: Any, m: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write the longest runs (of equal ones the first in the row) into out: int64[TOP, 3]; 0 if there are no more."""
    taken = np.zeros(a.size, np.bool_)
    out[:, :] = 0
    for top in range(min(TOP, a.size)):
        best = -1
        for k in range(a.size):
            if not taken[k] and (best < 0 or (m[k], -a[k], -b[k]) > (m[best], -a[best], -b[best])):
                best = k
        taken[best] = True
        out[top, 0], out[top, 1], out[top, 2] = a[best], b[best], m[best]


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def measure(
    groups: Any, place: Any, other: Any, row_of: Any, item_of: Any, n: int,
    tokens: Any, ends: Any, flags: Any, before: Any,
    item_tokens: Any, item_ends: Any, item_flags: Any, item_before: Any,
    shares: Any, runs: Any,
) -> None:  # fmt: skip  # pragma: no cover - compiled
    """Measure what each pair of row and item shares.

    Args:
        groups: int64[pairs + 1], where each pair's matches start; a pair's matches sorted by (other - place, place).
        place: int64[matches], place of the run in the row.
        other: int64[matches], place of the run in the item.
        row_of: int64[pairs].
        item_of: int64[pairs].
        n: tokens in a run.
        tokens: uint64, of all rows.
        ends: int64[rows + 1].
        flags: uint8[tokens], 1 = the token is a number.
        before: float64[tokens + rows], a row's own running sum of weights, from 0: row r starts at `ends[r] + r`.
        item_tokens: as `tokens`, of the items.
        item_ends: as `ends`.
        item_flags: as `flags`.
        item_before: as `before`.
        shares: float64[pairs, 4], written: share of the item, of the row, of the item's numbers that stand where
            the item would lie, of the row's numbers that stand in the item; nan where there are no numbers, all -1
            where the tokens are not equal after all.
        runs: int64[pairs, TOP, 3], written: place in the row, in the item, tokens; 0 tokens where there are no more.
    """
    was = np.int64(-1)
    row_numbers, row_places = numbers_of(tokens[:0], flags[:0])
    for pair in range(row_of.size):
        row, item = row_of[pair], item_of[pair]
        r0, r1, i0, i1 = ends[row], ends[row + 1], item_ends[item], item_ends[item + 1]
        if row != was:
            row_numbers, row_places = numbers_of(tokens[r0:r1], flags[r0:r1])
            was = row
        span = slice(groups[pair], groups[pair + 1])
        a, b, m = merge(place[span], other[span], n, tokens[r0:r1], item_tokens[i0:i1])
        if a.size == 0:
            shares[pair, :] = -1.0
            continue
        row_all, item_all = before[r1 + row] - before[r0 + row], item_before[i1 + item] - item_before[i0 + item]
        in_item = covered(b, m, np.argsort(b, kind="mergesort"), item_before, i0 + item)
        in_row = covered(a, m, np.argsort(a, kind="mergesort"), before, r0 + row)
        shares[pair, 0] = in_item / item_all if item_all > 0 else 1.0
        shares[pair, 1] = in_row / row_all if row_all > 0 else 1.0
        slack = np.int64(np.rint(SLACK * (i1 - i0)))
        low = a.min() - b.min() - slack
        high = (a + m).max() + (i1 - i0) - (b + m).max() + slack
        numbers, places = numbers_of(item_tokens[i0:i1], item_flags[i0:i1])
        here = common(numbers, row_numbers, row_places, low, high)
        shares[pair, 2] = here / numbers.size if numbers.size else np.nan
        there = common(row_numbers, numbers, places, np.int64(0), i1 - i0)
        shares[pair, 3] = there / row_numbers.size if row_numbers.size else np.nan
        longest(a, b, m, runs[pair])


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def running(weights: Any, ends: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write each row's own running sum of `weights` from 0 into out: float64[tokens + rows]."""
    for row in range(ends.size - 1):
        total = 0.0
        out[ends[row] + row] = total
        for k in range(ends[row], ends[row + 1]):
            total += weights[k]
            out[k + row + 1] = total
