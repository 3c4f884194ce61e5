"""What every session shares: its rules, its clocks, its work as a file, and what an end means."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from curator.sandbox.keeper import Box
from curator.sandbox.task import TestVerdict

DISK = 64 << 20  # bytes of private files
FAILED = 70  # exit code of a box whose own code failed: no memory left to answer
TICK = 0.25
REPORT, JOB, PEER = 3, 4, 5  # numbers of descriptors inside a box

Readable = int | socket.socket


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
        self.looked = self.begun
        self.ours = 0.0  # seconds in which the boxes may have waited for us

    def again(self) -> None:
        """Another test begins. The clocks are not read for tests that follow at once; the program gains by that."""
        now = time.monotonic()
        if now - self.read > TICK / 4:
            self.cpu, self.queued = self._clocks()
            self.read = now
        self.begun = self.looked = now
        self.ours = 0.0

    def wait(self, reads: Sequence[Readable], writes: Sequence[Readable] = ()) -> tuple[list[Readable], list[Readable]]:
        """Wait for one of these, at most until it is worth looking at the clocks; return what is ready.

        Where something is ready it may have been so for long, with the program blocked on a full pipe while this
        process waited for a processor: that time is ours. So is the time that an empty wait took beyond its end.
        """
        pause = self._pause()
        ready, writable = _ready(reads, writes, pause)
        now = time.monotonic()
        took = now - self.looked
        self.ours += took if ready or writable else max(0.0, took - pause)
        self.looked = now
        return ready, writable

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
        if wall - self.ours - used - (queued - self.queued) >= self.limit_s or wall > 20 * self.limit_s + 60:
            return f"waited for over {self.limit_s:g} s"
        return None

    def _pause(self) -> float:
        left = self.limit_s - (time.monotonic() - self.begun)
        return left if left > 0 else min(TICK, self.limit_s / 4)


def _number(side: Readable) -> int:
    return side if isinstance(side, int) else side.fileno()


def _ready(
    reads: Sequence[Readable], writes: Sequence[Readable], pause: float
) -> tuple[list[Readable], list[Readable]]:
    """Return which can be read and which can be written, after `pause` seconds at most.

    By poll: select refuses descriptors above 1,023, which a process with many boxes or shards has.
    """
    wanted: dict[int, int] = {}
    for flag, sides in ((select.POLLIN, reads), (select.POLLOUT, writes)):
        for side in sides:
            wanted[_number(side)] = wanted.get(_number(side), 0) | flag
    poll = select.poll()
    for number, flags in wanted.items():
        poll.register(number, flags)
    found = dict(poll.poll(max(0.0, pause) * 1000))
    over = select.POLLHUP | select.POLLERR | select.POLLNVAL  # an end is news to both sides

    def among(sides: Sequence[Readable], flag: int) -> list[Readable]:
        return [side for side in sides if found.get(_number(side), 0) & (flag | over)]

    return among(reads, select.POLLIN), among(writes, select.POLLOUT)


@contextmanager
def job(work: dict[str, Any]) -> Iterator[int]:
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


def ended(why: str | None, code: int, limit_s: float, *, spent: bool) -> TestVerdict:
    """What it means that a program ended during a test. `why`: the clock; `spent`: the kernel's clock."""
    if why or (code == -signal.SIGKILL and spent):
        return TestVerdict("timeout", why or f"over {limit_s:g} s of CPU time")
    if code == FAILED:
        return TestVerdict("error", "the box ran out of memory or threads")
    if code == -signal.SIGKILL:
        return TestVerdict("incorrect", "broke off the connection to its tests")
    if code < 0:
        return TestVerdict("incorrect", f"ended by {signal.Signals(-code).name}")
    return TestVerdict("incorrect", f"ended during its tests (exit code {code})")
