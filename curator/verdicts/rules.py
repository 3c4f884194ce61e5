"""The verifiers that ask nobody: rows in, outcomes out, in batches. They block; call them in a thread from asyncio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from curator.verdicts import choice, constraints
from curator.verdicts.case import UNPARSEABLE, Case, Outcome, decided


@dataclass(frozen=True)
class Rules:
    """Settings of the rule verifiers, as `verify` has them; `code` maps parts of a code task to columns."""

    strict: bool = False
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
        """Return one outcome a case; `kind` is math, choice, constraints or code."""
        if kind == "math":
            return maths(cases, strict=self.strict, limit_s=self.limit_s)
        if kind == "choice":
            return [choice.judge(case, self.choices, self._same) for case in cases]
        if kind == "constraints":
            return [constraints.judge(case, self.constraints, self.pass_share) for case in cases]
        from curator.verdicts.code import judge

        return judge(cases, self)

    def _same(self, pairs: Sequence[tuple[str, str]]) -> list[bool]:
        from curator.maths.judge import judge

        return [v.verdict == "correct" for v in judge(pairs, strict=self.strict, limit_s=self.limit_s)]


def maths(cases: Sequence[Case], *, strict: bool, limit_s: float) -> list[Outcome]:
    """Compare final answers with references; one batch, equal pairs compared once."""
    from curator.maths.judge import (
        VERIFIER,
        judge,
    )  # its patterns take a while to compile, and `check` compares nothing

    said = [_premise(case, VERIFIER) for case in cases]
    pairs = [(c.reference, c.found.text or "") for c, o in zip(cases, said, strict=True) if o is None]
    verdicts = iter(judge(pairs, strict=strict, limit_s=limit_s))
    out = []
    for case, known in zip(cases, said, strict=True):
        if known is not None:
            out.append(known)
            continue
        v, answer = next(verdicts), case.found.text
        if v.verdict in ("correct", "incorrect"):
            out.append(decided(v.verdict == "correct", VERIFIER, answer, v.detail))
        else:
            out.append(Outcome(v.verdict, v.detail, answer, None, "0-1", VERIFIER))
    return out


def _premise(case: Case, verifier: str) -> Outcome | None:
    """The outcome of a row that cannot be compared, else None."""
    if lacking := case.unread(verifier):
        return lacking
    if lacking := case.unreferenced(verifier, case.found.text):
        return lacking
    if not case.found.text:
        why = "truncated" if case.found.how == "truncated" else "no answer found"
        return Outcome(UNPARSEABLE, why, verifier=verifier)
    return None
