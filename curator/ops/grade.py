"""`grade`: how hard a problem is, by the verdicts of its samples, by sampling a model, or by a model's judgement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pyarrow as pa

from curator import prompts
from curator.bounds import Ge, Gt
from curator.engines.protocol import Engine
from curator.errors import CheckError
from curator.op import operator
from curator.ops import _grade_settings as given
from curator.ops._sql import check_where

REPORTS = {
    # UNION ALL BY NAME makes pass_rate exist where the step's columns carry a name.
    "pass rates": "with r as (select * from rows union all by name select null::double as pass_rate, null::varchar as "
    "problem_id where false) select round(pass_rate, 2) as pass_rate, count(distinct problem_id) as problems, "
    "count(*) as samples from r where pass_rate is not null group by all order by all"
}


def check(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> None:
    """Bind `where` against the columns that reach this step. Raises CheckError."""
    if settings["where"] and settings["kind"] == "verdicts":
        check_where(settings["where"], columns)


@operator(
    given.step_kind,
    effect="marks",
    version=2,
    needs=given.needs,
    adds=given.adds,
    wants=given.wants,
    key=lambda s: (s["by"],),
    reports=REPORTS,
)
def grade(
    *,
    kind: Literal["verdicts", "sampled", "judged"] = "verdicts",
    correct: str = "correct",
    by: str = "problem_id",
    where: str | None = None,
    name: str = "",
    confidence: float = 0.95,
    interval: Literal["wilson", "jeffreys"] = "wilson",
    unparseable: Literal["undecided", "incorrect"] = "undecided",
    score: str | None = None,
    ddof: Literal[0, 1] = 0,
    category: str = "domain",
    threshold: float | dict[str, float] | None = None,
    inclusive: bool = False,
    cv_min: float | dict[str, float] | None = None,
    bands: dict[str, str] | dict[str, dict[str, str]] | None = None,
    band_of: Literal[
        "pass_rate", "n_ok", "cv", "score_mean", "score_max", "length_mean", "judged_difficulty"
    ] = "pass_rate",
    bins: dict[str, float] | None = None,
    models: str | None = None,
    length: str | None = None,
    engine: Engine | None = None,
    n: Annotated[int, Ge(1)] = 8,
    stop_at: float | None = None,
    prior: tuple[float, float] = (0.5, 0.5),
    verify: dict[str, Any] = {},  # noqa: B006 - never changed; the default that YAML users read
    prompt: str = prompts.GENERATE,
    system: str = "",
    top_p: float = 0.95,
    top_k: int = 0,
    calls: Annotated[int, Ge(1)] = 6,
    template: str = prompts.RATE_DIFFICULTY,
    scale: tuple[float, float] = (0.0, 10.0),
    temperature: Annotated[float, Ge(0)] = 0.6,
    max_tokens: Annotated[int, Gt(0)] = 4096,
    seed: int | None = None,
) -> Callable[[Any], Any]:
    """Mark how hard a problem is: its pass rate and how sure that is, the spread of its scores, or a judged number.

    `verdicts` counts the samples that are there. `pass_rate` = n_ok / n over the samples with a verdict; a null verdict
    (timeout, no reference, error) leaves numerator and denominator and is counted in `n_undecided`; a problem without
    any verdict has a null pass rate. `cv` is the coefficient of variation of the scores (DeepDistill, arXiv 2504.17565,
    section 3.1), null where the mean is 0. All samples of a problem get its numbers.

    `sampled` asks `engine` itself, up to `n` samples a problem, and checks the answers by the rules of `verify`. The
    rows are problems and stay so; `generate` with the same engine, prompt, sampling and seed later gets the same
    samples from the response store, for nothing. With `stop_at` a problem is asked about no further once its band is
    decided (adaptive k): when, by a Beta prior and what was seen, the band that all n samples would give is known with
    that chance. The receipt counts `samples_asked` and `samples_saved`. Kind verdicts counts `prior_a` and `prior_b`,
    the prior that fits its problems: with that of a pilot as `prior` more is saved and less changed.

    `judged` asks `engine` for a number `calls` times and averages those that can be read (DeepMath-103K, arXiv
    2504.11456: 6 calls; DeepScaleR, in Light-R1's repository: 8 at temperature 0.7). Numbers off the scale count as not
    read.

    Args:
        kind: where the numbers come from.
        correct: boolean column: true, false, or null for undecided.
        by: column whose equal values are samples of one problem; null counts as the row_id.
        where: SQL condition: count only these samples (a model, a pool of models); all rows of the problem are marked.
        name: goes before the names of all columns, `name: student` gives `student_pass_rate`; for several grades of the
            same rows.
        confidence: of the interval, between 0 and 1.
        interval: `wilson` (Wilson 1927) or `jeffreys` (Brown, Cai and DasGupta 2001); honest at 0 of n and n of n.
        unparseable: what the verdict `unparseable` (no answer, cut off) counts as.
        score: column whose mean, spread and maximum are taken, on its own scale (science 0-5 in DeepDistill); by
            default correct as 1 and 0. NaN counts as null.
        ddof: 0 is DeepDistill's formula, 1 what its worked examples come out with.
        category: column that `threshold`, `cv_min` and `bands` may differ by.
        threshold: a sample is correct where its score is above this, instead of by `correct`; or one a category, `"*"`
            for the rest: `{science: 4.99, other: 0.7, "*": 0.99}` (DeepDistill). A category without one is undecided.
        inclusive: a score equal to the threshold counts as well (Not All Correct Answers: score >= 0.9).
        cv_min: adds `decision`, the tests of DeepDistill's Algorithm 1 in their order. The paper's values are
            unpublished; 0.05 is ours.
        bands: adds `band`: name -> interval with open or closed ends, `{keep: "(0.1, 0.9)"}` (Open-R1),
            `{keep: "[0.25, 0.625]"}` (Light-R1); or one such table a category.
        band_of: which number the bands are of.
        bins: adds `difficulty`: `{easy: 0.75, hard: 0.25}` means easy from 0.75 on, hard below 0.25, medium between.
            Unpublished, ours because 4 samples then give 0, 1-2, 3-4.
        models: column that names the model: adds `solved_by` (the models with a correct sample) and `model_rates`.
        length: column with the length of a sample: adds `length_mean`.
        engine: of kinds sampled and judged.
        n: sampled: most samples of a problem.
        stop_at: sampled: chance at which the band counts as decided; null asks for all n. 1 saves only what cannot
            matter.
        prior: sampled: the Beta prior of pass rates.
        verify: sampled: settings of `verify` for the samples, `{kind: choice}`.
        prompt: sampled: user message, as in `generate`.
        system: sampled: system message.
        top_p: sampled: nucleus sampling.
        top_k: sampled: keep the k likeliest tokens; 0 keeps all.
        calls: judged: replies a problem.
        template: judged: what is asked, with {problem} or any column.
        scale: judged: lowest and highest number (Omni-MATH's rubric: 0 to 10).
        temperature: sampled and judged.
        max_tokens: sampled and judged: longest answer.
        seed: None is the run's seed; samples are drawn as `generate` draws them.

    Raises:
        CheckError: settings that do not fit together or are out of range.
    """
    settings = dict(locals())
    given.accept(settings)
    ends(bins)
    if kind == "verdicts":
        from curator.ops._grade_verdicts import table_function

        return table_function(settings)
    if kind == "sampled":
        from curator.ops._grade_sampled import model_function as sampled

        return sampled(settings)
    from curator.ops._grade_judged import model_function as judged

    return judged(settings)


def ends(bins: Mapping[str, float] | None) -> tuple[float, float] | None:
    """Return where easy begins and hard ends. Raises CheckError where they are neither or crossed."""
    if bins is None:
        return None
    if set(bins) != {"easy", "hard"} or not 0 <= bins["hard"] <= bins["easy"] <= 1:
        msg = f"grade: bins is {dict(bins)}; write {{easy: 0.75, hard: 0.25}} with 0 <= hard <= easy <= 1"
        raise CheckError(msg)
    return float(bins["easy"]), float(bins["hard"])
