"""Which model a sentence comes from: its probability under teacher, student, and a model distilled from them.

Provenance tracing (arXiv 2512.20908, by a detailed secondary account) and DASD (arXiv 2601.09088). A sentence's
probability is the geometric mean of its tokens' probabilities, so models with different tokenizers can be compared.
"""

from __future__ import annotations

import math

TEACHER, STUDENT, COMMON, SHARED, BOOSTED = "teacher", "student", "common", "shared", "boosted"


def probability(total: float | None, tokens: int | None) -> float | None:
    """Return exp(mean log-probability) of a sentence; None where no token was scored."""
    return None if total is None or not tokens else math.exp(total / tokens)


def two_models(teacher: float | None, student: float | None, beta: float) -> str | None:
    """Return `teacher`, `student` or `common` (differences of exactly beta are common); None where one is unknown."""
    if teacher is None or student is None:
        return None
    if teacher - student > beta:
        return TEACHER
    return STUDENT if teacher - student < -beta else COMMON


def three_models(
    teacher: float | None, student: float | None, distilled: float | None, alpha: float, beta: float
) -> str | None:
    """Return the label in the published order: shared, teacher, student, boosted.

    A difference of exactly beta falls through the published rules; it is boosted here (ours).
    """
    if teacher is None or student is None or distilled is None:
        return None
    if max(abs(student - distilled), abs(teacher - distilled), abs(teacher - student)) <= alpha:
        return SHARED
    label = two_models(teacher, student, beta)
    return BOOSTED if label == COMMON else label
