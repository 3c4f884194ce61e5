"""Shared runs of n tokens: which items a text shares words with, how much of them, and whether their numbers agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curator.contamination.evidence import Hit, Item
from curator.contamination.problem import body, contradiction, read
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

    `tokens`: of the items. `keys`: uint64[grams], sorted; `where` and `place`: the item and the place of each gram.
    """

    def __init__(self, items: Sequence[Item], n: int, rule: Rule = "word", *, latex: bool = True) -> None:
        self.items, self.n, self.rule, self.latex = items, n, rule, latex
        self.tokens = split(pa.array([i.text for i in items], pa.large_string()), rule, latex=latex, places=True)
        self._of = np.repeat(np.arange(len(items)), np.diff(self.tokens.ends))  # the item of each token
        self._count_items()
        self._flags = _flags(self.tokens)
        self._before = _running(self.weights(self.tokens.hashes), self.tokens.ends)
        self._long()
        self._short()

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

    def _long(self) -> None:
        """Sort the grams that lie in one item."""
        key = ngrams.grams(self.tokens.hashes, self.n)
        at = np.arange(len(key))
        at = at[at + self.n <= self.tokens.ends[self._of[at] + 1]]
        order = at[np.argsort(key[at], kind="stable")]
        self.keys, self.where = key[order], self._of[order]
        self.place = order - self.tokens.ends[self.where]
        self.table = ngrams.table_of(self.keys)

    def _short(self) -> None:
        """Group items shorter than n tokens: (tokens, whether the whole row must equal it) -> hash -> items."""
        self.short: dict[tuple[int, bool], dict[int, list[int]]] = {}
        sizes = np.diff(self.tokens.ends)
        for k in np.flatnonzero((sizes > 0) & (sizes < self.n)).tolist():
            length = int(sizes[k])
            (key,) = ngrams.grams(self.tokens.hashes[self.tokens.ends[k] : self.tokens.ends[k + 1]], length)
            alone = len(self._asked(self.items[k].text)) < EXACT_BELOW
            self.short.setdefault((length, alone), {}).setdefault(int(key), []).append(k)
        self._tables = {
            at: ngrams.table_of(np.sort(np.array(list(keys), np.uint64))) for at, keys in self.short.items()
        }

    def _asked(self, text: str) -> list[str]:
        return with_operators(normalise(text, ("latex",)) if self.latex else text)

    def hits(self, array: Any, convicts: Convicts) -> list[Hit]:
        """Return what each row of a text column shares with the items, by row."""
        tokens = split(array, self.rule, latex=self.latex)
        rows = np.flatnonzero(self.candidates(tokens))
        if not len(rows):
            return []
        near = split(array.take(pa.array(rows)), self.rule, latex=self.latex, places=True)
        found = [*self._short_hits(near), *self._long_hits(near, convicts)]
        return [hit._replace(row=int(rows[hit.row])) for hit in sorted(found, key=lambda h: h.row)]

    def candidates(self, tokens: Tokens) -> Any:
        """Return bool[rows]: rows that share a run with some item; the hot path, all compiled."""
        hit = np.zeros(len(tokens.ends) - 1, bool)
        ngrams.mark_rows(tokens.hashes, tokens.ends, self.n, self.table, hit)
        sizes = np.diff(tokens.ends)
        for (length, alone), table in self._tables.items():
            shut = hit | (sizes != length) if alone else hit.copy()  # rows that need not be looked at count as found
            was = shut.copy()
            ngrams.mark_rows(tokens.hashes, tokens.ends, length, table, shut)
            hit |= shut & ~was
        return hit

    def _long_hits(self, near: Tokens, convicts: Convicts) -> Iterator[Hit]:
        found = ngrams.pairs(near.hashes, near.ends, self.n, self.table, self.keys)
        if not len(found):
            return
        row, place, item, other = found[:, 0], found[:, 1], self.where[found[:, 2]], self.place[found[:, 2]]
        order = np.lexsort((place, other - place, item, row))
        row, place, item, other = row[order], place[order], item[order], other[order]
        fresh = np.flatnonzero(np.r_[True, (row[1:] != row[:-1]) | (item[1:] != item[:-1])])
        measured, runs = np.empty((len(fresh), 4)), np.empty((len(fresh), shares.TOP, 3), np.int64)
        shares.measure(
            np.r_[fresh, len(row)], place, other, row[fresh], item[fresh], self.n,
            near.hashes, near.ends, _flags(near), _running(self.weights(near.hashes), near.ends),
            self.tokens.hashes, self.tokens.ends, self._flags, self._before, measured, runs,
        )  # fmt: skip
        guilty = convicts(measured)
        for k in np.flatnonzero(measured[:, 0] >= 0).tolist():
            at, of = int(row[fresh[k]]), int(item[fresh[k]])
            spans = [(_slice(near, at, i, m), _slice(self.tokens, of, j, m)) for i, j, m in runs[k].tolist() if m]
            hit = _hit(at, of, "ngram", measured[k].tolist(), bool(guilty[k]), spans)
            barred = self._barred(near, at, of) if guilty[k] and convicts.numbers else None
            yield hit._replace(convicted=False, facts={**hit.facts, "barred": barred}) if barred else hit

    def _barred(self, near: Tokens, row: int, item: int) -> str | None:
        """Return why a row of about the item's size is another problem; a longer text may hold the item."""
        size, its = (int(t.ends[k + 1] - t.ends[k]) for t, k in ((near, row), (self.tokens, item)))
        if size > WHOLE * its:
            return None
        text = near.text(row).decode("utf-8", "replace")
        return contradiction(read(body(self.items[item].text)), read(body(text)))

    def _short_hits(self, near: Tokens) -> Iterator[Hit]:
        for (length, alone), items in self.short.items():
            table = self._tables[length, alone]
            keys = np.sort(np.array(list(items), np.uint64))
            for row, place, at in ngrams.pairs(near.hashes, near.ends, length, table, keys).tolist():
                for k in items[int(keys[at])]:
                    if self._whole(near, row, place, k, alone=alone):
                        size = int(near.ends[row + 1] - near.ends[row])
                        spans = [(_slice(near, row, place, length), _slice(self.tokens, k, 0, length))]
                        yield _hit(row, k, "whole_item", [1.0, length / size, 1.0, 1.0], True, spans)

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


def _hit(row: int, item: int, method: str, found: list[float], guilty: bool, spans: list[tuple[str, str]]) -> Hit:  # noqa: FBT001
    of_item, of_row, item_numbers, row_numbers = found
    facts = {
        "item_share": round(of_item, 4), "row_share": round(of_row, 4),
        "item_numbers": None if item_numbers != item_numbers else round(item_numbers, 4),
        "row_numbers": None if row_numbers != row_numbers else round(row_numbers, 4),
    }  # fmt: skip
    return Hit(row, item, method, min(1.0, max(of_item, of_row)), guilty, facts, spans)


def _slice(tokens: Tokens, row: int, first: int, length: int) -> str:
    at = int(tokens.ends[row]) + first
    base = int(tokens.offsets[row])
    data = tokens.data[base + int(tokens.starts[at]) : base + int(tokens.stops[at + length - 1])]
    return bytes(data).decode("utf-8", "replace")


def _flags(tokens: Tokens) -> Any:
    """Return uint8[tokens]: 1 where a token holds a digit of any script."""
    out = np.zeros(len(tokens.hashes), np.uint8)
    shares.flag_numbers(tokens.data, tokens.offsets, tokens.ends, tokens.starts, tokens.stops, out)
    rows = np.searchsorted(tokens.ends, np.flatnonzero(out == 2), "right") - 1
    for row, at in zip(rows.tolist(), np.flatnonzero(out == 2).tolist(), strict=True):
        out[at] = bool(_DIGIT.search(_slice(tokens, row, at - int(tokens.ends[row]), 1)))
    return out


def _running(weights: Any, ends: Any) -> Any:
    out = np.empty(len(weights) + len(ends) - 1)
    shares.running(weights, ends, out)
    return out
