"""Run one program against its tests: which boxes, which clocks, what an end means. Blocks; one thread a program."""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Mapping
from typing import NamedTuple

from curator.sandbox.asserted import Tester
from curator.sandbox.clock import DISK, JOB, Rules, Watch, job
from curator.sandbox.compare import same_output
from curator.sandbox.direct import Calls, calls
from curator.sandbox.keeper import Keeper
from curator.sandbox.suite import Case, Suite
from curator.sandbox.task import CodeTask, TestVerdict

OUTPUT = 1 << 20  # bytes of standard output beyond the expected ones, and of standard error


def run(keeper: Keeper, task: CodeTask, suite: Suite, rules: Rules) -> list[TestVerdict]:
    """Return a verdict for every case of the suite, in order."""
    done: list[TestVerdict] = []
    written = calls(task, suite) if suite.kind != "stdio" else None
    while len(done) < len(suite.cases):
        if suite.kind == "stdio":
            done.append(_script(keeper, task, suite.cases[len(done)], rules))
        elif written and (told := Calls(keeper, task, written, rules, len(done)).run()):
            done += told
        else:
            written = None
            done += Tester(keeper, task, suite, rules, len(done)).run()
        if rules.stop and done[-1].verdict != "correct":
            break
    left = len(suite.cases) - len(done)
    return done + [TestVerdict("not_run")] * left


class Ended(NamedTuple):
    """How one run of a whole program ended: which limit it passed (None: none), exit code, and what it printed."""

    why: str | None
    code: int
    out: str
    err: str


def script(keeper: Keeper, order: Mapping[str, str], rules: Rules, most: int) -> Ended:
    """Run a program once: `order` holds its `setup`, `program` and `stdin`; it may print `most` bytes."""
    limits = {"memory": rules.memory, "cpu_s": math.ceil(rules.limit_s) + 1, "disk": DISK + 4 * len(order["stdin"])}
    pipes = [os.pipe() for _ in range(2)]
    reads, writes = [r for r, _ in pipes], [w for _, w in pipes]
    try:
        try:
            with job(dict(order)) as work:
                box = keeper.start("script", {1: writes[0], 2: writes[1], JOB: work}, **limits)
        finally:
            for w in writes:
                os.close(w)
        try:
            why, texts = _collect(reads, [most, OUTPUT], Watch([box], rules.limit_s))
            code, cpu = box.end()
        finally:
            box.leave()
    finally:
        for r in reads:
            os.close(r)
    if why is None and code == -signal.SIGKILL and cpu >= limits["cpu_s"] - 0.5:
        why = f"over {rules.limit_s:g} s of CPU time"
    return Ended(why, code, *(t.decode("utf-8", "replace") for t in texts))


def _script(keeper: Keeper, task: CodeTask, case: Case, rules: Rules) -> TestVerdict:
    """Run the program once with the case's input and compare what it printed."""
    order = {"setup": task.setup + "\n", "program": str(task.program), "stdin": case.args}
    ended = script(keeper, order, rules, len(case.expected.encode("utf-8", "replace")) + OUTPUT)
    if ended.why:
        return TestVerdict("incorrect" if ended.why.startswith("printed") else "timeout", ended.why)
    return _printed(ended.code, ended.out, ended.err, case.expected)


def _printed(code: int, out: str, err: str, expected: str) -> TestVerdict:
    last = (err.strip().splitlines() or [""])[-1][:300]
    if code:
        return _crash(code, last)
    if same_output(out, expected):
        return TestVerdict("correct")
    return TestVerdict("incorrect", f"printed {out.strip()[:120]!r}, expected {expected.strip()[:120]!r}")


def _crash(code: int, last: str) -> TestVerdict:
    """A program that ended with an error: its own fault, except where the limit or the sandbox is to blame."""
    if last.startswith("sandbox:"):
        return TestVerdict("error", last)
    if last.startswith("MemoryError") or code == -signal.SIGKILL:
        return TestVerdict("error", "memory limit")
    if last.startswith("ModuleNotFoundError: No module named"):
        return TestVerdict("error", f"needs the module {last.split()[-1]}, which the sandbox does not have")
    if code < 0:
        return TestVerdict("incorrect", f"ended by {signal.Signals(-code).name}")
    return TestVerdict("incorrect", last or f"exit code {code}")


def _collect(reads: list[int], caps: list[int], watch: Watch) -> tuple[str | None, list[bytes]]:
    """Read until the program has ended, a clock runs out or it printed too much; return what was read."""
    parts: dict[int, list[bytes]] = {r: [] for r in reads}
    room = dict(zip(reads, caps, strict=True))
    done = watch.boxes[0].done
    open_ends = set(reads)
    while True:
        ready, _ = watch.wait([*open_ends, done])
        for r in open_ends & set(ready):
            chunk = os.read(r, 65536)
            if not chunk:
                open_ends.discard(r)
            elif room[r] >= len(chunk):
                parts[r].append(chunk)
                room[r] -= len(chunk)
            elif r == reads[0]:
                parts[r].append(chunk[: room[r]])
                return f"printed over {caps[0]} bytes", [b"".join(parts[r]) for r in reads]
        if not (open_ends & set(ready)) and done in ready:
            return None, [b"".join(parts[r]) for r in reads]
        if why := watch.expired():
            return why, [b"".join(parts[r]) for r in reads]
