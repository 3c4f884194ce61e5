"""Run one program against its tests: which boxes, which clocks, what an end means. Blocks; one thread a program."""

from __future__ import annotations

import json
import math
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from curator.sandbox.compare import same_output
from curator.sandbox.keeper import Box, Keeper
from curator.sandbox.suite import Case, Suite
from curator.sandbox.task import CodeTask, TestVerdict

DISK = 64 << 20  # bytes of private files
OUTPUT = 1 << 20  # bytes of standard output beyond the expected ones, and of standard error
FAILED = 70  # exit code of a box whose own code failed: no memory left to answer
LOAD = -1  # the test number under which loading the program is reported
_TICK = 0.25
_REPORT, _JOB, _PEER = 3, 4, 5


@dataclass(frozen=True, slots=True)
class Rules:
    """`limit_s`: CPU seconds a test, and as many of waiting; `memory`: bytes; `stop`: end at the first failure."""

    limit_s: float
    memory: int
    stop: bool


class Watch:
    """Clocks of one test. Time spent waiting for a processor does not count, so a busy machine makes no timeouts."""

    def __init__(self, boxes: Sequence[Box], limit_s: float) -> None:
        self.boxes = boxes
        self.limit_s = limit_s
        self.begun = self.read = time.monotonic()
        self.cpu = self.queued = 0.0  # of the boxes when the test began: they are new

    def again(self) -> None:
        """Another test begins. The clocks are not read for tests that follow at once; the program gains by that."""
        now = time.monotonic()
        if now - self.read > _TICK / 4:
            self.cpu, self.queued = self._clocks()
            self.read = now
        self.begun = now

    def _clocks(self) -> tuple[float, float]:
        both = [b.clocks() for b in self.boxes]
        return sum(c for c, _ in both), sum(q for _, q in both)

    def expired(self) -> str | None:
        """Say which limit is passed: CPU time, or time in which nothing ran."""
        wall = time.monotonic() - self.begun
        if wall < self.limit_s:
            return None
        cpu, queued = self._clocks()
        used = max(0.0, cpu - self.cpu - (self.begun - self.read))
        if used >= self.limit_s:
            return f"over {self.limit_s:g} s of CPU time"
        if wall - used - (queued - self.queued) >= self.limit_s or wall > 20 * self.limit_s + 60:
            return f"waited for over {self.limit_s:g} s"
        return None

    def pause(self) -> float:
        """Seconds until it is worth looking again."""
        left = self.limit_s - (time.monotonic() - self.begun)
        return left if left > 0 else min(_TICK, self.limit_s / 4)


@contextmanager
def _job(work: dict[str, Any]) -> Iterator[int]:
    """The work of a box as a file in memory."""
    descriptor = os.memfd_create("job")
    try:
        view = memoryview(json.dumps(work).encode())
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def run(keeper: Keeper, task: CodeTask, suite: Suite, rules: Rules) -> list[TestVerdict]:
    """Return a verdict for every case of the suite, in order."""
    done: list[TestVerdict] = []
    while len(done) < len(suite.cases):
        if suite.kind == "stdio":
            done.append(_script(keeper, task, suite.cases[len(done)], rules))
        else:
            done += _Tests(keeper, task, suite, rules, len(done)).run()
        if rules.stop and done[-1].verdict != "correct":
            break
    left = len(suite.cases) - len(done)
    return done + [TestVerdict("not_run")] * left


def _script(keeper: Keeper, task: CodeTask, case: Case, rules: Rules) -> TestVerdict:
    """Run the program once with the case's input and compare what it printed."""
    work = {"setup": task.setup + "\n", "program": task.program, "stdin": case.args}
    limits = {"memory": rules.memory, "cpu_s": math.ceil(rules.limit_s) + 1, "disk": DISK + 4 * len(case.args)}
    pipes = [os.pipe() for _ in range(2)]
    with _job(work) as job:
        box = keeper.start("script", {1: pipes[0][1], 2: pipes[1][1], _JOB: job}, **limits)
    for _, write in pipes:
        os.close(write)
    reads = [r for r, _ in pipes]
    caps = [len(case.expected.encode("utf-8", "replace")) + OUTPUT, OUTPUT]
    try:
        why, texts = _collect(reads, caps, Watch([box], rules.limit_s))
        code, cpu = box.end()
    finally:
        box.leave()
        for r in reads:
            os.close(r)
    if why and why.startswith("printed"):
        return TestVerdict("incorrect", why)
    if why or (code == -signal.SIGKILL and cpu >= limits["cpu_s"] - 0.5):
        return TestVerdict("timeout", why or f"over {rules.limit_s:g} s of CPU time")
    out, err = (t.decode("utf-8", "replace") for t in texts)
    return _printed(code, out, err, case.expected)


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
    """Read until the program has ended, a clock runs out or it printed too much."""
    parts: dict[int, list[bytes]] = {r: [] for r in reads}
    room = dict(zip(reads, caps, strict=True))
    done = watch.boxes[0].done
    open_ends = set(reads)
    while True:
        ready, _, _ = select.select([*open_ends, done], [], [], watch.pause())
        for r in open_ends & set(ready):
            chunk = os.read(r, 65536)
            if not chunk:
                open_ends.discard(r)
            elif room[r] >= len(chunk):
                parts[r].append(chunk)
                room[r] -= len(chunk)
            elif r == reads[0]:
                return f"printed over {caps[0]} bytes", []
        if not (open_ends & set(ready)) and done in ready:
            return None, [b"".join(parts[r]) for r in reads]
        if not ready and (why := watch.expired()):
            return why, []
        if ready and watch.pause() < _TICK and (why := watch.expired()):
            return why, []


class _Tests:
    """One program and one tester, from test `first` on, until all are done or the program is lost."""

    def __init__(self, keeper: Keeper, task: CodeTask, suite: Suite, rules: Rules, first: int) -> None:
        self.keeper, self.task, self.suite, self.rules, self.first = keeper, task, suite, rules, first
        self.cpu_s = math.ceil(rules.limit_s * (len(suite.cases) - first + 1)) + 1
        self.done: list[TestVerdict] = []
        self.current = LOAD

    def _start(self) -> tuple[Box, Box, int]:
        """Start both boxes; return them and the end of the tester's reports."""
        limits = {"memory": self.rules.memory, "cpu_s": self.cpu_s, "disk": DISK}
        ends = socket.socketpair()
        reports, told = os.pipe()
        try:
            program = {"setup": self.task.setup, "program": self.task.program}
            with _job(program) as job:
                a = self.keeper.start("functions", {_JOB: job, _PEER: ends[0].fileno()}, **limits)
            try:
                with _job(self._work()) as job:
                    fds = {_REPORT: told, _JOB: job, _PEER: ends[1].fileno()}
                    return a, self.keeper.start("tests", fds, **limits), reports
            except BaseException:
                a.end()
                raise
        except BaseException:
            os.close(reports)
            raise
        finally:
            os.close(told)
            for end in ends:
                end.close()

    def _work(self) -> dict[str, Any]:
        suite = self.suite
        called = suite.entry_point if suite.kind == "call" else None
        cases = [
            {"before": c.before, "code": c.code, "call": called, "args": c.args, "expected": c.expected,
             "wrapped": c.wrapped}
            for c in suite.cases
        ]  # fmt: skip
        return {
            "prompt": self.task.prompt, "setup": self.task.setup, "preamble": suite.preamble, "cases": cases,
            "first": self.first, "stop": self.rules.stop, "names": suite.names, "entries": suite.entries,
        }  # fmt: skip

    def run(self) -> list[TestVerdict]:
        """At least one verdict."""
        program, tester, reports = self._start()
        try:
            end = self._follow((program, tester), reports)
            if end is not None:
                self._close(end, program.end(), tester.end())
        finally:
            os.close(reports)
            program.leave()
            tester.leave()
        return self.done

    def _follow(self, boxes: tuple[Box, Box], reports: int) -> str | None:
        """Read reports. None: all told; else `lost` (the program ended), `gone` (the tester did), or the clock."""
        watch = Watch(boxes, self.rules.limit_s)
        buffer = b""
        while True:
            ready, _, _ = select.select([reports], [], [], watch.pause())
            if not ready:
                if why := watch.expired():
                    return why
                continue
            chunk = os.read(reports, 65536)
            if not chunk:
                return "gone"
            *lines, buffer = (buffer + chunk).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "start" in message:
                    self.current = message["start"]
                    watch.again()
                elif "lost" in message:
                    return "lost"
                elif self._tell(message):
                    return None

    def _tell(self, message: dict[str, Any]) -> bool:
        """Note a verdict; True where no more will come."""
        verdict = TestVerdict(message["verdict"], message["detail"])
        if message["done"] == LOAD:  # the program does not load: no test can pass
            self.done += [verdict] * (len(self.suite.cases) - self.first)
            return True
        self.done.append(verdict)
        return (self.rules.stop and verdict.verdict != "correct") or self._complete()

    def _complete(self) -> bool:
        return self.first + len(self.done) == len(self.suite.cases)

    def _close(self, end: str, program: tuple[int, float], tester: tuple[int, float]) -> None:
        """A verdict for the test during which the program or the tester ended."""
        code, cpu = program if end == "lost" else tester
        if end not in ("lost", "gone"):
            verdict = TestVerdict("timeout", end)
        elif code == -signal.SIGKILL and cpu >= self.cpu_s - 0.5:
            verdict = TestVerdict("timeout", f"over {self.rules.limit_s:g} s of CPU time")
        elif end == "gone":
            verdict = TestVerdict("error", f"the tests ended by themselves (exit code {code})")
        elif code == FAILED:
            verdict = TestVerdict("error", "the box ran out of memory or threads")
        elif code == -signal.SIGKILL:
            verdict = TestVerdict("incorrect", "broke off the connection to its tests")
        elif code < 0:
            verdict = TestVerdict("incorrect", f"ended by {signal.Signals(-code).name}")
        else:
            verdict = TestVerdict("incorrect", f"ended during its tests (exit code {code})")
        whole = self.current == LOAD  # it would end the same way for every test
        self.done += [verdict] * (len(self.suite.cases) - self.first if whole else 1)
