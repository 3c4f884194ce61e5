"""`grade`: how often a problem is solved, from the verdicts of its samples."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import pyarrow as pa

from curator import rows
from curator.errors import CheckError
from curator.op import Names, Split, TableFn, View, operator
from curator.ops._sql import quote, with_columns

GROUP: Names = ("n", "n_ok", "n_undecided", "pass_rate", "pass_rate_low", "pass_rate_high")
DIFFICULTY: Names = ("difficulty", "difficulty_source")


def _adds(settings: Mapping[str, Any]) -> Mapping[str, pa.DataType]:
    return rows.types(GROUP + (DIFFICULTY if settings["bins"] else ()))


@operator(
    "table",
    effect="marks",
    version=1,
    needs=lambda s: ("row_id", s["by"], s["correct"]),
    adds=_adds,
    key=lambda s: (s["by"],),
    reports={
        "pass rates": "select round(pass_rate, 2) as pass_rate, count(distinct problem_id) as problems, count(*) as "
        "samples from rows group by all order by all"
    },
)
def grade(
    *,
    correct: str = "correct",
    by: str = "problem_id",
    confidence: float = 0.95,
    bins: dict[str, float] | None = None,
) -> TableFn:
    """Mark every sample with the pass rate of its problem, and how sure that rate is.

    `pass_rate` = n_ok / n over the samples with a verdict. A null verdict (timeout, no reference, error) leaves
    numerator and denominator and is counted in `n_undecided`; a problem without any verdict has a null pass rate.
    The interval is Wilson's score interval (Wilson 1927): honest at 0 of 4 and 4 of 4, where the normal one has no
    width.

    Args:
        correct: boolean column: true, false, or null for undecided.
        by: column whose equal values are samples of one problem; null counts as the row_id.
        confidence: of the interval, between 0 and 1.
        bins: also mark `difficulty`: `{easy: 0.75, hard: 0.25}` means easy from 0.75 on, hard below 0.25, medium
            between (lower ends belong to the bin). Unpublished, ours because 4 samples then give 0, 1-2, 3-4.

    Raises:
        CheckError: `confidence` or `bins` out of range.
    """
    if not 0 < confidence < 1:
        msg = f"grade: confidence is {confidence}, it must lie between 0 and 1"
        raise CheckError(msg)
    ends = _ends(bins) if bins else None
    key = f"coalesce({quote(by)}::varchar, row_id)"
    z = NormalDist().inv_cdf(0.5 + confidence / 2)

    def run(view: View) -> Split:
        view.con.execute(f"""
            create or replace temp table grade_groups as
            select *, {_wilson(z, -1)} as pass_rate_low, {_wilson(z, 1)} as pass_rate_high
            from (select *, n_ok / nullif(n, 0) as pass_rate from (
                select {key} as grade_key, count({quote(correct)})::int as n,
                    count(*) filter ({quote(correct)})::int as n_ok, (count(*) - count({quote(correct)}))::int
                    as n_undecided from rows group by all))""")
        new = {name: f"g.{name}" for name in GROUP}
        if ends:
            easy, hard = ends
            new["difficulty"] = (
                f"case when g.pass_rate >= {easy} then 'easy' when g.pass_rate < {hard} then 'hard' "
                "when g.pass_rate is not null then 'medium' end"
            )
            new["difficulty_source"] = "case when g.pass_rate is not null then 'pass_rate' end"
        select = with_columns(view.schema, new)
        return Split(f"select {select} from rows join grade_groups g on g.grade_key = {_on_rows(by)}")

    return run


def _on_rows(by: str) -> str:
    return f"coalesce(rows.{quote(by)}::varchar, rows.row_id)"


def _ends(bins: Mapping[str, float]) -> tuple[float, float]:
    if set(bins) != {"easy", "hard"} or not 0 <= bins["hard"] <= bins["easy"] <= 1:
        msg = f"grade: bins is {dict(bins)}; write {{easy: 0.75, hard: 0.25}} with 0 <= hard <= easy <= 1"
        raise CheckError(msg)
    return float(bins["easy"]), float(bins["hard"])


def _wilson(z: float, side: int) -> str:
    """Return SQL for one end of Wilson's interval of n_ok out of n; null where n is 0."""
    middle = f"(n_ok + {z * z / 2})"
    half = f"{z} * sqrt(n_ok * (n - n_ok) / n::double + {z * z / 4})"
    return f"case when n > 0 then greatest(0, least(1, ({middle} + {side} * {half}) / (n + {z * z}))) end"
