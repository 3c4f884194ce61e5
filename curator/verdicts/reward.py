"""A reward model's number as an outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from curator.verdicts.case import ERROR, NO_REFERENCE, UNPARSEABLE, Case, Outcome, graded

VERIFIER = "reward/1"
SCALE = "logit"


def judged(case: Case, part: str) -> str | Outcome:
    """Return the text a reward model is to judge: the `response`, or the whole `trace`; else the outcome of the row."""
    if lacking := case.unread(VERIFIER):
        return lacking
    text = case.response if part == "response" else case.trace
    if not text or case.cut:
        return Outcome(UNPARSEABLE, "truncated" if case.cut or case.found.how == "truncated" else "no response",
                       verifier=VERIFIER)  # fmt: skip
    return str(text)


def outcome(scores: Mapping[str, float], heads: Sequence[str], threshold: float | None, who: str) -> Outcome:
    """Return the mean of the named heads (of the only one) as a score; a verdict only where there is a threshold.

    Without a threshold a score says nothing about right or wrong: verdict no_reference, the score is kept. A head that
    the model has not, or several heads and none named, is an error that lists them.
    """
    wanted = list(heads) or list(scores)
    unknown = [h for h in wanted if h not in scores]
    if unknown or (not heads and len(scores) > 1):
        what = f"no head '{unknown[0]}'" if unknown else "several heads and none is named"
        return Outcome(ERROR, f"reward model: {what}; it has {', '.join(scores)}; set heads", verifier=who)
    score = fmean(scores[h] for h in wanted)
    told = ", ".join(f"{h} {scores[h]:.3g}" for h in wanted) if len(wanted) > 1 else None
    if threshold is None:
        return Outcome(
            NO_REFERENCE, "; ".join(filter(None, ["score only, no threshold set", told])), None, score, SCALE, who
        )
    return graded(score, threshold, SCALE, who, told)
