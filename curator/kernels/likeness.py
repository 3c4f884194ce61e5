"""Which items share enough features with a row: a search that misses no pair that Python would convict."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numba
import numpy as np

from curator.kernels.features import (
    DIGITS,
    LOWER,
    MOST,
    NAME,
    ROOM,
    SPELLED,
    number_words,
    read_row,
    read_texts,
    wide,
)
from curator.kernels.ngrams import look_up, table_of


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def alike(
    held: Any, held_flags: Any, weights: Any, core: Any, row: Any, of_row: Any, row_flags: Any, one: Any, numbers: Any
) -> Any:  # pragma: no cover - compiled
    """Return (weight shared, least weight of the item, row's digit values that the item has); -1 first where barred.

    Args:
        held: int64, features of the item.
        held_flags: uint8 as `held`.
        weights: float64[features], squared.
        core: of the item: what it weighs without names.
        row: number of the row.
        of_row: int64[features], the last row that had each feature.
        row_flags: uint8[features], its flags there.
        one: the feature of the value 1, which says no more than a word does.
        numbers: whether numbers can contradict.
    """
    shared, digits, spelled = 0.0, 0, False
    for k in range(held.size):
        feature = held[k]
        if of_row[feature] == row:
            shared += weights[feature]
            digits += (row_flags[feature] & DIGITS) != 0 and feature != one
        elif numbers and feature != one and held_flags[k] & DIGITS:
            return -1.0, 0.0, 0
        spelled |= numbers and of_row[feature] != row and (held_flags[k] & (DIGITS | SPELLED)) == SPELLED
    return shared, max(core, shared), -1 - digits if spelled else digits


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def walk(
    ids: Any, count: Any, known: Any, anchor: Any, posts: Any, posts_at: Any, marks: Any, out: Any
) -> Any:  # pragma: no cover - compiled
    """Write the items that hold the anchor, or, where it is -1, any of the `known` features of a row; return how many.

    `marks`: bool[items], scratch, all False before and after.
    """
    found = 0
    for k in range(count):
        if ids[k] < 0 or (anchor >= 0 and ids[k] != anchor) or (anchor < 0 and not known[ids[k]]):
            continue
        for p in range(posts_at[ids[k]], posts_at[ids[k] + 1]):
            if not marks[posts[p]]:
                marks[posts[p]] = True
                out[found] = posts[p]
                found += 1
    for k in range(found):
        marks[out[k]] = False
    return found


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def propose(
    data: Any, offsets: Any, words: Any, means: Any, bits: Any, slots: Any, first: Any, weights: Any, rare: Any,
    unknown: Any, posts: Any, posts_at: Any, held: Any, held_at: Any, held_flags: Any, core: Any, one: Any,
    floor: Any, numbers: Any, out: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Write (row, item) of every pair whose similarity may reach `floor`.

    Where numbers count, only items that hold the row's rarest value are looked at, and those without a value of the row
    or with a value more are left out.

    Args:
        data: uint8[bytes].
        offsets: int64[rows + 1].
        words: of `Spelled`.
        means: of `Spelled`.
        bits: of the `Table` of all features of the items.
        slots: as `bits`.
        first: as `bits`.
        weights: float64[features], nats squared.
        rare: bool[features]: words that few items have.
        unknown: float64[2]: the same weight for a word and for a number that no item has.
        posts: int64: the items of each feature that is rare or a number.
        posts_at: int64[features + 1].
        held: int64: the features of each item.
        held_at: int64[items + 1].
        held_flags: uint8 as `held`.
        core: float64[items]: sum of weights of the features that are no names.
        one: hash of the value 1.
        floor: least similarity, a little less because bytes are not letters.
        numbers: whether numbers can contradict.
        out: int64[room, 2].

    Returns:
        The number of pairs; what had no room was only counted.
    """
    seen, at = np.full(ROOM, -1, np.int32), np.empty(ROOM, np.int32)
    feats, flags, ids = np.empty(MOST, np.uint64), np.empty(MOST, np.uint8), np.empty(MOST, np.int64)
    of_row, row_flags = np.full(weights.size, -1, np.int64), np.zeros(weights.size, np.uint8)
    marks, near = np.zeros(core.size, np.bool_), np.empty(core.size, np.int64)
    slot = look_up(one, bits, slots)
    unit = first[slot] if slot >= 0 else -1
    found = 0
    for row in range(offsets.size - 1):
        count = read_row(data, offsets[row], offsets[row + 1], words, means, row, seen, at, feats, flags)
        mine, digits, strange, spelled, anchor = 0.0, 0, False, False, np.int64(-1)
        for k in range(count):
            slot = look_up(feats[k], bits, slots)
            ids[k] = first[slot] if slot >= 0 else -1
            value = (flags[k] & DIGITS) != 0 and feats[k] != one
            digits += value
            if flags[k] & (NAME | LOWER) != NAME:
                number = (flags[k] & (DIGITS | SPELLED)) != 0
                mine += weights[ids[k]] if slot >= 0 else unknown[1 if number else 0]
            if slot < 0:
                strange |= value
                spelled |= (flags[k] & (DIGITS | SPELLED)) == SPELLED
                continue
            of_row[ids[k]], row_flags[ids[k]] = row, flags[k]
            size = posts_at[ids[k] + 1] - posts_at[ids[k]]
            if value and (anchor < 0 or size < posts_at[anchor + 1] - posts_at[anchor]):
                anchor = ids[k]
        if numbers and strange:
            continue
        for t in range(walk(ids, count, rare, anchor if numbers else -1, posts, posts_at, marks, near)):
            item = near[t]
            span = slice(held_at[item], held_at[item + 1])
            shared, whole, same = alike(
                held[span], held_flags[span], weights, core[item], row, of_row, row_flags, unit, numbers
            )
            if shared < 0 or (numbers and ((same if same >= 0 else -1 - same) != digits or (same < 0 and spelled))):
                continue
            if shared * shared >= floor * floor * whole * max(mine, shared):
                if found < out.shape[0]:
                    out[found, 0], out[found, 1] = row, item
                found += 1
    return found


class Search:
    """Items as bags of features, findable by rows that share enough of them.

    Args:
        texts: the questions of the items.
        weigh: weights in nats for (items that hold a feature, whether it is a number, its hash), all arrays.
        spelled: number words and their values; "" where the word is no feature.
        common: share of the items (of 600 at least) from which on a word is not looked up.
    """

    def __init__(
        self,
        texts: Sequence[str],
        weigh: Callable[[Any, Any, Any], Any],
        spelled: Mapping[str, str],
        common: float = 0.05,
    ) -> None:
        self._spelled = number_words(spelled)
        feats, flags, ends = read_texts(texts, self._spelled)
        item = np.repeat(np.arange(len(texts)), np.diff(ends))
        keys, which, held = np.unique(feats, return_inverse=True, return_counts=True)
        numbers = np.zeros(len(keys), bool)
        numbers[which[flags & (DIGITS | SPELLED) != 0]] = True
        self._table = table_of(keys)
        self._weights = weigh(held, numbers, keys) ** 2
        self._unknown = weigh(np.zeros(2), np.array([False, True]), np.zeros(2, np.uint64)) ** 2
        self._rare = ~numbers & (held <= common * max(600, len(texts)))
        keep = (self._rare | numbers)[which]
        order = np.lexsort((item[keep], which[keep]))
        self._posts = item[keep][order]
        self._posts_at = np.searchsorted(which[keep][order], np.arange(len(keys) + 1))
        self._held, self._held_at, self._held_flags = which, ends, flags
        core = flags & (NAME | LOWER) != NAME
        self._core = np.bincount(item[core], self._weights[which[core]], len(texts))
        self._one = read_texts(["1"]).hashes[0]

    def __call__(self, array: Any, floor: float, *, numbers: bool = True) -> Any:
        """Return int64[pairs, 2]: row and item, in order, of pairs whose similarity may reach `floor`."""
        data, offsets = wide(array)
        out = np.empty((4 * len(offsets) + 1024, 2), np.int64)
        for _ in range(2):
            count = propose(
                data, offsets, *self._spelled, *self._table, self._weights, self._rare, self._unknown,
                self._posts, self._posts_at, self._held, self._held_at, self._held_flags, self._core, self._one,
                floor, numbers, out,
            )  # fmt: skip
            if count <= len(out):
                break
            out = np.empty((count, 2), np.int64)
        out = out[:count]
        return out[np.lexsort((out[:, 1], out[:, 0]))]
