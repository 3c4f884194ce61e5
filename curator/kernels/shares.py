"""What a row and an item share, from the places of their equal runs: merged runs, weighted shares, numbers in place.

Plain loops and nothing of NumPy's: sorting and searching functions would take most of the time to compile.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import kernel, part

TOP = 3  # longest runs that are told
SLACK = 0.2  # of the item's length, on both sides of the place where it would lie; inserted words move it


@kernel
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


@part
def merge(
    place: Any, other: Any, begin: Any, end: Any, n: int, tokens: Any, r0: Any, item_tokens: Any, i0: Any, runs: Any
) -> Any:  # pragma: no cover - compiled
    """Write matches that follow each other as one run into runs: int64[matches, 3]; return how many there are.

    Matches whose tokens differ (two runs with one key) are left out.
    """
    count = 0
    for k in range(begin, end):
        p, q = place[k], other[k]
        t = 0
        while t < n and tokens[r0 + p + t] == item_tokens[i0 + q + t]:
            t += 1
        if t < n:
            continue
        last = count - 1
        if count and runs[last, 1] - runs[last, 0] == q - p and p <= runs[last, 0] + runs[last, 2]:
            runs[last, 2] = p + n - runs[last, 0]
        else:
            runs[count, 0], runs[count, 1], runs[count, 2] = p, q, n
            count += 1
    return count


@part
def covered(
    runs: Any, count: Any, side: Any, weights: Any, base: Any, seen: Any, stamp: Any
) -> Any:  # pragma: no cover - compiled
    """Return the weight of the tokens from `base` on that the runs cover on one side (0 row, 1 item).

    `seen`: int64, longer than any side, without `stamp` anywhere.
    """
    total = 0.0
    for k in range(count):
        first = runs[k, side]
        for t in range(first, first + runs[k, 2]):
            if seen[t] != stamp:
                seen[t] = stamp
                total += weights[base + t]
    return total


@part
def common(
    one: Any, a0: Any, a1: Any, other: Any, places: Any, b0: Any, b1: Any, low: Any, high: Any
) -> Any:  # pragma: no cover - compiled
    """Return how many of `one[a0:a1]` are among `other[b0:b1]`, counting repeats as often as both have them.

    Both are sorted. `places`: int64 as `other`; only those in `[low, high)` count.
    """
    count = 0
    i, j = a0, b0
    while i < a1 and j < b1:
        if other[j] < one[i] or (other[j] == one[i] and not low <= places[j] < high):
            j += 1
        elif other[j] > one[i]:
            i += 1
        else:
            count += 1
            i += 1
            j += 1
    return count


@part
def longest(runs: Any, count: Any, out: Any, pair: Any) -> None:  # pragma: no cover - compiled
    """Move the longest runs (of equal ones the first in the row) to out[pair]: int64[TOP, 3]; 0 if there are no more.

    The lengths of runs that were taken are set to 0.
    """
    for top in range(TOP):
        best = -1
        for k in range(count):
            if runs[k, 2] == 0 or (best >= 0 and runs[k, 2] < runs[best, 2]):
                continue
            first = best < 0 or runs[k, 2] > runs[best, 2] or runs[k, 0] < runs[best, 0]
            if first or (runs[k, 0] == runs[best, 0] and runs[k, 1] < runs[best, 1]):
                best = k
        for t in range(3):
            out[pair, top, t] = runs[best, t] if best >= 0 else 0
        if best >= 0:
            runs[best, 2] = 0


@kernel
def measure(
    groups: Any, place: Any, other: Any, row_of: Any, item_of: Any, n: int,
    tokens: Any, ends: Any, weights: Any, numbers: Any, places: Any, at: Any,
    item_tokens: Any, item_ends: Any, item_weights: Any, item_numbers: Any, item_places: Any, item_at: Any,
    shares: Any, runs: Any, scratch: Any, seen: Any,
) -> None:  # fmt: skip  # pragma: no cover - compiled
    """Measure what each pair of row and item shares.

    Args:
        groups: int64[pairs + 1], where each pair's matches start; a pair's matches sorted by (other - place, place).
        place: int64[matches], place of the run in the row.
        other: int64[matches], place of the run in the item.
        row_of: int64[pairs], ascending.
        item_of: int64[pairs].
        n: tokens in a run.
        tokens: uint64, of all rows.
        ends: int64[rows + 1].
        weights: float64[tokens].
        numbers: uint64, the tokens of all rows that are numbers, sorted within a row.
        places: int64 as `numbers`, their places in the row, ascending among equal ones.
        at: int64[rows + 1], where each row's numbers start.
        item_tokens: as `tokens`, of the items.
        item_ends: as `ends`.
        item_weights: as `weights`.
        item_numbers: as `numbers`.
        item_places: as `places`.
        item_at: as `at`.
        shares: float64[pairs, 4], written: share of the item, of the row, of the item's numbers that stand where
            the item would lie, of the row's numbers that stand in the item; nan where there are no numbers, all -1
            where the tokens are not equal after all.
        runs: int64[pairs, TOP, 3], written: place in the row, in the item, tokens; 0 tokens where there are no more.
        scratch: int64[most matches of a pair, 3].
        seen: int64[tokens of the longest row and item], -1 everywhere.
    """
    was, row_all = np.int64(-1), 0.0
    for pair in range(row_of.size):
        row, item = row_of[pair], item_of[pair]
        r0, r1, i0, i1 = ends[row], ends[row + 1], item_ends[item], item_ends[item + 1]
        if row != was:
            row_all = 0.0
            for k in range(r0, r1):
                row_all += weights[k]
            was = row
        count = merge(place, other, groups[pair], groups[pair + 1], n, tokens, r0, item_tokens, i0, scratch)
        if count == 0:
            for k in range(4):
                shares[pair, k] = -1.0
            continue
        item_all = 0.0
        for k in range(i0, i1):
            item_all += item_weights[k]
        side = np.int64(0)  # a variable: for each literal one more function would be compiled
        in_row = covered(scratch, count, side, weights, r0, seen, 2 * pair)
        in_item = covered(scratch, count, side + 1, item_weights, i0, seen, 2 * pair + 1)
        shares[pair, 0] = in_item / item_all if item_all > 0 else 1.0
        shares[pair, 1] = in_row / row_all if row_all > 0 else 1.0
        low, high, first, last = scratch[0, 0], np.int64(0), scratch[0, 1], np.int64(0)
        for k in range(count):
            low, first = min(low, scratch[k, 0]), min(first, scratch[k, 1])
            high, last = max(high, scratch[k, 0] + scratch[k, 2]), max(last, scratch[k, 1] + scratch[k, 2])
        slack = np.int64(SLACK * (i1 - i0) + 0.5)
        low, high = low - first - slack, high + (i1 - i0) - last + slack
        a0, a1, b0, b1 = item_at[item], item_at[item + 1], at[row], at[row + 1]
        here = common(item_numbers, a0, a1, numbers, places, b0, b1, low, high)
        there = common(numbers, b0, b1, item_numbers, item_places, a0, a1, np.int64(0), i1 - i0)
        shares[pair, 2] = here / (a1 - a0) if a1 > a0 else np.nan
        shares[pair, 3] = there / (b1 - b0) if b1 > b0 else np.nan
        longest(scratch, count, runs, pair)


def numbers_of(tokens: Any, ends: Any, flags: Any) -> tuple[Any, Any, Any]:
    """Return `numbers`, `places` and `at` of `measure` for flags: uint8[tokens], 1 where a token is a number."""
    found = np.flatnonzero(flags == 1)
    row = np.searchsorted(ends, found, "right") - 1
    order = np.lexsort((found, tokens[found], row))
    found, row = found[order], row[order]
    return tokens[found], found - ends[row], np.searchsorted(row, np.arange(len(ends))).astype(np.int64)
