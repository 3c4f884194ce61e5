"""What goes into the judge and what comes out: plain values, no processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Word = Literal["correct", "incorrect", "unparseable", "no_reference", "timeout", "error"]
Mode = Literal["all", "fraction"]
LANGUAGES = {"python": "python", "python3": "python", "py": "python", "": "python"}
VERIFIER = "code/1"


@dataclass(frozen=True, slots=True)
class CodeTask:
    """One program and the tests that judge it.

    Attributes:
        program: the whole program (see `extract.extract_code` and `extract.assemble`); None or blank where the trace
            has none.
        tests: as the data set keeps them, JSON text or its value (see `suite.parse_tests`); None or empty where
            there are none.
        language: name or alias of the program's language; only Python is run.
        entry_point: the function under test. HumanEval's `check` needs it; for asserts it is found in them.
        prompt: the code a HumanEval-like task opens with. It is part of the task, so its helpers are trusted: tests
            call the prompt's own `poly`, not what the program put in its place.
        setup: code that runs before the program and before the tests (MBPP's `test_setup_code`).
    """

    program: str | None
    tests: object
    language: str = "python"
    entry_point: str | None = None
    prompt: str = ""
    setup: str = ""


@dataclass(frozen=True, slots=True)
class TestVerdict:
    """One test: `correct`, `incorrect`, `timeout`, `error`, or `not_run` (an earlier test decided already)."""

    verdict: Literal["correct", "incorrect", "timeout", "error", "not_run"]
    detail: str | None = None

    __test__ = False  # pytest: not a test class


@dataclass(frozen=True, slots=True)
class CodeVerdict:
    """The verdict of one task.

    Attributes:
        verdict: `correct` every test passed; `incorrect` a test ran and failed (wrong value, exception, crash,
            output over its limit); `timeout` none failed and one ran out of time; `unparseable` no program in the
            trace; `no_reference` no tests; `error` nothing can be said: language not supported, tests that are
            no tests (a fault of the data), memory limit, sandbox failure.
        score: passed / tests that were to run, from 0 to 1. With mode `all` 1 or 0. None where the verdict is neither
            `correct` nor `incorrect`.
        detail: why, in a few words; None where correct.
        tests: a verdict for each of the first N tests, in order; empty where none could be run.
    """

    verdict: Word
    score: float | None = None
    detail: str | None = None
    tests: tuple[TestVerdict, ...] = ()
