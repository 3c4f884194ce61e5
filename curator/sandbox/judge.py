"""Judge programs by their tests. The door of this room."""

from __future__ import annotations

from collections.abc import Sequence

from curator.sandbox.task import CodeTask, CodeVerdict, Mode


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
    raise NotImplementedError


def refusal() -> str | None:
    """Say why this machine cannot isolate programs and the way out, in one line; None where it can. Asked once."""
    raise NotImplementedError
