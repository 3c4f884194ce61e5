"""`verify`: is a trace right? By rules, by running it, by asking a model, or by asking its fellow samples."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

import pyarrow as pa

from curator.bounds import Ge, Gt
from curator.engines.protocol import Engine
from curator.op import operator
from curator.ops import _verify as behind
from curator.ops import _verify_settings as given

YES_NO = {"yes": True, "no": False}
REPORTS = {
    "verdicts by verifier": "SELECT verifier, verdict, count(*) AS n, round(avg(score), 3) AS mean_score FROM rows "
    "GROUP BY ALL ORDER BY ALL",
    "verdicts": "SELECT verdict, verdict_detail, count(*) AS n FROM rows GROUP BY ALL "
    "ORDER BY n DESC, verdict, verdict_detail LIMIT 40",
}


@operator(
    given.step_kind,
    effect="marks",
    version=4,
    needs=given.needs,
    adds=given.adds,
    wants=given.wants,
    reports=REPORTS,
    key=lambda s: (s["by"],),
)
def verify(
    *,
    kind: Literal["math", "choice", "code", "constraints", "sat", "judge", "reward", "consensus", "auto"]
    | list[str] = "math",
    engine: Engine | None = None,
    reward_engine: Engine | None = None,
    combine: Literal["any", "all", "first"] = "any",
    trace: str = "trace",
    answer: str = "answer",
    problem: str = "problem",
    strict: bool | list[str] = False,
    tolerance: float | str = 0.0,
    rtol: float = 0.0,
    limit_s: float = 5.0,
    choices: str | None = None,
    constraints: str = "constraints",
    tests: str = "tests",
    code_columns: dict[str, str] = {},  # noqa: B006 - never changed; the default that YAML users read
    max_tests: Annotated[int, Ge(1)] | None = None,
    pass_share: float = 1.0,
    memory_mb: Annotated[int, Ge(64)] = 512,
    unsafe: bool = False,
    auto: dict[str, str] = {},  # noqa: B006
    template: str = "same_answer",
    words: dict[str, bool] = YES_NO,  # noqa: B006
    pattern: str | None = None,
    scale: tuple[float, float] | None = None,
    threshold: float | None = None,
    reward_threshold: float | None = None,
    votes: Annotated[int, Ge(1)] = 1,
    both_orders: bool = False,
    temperature: Annotated[float, Ge(0)] = 0.0,
    max_tokens: Annotated[int, Gt(0)] = 512,
    seed: int | None = None,
    judged: Literal["response", "trace"] = "response",
    heads: list[str] = [],  # noqa: B006
    by: str = "problem_id",
    majority: Literal["strict", "decided", "unanimous", "plurality", "published"] = "strict",
) -> Callable[[Any], pa.Table | Awaitable[pa.Table] | Any]:
    r"""Judge each trace and write a verdict, by rules, by running it, by asking a model, or by a vote of its samples.

    `math` compares the final answer with the reference as values. `choice` reads a letter (or the text of an option).
    `code` runs the program against its tests in a sandbox. `constraints` checks instructions (word counts, JSON, ...).
    `sat` accepts every assignment that meets the clauses of `construct: {kind: saturn}`. `judge` asks an engine.
    `reward` takes the number of a reward model. `consensus` counts which answer most samples of a problem give and
    needs no reference. `auto` chooses per row by `answer_type`, then `domain`. Which to take: docs/verify.md.

    A list asks one after the other, and a later one only about rows whose verdict the earlier ones left open for
    `combine`: `kind: [math, judge]` is a rule engine and an engine's second opinion on what it did not call correct
    (AM-14M, DeepDistill, Open-R1); with `combine: all` both must agree (REDI: llama and math_verify). A list may hold
    `judge` and `reward`: `kind: [math, judge, reward]` asks the reward model about what neither called correct.

    `verdict` is `correct`, `incorrect` (the answer was read and is wrong), `unparseable` (no answer, a truncated trace,
    a judge whose reply or whose two orders say nothing), `no_reference` (nothing to judge by, also a reward without
    `threshold` or a vote without majority), `timeout`, or `error` (failed request, unreadable reference, tests or
    constraints: faults of the data or the machine, not of the answer). `correct` is null wherever the verdict decides
    neither; `score` is on `score_scale` and may stand beside an open verdict. Code also adds `test_verdicts`;
    consensus `consensus_answer` (first answer of the winning class), `consensus_votes`, `consensus_n` and
    `consensus_undecided`.

    Model text is parsed and run in processes of their own with limits on CPU time and memory; one that hangs is killed
    and costs only its row.

    Args:
        kind: one of them, or a list of the first seven. As a step it works on rows; with judge, reward or an engine
            under auto it asks a model; consensus works on the whole table.
        engine: judge or reward model; the judge where a list names both.
        reward_engine: reward model of a list that names both.
        combine: for a list: `any` correct is correct (asked until one says so), `all` must be correct, `first` that
            decides. What somebody asked left open stays open: a failed judge makes no answer incorrect.
        trace: column with the assistant text, thinking included.
        answer: column with the reference answer; of a whole solution (several lines, or GSM8K's `####`) the answer it
            ends with.
        problem: column with the question, for judges and reward models.
        strict: maths: conventions that are strict, all (true) or some by name: `order` of a list counts; `percent`
            10\% is 0.1 and not 10; `decimals` must be exact (not 0.333333 for 1/3); `omissions` of a unit, variable or
            bracket. The default forgives all: graders differ on them.
        tolerance: maths: allowed absolute distance of two numbers, or the column that holds it (OlympiadBench), one for
            each item of a list where there are several.
        rtol: maths: allowed distance relative to the reference.
        limit_s: CPU seconds a comparison, or one test of a program, may take.
        choices: column with the options: a list, letter to text, JSON of these, or lines "A. text"; by default
            `choices`, where there is one. Letters are judged without.
        constraints: column with a list (or JSON) of constraints, `{type: words, max: 100}` or IFEval's ids and kwargs.
            One that is not known is an error that names it.
        tests: column with the tests of a program; `language`, `entry_point`, `code_prompt` and `test_setup_code` are
            read where there are such columns.
        code_columns: other names for these: language, entry_point, prompt, setup -> column.
        max_tests: run only the first so many (AM-14M: 10).
        pass_share: constraints and code: share that must hold to be correct. Below 1 programs run all their tests, else
            they stop at the first failure.
        memory_mb: memory of a program.
        unsafe: run programs also where they cannot be isolated; never for models you do not know.
        auto: further answer types or domains -> kind, beside those of docs/verify.md.
        template: what the judge is asked: a name in `curator.prompts`, or text with {problem}, {reference}, {answer}
            (the final answer, or all of the response where none is stated), {response}, {trace} or any column.
        words: what the judge's words mean. A word counts alone, on the last line or as the first word; elsewhere only
            where no other word and no negation speaks against it.
        pattern: regular expression that finds the word or number in the reply (last match, first group).
        scale: the judge gives a number from lowest to highest, such as [0, 5] (DeepDistill, science).
        threshold: from which number on it is correct: a judge's on `scale`, or a reward. A rule with "greater than" is
            `select: {where: score > 0.7}`.
        reward_threshold: from which reward on it is correct, for a list that names both.
        votes: replies a question; more than half of those that can be read decide, numbers are averaged.
        both_orders: ask also with reference and answer swapped (position bias, DeepMath); orders that disagree decide
            nothing.
        temperature: of the judge.
        max_tokens: longest reply, the judge's own thinking included.
        seed: None is the run's seed; vote i is drawn with hash(seed, prompt, i) where the engine takes seeds.
        judged: what a reward model reads: the `response` after the thinking (AM-14M), or the whole `trace`.
        heads: heads of the reward model whose mean is the score; by default its only one.
        by: consensus: column whose equal values are samples of one problem; null counts as the row_id.
        majority: consensus: `strict` more than half of all samples; `decided` of those with an answer; `unanimous`
            (DeepMath: 3 of 3); `plurality` the largest class; `published` every largest class with at least int(n/2)
            votes (Prismatic's released rule, under which three different answers all pass).

    Raises:
        CheckError: settings that do not fit together, a judge without an engine, a machine that cannot isolate
            programs.
    """
    settings = dict(locals())
    given.accept(settings, engine)
    if given.step_kind(settings) == "table":
        from curator.ops._consensus import table_function

        return table_function(settings)

    def run(table: pa.Table) -> pa.Table:
        return behind.written(table, behind.judged(behind.read(table, settings), settings), settings)

    async def ask(table: pa.Table) -> pa.Table:
        said = await behind.judged_with(behind.read(table, settings), settings, engine)
        return behind.written(table, said, settings)

    return ask if given.step_kind(settings) == "model" else run
