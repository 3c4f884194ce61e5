"""Spread and DeepDistill's decision over the scores of one problem: the plain form of what `grade` does in SQL."""

from __future__ import annotations

import math
from collections.abc import Sequence


def cv(scores: Sequence[float | None], ddof: int = 0) -> float | None:
    """Return the coefficient of variation sigma / mu of the scores that are there.

    DeepDistill (arXiv 2504.17565, section 3.1) prints the formula with 1/n, ddof 0, and worked examples that only come
    out with ddof 1. None where it is undefined: no scores, a mean of 0, or too few for the ddof.
    """
    there = [s for s in scores if s is not None]
    mean = math.fsum(there) / len(there) if there else 0.0
    if mean == 0 or len(there) <= ddof:
        return None
    return math.sqrt(math.fsum((s - mean) ** 2 for s in there) / (len(there) - ddof)) / mean


def decide(scores: Sequence[float | None], threshold: float, cv_min: float, ddof: int = 0) -> str | None:
    """Return the outcome of Algorithm 1 (arXiv 2504.17565) for one problem; its tests in their order.

    `max_below_threshold`: dropped. `none_above_threshold`: the best score equals the threshold, so nothing is over it
    (a case the paper leaves open; dropped, ours). `cv_high`: the samples over the threshold are kept. `cv_low`: the
    problem is dropped, in open categories with probability 1/2. None where there is no score.
    """
    there = [s for s in scores if s is not None]
    if not there:
        return None
    if max(there) < threshold:
        return "max_below_threshold"
    if max(there) == threshold:
        return "none_above_threshold"
    spread = cv(there, ddof)
    return "cv_high" if spread is not None and spread > cv_min else "cv_low"
