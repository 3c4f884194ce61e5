"""Which items share enough features with a row: a search that misses no pair that Python would convict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from curator.kernels.features import (
    DIGITS,
    LOWER,
    NAME,
    NO_SIEVE,
    SPELLED,
    Features,
    Sieve,
    Spelled,
    hash_bytes,
    read_array,
)
from curator.kernels.jit import kernel, part
from curator.kernels.ngrams import look_up, table_of


@part
def alike(
    held: Any, held_flags: Any, begin: Any, end: Any, weights: Any, core: Any, row: Any, of_row: Any, row_flags: Any,
    one: Any, numbers: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Return (weight shared, least weight of the item, row's digit values that the item has); -1 first where barred.

    Args:
        held: int64, features of the items.
        held_flags: uint8 as `held`.
        begin: where the item's features begin.
        end: where they end.
        weights: float64[features], squared.
        core: of the item: what it weighs without names.
        row: number of the row.
        of_row: int64[features], the last row that had each feature.
        row_flags: uint8[features], its flags there.
        one: the feature of the value 1, which says no more than a word does.
        numbers: whether numbers can contradict.
    """
    shared, digits, spelled = 0.0, 0, False
    for k in range(begin, end):
        feature = held[k]
        if of_row[feature] == row:
            shared += weights[feature]
            digits += (row_flags[feature] & DIGITS) != 0 and feature != one
        elif numbers and feature != one and held_flags[k] & DIGITS:
            return -1.0, 0.0, 0
        spelled |= numbers and of_row[feature] != row and (held_flags[k] & (DIGITS | SPELLED)) == SPELLED
    return shared, max(core, shared), -1 - digits if spelled else digits


@part
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


@kernel
def propose(
    feats: Any, flags: Any, ends: Any, bits: Any, slots: Any, first: Any, posts: Any, posts_at: Any,
    values: Any, one: Any, weights: Any, rare: Any, unknown: Any, held: Any, held_at: Any, held_flags: Any, core: Any,
    floor: Any, numbers: Any, ids: Any, of_row: Any, row_flags: Any, marks: Any, near: Any, out: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Write (row, item) of every pair whose similarity may reach `floor`.

    Where numbers count, only items that hold the row's rarest value are looked at, and those without a value of the row
    or with a value more are left out.

    Args:
        feats: of `Features` of the rows.
        flags: of `Features`.
        ends: of `Features`.
        bits: of the table of `Sieve`.
        slots: as `bits`.
        first: as `bits`.
        posts: of `Sieve`.
        posts_at: of `Sieve`.
        values: of `Sieve`.
        one: of `Sieve`.
        weights: float64[features], nats squared.
        rare: bool[features]: words that few items have.
        unknown: float64[2]: the same weight for a word and for a number that no item has.
        held: int64: the features of each item.
        held_at: int64[items + 1].
        held_flags: uint8 as `held`.
        core: float64[items]: sum of weights of the features that are no names.
        floor: least similarity, a little less because bytes are not letters.
        numbers: whether numbers can contradict.
        ids: int64[most features of a row], scratch.
        of_row: int64[features], -1 everywhere.
        row_flags: uint8[features], scratch.
        marks: bool[items], False everywhere.
        near: int64[items], scratch.
        out: int64[room, 2].

    Returns:
        The number of pairs; what had no room was only counted.
    """
    slot = look_up(one, bits, slots)
    unit = first[slot] if slot >= 0 else -1
    found = 0
    for row in range(ends.size - 1):
        start, count = ends[row], ends[row + 1] - ends[row]
        mine, digits, strange, spelled, anchor = 0.0, 0, False, False, np.int64(-1)
        for k in range(count):
            feature, flag = feats[start + k], flags[start + k]
            slot = look_up(feature, bits, slots)
            ids[k] = first[slot] if slot >= 0 else -1
            value = (flag & DIGITS) != 0 and feature != one
            digits += value
            if flag & (NAME | LOWER) != NAME:
                number = (flag & (DIGITS | SPELLED)) != 0
                mine += weights[ids[k]] if slot >= 0 else unknown[1 if number else 0]
            if slot < 0:
                strange |= value
                spelled |= (flag & (DIGITS | SPELLED)) == SPELLED
                continue
            of_row[ids[k]], row_flags[ids[k]] = row, flag
            size = posts_at[ids[k] + 1] - posts_at[ids[k]]
            if value and (anchor < 0 or size < posts_at[anchor + 1] - posts_at[anchor]):
                anchor = ids[k]
        if numbers and strange:
            continue
        for t in range(walk(ids, count, rare, anchor if numbers else -1, posts, posts_at, marks, near)):
            item = near[t]
            shared, whole, same = alike(
                held, held_flags, held_at[item], held_at[item + 1], weights, core[item], row, of_row, row_flags, unit,
                numbers,
            )  # fmt: skip
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
        features: of the items' questions.
        keys: uint64, the distinct features, sorted.
        which: int64, the place in `keys` of each of `features`.
        held: int64[keys], items that hold each.
        weigh: weights in nats for (items that hold a feature, whether it is a number, its hash), all arrays.
        spelled: number words.
        common: share of the items (of 600 at least) from which on a word is not looked up.
    """

    def __init__(
        self,
        features: Features,
        keys: Any,
        which: Any,
        held: Any,
        weigh: Callable[[Any, Any, Any], Any],
        spelled: Spelled,
        common: float = 0.05,
    ) -> None:
        self._spelled = spelled
        _, flags, ends = features
        count = len(ends) - 1
        item = np.repeat(np.arange(count), np.diff(ends))
        number = flags & (DIGITS | SPELLED) != 0
        numbers = np.zeros(len(keys), bool)
        numbers[which[number]] = True
        self._weights = weigh(held, numbers, keys) ** 2
        self._unknown = weigh(np.zeros(2), np.array([False, True]), np.zeros(2, np.uint64)) ** 2
        self._rare = ~numbers & (held <= common * max(600, count))
        keep = (self._rare | numbers)[which]
        order = np.lexsort((item[keep], which[keep]))
        posts, posts_at = item[keep][order], np.searchsorted(which[keep][order], np.arange(len(keys) + 1))
        values = np.zeros(count, np.uint64)
        np.bitwise_or.at(values, item[number], _value_bits(which[number]))
        self._sieve = Sieve(table_of(keys), posts, posts_at, values, np.uint64(hash_bytes(b"1", number=True)))
        self._held, self._held_at, self._held_flags = which, ends, flags
        core = flags & (NAME | LOWER) != NAME
        self._core = np.bincount(item[core], self._weights[which[core]], count)

    def __call__(self, array: Any, floor: float, *, numbers: bool = True) -> Any:
        """Return int64[pairs, 2]: row and item, in order, of pairs whose similarity may reach `floor`."""
        sieve = self._sieve if numbers else self._sieve._replace(values=NO_SIEVE.values)
        rows = read_array(array, self._spelled, sieve)
        out = np.empty((4 * len(array) + 1024, 2), np.int64)
        for _ in range(2):
            count = propose(
                *rows, *self._sieve.table, *self._sieve[1:], self._weights, self._rare, self._unknown,
                self._held, self._held_at, self._held_flags, self._core, floor, numbers, *self._scratch(rows), out,
            )  # fmt: skip
            if count <= len(out):
                break
            out = np.empty((count, 2), np.int64)
        out = out[:count]
        return out[np.lexsort((out[:, 1], out[:, 0]))]

    def _scratch(self, rows: Features) -> tuple[Any, ...]:
        ids = np.empty(int(np.diff(rows.ends).max(initial=0)), np.int64)
        of_row, row_flags = np.full(len(self._weights), -1), np.zeros(len(self._weights), np.uint8)
        return ids, of_row, row_flags, np.zeros(len(self._core), bool), np.empty(len(self._core), np.int64)


def _value_bits(features: Any) -> Any:
    """Return uint64: `value_bit` of each."""
    mixed = features.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(58)
    return np.uint64(1) << mixed
