"""What stands behind `retro_search`: which rows are searched, with what judge, and how the results become columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator import prompts, rows
from curator.engines.protocol import Engine, Message, Sampling
from curator.errors import CheckError
from curator.op import DROPPED, Result
from curator.retro.choice import Limits
from curator.retro.search import Found, Judged, Search
from curator.retro.trace import Trace
from curator.spans.thoughts import Words
from curator.text import THINK_OPEN, fields

if TYPE_CHECKING:
    from curator.retro.judging import Judging
    from curator.retro.reviser import Reviser

ADDS = (
    "trace_revised", "think_revised", "answer_text_revised", "n_thoughts_before", "n_thoughts_after", "n_steps_before",
    "n_steps_after", "tokens_before", "tokens_after", "n_rollouts", "n_correct_rollouts", "n_accepted",
    "accepted_positions", "start_thought", "revision_model", "changed", "stop_reason", "ban_route", "tokens_spent",
    "tokens_read", "tokens_shared", "rollouts",
)  # fmt: skip
Row = Mapping[str, Any]
# Of the verifiers: the column without which there is nothing to judge by.
REFERENCE = {"math": "answer", "choice": "answer", "code": "tests", "constraints": "constraints"}
CODE = ("language", "entry_point", "code_prompt", "test_setup_code")
READ = ("row_id", "trace", "answer", "correct", "finish_reason", "choices", "tests", "constraints", *CODE)


@dataclass(frozen=True)
class Judge:
    """How rollouts are judged: settings of the rule verifiers. `graded`: a program runs all its tests for its score."""

    kind: str
    strict: bool
    limit_s: float
    graded: bool

    def ready(self) -> Verifier:
        """Return the judge at work. Heavy imports, and threads of its own: not before the first table."""
        from curator.retro.judging import Judging
        from curator.verdicts.rules import Rules

        share = 1 - 1e-9 if self.graded else 1.0
        rules = Rules(strict=self.strict, limit_s=self.limit_s, pass_share=share)
        return Verifier(self.kind, Judging(partial(rules.judge, self.kind), partial(rules.quick, self.kind)))


@dataclass(frozen=True)
class Verifier:
    """Judges texts of one row: `kind` as in `verify`."""

    kind: str
    judging: Judging

    async def __call__(self, row: Row, trace: str) -> Judged:
        """Return the verdict of a whole trace, and its reward: the score on 0-1, else 1 or 0."""
        from curator.verdicts.case import Case, text

        extra = {k: v for k, v in row.items() if k not in ("row_id", "trace", "answer", "finish_reason")}
        o = await self.judging(Case(row["row_id"], trace, text(row.get("answer")), extra))
        reward = o.score if o.score is not None and o.scale == "0-1" else float(bool(o.correct))
        return Judged(o.verdict, 1.0 if o.correct else min(reward, 1.0), o.detail)


@dataclass(frozen=True)
class Work:
    """The inner function of `retro_search`: all rows of a table are searched at the same time."""

    engine: Engine
    words: Words
    sampling: Sampling
    limits: Limits
    judge: Judge
    prompt: str
    system: str
    drop: bool

    async def __call__(self, table: pa.Table) -> Result:
        """Search every row."""
        import asyncio  # 0.03 s that `check` need not pay

        from curator.retro.reviser import Reviser

        reviser, verifier = Reviser(self.engine, self.words, self.sampling), self.judge.ready()
        wanted = [n for n in dict.fromkeys((*READ, *self._named)) if n in table.column_names]
        found = (self._one(row, reviser, verifier) for row in table.select(wanted).to_pylist())
        return result(table, list(await asyncio.gather(*found)), drop=self.drop)

    @property
    def _named(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*fields(self.prompt), *fields(self.system))))

    def _messages(self, row: Row) -> tuple[Message, ...]:
        asked = {n: str(row[n]) for n in self._named}
        user = Message("user", prompts.fill(self.prompt, **asked))
        return (Message("system", prompts.fill(self.system, **asked)), user) if self.system else (user,)

    async def _one(self, row: Row, reviser: Reviser, verifier: Verifier) -> dict[str, Any]:
        """Search one row; return its new columns."""
        trace = Trace.of(row["trace"], self.words) if row["trace"] is not None else None
        lacking = any(row[n] is None for n in self._named)
        why = await refusal(row, trace, verifier, lacking=lacking)
        if why is not None or trace is None:
            return values(row, trace, why or "no_thinking", self.engine, reviser.route)
        messages = self._messages(row)

        async def judged(rollout: str) -> Judged:
            return await verifier(row, f"{THINK_OPEN}\n{rollout}")

        fits = fitting(self.engine, [m.content for m in messages])
        search = Search(row["row_id"], messages, reviser, self.limits, judged, fits, self.engine.count_tokens)
        found = await search.run(trace)
        if found.accepted and not self.limits.graded and (await verifier(row, found.trace.text)).verdict != "correct":
            found = replace(found, trace=trace, stop="not_verified")
        return values(row, trace, found, self.engine, reviser.route)


def isolated() -> None:
    """Raise CheckError where programs cannot be kept from the machine."""
    from curator.sandbox.judge import refusal as why_not

    if why := why_not():
        msg = f"retro_search: verifier code: {why}"
        raise CheckError(msg)


async def refusal(row: Row, trace: Trace | None, judge: Verifier, *, lacking: bool) -> str | None:
    """Return why a row is not searched, or None: nothing to revise, nothing to judge by, or not known to be right.

    A row that nobody judged before (`correct` null or no such column) is judged here.
    """
    if lacking:
        return "no_problem"
    if row["trace"] is None or trace is None:
        return "no_thinking"
    if not trace.closed:
        return "unclosed"
    if row.get("correct") is False:
        return "original_wrong"
    if row.get(REFERENCE[judge.kind]) in (None, "", []):
        return "no_reference"
    if row.get("correct") is None:
        said = await judge(row, trace.text)
        if said.verdict != "correct":
            return "original_wrong" if said.verdict == "incorrect" else "original_undecided"
    return "one_thought" if trace.n_thoughts < 2 else None


def values(row: Row, before: Trace | None, found: Found | str, engine: Engine, route: str) -> dict[str, Any]:
    """Return the new columns of a row: of a search, or of one that did not begin."""
    out: dict[str, Any] = dict.fromkeys(ADDS)
    after = found.trace if isinstance(found, Found) else before
    out |= {"trace_revised": row["trace"], "changed": False, "n_rollouts": 0, "n_correct_rollouts": 0, "n_accepted": 0}
    out |= {"accepted_positions": [], "rollouts": [], "tokens_spent": 0, "tokens_read": 0, "tokens_shared": 0}
    out["stop_reason"] = found if isinstance(found, str) else found.stop
    if before is not None and after is not None:
        n = engine.count_tokens(before.think)
        same = after is before
        out |= {
            "trace_revised": after.text, "think_revised": after.think, "answer_text_revised": after.response,
            "n_thoughts_before": before.n_thoughts, "n_thoughts_after": after.n_thoughts,
            "n_steps_before": before.n_steps, "n_steps_after": after.n_steps,
            "tokens_before": n, "tokens_after": n if same else engine.count_tokens(after.think),
            "changed": not same,
        }  # fmt: skip
    if isinstance(found, Found):
        out |= {
            "n_rollouts": len(found.tried), "n_correct_rollouts": sum(t.verdict == "correct" for t in found.tried),
            "n_accepted": len(found.accepted), "accepted_positions": found.accepted, "start_thought": found.start,
            "revision_model": engine.model, "ban_route": route, "rollouts": [t._asdict() for t in found.tried],
            "tokens_spent": found.tokens_out, "tokens_read": found.tokens_in, "tokens_shared": found.tokens_shared,
        }  # fmt: skip
    return out


def result(table: pa.Table, made: list[dict[str, Any]], *, drop: bool) -> Result:
    """Put the new columns beside the rows; with `drop` the wrong originals go, with a reason."""
    out = rows.put(table, {n: pa.array([m[n] for m in made], t) for n, t in rows.types(ADDS).items()})
    sums = ("n_rollouts", "n_correct_rollouts", "n_accepted", "tokens_spent", "tokens_read", "tokens_shared")
    counts = {n: float(sum(m[n] for m in made)) for n in sums}
    counts |= {"searched": float(sum(m["revision_model"] is not None for m in made))}
    counts |= {"changed": float(sum(m["changed"] for m in made))}
    if not drop:
        return Result(out, None, counts)
    wrong = [m["stop_reason"] == "original_wrong" for m in made]
    ids = [i for i, w in zip(table["row_id"].to_pylist(), wrong, strict=True) if w]
    told = {"row_id": ids, "reason": ["original_wrong"] * len(ids), "evidence": ["{}"] * len(ids)}
    return Result(out.filter(pa.array([not w for w in wrong], pa.bool_())), pa.table(told, DROPPED), counts)


def fitting(engine: Engine, messages: Sequence[str]) -> Callable[[str], bool]:
    """Return what says whether a prefix still leaves the engine room to write.

    A token is rarely less than a character, so short prefixes need no counting.
    """
    limit = engine.max_context
    said = sum(map(len, messages)) + 64  # and the template

    def fits(prefix: str) -> bool:
        if limit is None or said + len(prefix) < limit:
            return True
        return sum(map(engine.count_tokens, messages)) + 64 + engine.count_tokens(prefix) < limit

    return fits
