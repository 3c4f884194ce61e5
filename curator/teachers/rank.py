"""The ranking, its label, and how far each teacher is from the first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

from curator.errors import CheckError
from curator.teachers.measure import CONFIDENCE, Counted, Row

PROXY, SMOKE = "proxy", "smoke test"
# What a ranking may go by, and whether more is better.
MEASURES: dict[str, bool] = {
    "verified_rate": True, "solved_rate": True, "verified_per_dollar": True, "tokens_per_verified": False,
    "student_perplexity": False, "student_entropy": False, "distinct_4": True,
}  # fmt: skip


@dataclass(frozen=True)
class Tournament:
    """The teachers in order. `label`: `proxy`, or `smoke test` where students were trained and measured.

    `verdict`: the sentence that a report begins with.
    """

    teachers: list[Row]
    pairs: list[Row]
    by: str
    measure: str
    label: str
    problems: int
    common: int
    unit: str
    unranked: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """Say what the ranking is, and is not."""
        first = next((r for r in self.teachers if r["rank"] == 1), None)
        if self.label == SMOKE:
            who = first["teacher"] if first else "none"
            return f"teacher selected: {who}, whose student did best in the smoke test ({self.measure})"
        close = [r["teacher"] for r in self.teachers if r["rank"] and r["rank"] > 1 and r["level_with_first"]]
        more = f"; not to be told from the first: {len(close)} more" if close else ""
        return (
            f"proxy ranking by {self.measure}{more}. No student was trained: the best teacher is not selected by this "
            "(DED, arXiv 2508.09883); --smoke or --train takes the deciding step"
        )


def rank(
    counted: Counted, measure: str = "verified_rate", scores: Mapping[str, Mapping[str, float]] | None = None
) -> Tournament:
    """Return the teachers in order: by the mean of their students' `scores` where there are any, else by `measure`.

    Args:
        counted: what `measure` found.
        measure: one of `MEASURES`.
        scores: teacher -> benchmark -> score of the student trained on it; of all ranked teachers.

    Raises:
        CheckError: no such measure, or no ranked teacher has it.
    """
    if measure not in MEASURES:
        msg = f"teachers: cannot rank by '{measure}'; by {', '.join(MEASURES)}"
        raise CheckError(msg)
    rows = [dict(row) for row in counted.teachers]
    ranked = [row for row in rows if row["teacher"] not in counted.unranked]
    more = True
    if scores:
        for row in ranked:
            found = scores[row["teacher"]]
            row |= {f"smoke_score_{name}": value for name, value in found.items()}
            row["smoke_mean"] = sum(found.values()) / len(found)
        measure = "smoke_mean"
    else:
        more = MEASURES[measure]
        if all(row.get(measure) is None for row in ranked):
            msg = f"teachers: no teacher has a {measure}; {'; '.join(counted.notes) or 'rank by verified_rate'}"
            raise CheckError(msg)
    sign = -1 if more else 1
    ranked.sort(key=lambda row: (row.get(measure) is None, sign * (row.get(measure) or 0.0), row["teacher"]))
    for row in rows:
        row["rank"] = None
        row["ranking"] = SMOKE if scores else PROXY
    for place, row in enumerate(ranked, 1):
        row["rank"] = place
    _behind(ranked, counted.pairs)
    others = sorted((r for r in rows if r["rank"] is None), key=lambda r: r["teacher"])
    for row in others:
        row["level_with_first"] = row["behind_first"] = row["behind_first_low"] = row["behind_first_high"] = None
    return Tournament(
        [*ranked, *others], counted.pairs, counted.by, measure, SMOKE if scores else PROXY, counted.problems,
        counted.common, counted.unit, dict(counted.unranked), tuple(counted.notes),
    )  # fmt: skip


def _behind(ranked: list[Row], pairs: list[Row]) -> None:
    """How far the verified rate lies behind the first one's, over the same problems: a paired difference."""
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    first = ranked[0]["teacher"]
    to_first = {p["other"]: p for p in pairs if p["teacher"] == first}
    for row in ranked:
        pair = to_first.get(row["teacher"])
        gap = pair["difference"] if pair else 0.0
        half = z * math.sqrt(pair["variance"]) if pair else 0.0
        row["behind_first"], row["behind_first_low"], row["behind_first_high"] = gap, gap - half, gap + half
        row["level_with_first"] = gap - half <= 0 <= gap + half
