"""Shared runs of n tokens: which items a text shares words with, how much of them, and whether their numbers agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curator.contamination.evidence import TOLD, Hit, Item
from curator.contamination.problem import Signs, body, contradiction, signs
from curator.contamination.tokens import Rule, Tokens, split
from curator.fold import normalise
from curator.kernels import ngrams, shares
from curator.words import with_operators

PART = 0.5  # of a row that is part of an item, or of texts without numbers; ours, see docs/decisions.md
WHOLE = 2  # times an item's tokens; up to there a row is one problem and not a text around it
EXACT_BELOW = 4  # words and operators; such an item is in every other text, so the whole row must equal it
_GOES_ON = re.compile(r"[\s)\]}$]*[+\-*/^=<>!%]|[.,]\d")
_CAME_FROM = re.compile(r"(?:[+\-*/^=<>%][\s(\[{$]*|\d[.,])$")
_DIGIT = re.compile(r"\d")


class Convicts(NamedTuple):
    """The rule of conviction: least weighted share of the item, and whether numbers must agree."""

    min_coverage: float = 0.3
    numbers: bool = True

    def __call__(self, found: Any) -> Any:
        """Return bool[pairs] for float64[pairs, 4]: shares of item, row, item's numbers in place, row's numbers."""
        of_item, of_row, item_numbers, row_numbers = found.T
        at_least = max(self.min_coverage, PART)
        if not self.numbers:
            return np.maximum(of_item, of_row) >= self.min_coverage
        no_item, no_row = np.isnan(item_numbers), np.isnan(row_numbers)
        enough = np.where(no_item, of_item >= at_least, (of_item >= self.min_coverage) & (item_numbers == 1))
        part = (of_row >= at_least) & (row_numbers == 1)
        return np.where(no_item & no_row, np.maximum(of_item, of_row) >= at_least, enough | part)


class NgramIndex:
    """All items, findable by runs of `n` tokens; items shorter than that by the whole of them.

    `tokens`: of the items. `runs`: of `n` tokens and of whole short items; `where` and `place`: the item of each run
    and its place there.
    """

    def __init__(self, items: Sequence[Item], n: int, rule: Rule = "word", *, latex: bool = True) -> None:
        self.items, self.n, self.rule, self.latex = items, n, rule, latex
        self.tokens = split(pa.array([i.text for i in items], pa.large_string()), rule, latex=latex, places=True)
        self._of = np.repeat(np.arange(len(items)), np.diff(self.tokens.ends))  # the item of each token
        self._count_items()
        self._measured = _measured(self.tokens, self.weights(self.tokens.hashes))
        self._signs: dict[int, Signs] = {}
        self._find_runs()

    def weights(self, tokens: Any) -> Any:
        """Return the rarity of each token: log of items over items that hold it. What every item says weighs little."""
        at = np.minimum(np.searchsorted(self._known, tokens), max(0, len(self._known) - 1))
        held = np.where(self._known[at] == tokens, self._held[at], 0) if len(self._known) else np.zeros(len(tokens))
        return np.log((len(self.items) + 1) / (held + 0.5))

    def _count_items(self) -> None:
        """Count the items that hold each token: `_held` of `_known`, which is sorted."""
        order = np.lexsort((self._of, self.tokens.hashes))
        token, item = self.tokens.hashes[order], self._of[order]
        fresh = np.ones(len(token), bool)
        fresh[1:] = (token[1:] != token[:-1]) | (item[1:] != item[:-1])
        first = np.ones(len(token), bool)
        first[1:] = token[1:] != token[:-1]
        self._known = token[first]
        starts = np.flatnonzero(first)
        self._held = np.add.reduceat(fresh.astype(np.int64), starts) if len(starts) else starts

    def _find_runs(self) -> None:
        """Sort the runs of n tokens that lie in one item, and the whole of each item that is shorter."""
        key, sizes = ngrams.grams(self.tokens.hashes, self.n), np.diff(self.tokens.ends)
        at = np.arange(len(key))
        at = at[at + self.n <= self.tokens.ends[self._of[at] + 1]]
        few = np.flatnonzero((sizes > 0) & (sizes < self.n))
        firsts, lengths = self.tokens.ends[few], sizes[few]
        alone = np.array([len(self._asked(self.items[k].text)) < EXACT_BELOW for k in few.tolist()], bool)

        def beginning(of: int | None) -> Any:
            some = [(f, of or s) for f, s, a in zip(firsts, lengths, alone, strict=True) if not (of and a)]
            return np.array([ngrams.grams(self.tokens.hashes[f : f + s], s)[0] for f, s in some], np.uint64)

        keys = np.r_[key[at], beginning(None)]
        order = np.argsort(keys, kind="stable")
        at, sizes = np.r_[at, firsts][order], np.r_[np.full(len(at), self.n), lengths * (1 - 2 * alone)][order]
        self.where = self._of[at]
        self.place = at - self.tokens.ends[self.where]
        self.runs = ngrams.runs(keys[order], sizes, self.n, beginning)

    def _asked(self, text: str) -> list[str]:
        return with_operators(normalise(text, ("latex",)) if self.latex else text)

    @cached_property
    def _rank(self) -> Any:
        """int64[items]: the place of each item in their order, which breaks ties."""
        rank = np.empty(len(self.items), np.int64)
        rank[sorted(range(len(self.items)), key=self.items.__getitem__)] = np.arange(len(self.items))
        return rank

    def hits(self, array: Any, convicts: Convicts) -> list[Hit]:
        """Return what each row of a text column shares with the items, by row; of a row no more than are told."""
        tokens = split(array, self.rule, latex=self.latex)
        found = ngrams.pairs(tokens.hashes, tokens.ends, self.n, self.runs)
        if not len(found):
            return []
        rows, found[:, 0] = np.unique(found[:, 0], return_inverse=True)
        near = split(array.take(pa.array(rows)), self.rule, latex=self.latex, places=True)
        short = self.runs.sizes[found[:, 2]] != self.n
        hits = [*self._short_hits(near, found[short]), *self._long_hits(near, found[~short], convicts)]
        return [hit._replace(row=int(rows[hit.row])) for hit in sorted(hits, key=lambda h: h.row)]

    def _long_hits(self, near: Tokens, found: Any, convicts: Convicts) -> Iterator[Hit]:
        if not len(found):
            return
        row, place, item, other = found[:, 0], found[:, 1], self.where[found[:, 2]], self.place[found[:, 2]]
        order = np.lexsort((place, other - place, item, row))
        row, place, item, other = row[order], place[order], item[order], other[order]
        fresh = np.flatnonzero(np.r_[True, (row[1:] != row[:-1]) | (item[1:] != item[:-1])])
        groups = np.r_[fresh, len(row)]
        row_of, item_of = row[fresh], item[fresh]
        measured, runs = np.empty((len(fresh), 4)), np.empty((len(fresh), shares.TOP, 3), np.int64)
        scratch = np.empty((int(np.diff(groups).max()), 3), np.int64)
        seen = np.full(max(int(np.diff(t.ends).max()) for t in (near, self.tokens)), -1)
        shares.measure(
            groups, place, other, row_of, item_of, self.n,
            *_measured(near, self.weights(near.hashes)), *self._measured, measured, runs, scratch, seen,
        )  # fmt: skip
        guilty, barred = convicts(measured), dict[int, str]()
        if convicts.numbers:
            said = {k: self._barred(near, int(row_of[k]), int(item_of[k])) for k in np.flatnonzero(guilty).tolist()}
            barred = {k: why for k, why in said.items() if why}
            guilty[list(barred)] = False
        for k in self._told(row_of, item_of, measured, guilty).tolist():
            at, of = int(row_of[k]), int(item_of[k])
            spans = [(_slice(near, at, i, m), _slice(self.tokens, of, j, m)) for i, j, m in runs[k].tolist() if m]
            more = {"barred": barred[k]} if k in barred else {}
            facts = {**_facts(measured[k].tolist()), **more}
            yield Hit(at, of, "ngram", float(_score(measured[k])), bool(guilty[k]), facts, spans)

    def _told(self, row: Any, item: Any, measured: Any, guilty: Any) -> Any:
        """Return the pairs that a row's evidence tells: convicting ones first, then the best."""
        order = np.lexsort((self._rank[item], -_score(measured), ~guilty, row))
        order = order[measured[order, 0] >= 0]
        ordered = row[order]
        return order[np.arange(len(order)) - np.searchsorted(ordered, ordered) < TOLD]

    def _barred(self, near: Tokens, row: int, item: int) -> str | None:
        """Return why a row of about the item's size is another problem; a longer text may hold the item."""
        size, its = (int(t.ends[k + 1] - t.ends[k]) for t, k in ((near, row), (self.tokens, item)))
        if size > WHOLE * its:
            return None
        text = near.text(row).decode("utf-8", "replace")
        if item not in self._signs:
            self._signs[item] = signs(body(self.items[item].text))
        return contradiction(self._signs[item], signs(body(text)))

    def _short_hits(self, near: Tokens, found: Any) -> Iterator[Hit]:
        for row, place, at in found.tolist():
            k, length = int(self.where[at]), abs(int(self.runs.sizes[at]))
            if self._whole(near, row, place, k, alone=self.runs.sizes[at] < 0):
                size = int(near.ends[row + 1] - near.ends[row])
                spans = [(_slice(near, row, place, length), _slice(self.tokens, k, 0, length))]
                yield Hit(row, k, "whole_item", 1.0, True, _facts([1.0, length / size, 1.0, 1.0]), spans)

    def _whole(self, near: Tokens, row: int, place: int, k: int, *, alone: bool) -> bool:
        """Return whether the item stands in the row, and is not the beginning or the end of a longer formula."""
        first, length = near.ends[row] + place, int(self.tokens.ends[k + 1] - self.tokens.ends[k])
        same = self.tokens.hashes[self.tokens.ends[k] : self.tokens.ends[k + 1]]
        if not np.array_equal(near.hashes[first : first + length], same):
            return False
        text, item = near.text(row), self.items[k].text
        asked = self._asked(item)
        if alone:
            return self._asked(text.decode("utf-8", "replace")) == asked
        start, end = int(near.starts[first]), int(near.stops[first + length - 1])
        before, after = (
            text[s].decode("utf-8", "replace") for s in (slice(max(0, start - 40), start), slice(end, end + 40))
        )
        inner = self._asked(text[start:end].decode("utf-8", "replace"))
        if inner != asked[: len(inner)] or any(c.isalnum() for c in "".join(asked[len(inner) :])):
            return False
        return not _GOES_ON.match(after) and not _CAME_FROM.search(before)


def _score(measured: Any) -> Any:
    return np.minimum(1.0, np.maximum(measured[..., 0], measured[..., 1]))


def _facts(measured: Sequence[float]) -> dict[str, Any]:
    """Return what evidence says of shares; None where there are no numbers."""
    names = ("item_share", "row_share", "item_numbers", "row_numbers")
    return {k: None if v != v else round(v, 4) for k, v in zip(names, measured, strict=True)}


def _slice(tokens: Tokens, row: int, first: int, length: int) -> str:
    at = int(tokens.ends[row]) + first
    base = int(tokens.offsets[row])
    data = tokens.data[base + int(tokens.starts[at]) : base + int(tokens.stops[at + length - 1])]
    return bytes(data).decode("utf-8", "replace")


def _measured(tokens: Tokens, weights: Any) -> tuple[Any, ...]:
    """Return what `shares.measure` asks of each side."""
    return tokens.hashes, tokens.ends, weights, *shares.numbers_of(tokens.hashes, tokens.ends, _flags(tokens))


def _flags(tokens: Tokens) -> Any:
    """Return uint8[tokens]: 1 where a token holds a digit of any script."""
    out = np.zeros(len(tokens.hashes), np.uint8)
    shares.flag_numbers(tokens.data, tokens.offsets, tokens.ends, tokens.starts, tokens.stops, out)
    rows = np.searchsorted(tokens.ends, np.flatnonzero(out == 2), "right") - 1
    for row, at in zip(rows.tolist(), np.flatnonzero(out == 2).tolist(), strict=True):
        out[at] = bool(_DIGIT.search(_slice(tokens, row, at - int(tokens.ends[row]), 1)))
    return out
