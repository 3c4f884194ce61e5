"""Is a text an item in other words? Rare words in any order, and all numbers: no run of words is needed.

The rule is unpublished, ours; docs/decontamination.md says what it finds and what it spares. Two problems are compared
as bags of features: stems of words and values of numbers, weighted by rarity among the items, with a prior for common
words.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from curator.contamination.evidence import Hit, Item
from curator.contamination.problem import (
    COMMON_NUMBERS,
    COMMON_WORDS,
    NO_NUMBER,
    NUMBER_WORDS,
    STEM,
    Problem,
    body,
    contradiction,
    read,
)

# All ours, set on the negatives of docs/decontamination.md (train against test of GSM8K and MATH), not on paraphrases.
PRIOR = 200  # pseudo-items of the prior, so that a reference set of one item has weights too
PRIOR_SHARE = {"common number": 0.05, "number": 0.003, "common word": 0.25, "word": 0.004}
SIMILARITY = 0.25  # least weighted cosine
SHARED = 22.0  # least weight shared, in nats: short problems about ages and pizzas look alike by chance
EXTRA = 0.15  # more similarity where only one side has the number 1: "1 of them" says no more than "one of them"
SPELLED = 0.04  # more similarity for a number that only one side has, in words
ORDER = 0.3  # more similarity where the numbers come in another order, times 1 - their common subsequence
FORMULA, FORMULA_ORDER = 0.9, 0.8  # least agreement of signs and of numbers where there is a formula
COPY = 0.9  # from this similarity on it is a copy, and numbers in another order have changed places
WORDS_ONLY = 0.7  # least similarity of problems without any number, or where numbers are not to be looked at
MARGIN = 0.01  # of the compiled search: it reads `Question:` as a word, and bytes as letters
_COMMON = frozenset(w[:STEM] for w in COMMON_WORDS.split())


def hash_of(feature: str) -> int:
    """Return the hash that `kernels.features` gives to a feature: a stem, or `#value`."""
    from curator.kernels.features import hash_bytes

    if feature.startswith("#"):
        value = feature[1:]
        return hash_bytes((f"0{value}" if value.startswith(".") else value).encode(), number=True)
    return hash_bytes(feature.encode()[:STEM], number=False)


def _spelled() -> dict[str, str]:
    return {word: "" if word in NO_NUMBER else value for word, value in NUMBER_WORDS.items()}


class Weights:
    """Rarity of features among texts: log of (texts + prior) over (texts that hold it + what the prior expects).

    Args:
        texts: the questions of the items.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from curator.kernels.features import number_words, read_texts

        self.items = len(texts)
        self.spelled = number_words(_spelled())
        self.features = read_texts(texts, self.spelled)  # compiled: reading all items in Python would take a second
        self.keys, self.which, self.held = np.unique(self.features.hashes, return_inverse=True, return_counts=True)
        self._held = dict(zip(self.keys.tolist(), self.held.tolist(), strict=True))
        self._known: dict[str, float] = {}

    def __call__(self, feature: str) -> float:
        """Return the weight of a feature, in nats."""
        if feature not in self._known:
            self._known[feature] = self._weigh(feature)
        return self._known[feature]

    def _weigh(self, feature: str) -> float:
        if feature.startswith("#"):
            kind = "common number" if feature[1:] in COMMON_NUMBERS else "number"
        else:
            kind = "common word" if feature in _COMMON else "word"
        held = self._held.get(hash_of(feature), 0)
        return math.log((self.items + PRIOR + 1) / (held + PRIOR * PRIOR_SHARE[kind] + 0.5))

    def of_hashes(self, held: Any, numbers: Any, hashes: Any) -> Any:
        """Return float64[features] for how many items hold each, whether it is a number, and its hash."""
        words = np.array([hash_of(w) for w in sorted(_COMMON)], np.uint64)
        values = np.array([hash_of(f"#{v}") for v in COMMON_NUMBERS], np.uint64)
        common = np.where(numbers, np.isin(hashes, values), np.isin(hashes, words))
        share = np.where(
            numbers,
            np.where(common, PRIOR_SHARE["common number"], PRIOR_SHARE["number"]),
            np.where(common, PRIOR_SHARE["common word"], PRIOR_SHARE["word"]),
        )
        return np.log((self.items + PRIOR + 1) / (held + PRIOR * share + 0.5))


class Likeness(NamedTuple):
    """How alike two problems are, and the similarity that would convict them; `barred` says why none would."""

    similarity: float
    shared: float
    needed: float
    barred: str | None
    common: tuple[str, ...]

    @property
    def convicted(self) -> bool:
        """Whether it is enough."""
        return self.barred is None and self.similarity >= self.needed and self.shared >= SHARED


def compare(item: Problem, row: Problem, weight: Weights, *, numbers: bool = True) -> Likeness:
    """Compare an item with a row.

    Args:
        item: the item.
        row: the row's question.
        weight: of features.
        numbers: bar problems whose numbers contradict each other.
    """
    mine, theirs = item.features, row.features
    both = mine & theirs
    common = sum(weight(f) ** 2 for f in sorted(both))
    # A name that only one side has costs nothing: other names are not another problem.
    left = common + sum(weight(f) ** 2 for f in sorted(mine - both - item.names))
    right = common + sum(weight(f) ** 2 for f in sorted(theirs - both - row.names))
    order = _order(item.sequence, row.sequence)
    extra = [item.digits - row.digits - row.spelled, row.digits - item.digits - item.spelled]
    words = [item.spelled - row.spelled - row.digits, row.spelled - item.spelled - item.digits]
    needed = SIMILARITY
    if numbers:
        needed += EXTRA * sum(map(len, extra)) + SPELLED * sum(map(len, words)) + ORDER * (1 - order)
    if not numbers or (not item.sequence and not row.sequence):
        needed = max(needed, WORDS_ONLY)
    similarity = common / math.sqrt(left * right) if left * right else 0.0
    barred = _barred(item, row, extra, words, order) if numbers else None
    if numbers and barred is None and order < 1 and similarity >= COPY:
        barred = "numbers in other places"
    return Likeness(
        similarity,
        sum(weight(f) for f in sorted(both)),
        needed,
        barred,
        tuple(sorted(both, key=lambda f: (-weight(f), f))[:8]),
    )


def _barred(
    item: Problem, row: Problem, extra: list[frozenset[str]], words: list[frozenset[str]], order: float
) -> str | None:
    mine, theirs = Counter(item.sequence), Counter(row.sequence)
    if all(extra) or all(words) or (mine - theirs and theirs - mine):
        return "other numbers"
    if other := contradiction(item.signs, row.signs):
        return other
    if item.signs.formal or row.signs.formal:
        one, other_ = item.signs.formula, row.signs.formula
        agree = 2 * (one & other_).total() / max(1, one.total() + other_.total())
        if any(extra) or order < FORMULA_ORDER or (agree < FORMULA and one != other_):
            return "another formula"
    if (extra[0] | extra[1]) - {"1"}:
        return "a number more"
    return None


def _order(one: Sequence[str], other: Sequence[str]) -> float:
    """Return twice the longest common subsequence over both lengths; 1 where both are empty."""
    if not one and not other:
        return 1.0
    one, other = one[:200], other[:200]
    last = [0] * (len(other) + 1)
    for a in one:
        now = [0]
        for k, b in enumerate(other):
            now.append(last[k] + 1 if a == b else max(now[-1], last[k + 1]))
        last = now
    return 2 * last[-1] / (len(one) + len(other))


class ParaphraseIndex:
    """All items as bags of features, with a compiled search for rows that may be one of them."""

    def __init__(self, items: Sequence[Item]) -> None:
        from curator.kernels.likeness import Search

        self.items = items
        self._questions = [body(item.text) for item in items]
        self.weight = Weights(self._questions)
        w = self.weight
        self._search = Search(w.features, w.keys, w.which, w.held, w.of_hashes, w.spelled)

    def problem(self, item: int) -> Problem:
        """Return an item, taken apart; most never need to be."""
        return read(self._questions[item])

    def candidates(self, array: Any, floor: float, *, numbers: bool) -> Any:
        """Return int64[pairs, 2]: row and item of all pairs whose similarity may reach `floor`."""
        return self._search(array, floor - MARGIN, numbers=numbers)

    def hits(self, array: Any, *, numbers: bool = True) -> Iterator[Hit]:
        """Return the items that each row of a text column is like, with those that are not like enough.

        Args:
            array: Arrow strings; null counts as "".
            numbers: bar problems whose numbers contradict each other.
        """
        pairs = self.candidates(array, SIMILARITY, numbers=numbers)
        rows = np.unique(pairs[:, 0])
        texts: Mapping[int, str] = dict(zip(rows.tolist(), array.take(pa.array(rows)).to_pylist(), strict=True))
        for row, item in pairs.tolist():
            question = body(str(texts[row]))
            likeness = compare(self.problem(item), read(question), self.weight, numbers=numbers)
            if likeness.similarity >= SIMILARITY and likeness.shared >= SHARED and likeness.barred is None:
                facts = {
                    "needed": round(likeness.needed, 4), "shared": list(likeness.common),
                    "weight": round(likeness.shared, 1),
                }  # fmt: skip
                spans = [(question, self._questions[item])]
                yield Hit(row, item, "paraphrase", likeness.similarity, likeness.convicted, facts, spans)

    def similar(self, array: Any, floor: float) -> Iterator[tuple[int, int, float]]:
        """Return (row, item, similarity) of all pairs at least as similar as `floor`, whatever their numbers."""
        pairs = self.candidates(array, floor, numbers=False)
        texts = array.to_pylist()
        for row, item in pairs.tolist():
            likeness = compare(self.problem(item), read(body(str(texts[row]))), self.weight, numbers=False)
            if likeness.similarity >= floor:
                yield row, item, likeness.similarity
