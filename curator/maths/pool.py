"""Worker processes that can be killed. Started by `subprocess`, so that daemonic workers, threads and notebooks may.

A hung or dead worker costs the pair it worked on and nothing else: it is killed, started again, and the rest of the
batch goes on.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curator.maths.rules import Rules

SHARE = 24  # pairs a worker takes at a time where several work on one call
RECYCLE = 20_000  # pairs before a worker is replaced: sympy's caches grow
RECYCLE_BYTES = 1 << 30  # memory it may hold between two pairs
START_S = 120.0
_ROOT = str(Path(__file__).resolve().parents[2])
_CODE = f"import sys; sys.path.insert(0, {_ROOT!r}); from curator.maths.worker import main; main()"


@dataclass(frozen=True, slots=True)
class Pair:
    """Two answers to compare; `limit_s` is CPU time."""

    gold: str
    pred: str
    rules: Rules = Rules()
    limit_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Reply:
    """`equal` None where nobody knows, with `why`: timeout, `gold does not parse`, ...; `note` has details."""

    equal: bool | None
    why: str | None = None
    note: str = ""


class _Worker:
    """One process and the pipes to it."""

    def __init__(self) -> None:
        self.served, self.worn = 0, False
        self.buffer = b""
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", _CODE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.stdin, self.stdout = self.process.stdin.fileno(), self.process.stdout.fileno()
        os.set_blocking(self.stdin, False)
        ready = self._line(time.monotonic() + START_S)
        if ready is None:
            self.kill()
            code = self.process.returncode
            msg = f"the maths worker did not start (exit code {code}); `python -m curator.maths.worker` shows why"
            raise RuntimeError(msg)

    def _line(self, deadline: float, pending: deque[bytes] | None = None) -> dict[str, Any] | None:
        """Read one reply, writing what is pending meanwhile. None: the deadline passed or the process died."""
        while b"\n" not in self.buffer:
            left = deadline - time.monotonic()
            events = self._events(left, writing=bool(pending))
            if self.stdout in events:
                chunk = os.read(self.stdout, 65536)
                if not chunk:
                    return None
                self.buffer += chunk
            elif self.stdin in events and pending:
                if not self._write(pending):
                    return None
            elif left <= 0:
                return None
        line, _, self.buffer = self.buffer.partition(b"\n")
        reply: dict[str, Any] = json.loads(line)
        return reply

    def _events(self, timeout: float, *, writing: bool) -> set[int]:
        """File descriptors that are ready. Not `select`: it fails beyond 1,024 open files."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.stdout, selectors.EVENT_READ)
            if writing:
                selector.register(self.stdin, selectors.EVENT_WRITE)
            return {key.fd for key, _ in selector.select(max(0.0, timeout))}

    def _write(self, pending: deque[bytes]) -> bool:
        """Write what the pipe takes. False: the process is gone."""
        try:
            sent = os.write(self.stdin, pending[0])
        except (BrokenPipeError, BlockingIOError):
            return self.process.poll() is None
        if sent == len(pending[0]):
            pending.popleft()
        else:
            pending[0] = pending[0][sent:]
        return True

    def serve(self, pairs: Sequence[Pair]) -> list[Reply]:
        """Answer pairs in order, until one hangs or kills the process, or it is worn out: that reply is the last."""
        pending = deque(json.dumps(asdict(p)).encode() + b"\n" for p in pairs)
        replies: list[Reply] = []
        for p in pairs:
            reply = self._line(time.monotonic() + 20 * p.limit_s + 10, pending)
            if reply is None:
                replies.append(Reply(None, self._cause()))
                self.kill()
                break
            replies.append(Reply(reply["equal"], reply["why"], reply.get("note", "")))
            self.worn = self.served + len(replies) >= RECYCLE or reply["memory"] > RECYCLE_BYTES
            if self.worn and len(replies) < len(pairs):
                self.kill()  # what was sent ahead is lost with it: the pool asks again
                break
        self.served += len(replies)
        return replies

    def _cause(self) -> str:
        """Timeout where it hangs or the kernel stopped it for CPU time; else it died (memory)."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(0.2)
        code = self.process.returncode
        return "timeout" if code is None or code == -signal.SIGXCPU else f"the worker died (exit code {code})"

    def kill(self) -> None:
        """End the process now and free the pipes."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):
                if pipe:
                    pipe.close()


class Pool:
    """At most `size` workers at once, started when needed; safe to use from many threads."""

    def __init__(self, size: int = 1) -> None:
        self.size = size
        self._free: list[_Worker] = []
        self._slots = threading.BoundedSemaphore(size)
        self._lock = threading.Lock()

    def ask(self, pairs: Sequence[Pair]) -> list[Reply]:
        """Compare all pairs, in order, on as many workers as are worth starting. Every pair gets a reply.

        Raises:
            RuntimeError: a worker cannot be started at all.
        """
        n = min(self.size, 1 + len(pairs) // SHARE)
        if n == 1:
            return self._run(pairs)
        with ThreadPoolExecutor(n) as threads:
            chunks = [pairs[i : i + SHARE] for i in range(0, len(pairs), SHARE)]
            return [r for replies in threads.map(self._run, chunks) for r in replies]

    def _run(self, pairs: Sequence[Pair]) -> list[Reply]:
        replies: list[Reply] = []
        with self._slots:
            while len(replies) < len(pairs):
                with self._lock:
                    worker = self._free.pop() if self._free else None
                worker = worker or _Worker()
                try:
                    replies += worker.serve(pairs[len(replies) :])
                except BaseException:
                    worker.kill()
                    raise
                if worker.process.returncode is None and not worker.worn:
                    with self._lock:
                        self._free.append(worker)
                else:
                    worker.kill()
        return replies

    def close(self) -> None:
        """Kill the idle workers."""
        with self._lock:
            idle, self._free = self._free, []
        for w in idle:
            w.kill()


_shared: dict[int, Pool] = {}
_owner = 0
_guard = threading.Lock()


def shared(size: int = 1) -> Pool:
    """The pool with `size` workers of this process (a fork gets its own)."""
    global _owner
    with _guard:
        if _owner != os.getpid():
            _owner = os.getpid()
            _shared.clear()  # a fork must not write into its parent's pipes
        if size not in _shared:
            _shared[size] = Pool(size)
            atexit.register(_shared[size].close)
        return _shared[size]
