"""`compress`: Difficulty-Aware Prompting. Rewrite a long trace to fit its difficulty; keep only what checks out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import pyarrow as pa

from curator import prompts, rows
from curator.dap import Rewrite, level_from_pass_rate, read_rewrite, sections_ok
from curator.engines.protocol import GENERATE, SEED, Completion, Engine, Message, Request, Sampling
from curator.errors import CheckError
from curator.maths.extract import final_answer, reference
from curator.op import DROPPED, ModelFn, Result, operator
from curator.text import seed_of, split_think

BUDGET = {"easy": 256, "medium": 768, "hard": 1536}  # ours: a 35/45/20 mix averages the published 720 tokens
ADDS = (
    "difficulty", "difficulty_source", "short_cot", "short_solution", "final_answer_short", "tokens_long",
    "tokens_short", "compression_ratio", "verified", "reject_reason", "n_attempts",
)  # fmt: skip
REASONS = {
    "no_trace": "the row has no problem or no long trace; nothing was asked",
    "not_correct": "the long trace is known to be wrong; nothing was asked",
    "no_answer": "neither a reference nor a final answer in the long trace to check against; nothing was asked",
    "no_level": "the level is neither stated nor to be read off the headings, or the level column has none",
    "too_long": "the prompt, long trace and all, does not fit the model's context; nothing was asked",
    "engine_error": "the request failed after the engine's own retries, or the answer was filtered",
    "truncated": "the rewrite ran into max_tokens or the end of the model's context",
    "think_tags": "think tags are left in the rewrite",
    "sections_missing": "a section of the judged level, or the solution, is missing",
    "answer_missing": "no final answer found in the rewrite",
    "answer_changed": "the rewrite's final answer is another one",
    "answer_unchecked": "the comparison of the answers came to no verdict",
    "not_shorter": "the rewrite has not fewer than `ratio` times the tokens of the long trace",
}
_MEANS = (
    "count(*) AS accepted, avg(tokens_long) AS mean_tokens_long, avg(tokens_short) AS mean_tokens_short, "
    "sum(tokens_short) / sum(tokens_long) AS ratio FROM rows WHERE verified"
)
_LEVEL_OF_RATE = "CASE WHEN pass_rate >= 0.75 THEN 'easy' WHEN pass_rate >= 0.25 THEN 'medium' ELSE 'hard' END"
REPORTS = {
    "accepted": "SELECT count(*) AS rows, count(*) FILTER (verified) AS accepted, avg(verified::INT) AS share, "
    "avg(n_attempts) AS mean_attempts FROM rows",
    "tokens before and after": f"SELECT {_MEANS}",
    "tokens by level": f"SELECT difficulty, {_MEANS} GROUP BY ALL ORDER BY 1",
    "rejected": "SELECT reject_reason, count(*) AS n FROM rows WHERE NOT verified GROUP BY ALL ORDER BY n DESC, 1",
    # UNION ALL BY NAME makes pass_rate exist where no step graded the rows.
    "judged level against pass rate": "WITH r AS (SELECT * FROM rows "
    "UNION ALL BY NAME SELECT NULL::DOUBLE AS pass_rate WHERE false) "
    f"SELECT difficulty, {_LEVEL_OF_RATE} AS by_pass_rate, count(*) AS n, difficulty = by_pass_rate AS agree "
    "FROM r WHERE verified AND pass_rate IS NOT NULL GROUP BY ALL ORDER BY ALL",
}


@dataclass(frozen=True)
class Job:
    """One row to rewrite: the prompt, what its answer must equal, and the level where it is given."""

    key: str
    prompt: str
    expected: str
    long: str
    level: str | None


@dataclass(frozen=True)
class Outcome:
    """What became of a row: the accepted rewrite, or the reason of the last attempt."""

    reason: str | None
    attempts: int = 0
    rewrite: Rewrite | None = None
    tokens_short: int | None = None
    note: str | None = None


def _needs(settings: Mapping[str, Any]) -> tuple[str, ...]:
    by_mode = {
        "rewrite": ("trace",),
        "at_level": ("trace", settings["level"]),
        "answer_conditioned": ("answer",),
    }
    return ("row_id", "problem", *by_mode.get(settings["mode"], ()))


@operator(
    "model",
    effect="makes",
    version=2,
    needs=_needs,
    adds=ADDS,
    wants=frozenset({GENERATE}),
    reasons=REASONS,
    reports=REPORTS,
)
def compress(
    *,
    engine: Engine,
    mode: Literal["rewrite", "at_level", "answer_conditioned"] = "rewrite",
    level: str = "pass_rate",
    budget: dict[str, int] | None = BUDGET,
    ratio: float = 0.9,
    max_tokens: int = 4096,
    temperature: float = 0.0,
    retries: int = 2,
    retry_temperature: float = 0.7,
    on_fail: Literal["keep_long", "drop"] = "keep_long",
    strict: bool = False,
    limit_s: float = 5.0,
    seed: int | None = None,
) -> ModelFn:
    """Rewrite each long trace to the length its difficulty asks for, and check that the answer survived.

    LiteCoT (arXiv 2505.19716): the teacher judges the problem easy, medium or hard and rewrites the long trace with
    that level's sections, in one call. The paper publishes neither its prompt nor a check; ours: a rewrite is
    accepted when its final answer equals the reference (without one: the long trace's own final answer), it has fewer
    than `ratio` times the tokens, all sections of its level are there and no think tag is left. Else it is asked
    again up to `retries` times. The long text is `think`, else the thinking inside `trace`, else `trace`.

    A row without an accepted rewrite stays as it is with `verified` false, its `reject_reason` and a null level
    (`keep_long`), or is dropped. Rows without a trace, known to be wrong (`correct` false), without any answer to
    check against or longer than the model's context are not asked at all and go the same way.

    Args:
        engine: the teacher.
        mode: `rewrite` the long trace and judge in one call; `at_level`: the level comes from a column;
            `answer_conditioned`: the released code's form, no long trace, the reference answer instead.
        level: for `at_level`: the column; `pass_rate` is cut at 0.75 (easy) and 0.25 (medium), every other column
            holds easy, medium or hard.
        budget: tokens to aim for by level, said in the prompt; null says nothing (structure only, as published).
        ratio: a rewrite must have fewer than this share of the long trace's tokens.
        max_tokens: hard cap of a rewrite, the teacher's own thinking included.
        temperature: of the first attempt.
        retries: further attempts.
        retry_temperature: of those; a greedy retry would repeat itself.
        on_fail: `keep_long` or `drop`.
        strict: strict answer comparison, see `verify`.
        limit_s: CPU seconds an answer comparison may take.
        seed: None is the run's seed; retries are drawn with hash(seed, row_id, attempt) where the engine takes seeds.

    Raises:
        CheckError: `budget` without one of the levels, or numbers out of range.
    """
    if budget is not None and set(budget) != set(prompts.LEVELS):
        msg = f"compress: budget has {sorted(budget)}, it needs easy, medium and hard, or null"
        raise CheckError(msg)
    if not 0 < ratio <= 1 or retries < 0:
        msg = f"compress: ratio is {ratio} and retries {retries}; ratio must be in (0, 1], retries at least 0"
        raise CheckError(msg)
    template = {
        "rewrite": prompts.COMPRESS,
        "at_level": prompts.COMPRESS_AT_LEVEL,
        "answer_conditioned": prompts.COMPRESS_FROM_ANSWER,
    }[mode]
    line = prompts.fill(prompts.BUDGET, **{k: str(v) for k, v in budget.items()}) if budget else ""
    drawn = seed or 0

    def request(job: Job, attempt: int) -> Request:
        hot = attempt > 0
        take_seed = hot and SEED in engine.capabilities
        sampling = Sampling(
            temperature=retry_temperature if hot else temperature,
            max_tokens=max_tokens,
            seed=seed_of(drawn, job.key, attempt) if take_seed else None,
        )
        return Request((Message("user", job.prompt),), sampling, first_sample=attempt, key=job.key)

    async def attempt(job: Job, number: int, tokens_long: int | None) -> Outcome:
        import asyncio  # 0.03 s that `check` need not pay

        completion = (await engine.generate(request(job, number)))[0]
        done = _read(completion, job.level)
        if done.rewrite is None or done.reason:
            return done
        tokens = engine.count_tokens(done.rewrite.text)
        reason = await asyncio.to_thread(_check_answer, job.expected, done.rewrite.answer, strict, limit_s)
        if reason is None and tokens_long is not None and not tokens < ratio * tokens_long:
            reason = "not_shorter"
        return Outcome(reason, 0, done.rewrite, tokens, done.rewrite.answer)

    async def rewrite(job: Job) -> tuple[int | None, Outcome]:
        tokens_long = engine.count_tokens(job.long) if job.long else None
        last = Outcome(None)
        for number in range(retries + 1):
            found = await attempt(job, number, tokens_long)
            if found.reason == "too_long":
                return tokens_long, replace(found, attempts=number)
            last = Outcome(found.reason, number + 1, found.rewrite, found.tokens_short, found.note)
            if last.reason is None or last.reason == "engine_error":
                break
        return tokens_long, last

    async def run(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        jobs = [_job(r, mode, level, template, line) for r in _rows(table, level)]
        answers = await asyncio.gather(*(rewrite(j) if isinstance(j, Job) else _skip(j) for j in jobs))
        return _result(table, list(answers), jobs, on_fail, "given" if level != "pass_rate" else "pass_rate")

    return run


async def _skip(reason: str) -> tuple[int | None, Outcome]:
    return None, Outcome(reason)


def _rows(table: pa.Table, level: str) -> list[dict[str, Any]]:
    names = ("row_id", "problem", "answer", "trace", "think", "correct", "finish_reason", level)
    return list(table.select([n for n in dict.fromkeys(names) if n in table.column_names]).to_pylist())


def _job(row: Mapping[str, Any], mode: str, level: str, template: str, line: str) -> Job | str:
    """The request of a row, or the reason why nothing is asked."""
    trace = row.get("trace") or ""
    long = row.get("think") or split_think(trace).think or trace
    if not row["problem"] or (mode != "answer_conditioned" and not long.strip()):
        return "no_trace"
    if row.get("correct") is False and mode != "answer_conditioned":
        return "not_correct"
    answer = "" if row.get("answer") is None else reference(str(row["answer"]))
    expected = answer or final_answer(trace or long, finish_reason=row.get("finish_reason")).text
    if not expected:
        return "no_answer"
    if mode == "answer_conditioned" and not answer:
        return "no_answer"
    given = None
    if mode == "at_level":
        value = row.get(level)
        given = level_from_pass_rate(value) if level == "pass_rate" else value if value in prompts.LEVELS else None
        if given is None:
            return "no_level"
    fields = {"problem": row["problem"], "trace": long, "answer": answer, "budget": line, "level": given or ""}
    return Job(row["row_id"], prompts.fill(template, **fields), expected, long, given)


def _read(c: Completion, given: str | None) -> Outcome:
    """Form of a completion: the first thing wrong with it, before the answer is looked at."""
    if c.too_long:
        return Outcome("too_long", note=c.error)
    if c.finish_reason in ("error", "content_filter"):
        return Outcome("engine_error", note=c.error or c.finish_reason)
    if c.finish_reason == "length":
        return Outcome("truncated", note=f"{c.n_tokens} tokens")
    r = read_rewrite(c.text)
    if r.tags:
        return Outcome("think_tags", rewrite=r)
    level = given or r.level
    if level is None:
        return Outcome("no_level", rewrite=r, note=json.dumps(r.headings))
    if not sections_ok(r, level):
        return Outcome("sections_missing", rewrite=r, note=json.dumps(r.headings))
    return Outcome(None, rewrite=r)


def _check_answer(expected: str, answer: str | None, strict: bool, limit_s: float) -> str | None:  # noqa: FBT001
    """None where the answers are equal, else the reason code. Blocks: runs in a thread."""
    from curator.maths.judge import judge  # its patterns take a while to compile: not at import

    if answer is None:
        return "answer_missing"
    verdict = judge([(expected, answer)], strict=strict, limit_s=limit_s)[0].verdict
    return {"correct": None, "incorrect": "answer_changed"}.get(verdict, "answer_unchecked")


def _result(
    table: pa.Table, done: list[tuple[int | None, Outcome]], jobs: list[Job | str], on_fail: str, given: str
) -> Result:
    """Put the new columns beside the rows; split off what is dropped."""
    values: dict[str, list[Any]] = {name: [] for name in ADDS}
    for (tokens_long, o), job in zip(done, jobs, strict=True):
        ok = o.reason is None and o.rewrite is not None
        new = _accepted(o, job, tokens_long, given) if ok else {"verified": False, "reject_reason": o.reason}
        new |= {"tokens_long": tokens_long, "n_attempts": o.attempts}
        for name in ADDS:
            values[name].append(new.get(name))
    out = rows.put(table, {name: pa.array(values[name], kind) for name, kind in rows.types(ADDS).items()})
    verified = pa.array(values["verified"], pa.bool_())
    asked = sum(o.attempts for _, o in done)
    counts = {"accepted": sum(values["verified"]), "asked": sum(o.attempts > 0 for _, o in done), "attempts": asked}
    if on_fail == "keep_long":
        return Result(out, None, counts)
    ids = table["row_id"].to_pylist()
    lost = [(i, o, t) for i, (t, o) in zip(ids, done, strict=True) if o.reason is not None]
    dropped = pa.table(
        {
            "row_id": [i for i, _, _ in lost],
            "reason": [o.reason for _, o, _ in lost],
            "evidence": [_evidence(o, t) for _, o, t in lost],
        },
        DROPPED,
    )
    return Result(out.filter(verified), dropped, counts)


def _accepted(o: Outcome, job: Job | str, tokens_long: int | None, given: str) -> dict[str, Any]:
    r = o.rewrite
    assert r is not None
    at_level = job.level if isinstance(job, Job) else None
    return {
        "difficulty": at_level or r.level,
        "difficulty_source": given if at_level else r.source,
        "short_cot": r.short_cot,
        "short_solution": r.short_solution,
        "final_answer_short": r.answer,
        "tokens_short": o.tokens_short,
        "compression_ratio": o.tokens_short / tokens_long if tokens_long and o.tokens_short is not None else None,
        "verified": True,
    }


def _evidence(o: Outcome, tokens_long: int | None) -> str:
    r = o.rewrite
    return json.dumps(
        {
            "attempts": o.attempts,
            "tokens_long": tokens_long,
            "tokens_short": o.tokens_short,
            "level": r.level if r else None,
            "answer": r.answer if r else None,
            "note": o.note,
        }
    )
