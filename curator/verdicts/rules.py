"""The verifiers that ask nobody: rows in, outcomes out, in batches. They block; call them in a thread from asyncio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from curator.verdicts import choice, constraints, sat
from curator.verdicts.case import ERROR, UNPARSEABLE, Case, Outcome, decided

if TYPE_CHECKING:
    from curator.maths.judge import Verdict
    from curator.maths.rules import Rules as MathRules


@dataclass(frozen=True)
class Rules:
    """Settings of the rule verifiers, as `verify` has them.

    `strict`: which contested conventions are strict, all (true) or some by name. `tolerance`: absolute, or the column
    that holds each row's. `code`: parts of a code task -> columns.
    """

    strict: bool | Sequence[str] = False
    tolerance: float | str = 0.0
    rtol: float = 0.0
    limit_s: float = 5.0
    choices: str = "choices"
    constraints: str = "constraints"
    tests: str = "tests"
    pass_share: float = 1.0
    max_tests: int | None = None
    memory_mb: int = 512
    unsafe: bool = False
    code: Mapping[str, str] = field(default_factory=dict)

    def judge(self, kind: str, cases: Sequence[Case]) -> list[Outcome]:
        """Return one outcome a case; `kind` is math, choice, constraints, sat or code."""
        if kind == "math":
            return maths(cases, self)
        if kind == "choice":
            return [choice.judge(case, self.choices, self.same) for case in cases]
        if kind == "constraints":
            return [constraints.judge(case, self.constraints, self.pass_share) for case in cases]
        if kind == "sat":
            return [sat.judge(case) for case in cases]
        from curator.verdicts.code import judge

        return judge(cases, self)

    def quick(self, kind: str, case: Case) -> Outcome | None:
        """Return the outcome of a case that is decided in this process, in microseconds; None: ask `judge`."""
        if kind != "math":
            return None
        from curator.maths.judge import VERIFIER, at_once

        rules = _premise(case, self, VERIFIER)
        if isinstance(rules, Outcome):
            return rules
        verdict = at_once(case.reference, case.found.text or "", rules)
        return None if verdict is None else _outcome(verdict, case.found.text, VERIFIER)

    def same(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        """Compare two answers of which none need be a reference; undecided pairs are not the same."""
        from curator.maths.judge import judge

        number = 0.0 if isinstance(self.tolerance, str) else float(self.tolerance)
        rules = conventions(self.strict, (number,), self.rtol)
        return [v.verdict == "correct" for v in judge(pairs, rules=rules, limit_s=self.limit_s)]


def conventions(strict: bool | Sequence[str], atol: tuple[float, ...], rtol: float) -> MathRules:  # noqa: FBT001
    """Return the conventions of a comparison. Raises ValueError for a tolerance that is negative or no number."""
    from curator.maths.rules import Rules as MathRules

    if isinstance(strict, bool):
        return MathRules(strict, atol=atol, rtol=rtol)
    return MathRules(
        order="order" in strict, percent="percent" in strict, decimals="decimals" in strict,
        omissions="omissions" in strict, atol=atol, rtol=rtol,
    )  # fmt: skip


def tolerances(value: object) -> tuple[float, ...]:
    """Read a cell: a number, a list of them, or text such as "1e-4" or "0.1,0.2". Raises ValueError."""
    if value is None or value == "":
        return ()
    parts = value if isinstance(value, list | tuple) else str(value).split(",")
    return tuple(float(p) for p in parts)


def maths(cases: Sequence[Case], settings: Rules) -> list[Outcome]:
    """Compare final answers with references; one batch, equal pairs compared once."""
    # Its patterns take a while to compile, and `check` compares nothing.
    from curator.maths.judge import VERIFIER, judge

    found = [_premise(case, settings, VERIFIER) for case in cases]
    todo = [(case, rules) for case, rules in zip(cases, found, strict=True) if not isinstance(rules, Outcome)]
    pairs = [(case.reference, case.found.text or "") for case, _ in todo]
    verdicts = iter(judge(pairs, rules=[rules for _, rules in todo], limit_s=settings.limit_s))
    out = []
    for case, known in zip(cases, found, strict=True):
        if isinstance(known, Outcome):
            out.append(known)
            continue
        out.append(_outcome(next(verdicts), case.found.text, VERIFIER))
    return out


def _outcome(v: Verdict, answer: str | None, verifier: str) -> Outcome:
    if v.verdict in ("correct", "incorrect"):
        return decided(v.verdict == "correct", verifier, answer, v.detail)
    return Outcome(v.verdict, v.detail, answer, None, "0-1", verifier)


def _premise(case: Case, settings: Rules, verifier: str) -> Outcome | MathRules:
    """The conventions under which a row is compared, or the outcome of one that cannot be."""
    if lacking := case.unread(verifier):
        return lacking
    if lacking := case.unreferenced(verifier, case.found.text):
        return lacking
    if not case.found.text:
        why = "truncated" if case.found.how == "truncated" else "no answer found"
        return Outcome(UNPARSEABLE, why, verifier=verifier)
    given = settings.tolerance
    value = case.row.get(given) if isinstance(given, str) else given
    try:
        return conventions(settings.strict, tolerances(value), settings.rtol)
    except (ValueError, TypeError):
        return Outcome(ERROR, f"tolerance {str(value)[:40]!r} is no number >= 0", case.found.text, verifier=verifier)
