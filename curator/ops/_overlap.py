"""Which benchmark items a text shares words with, how much of them, and whether their numbers agree."""

from __future__ import annotations

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
Runs = tuple[tuple[int, int, int], ...]


class Hit(NamedTuple):
    """What one text and one item share.

    `item_share`, `row_share`: rarity-weighted share of the words of each side that lie in shared runs, 0 to 1.
    `item_numbers`: share of the item's numbers that stand in the row where the item would lie; None: it has none.
    `row_numbers`: share of the row's numbers that stand in the item; None: it has none.
    `runs`: shared runs of words (row start, item start, words), longest first.
    """

    item: int
    method: str
    item_share: float
    row_share: float
    item_numbers: float | None
    row_numbers: float | None
    runs: tuple[tuple[int, int, int], ...]

    @property
    def score(self) -> float:
        """The larger share."""
        return max(self.item_share, self.row_share)


class _Entry(NamedTuple):
    words: Words
    weights: Any
    numbers: Counter[str]


class Index:
    """All items, findable by runs of `n` words; items shorter than that by the whole of them.

    Built from hashes alone; an item's own words are looked at when it is hit.
    """

    def __init__(self, items: Iterable[Item], n: int) -> None:
        self.n = n
        self.items = list(items)
        self.tokens, self.ends = _tokens([item.text for item in self.items])
        self._of = np.repeat(np.arange(len(self.items)), np.diff(self.ends))  # the item of each token
        self._count_items()
        self._long()
        self._short()
        self._entries: dict[int, _Entry] = {}

    def entry(self, k: int) -> _Entry:
        """Return the words of item `k`, their weights and its numbers."""
        if k not in self._entries:
            found = words(self.items[k].text)
            numbers = Counter(filter(_DIGIT.search, found.words))
            self._entries[k] = _Entry(found, self.weights(self.tokens[self.ends[k] : self.ends[k + 1]]), numbers)
        return self._entries[k]

    def weights(self, tokens: Any) -> Any:
        """Return the rarity of each token: log of items over items that hold it. What every item says weighs little."""
        at = np.minimum(np.searchsorted(self._known, tokens), max(0, len(self._known) - 1))
        held = np.where(self._known[at] == tokens, self._held[at], 0) if len(self._known) else np.zeros(len(tokens))
        return np.log((len(self.items) + 1) / (held + 0.5))

    def _count_items(self) -> None:
        """Count the items that hold each token: `_held` of `_known`, which is sorted."""
        order = np.lexsort((self._of, self.tokens))
        token, item = self.tokens[order], self._of[order]
        fresh = np.ones(len(token), bool)
        fresh[1:] = (token[1:] != token[:-1]) | (item[1:] != item[:-1])
        first = np.ones(len(token), bool)
        first[1:] = token[1:] != token[:-1]
        self._known = token[first]
        starts = np.flatnonzero(first)
        self._held = np.add.reduceat(fresh.astype(np.int64), starts) if len(starts) else starts

    def _long(self) -> None:
        """Sort the grams that lie in one item: `keys`, and `where` (item) and `place` (word in it) of each."""
        key = ngrams.grams(self.tokens, self.n)
        at = np.arange(len(key))
        at = at[at + self.n <= self.ends[self._of[at] + 1]]
        order = at[np.argsort(key[at], kind="stable")]
        self.keys, self.where = key[order], self._of[order]
        self.place = order - self.ends[self.where]
        self.table = ngrams.table_of(self.keys)

    def _short(self) -> None:
        """Group items shorter than n words by their length: hash of the whole item -> items."""
        self.short: dict[int, dict[int, list[int]]] = {}
        sizes = np.diff(self.ends)
        for k in np.flatnonzero((sizes > 0) & (sizes < self.n)).tolist():
            length = int(sizes[k])
            (key,) = ngrams.grams(self.tokens[self.ends[k] : self.ends[k + 1]], length)
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
        hits = [*self._short_hits(text, found, tokens), *self._long_hits(found, tokens)]
        return sorted(hits, key=lambda h: (-h.score, self.items[h.item]))

    def spans(self, text: str, hit: Hit) -> list[tuple[str, str]]:
        """Return the three longest shared runs as text: (on the row's side, on the item's side)."""
        row, item, other = words(text), self.items[hit.item].text, self.entry(hit.item).words
        return [
            (text[row.starts[i] : row.ends[i + m - 1]], item[other.starts[j] : other.ends[j + m - 1]])
            for i, j, m in hit.runs[:3]
        ]

    def _long_hits(self, found: Words, tokens: Any) -> Iterable[Hit]:
        pairs = self._pairs(tokens)
        if not pairs:
            return
        weights = self.weights(tokens)
        digits = [(i, w) for i, w in enumerate(found.words) if _DIGIT.search(w)]
        here = Counter(w for _, w in digits)
        for k, starts in pairs.items():
            runs, entry = _runs(starts, self.n), self.entry(k)
            if any(found.words[i : i + m] != entry.words.words[j : j + m] for i, j, m in runs):
                continue  # two different words with one hash
            low, high = _window(runs, len(entry.words.words))
            yield Hit(
                k,
                "ngram",
                _share(entry.weights, [(j, m) for _, j, m in runs]),
                _share(weights, [(i, m) for i, _, m in runs]),
                _inside(entry.numbers, Counter(w for i, w in digits if low <= i < high)),
                _inside(here, entry.numbers),
                runs,
            )

    def _pairs(self, tokens: Any) -> dict[int, list[tuple[int, int]]]:
        """Return item -> (place in the row, place in the item) of every shared gram."""
        keys = ngrams.grams(tokens, self.n)
        low, high = np.searchsorted(self.keys, keys, "left"), np.searchsorted(self.keys, keys, "right")
        pairs: dict[int, list[tuple[int, int]]] = {}
        for i in np.flatnonzero(high > low).tolist():
            for at in range(low[i], high[i]):
                pairs.setdefault(int(self.where[at]), []).append((i, int(self.place[at])))
        return pairs

    def _short_hits(self, text: str, found: Words, tokens: Any) -> Iterable[Hit]:
        for length, items in self.short.items():
            for i, key in enumerate(ngrams.grams(tokens, length).tolist()):
                for k in items.get(key, ()):
                    start, end = found.starts[i], found.ends[i + length - 1]
                    same = found.words[i : i + length] == self.entry(k).words.words
                    if same and _whole(text, start, end, self.items[k].text):
                        yield Hit(k, "whole_item", 1.0, length / len(found.words), 1.0, 1.0, ((i, 0, length),))


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


def _runs(starts: list[tuple[int, int]], n: int) -> Runs:
    """Merge gram matches (row, item) that follow each other into runs (row start, item start, words), longest first."""
    runs: list[tuple[int, int, int]] = []
    for i, j in sorted(starts, key=lambda p: (p[1] - p[0], p[0])):
        if runs and runs[-1][1] - runs[-1][0] == j - i and i <= runs[-1][0] + runs[-1][2]:
            runs[-1] = (runs[-1][0], runs[-1][1], i + n - runs[-1][0])
        else:
            runs.append((i, j, n))
    return tuple(sorted(runs, key=lambda r: (-r[2], r)))


def _share(weights: Any, spans: list[tuple[int, int]]) -> float:
    covered = np.zeros(len(weights), bool)
    for start, length in spans:
        covered[start : start + length] = True
    total = float(weights.sum())
    return float(weights[covered].sum()) / total if total > 0 else float(covered.mean())


def _window(runs: Runs, length: int) -> tuple[int, int]:
    """Return the words of the row among which the item would lie, with some slack for inserted words."""
    slack = round(SLACK * length)
    low = min(i for i, _, _ in runs) - min(j for _, j, _ in runs) - slack
    return low, max(i + m for i, _, m in runs) + length - max(j + m for _, j, m in runs) + slack


def _inside(inner: Counter[str], outer: Counter[str]) -> float | None:
    return (inner & outer).total() / inner.total() if inner else None
