"""The outside of a fork server: start boxes, watch their clocks, end them."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from curator.errors import EngineError

START_S = 120.0
_MOST_THREADS = 64  # whose clocks are read
_PACKAGES = str(Path(__file__).resolve().parents[2])
_CODE = "import sys; sys.path.append({!r}); from curator.sandbox.zygote import main; main({}, {!r}, {})"


class Refused(EngineError):
    """This machine cannot isolate programs."""


class Box:
    """One process in its box, seen from outside. `done` becomes readable when it ends."""

    def __init__(self, keeper: Keeper, number: int, done: int) -> None:
        self.keeper = keeper
        self.number = number
        self.done = done
        self.over = False
        text = Path(f"/proc/self/fdinfo/{done}").read_text("ascii")
        self.pid = int(text.partition("\nPid:")[2].split()[0])
        self._cpu = self._queued = 0.0
        self._threads: dict[str, int] = {}  # nanoseconds that each has waited for a processor

    def clocks(self) -> tuple[float, float]:
        """CPU seconds used, and seconds spent waiting for a processor; the last ones read once it has ended.

        Of threads that wait side by side the one that waited longest counts: the main thread of many programs only
        waits for the one that works.
        """
        with contextlib.suppress(OSError, ValueError, IndexError):
            self._cpu = time.clock_gettime((~self.pid << 3) | 2)
            now = self._waits()
            self._queued += max((n - self._threads.get(t, 0) for t, n in now.items()), default=0) / 1e9
            self._threads = now
        return self._cpu, self._queued

    def _waits(self) -> dict[str, int]:
        """Nanoseconds that each thread has waited; of a bomb of threads only the first are asked."""
        found = {}
        for thread in itertools.islice(Path(f"/proc/{self.pid}/task").iterdir(), _MOST_THREADS):
            with contextlib.suppress(OSError):  # it has ended
                found[thread.name] = int((thread / "schedstat").read_text("ascii").split()[1])
        return found

    def kill(self) -> None:
        """End it and everything in it."""
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self.done, signal.SIGKILL)

    def end(self) -> tuple[int, float]:
        """Kill it where it still runs; wait; return its exit code (negative: a signal) and CPU seconds."""
        self.kill()
        code = self.keeper.ended(self.number)
        self.over = True
        return code

    def leave(self) -> None:
        """Kill it where it still runs and forget it: the kernel takes a while to clear namespaces away."""
        if not self.over:
            self.kill()
            self.keeper.forget(self.number)
        os.close(self.done)


class Keeper:
    """One fork server. `start` and `ended` may be called from many threads.

    Raises:
        Refused: this machine cannot isolate.
        RuntimeError: the server does not start, which is a defect.
    """

    def __init__(self, *, isolate: bool = True) -> None:
        if not sys.platform.startswith("linux"):
            msg = f"code runs only on Linux, this is {sys.platform}; run it in a Linux container or virtual machine"
            raise Refused(msg)
        self.lock = threading.Lock()
        self.owner = os.getpid()
        self.next = 0
        self.lost = False  # the server has closed its end, which it may do a while before its process is gone
        self.told: dict[int, tuple[int, float]] = {}
        self.forgotten: set[int] = set()
        mine, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.channel = mine
        root = tempfile.mkdtemp(prefix="curator-root-")
        code = _CODE.format(_PACKAGES, theirs.fileno(), root, isolate)
        bytecode = {"PYTHONPYCACHEPREFIX": sys.pycache_prefix} if sys.pycache_prefix else {}
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-s", *(["-B"] if sys.dont_write_bytecode else []), "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PYTHONHASHSEED": "0", "LANG": "C.UTF-8", "TMPDIR": tempfile.gettempdir(), **bytecode},
            cwd="/",
        )
        theirs.close()
        try:
            self._ready()
        except BaseException:
            self.close()
            raise
        finally:
            with contextlib.suppress(OSError):
                Path(root).rmdir()

    def _ready(self) -> None:
        self.channel.settimeout(START_S)
        data = self.channel.recv(65536)
        self.channel.settimeout(None)
        told = json.loads(data) if data else {}
        if "refused" in told:
            raise Refused(_why(told["refused"]))
        if "ready" not in told:
            msg = f"the sandbox server did not start: {told.get('broken', 'it ended')}"
            raise RuntimeError(msg)

    def start(self, role: str, fds: dict[int, int], *, memory: int, cpu_s: int, disk: int) -> Box:
        """Start a box; `fds` maps the number inside to a descriptor of ours.

        Raises:
            RuntimeError: the kernel has no process left to give, or the server died.
        """
        with self.lock:
            self.next += 1
            number = self.next
            order = {"id": number, "role": role, "memory": memory, "cpu_s": cpu_s, "disk": disk, "fds": list(fds)}
            try:
                socket.send_fds(self.channel, [json.dumps(order).encode()], list(fds.values()))
                while True:
                    message, received = self._receive()
                    if message.get("id") == number and "started" in message:
                        return self._boxed(number, received)
                    if message.get("id") == number and "failed" in message:
                        msg = f"no box: {message['failed']}"
                        raise RuntimeError(msg)
            except OSError as e:
                raise self._died(e) from None

    def _boxed(self, number: int, received: list[int]) -> Box:
        """Return a box that has started. Where descriptors run out it is ended and RuntimeError raised."""
        try:
            return Box(self, number, received[0])
        except (OSError, IndexError) as e:  # the kernel drops a descriptor that finds no number
            for done in received:
                os.close(done)
            self.forgotten.add(number)
            self.channel.send(json.dumps({"kill": number}).encode())
            msg = f"no box: {e if received else 'too many open files'}"
            raise RuntimeError(msg) from None

    def _died(self, error: OSError) -> RuntimeError:
        self.lost = True
        return RuntimeError(f"the sandbox server died: {error}")

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        data, received, _, _ = socket.recv_fds(self.channel, 65536, 4)
        if not data:
            msg = "connection closed"
            raise OSError(msg)
        message: dict[str, Any] = json.loads(data)
        if "status" in message:
            if message["id"] in self.forgotten:
                self.forgotten.discard(message["id"])
            else:
                self.told[message["id"]] = (message["status"], message["cpu"])
        return message, received

    def ended(self, number: int) -> tuple[int, float]:
        """Wait until a box has ended; its exit code and CPU seconds."""
        with self.lock:
            while number not in self.told:
                try:
                    self._receive()
                except OSError as e:
                    raise self._died(e) from None
            return self.told.pop(number)

    def forget(self, number: int) -> None:
        """Do not keep how a box ended."""
        with self.lock:
            if self.told.pop(number, None) is None:
                self.forgotten.add(number)

    @property
    def alive(self) -> bool:
        """Does the server still run?"""
        return not self.lost and self.process.poll() is None

    def close(self) -> None:
        """End the server and every box."""
        self.channel.close()
        if self.owner != os.getpid():  # a fork leaves it to its owner
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        self.process.kill()
        self.process.wait()


def _why(step: str) -> str:
    """Say which switch of the system stands in the way, as far as one can see."""
    switches = {
        "/proc/sys/user/max_user_namespaces": ("0", "sysctl user.max_user_namespaces=10000"),
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "sysctl kernel.unprivileged_userns_clone=1"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    }
    way = "in a container, allow user namespaces (--security-opt seccomp=unconfined --security-opt apparmor=unconfined)"
    for path, (value, remedy) in switches.items():
        with contextlib.suppress(OSError):
            if Path(path).read_text("ascii").strip() == value:
                way = remedy
    return (
        f"programs cannot be isolated here ({step}); {way}, or set `unsafe: true` to run them with limits but without "
        "isolation"
    )


_keepers: dict[bool, tuple[int, Keeper]] = {}
_refused: str | None = None
_guard = threading.Lock()


def shared(*, unsafe: bool = False) -> Keeper:
    """Return the fork server of this process: isolating where the machine can, else only where `unsafe` allows it.

    Raises:
        Refused: it cannot, and `unsafe` is false.
    """
    global _refused
    with _guard:
        if _refused is None:
            try:
                return _kept(isolate=True)
            except Refused as e:
                _refused = str(e)
        if unsafe and sys.platform.startswith("linux"):
            return _kept(isolate=False)
        raise Refused(_refused)


def _kept(*, isolate: bool) -> Keeper:
    """The server of this process (a fork gets its own), started again where it died."""
    pid, keeper = _keepers.get(isolate, (0, None))
    if keeper is None or pid != os.getpid() or not keeper.alive:
        keeper = Keeper(isolate=isolate)
        _keepers[isolate] = (os.getpid(), keeper)
        atexit.register(keeper.close)
    return keeper
