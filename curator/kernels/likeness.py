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
def contradict(
    ids: Any, flags: Any, count: Any, known: Any, known_flags: Any, numbers: Any
) -> Any:  # pragma: no cover - compiled
    """Return how many numbers only one side has, in digits; -1 where each side has one that the other has not.

    `ids`: int64[count], the row's features, -1 = no item has it. `known`: sorted ids of the item's numbers.
    """
    mine, mine_spelled, theirs, theirs_spelled = 0, 0, 0, 0
    for k in range(known.size):
        mine += known_flags[k] & DIGITS
        mine_spelled += (known_flags[k] & (DIGITS | SPELLED)) == SPELLED
    for k in range(count):
        if flags[k] & (DIGITS | SPELLED) == 0:
            continue
        at = np.searchsorted(known, ids[k]) if ids[k] >= 0 else known.size
        if at < known.size and known[at] == ids[k]:
            mine -= known_flags[at] & DIGITS
            mine_spelled -= (known_flags[at] & (DIGITS | SPELLED)) == SPELLED
        elif flags[k] & DIGITS:
            theirs += 1
        else:
            theirs_spelled += 1
    if numbers and ((mine > 0 and theirs > 0) or (mine_spelled > 0 and theirs_spelled > 0)):
        return -1
    return mine + theirs


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def propose(
    data: Any, offsets: Any, words: Any, means: Any, bits: Any, slots: Any, first: Any, weights: Any, rare: Any,
    unknown: Any, posts: Any, posts_at: Any, core: Any, values: Any, values_at: Any, values_flags: Any,
    floor: Any, extra: Any, numbers: Any, out: Any,
) -> Any:  # fmt: skip  # pragma: no cover - compiled
    """Write (row, item) of every pair whose similarity may reach `floor`.

    Args:
        data: uint8[bytes].
        offsets: int64[rows + 1].
        words: of `Spelled`.
        means: of `Spelled`.
        bits: of the `Table` of all features of the items.
        slots: as `bits`.
        first: as `bits`.
        weights: float64[features], in nats.
        rare: bool[features]: the features that `posts` knows; the others are common, and count as shared.
        unknown: float64[2]: weight of a word and of a number that no item has.
        posts: int64: the items of each rare feature.
        posts_at: int64[features + 1].
        core: float64[items]: sum of squared weights of the features that are no names.
        values: int64: the features of each item that are numbers, sorted.
        values_at: int64[items + 1].
        values_flags: uint8 as `values`.
        floor: least similarity, a little less because bytes are not letters.
        extra: what a number that only one side has adds to it.
        numbers: whether numbers can contradict.
        out: int64[room, 2].

    Returns:
        The number of pairs; what had no room was only counted.
    """
    seen, at = np.full(ROOM, -1, np.int64), np.empty(ROOM, np.int64)
    feats, flags, ids = np.empty(MOST, np.uint64), np.empty(MOST, np.uint8), np.empty(MOST, np.int64)
    shared, touched = np.zeros(core.size), np.empty(core.size, np.int64)
    found = 0
    for row in range(offsets.size - 1):
        count = read_row(data, offsets[row], offsets[row + 1], words, means, row, seen, at, feats, flags)
        mine, optimistic, n_touched = 0.0, 0.0, 0
        for k in range(count):
            slot = look_up(feats[k], bits, slots)
            ids[k] = first[slot] if slot >= 0 else -1
            w = weights[ids[k]] if slot >= 0 else unknown[0 if flags[k] & (DIGITS | SPELLED) == 0 else 1]
            w *= w
            if flags[k] & (NAME | LOWER) != NAME:
                mine += w
            if slot < 0:
                continue
            if not rare[ids[k]]:
                optimistic += w
                continue
            for p in range(posts_at[ids[k]], posts_at[ids[k] + 1]):
                if shared[posts[p]] == 0.0:
                    touched[n_touched] = posts[p]
                    n_touched += 1
                shared[posts[p]] += w
        for t in range(n_touched):
            item = touched[t]
            most = shared[item] + optimistic
            shared[item] = 0.0
            least = max(core[item], most) * max(mine, most)
            if most * most < floor * floor * least:
                continue
            span = slice(values_at[item], values_at[item + 1])
            more = contradict(ids, flags, count, values[span], values_flags[span], numbers)
            needed = floor + (extra * more if numbers else 0.0)
            if more < 0 or most * most < needed * needed * least:
                continue
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
        extra: similarity that a number more on one side costs.
        common: share of the items (of 600 at least) from which on a feature is not looked up.
    """

    def __init__(
        self,
        texts: Sequence[str],
        weigh: Callable[[Any, Any, Any], Any],
        spelled: Mapping[str, str],
        extra: float,
        common: float = 0.05,
    ) -> None:
        self._spelled, self._extra = number_words(spelled), extra
        feats, flags, ends = read_texts(texts, self._spelled)
        item = np.repeat(np.arange(len(texts)), np.diff(ends))
        keys, which, held = np.unique(feats, return_inverse=True, return_counts=True)
        numbers = flags & (DIGITS | SPELLED) != 0
        number = np.zeros(len(keys), bool)
        number[which[numbers]] = True
        self._table = table_of(keys)
        self._weights = weigh(held, number, keys)
        self._unknown = weigh(np.zeros(2), np.array([False, True]), np.zeros(2, np.uint64))
        self._rare = ~number & (held <= common * max(600, len(texts)))
        self._posts, self._posts_at = _grouped(which, item, self._rare[which], len(keys))
        self._values, self._values_at = _grouped(item, which, numbers, len(texts))
        self._values_flags = flags[numbers][np.lexsort((which[numbers], item[numbers]))]
        core = flags & (NAME | LOWER) != NAME
        self._core = np.bincount(item[core], self._weights[which[core]] ** 2, len(texts))

    def __call__(self, array: Any, floor: float, *, numbers: bool = True) -> Any:
        """Return int64[pairs, 2]: row and item, in order, of pairs whose similarity may reach `floor`."""
        data, offsets = wide(array)
        out = np.empty((4 * len(offsets) + 1024, 2), np.int64)
        for _ in range(2):
            count = propose(
                data, offsets, *self._spelled, *self._table, self._weights, self._rare, self._unknown,
                self._posts, self._posts_at, self._core, self._values, self._values_at, self._values_flags,
                floor, self._extra, numbers, out,
            )  # fmt: skip
            if count <= len(out):
                break
            out = np.empty((count, 2), np.int64)
        out = out[:count]
        return out[np.lexsort((out[:, 1], out[:, 0]))]


def _grouped(by: Any, what: Any, keep: Any, groups: int) -> tuple[Any, Any]:
    """Return (int64: `what` of each group, sorted; int64[groups + 1]: where each begins) of the kept entries."""
    order = np.lexsort((what[keep], by[keep]))
    return what[keep][order], np.searchsorted(by[keep][order], np.arange(groups + 1))
