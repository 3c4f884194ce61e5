"""Judge programs by their tests. The door of this room."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from curator.sandbox.clock import Rules
from curator.sandbox.keeper import Refused, shared
from curator.sandbox.session import run
from curator.sandbox.suite import NotTests, parse_tests
from curator.sandbox.task import LANGUAGES, CodeTask, CodeVerdict, Mode, TestVerdict


def judge_code(
    items: Sequence[CodeTask],
    *,
    limit_s: float = 4.0,
    memory_mb: int = 512,
    tests: int | None = None,
    mode: Mode = "all",
    unsafe: bool = False,
    parallel: int = 1,
) -> list[CodeVerdict]:
    """Run every program against its tests and return one verdict each, in order. Blocks; safe from many threads.

    A program never sees its expected answers: standard output and returned values leave the box as plain data and are
    compared outside; test code that must run (`check(candidate)`, computed asserts) runs in a box of its own and
    reaches the program's functions by messages. Same input, same verdicts: hash seed and `random` are fixed.

    Args:
        items: programs with their tests.
        limit_s: CPU seconds a test may take; a program that only waits gets as many seconds of waiting
            (OpenThoughts: 4 s a test).
        memory_mb: address space of a program, MiB; private files count extra, up to 64 MiB.
        tests: how many tests are run, from the first; None: all (AM-14M: the first 10).
        mode: `all` stops at the first test that fails and scores 1 or 0; `fraction` runs every test and
            scores passed / tests (AM-14M).
        unsafe: where this machine cannot isolate, run without isolation instead of refusing: resource limits and a
            clean environment remain, files and network are open. Where it can isolate, this changes nothing.
        parallel: programs that run at the same time.

    Returns:
        One verdict an item. A broken item (no tests, tests that are not JSON, other language) is a verdict, never an
        exception.

    Raises:
        EngineError: this machine cannot isolate programs and `unsafe` is false; the message says what is missing. Call
            `refusal` first to tell it before the first row.
    """
    rules = Rules(limit_s, max(64, memory_mb) << 20, mode == "all")
    shared(unsafe=unsafe)

    def one(item: CodeTask) -> CodeVerdict:
        return _judge(item, rules, tests, unsafe=unsafe)

    if parallel <= 1 or len(items) <= 1:
        return [one(item) for item in items]
    with ThreadPoolExecutor(min(parallel, len(items))) as pool:
        return list(pool.map(one, items))


def refusal() -> str | None:
    """Say why this machine cannot isolate programs and the way out, in one line; None where it can. Asked once."""
    try:
        shared()
    except Refused as e:
        return str(e)
    return None


def _judge(item: CodeTask, rules: Rules, tests: int | None, *, unsafe: bool) -> CodeVerdict:
    """One item; what is wrong with it is its verdict. A server that died is started again once."""
    try:
        suite = parse_tests(item.tests, item.entry_point)
    except NotTests as e:
        return CodeVerdict("error", detail=f"fault in the data: {' '.join(str(e).split())[:300]}")
    if LANGUAGES.get(item.language.strip().lower()) is None:
        return CodeVerdict("error", detail=f"language not supported: {item.language[:40]}; only Python is run")
    if not isinstance(item.program, str) or not item.program.strip():
        return CodeVerdict("unparseable", detail="no program found")
    if suite is None:
        return CodeVerdict("no_reference", detail="no tests")
    suite = replace(suite, cases=suite.cases[:tests])
    for attempt in (1, 2):
        try:
            return _combine(run(shared(unsafe=unsafe), item, suite, rules), rules)
        except (RuntimeError, OSError) as e:
            if attempt == 2:
                return CodeVerdict("error", detail=f"sandbox: {e}")
    raise AssertionError


def _combine(verdicts: list[TestVerdict], rules: Rules) -> CodeVerdict:
    """Wrong beats error, error beats timeout: a timeout says nothing once a test is known to fail."""
    worst = {v.verdict: v for v in reversed(verdicts)}
    passed = sum(v.verdict == "correct" for v in verdicts)
    for word in ("incorrect", "error", "timeout"):
        if word in worst:
            score = None
            if word == "incorrect":
                score = 0.0 if rules.stop else passed / len(verdicts)
            number = verdicts.index(worst[word])
            return CodeVerdict(word, score, f"test {number}: {worst[word].detail}", tuple(verdicts))
    return CodeVerdict("correct", 1.0, None, tuple(verdicts))
