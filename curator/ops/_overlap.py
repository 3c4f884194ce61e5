"""Which benchmark items a text shares words with, how much of them, and whether their numbers agree."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curator.kernels import ngrams
from curator.ops._benchmarks import Item
from curator.words import Words, kernel_text, with_operators, words

SLACK = 0.2  # of the item's length, on both sides of the place where it would lie; inserted words move it
EXACT_BELOW = 4  # words and operators; such an item is in every other text, so the whole row must equal it
_GOES_ON = re.compile(r"[\s)\]}$]*[+\-*/^=<>!%]|[.,]\d")
_CAME_FROM = re.compile(r"(?:[+\-*/^=<>%][\s(\[{$]*|\d[.,])$")
_DIGIT = re.compile(r"\d")


class Hit(NamedTuple):
    """What one text and one item share.

    `score`: rarity-weighted share of the item's or the row's words that lie in shared runs, the larger of the two.
    `numbers`: share of the numbers of one side found on the other, at the place of the match; None where a side has none.
    `spans`: the longest shared runs, (text on the row's side, text on the item's side).
    """

    item: Item
    method: str
    score: float
    numbers: float | None
    spans: list[tuple[str, str]]


class _Entry(NamedTuple):
    item: Item
    words: Words
    weights: Any


class Index:
    """All items, findable by runs of `n` words; items shorter than that by the whole of them."""

    def __init__(self, items: Iterable[Item], n: int) -> None:
        self.n = n
        split = [(item, words(item.text)) for item in items]
        self.frequency = Counter(w for _, found in split for w in set(found.words))
        self.size = len(split)
        self.entries = [_Entry(i, f, np.array([self.weight(w) for w in f.words])) for i, f in split]
        tokens, self.ends = _tokens([item.text for item, _ in split])
        self._long(tokens)
        self._short(tokens)

    def weight(self, word: str) -> float:
        """Return the rarity of a word: log of items over items that hold it, so that what all items say weighs little."""
        return math.log((self.size + 1) / (self.frequency.get(word, 0) + 0.5))

    def _long(self, tokens: Any) -> None:
        keys, where, place = [], [], []
        for k in range(self.size):
            found = ngrams.grams(tokens[self.ends[k] : self.ends[k + 1]], self.n)
            keys.append(found)
            where.append(np.full(len(found), k))
            place.append(np.arange(len(found)))
        key = np.concatenate(keys) if keys else np.empty(0, np.uint64)
        order = np.argsort(key, kind="stable")
        self.keys = key[order]
        self.where = np.concatenate(where)[order] if keys else key
        self.place = np.concatenate(place)[order] if keys else key
        self.table = ngrams.table_of(self.keys)

    def _short(self, tokens: Any) -> None:
        """Group items shorter than n words by their length: hash of the whole item -> items."""
        self.short: dict[int, dict[int, list[int]]] = {}
        for k, entry in enumerate(self.entries):
            length = len(entry.words.words)
            if 0 < length < self.n:
                (key,) = ngrams.grams(tokens[self.ends[k] : self.ends[k + 1]], length)
                self.short.setdefault(length, {}).setdefault(int(key), []).append(k)
        self.short_tables = {n: ngrams.table_of(np.array(list(found), np.uint64)) for n, found in self.short.items()}

    def candidates(self, array: Any) -> Any:
        """Return bool[rows]: rows of a text column that share a run with some item; the hot path, all compiled."""
        hit = np.zeros(len(array), bool)
        tokens, ends = ngrams.tokenise(*kernel_text(array))
        ngrams.mark_rows(tokens, ends, self.n, self.table, hit)
        for length, table in self.short_tables.items():
            ngrams.mark_rows(tokens, ends, length, table, hit)
        return hit

    def hits(self, text: str) -> list[Hit]:
        """Return all items that a text shares a run with, best first."""
        tokens, _ = _tokens([text])
        found = words(text)
        hits = [*self._long_hits(text, found, tokens), *self._short_hits(text, found, tokens)]
        return sorted(hits, key=lambda h: (-h.score, -(h.numbers or 0), h.item))

    def _long_hits(self, text: str, found: Words, tokens: Any) -> Iterable[Hit]:
        keys = ngrams.grams(tokens, self.n)
        low, high = np.searchsorted(self.keys, keys, "left"), np.searchsorted(self.keys, keys, "right")
        pairs: dict[int, list[tuple[int, int]]] = {}
        for i in np.flatnonzero(high > low).tolist():
            for at in range(low[i], high[i]):
                pairs.setdefault(int(self.where[at]), []).append((i, int(self.place[at])))
        if not pairs:
            return
        weights = np.array([self.weight(w) for w in found.words])
        for k, starts in pairs.items():
            runs = _runs(starts, self.n)
            entry = self.entries[k]
            if any(found.words[i : i + m] != entry.words.words[j : j + m] for i, j, m in runs):
                continue  # two different words with one hash
            share = max(
                _share(weights, [(i, m) for i, _, m in runs]), _share(entry.weights, [(j, m) for _, j, m in runs])
            )
            yield Hit(entry.item, "ngram", share, _numbers(found, entry.words, runs), _spans(text, found, entry, runs))

    def _short_hits(self, text: str, found: Words, tokens: Any) -> Iterable[Hit]:
        for length, items in self.short.items():
            for i, key in enumerate(ngrams.grams(tokens, length).tolist()):
                for k in items.get(key, ()):
                    entry = self.entries[k]
                    start, end = found.starts[i], found.ends[i + length - 1]
                    if found.words[i : i + length] == entry.words.words and _whole(text, start, end, entry.item.text):
                        yield Hit(entry.item, "whole_item", 1.0, 1.0, [(text[start:end], entry.item.text)])


def _tokens(texts: list[str]) -> tuple[Any, Any]:
    return ngrams.tokenise(*kernel_text(pa.array(texts, pa.large_string())))


def _whole(text: str, start: int, end: int, item: str) -> bool:
    """Return whether `text[start:end]` is the item and not the beginning or the end of a longer formula."""
    asked = with_operators(item)
    if len(asked) < EXACT_BELOW:
        return with_operators(text) == asked
    inner = with_operators(text[start:end])
    if inner != asked[: len(inner)] or any(c.isalnum() for c in "".join(asked[len(inner) :])):
        return False
    return not _GOES_ON.match(text[end:]) and not _CAME_FROM.search(text[:start])


def _runs(starts: list[tuple[int, int]], n: int) -> list[tuple[int, int, int]]:
    """Merge gram matches (row, item) that follow each other into runs (row start, item start, words), longest first."""
    runs: list[tuple[int, int, int]] = []
    for i, j in sorted(starts, key=lambda p: (p[1] - p[0], p[0])):
        if runs and runs[-1][1] - runs[-1][0] == j - i and i <= runs[-1][0] + runs[-1][2]:
            runs[-1] = (runs[-1][0], runs[-1][1], i + n - runs[-1][0])
        else:
            runs.append((i, j, n))
    return sorted(runs, key=lambda r: (-r[2], r))


def _share(weights: Any, spans: list[tuple[int, int]]) -> float:
    covered = np.zeros(len(weights), bool)
    for start, length in spans:
        covered[start : start + length] = True
    total = float(weights.sum())
    return float(weights[covered].sum()) / total if total > 0 else float(covered.mean())


def _numbers(row: Words, item: Words, runs: list[tuple[int, int, int]]) -> float | None:
    """Return how far the numbers agree where the item would lie in the row; None where one side has none there.

    One changed number makes another problem, so the smaller set must be in the larger one: the share of it that is.
    """
    slack = round(SLACK * len(item.words))
    low = max(0, min(i for i, _, _ in runs) - min(j for _, j, _ in runs) - slack)
    high = max(i + m for i, _, m in runs) + len(item.words) - max(j + m for _, j, m in runs) + slack
    here = Counter(w for w in row.words[low:high] if _DIGIT.search(w))
    there = Counter(w for w in item.words if _DIGIT.search(w))
    if not here or not there:
        return None
    common = (here & there).total()
    return max(common / here.total(), common / there.total())


def _spans(text: str, row: Words, entry: _Entry, runs: list[tuple[int, int, int]]) -> list[tuple[str, str]]:
    other = entry.words
    return [
        (text[row.starts[i] : row.ends[i + m - 1]], entry.item.text[other.starts[j] : other.ends[j + m - 1]])
        for i, j, m in runs[:3]
    ]
