"""Tests that are code: a box for the program, a box for the tests, messages between them."""

from __future__ import annotations

import json
import math
import os
import signal
import socket
from typing import Any

from curator.sandbox.clock import DISK, JOB, PEER, REPORT, Rules, Watch, ended, job
from curator.sandbox.keeper import Box, Keeper
from curator.sandbox.suite import Suite
from curator.sandbox.task import CodeTask, TestVerdict

LOAD = -1  # the test number under which loading the program is reported


class Tester:
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
            with job(program) as work:
                a = self.keeper.start("functions", {JOB: work, PEER: ends[0].fileno()}, **limits)
            try:
                with job(self._work()) as work:
                    fds = {REPORT: told, JOB: work, PEER: ends[1].fileno()}
                    return a, self.keeper.start("tests", fds, **limits), reports
            except BaseException:
                a.leave()
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
            ready, _ = watch.wait([reports])
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
        if end == "gone" and code != -signal.SIGKILL:
            verdict = TestVerdict("error", f"the tests ended by themselves (exit code {code})")
        else:
            why = end if end not in ("lost", "gone") else None
            verdict = ended(why, code, self.rules.limit_s, spent=cpu >= self.cpu_s - 0.5)
        whole = self.current == LOAD  # it would end the same way for every test
        self.done += [verdict] * (len(self.suite.cases) - self.first if whole else 1)
