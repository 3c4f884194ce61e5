"""Is a whole text an item but for a few characters? Normalised Indel ratio, as OpenThoughts compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from curator.contamination.evidence import Hit, Item
from curator.contamination.paraphrase import Weights, compare
from curator.contamination.problem import body, read
from curator.fold import chain, normalise
from curator.kernels import edits


class EditIndex:
    """All items, findable by rows within an edit distance of them.

    Args:
        items: of the reference set.
        ratio: least normalised Indel similarity, 1 - distance / (sum of lengths), 0 to 1.
        latex: compare formulas without what only lays them out.
    """

    def __init__(self, items: Sequence[Item], ratio: float, *, latex: bool) -> None:
        self.items, self.ratio = items, ratio
        self._chain = chain(["nfkc", "lower", "whitespace", *(["latex"] if latex else [])])
        self._questions = [body(item.text) for item in items]
        texts = [normalise(q, self._chain) for q in self._questions]
        self._order = sorted(range(len(items)), key=lambda k: (len(texts[k]), k))
        self._texts = [texts[k] for k in self._order]
        self._counts = edits.count(self._texts)

    @cached_property
    def _weight(self) -> Weights:
        return Weights(self._questions)

    def hits(self, array: Any, *, numbers: bool) -> Iterator[Hit]:
        """Return the items that each row of a text column nearly equals, those with other numbers not convicted."""
        from rapidfuzz.distance import Indel

        longest = self._counts[1].max(initial=0) * (2 - self.ratio) / max(self.ratio, 0.01) + 200
        questions = [body(t) if t and len(t) <= 10 * longest else "" for t in array.to_pylist()]
        texts = [normalise(q, self._chain) for q in questions]
        least = self.ratio - 1e-9  # 1 - 0.2 is more than 0.8 by a rounding
        for row, at in edits.candidates(edits.count(texts), self._counts, least).tolist():
            ratio = Indel.normalized_similarity(texts[row], self._texts[at], score_cutoff=max(0.0, least - 1e-6))
            if texts[row] and ratio >= least:
                k = self._order[at]
                barred = None
                if numbers and texts[row] != self._texts[at]:
                    barred = compare(read(self._questions[k]), read(questions[row]), self._weight).barred
                facts = {"barred": barred} if barred else {}
                yield Hit(row, k, "edit", ratio, not barred, facts, [(questions[row], self._questions[k])])
