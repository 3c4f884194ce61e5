"""`select`: a filter, chance, the best or the most different of each group, quotas, and exactly N rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pyarrow as pa

from curator.bounds import Ge
from curator.op import TableFn, operator
from curator.ops import _select_settings as given

REASONS = {
    "where": "the condition is false or null",
    "not_drawn": "the draw fell on other rows (chance)",
    "not_best": "k rows of the group are better",
    "not_diverse": "k rows of the group differ more from each other",
    "no_text": "the column whose texts are compared is null",
    "over_quota": "the stratum has its rows already (quota, strata)",
    "not_balanced": "the draw over domains fell on other rows (balanced)",
    "not_needed": "n rows are kept already",
}


def check(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> None:
    """Bind conditions and orderings against the columns that reach this step.

    Raises:
        CheckError: a name that is not there, or a `where` that is no condition.
    """
    given.check(settings, columns)


@operator(
    "table",
    effect="keeps",
    version=2,
    needs=given.needs,
    reasons=REASONS,
    key=given.key,
    enough=given.enough,
)
def select(
    *,
    where: str | None = None,
    chance: float | dict[str, float] | None = None,
    chance_where: str | None = None,
    chance_by: str = "problem_id",
    best: str | None = None,
    per: str | list[str] = "problem_id",
    k: Annotated[int, Ge(1)] = 1,
    diverse: Literal["max_min", "max_sum"] | None = None,
    on: str = "think",
    normalize: Literal["none", "max_len"] = "none",
    strata: str | list[str] | None = None,
    quota: int | dict[str, int] | None = None,
    balanced: str | None = None,
    weights: dict[str, float] | None = None,
    length: str | None = None,
    n: Annotated[int, Ge(0)] | None = None,
    rank: str | None = None,
    seed: int | None = None,
) -> TableFn:
    """Keep rows that meet a condition, then the best or most different k of each group, then so many of each kind.

    The parts run in this order; each may be left out: `where`; `chance`; `best` or `diverse` with `per` and `k`;
    `quota` or `n` of `strata`, or `balanced`; `n`. Ties go to the smallest `sample_idx`, then `row_id`, and chance is a
    hash of the seed and the id, so the result depends neither on row order nor on shards. Where fewer than `n` rows are
    left the receipt's count `short_by` says so.

    A choice by likelihood (`best` reads a column of `score` or `provenance`) always reports its length-only control:
    how many of its rows the longest and the shortest k of the same groups would have given as well, and the mean
    lengths of the three and of what was offered. In provenance tracing (arXiv 2512.20908) "longest" alone gave 1.7 of
    the 2.5 points gained. To keep that control itself: `best: "n_tokens desc"`.

    Args:
        where: SQL condition over the columns; null counts as false.
        chance: keep with this probability; or one by value of the first of `strata`, `"*"` for the rest
            (DeepDistill keeps easy problems of open categories with 0.5).
        chance_where: SQL condition: only such rows are drawn for, the others stay.
        chance_by: what is drawn for: rows with one value have one fate; null counts as the row_id.
        best: column or SQL expression, with `asc` (default: the lowest is best) or `desc`; null is worst.
        per: the group of `best` and `diverse`: a column or several; null is a group of its own.
        k: rows to keep in each group.
        diverse: the k texts that differ most by Levenshtein distance (DED, arXiv 2508.09883; the rule is unpublished):
            `max_min` adds what is farthest from its nearest chosen one, `max_sum` has the largest sum of distances
            (exact up to 20,000 subsets). The receipt counts the mean lengths of picks and of all.
        on: text that `diverse` compares.
        normalize: `none` is the raw distance, which favours texts of different length; `max_len` divides by the longer.
        strata: column or columns; each combination of values is a stratum.
        quota: rows of each stratum, or by value of the first column, `"*"` for the rest; others keep all.
        balanced: column: draw `n` rows as s1K does, a domain at random and in it a row with weight 2^-rank by `length`.
        weights: of balanced: domain -> weight; by default all alike.
        length: column or SQL expression of a row's length, for `balanced` and for the length-only control; by default
            `n_tokens`, or the number of tokens scored.
        n: rows to keep in all: with `strata` in proportion to their sizes; else the first by `rank`; else those of the
            problems with the lowest hash(seed, problem_id), and where only steps that judge problems one by one lie
            between, the models before are asked for no more problems than that takes.
        rank: the order in which quota, strata and n take rows, as `best`; by default chance.
        seed: default is the pipeline's seed.

    Raises:
        CheckError: nothing to select by, settings that do not fit together, or SQL that does not parse.
    """
    settings = dict(locals())
    given.accept(settings)
    from curator.ops._select import table_function

    return table_function(settings)
