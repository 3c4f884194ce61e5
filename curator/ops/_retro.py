"""What stands behind `retro_search`: which rows are searched, with what judge, and how the results become columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator import rows
from curator.engines.protocol import Engine
from curator.errors import CheckError
from curator.op import DROPPED, Result
from curator.retro.search import Found, Judged
from curator.retro.trace import Trace

if TYPE_CHECKING:
    from curator.retro.judging import Judging
    from curator.verdicts.case import Case, Outcome

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


def verifier(kind: str, *, strict: bool, limit_s: float, graded: bool) -> Verifier:
    """Return the judge of a step. `graded`: all tests of a program are run, so that its score is the share passed."""
    from curator.retro.judging import Judging
    from curator.verdicts.rules import Rules

    rules = Rules(strict=strict, limit_s=limit_s, pass_share=1 - 1e-9 if graded else 1.0)

    def judge(cases: Sequence[Case]) -> list[Outcome]:
        return rules.judge(kind, cases)

    return Verifier(kind, Judging(judge))


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
            "revision_model": engine.model, "ban_route": route, "rollouts": [asdict(t) for t in found.tried],
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
