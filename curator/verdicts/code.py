"""Programs: from a trace and its tests to an outcome, through the sandbox."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from curator.verdicts.case import ERROR, NOT_TEXT, UNPARSEABLE, Case, Outcome, graded

if TYPE_CHECKING:
    from curator.sandbox.task import CodeTask, CodeVerdict, Mode
    from curator.verdicts.rules import Rules

# Part of a code task -> the column it is read from where the table has it; `verify` may name others.
COLUMNS = {
    "language": "language", "entry_point": "entry_point", "prompt": "code_prompt", "setup": "test_setup_code",
}  # fmt: skip


def judge(cases: Sequence[Case], rules: Rules) -> list[Outcome]:
    """Run the program of each trace against its tests.

    With `pass_share` below 1 all tests are run and the score is the share that pass; else the first failure ends it.
    Where programs cannot be isolated every row is an error that says so.
    """
    from curator.sandbox.judge import judge_code, refusal
    from curator.sandbox.task import VERIFIER

    why = None if rules.unsafe else refusal()
    said = [_unjudged(case, why, VERIFIER) for case in cases]
    todo = [_task(c, rules) for c, o in zip(cases, said, strict=True) if o is None]
    mode: Mode = "all" if rules.pass_share >= 1 else "fraction"
    found = iter(
        judge_code(
            [task for task, _ in todo], limit_s=rules.limit_s, memory_mb=rules.memory_mb, tests=rules.max_tests,
            mode=mode, unsafe=rules.unsafe,
        )
        if todo
        else ()
    )  # fmt: skip
    cut = iter(how == "truncated" for _, how in todo)
    return [
        known if known is not None else _outcome(case, next(found), rules, cut=next(cut))
        for case, known in zip(cases, said, strict=True)
    ]


def _outcome(case: Case, v: CodeVerdict, rules: Rules, *, cut: bool) -> Outcome:
    from curator.sandbox.task import VERIFIER

    tests = tuple(t.verdict for t in v.tests) or None
    if v.verdict in ("correct", "incorrect") and v.score is not None:
        return replace(graded(v.score, rules.pass_share, "0-1", VERIFIER, v.detail), tests=tests)
    why = "truncated" if v.verdict == UNPARSEABLE and (cut or case.cut) else v.detail
    return Outcome(v.verdict, why, scale="0-1", verifier=VERIFIER, tests=tests)


def _unjudged(case: Case, refused: str | None, verifier: str) -> Outcome | None:
    if lacking := case.unread(verifier):
        return lacking
    return Outcome(ERROR, refused, verifier=verifier) if refused else None


def _task(case: Case, rules: Rules) -> tuple[CodeTask, str]:
    """The task, and how its program was found."""
    from curator.sandbox.extract import assemble, extract_code
    from curator.sandbox.task import CodeTask

    columns = {**COLUMNS, **rules.code}
    part = {name: _text(case.row.get(column)) for name, column in columns.items()}
    language = part["language"] or "python"
    opened = str(case.row.get("prompt") or "").rstrip().endswith("<think>")
    code = extract_code(case.trace, language, opened=opened)
    entry = part["entry_point"] or None
    program = assemble(part["prompt"], code.text, entry) if code.text else None
    tests = case.row.get(rules.tests)
    tests = b"\xff" if tests is NOT_TEXT else tests
    return CodeTask(program, tests, code.language, entry, part["prompt"], part["setup"]), code.how


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
