"""Texts that differ most from each other: edit distances of one problem's traces, and which of them to keep.

DED (arXiv 2508.09883) keeps the traces that are mutually farthest by Levenshtein distance; its rule in detail is
unpublished, so both readings are here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Literal

EXACT = 20_000  # subsets that max_sum tries one by one before it turns greedy (unpublished, ours)


def distances(texts: Sequence[str], normalize: Literal["none", "max_len"] = "none") -> Any:
    """Return float64[texts, texts]: Levenshtein distances in characters; `max_len`: over the longer text's length.

    Raw distances favour texts of different length.
    """
    import numpy as np
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    scorer = Levenshtein.distance if normalize == "none" else Levenshtein.normalized_distance
    found = np.zeros((len(texts), len(texts)))
    for i in range(len(texts) - 1):  # half of the matrix: the other half is the same
        found[i, i + 1 :] = cdist(texts[i : i + 1], texts[i + 1 :], scorer=scorer, workers=1)[0]
    return found + found.T


def max_min(matrix: Any, p: int) -> list[int]:
    """Return p indices in the order of choice: the farthest pair, then always what is farthest from its nearest chosen.

    Ties go to the smallest index. The smallest distance among the chosen is at least half of the best possible
    (Gonzalez 1985; Ravi, Rosenkrantz and Tayi 1994), and for p = 2 the best.
    """
    import numpy as np

    n = len(matrix)
    if p >= n:
        p = n
    if p < 1:
        return []
    first, second = divmod(int(np.argmax(np.triu(matrix, 1))), n) if n > 1 else (0, 0)
    chosen = [first, second][:p] if n > 1 else [0]
    if first == second and n > 1:  # all texts are equal
        chosen = [0, 1][:p]
    nearest = matrix[chosen].min(axis=0)
    while len(chosen) < p:
        nearest[chosen] = -1.0
        chosen.append(int(np.argmax(nearest)))
        nearest = np.minimum(nearest, matrix[chosen[-1]])
    return chosen


def max_sum(matrix: Any, p: int) -> list[int]:
    """Return p indices, ascending, whose distances have the largest sum; ties to the first in lexicographic order.

    Exact up to `EXACT` subsets; beyond, greedy from the farthest pair.
    """
    import numpy as np

    n = len(matrix)
    if p >= n or p < 1:
        return list(range(min(n, max(p, 0))))
    if p == 1:
        return max_min(matrix, 1)
    if math.comb(n, p) <= EXACT:
        sets = _subsets(n, p)
        totals = np.zeros(len(sets))
        for a, b in itertools.combinations(range(p), 2):
            totals += matrix[sets[:, a], sets[:, b]]
        return [int(i) for i in sets[int(np.argmax(totals >= totals.max() - 1e-9))]]
    chosen = max_min(matrix, 2)
    while len(chosen) < p:
        gain = matrix[chosen].sum(axis=0)
        gain[chosen] = -1.0
        chosen.append(int(np.argmax(gain)))
    return sorted(chosen)


@lru_cache(maxsize=64)
def _subsets(n: int, p: int) -> Any:
    import numpy as np

    return np.array(list(itertools.combinations(range(n), p)), np.int64)


RULES = {"max_min": max_min, "max_sum": max_sum}
