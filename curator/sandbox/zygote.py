"""The fork server: a small process that puts others into boxes. It never sees a program, an input or an answer.

It gets a few numbers and file descriptors, forks, and tells how the child ended; the child reads its work from a
descriptor. So nothing of one program can be found in the memory of the next. It is process 1 of its own process
namespace: when it ends, the kernel ends every box.

Protocol, one JSON object a datagram. Asked: `{"id", "role", "memory", "cpu_s", "disk", "fds"}` with the descriptors
attached. Told: `{"ready"}` or `{"refused": why}` once; `{"id", "started"}` with a pidfd, `{"id", "failed": why}`;
`{"id", "status", "cpu"}` when it ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import socket
import sys
import tempfile
from typing import Any

from curator.sandbox.box import NAMESPACES, Limits, enter, environment, filter_of
from curator.sandbox.kernel import close_from

KEPT = 3  # descriptors 0 to 2 lead nowhere until a box replaces them


def main(control: int, root: str, isolate: bool) -> None:  # noqa: FBT001 - from a command line
    """Serve until the other end of `control` closes. `root`: an empty folder to mount the tree on."""
    channel = socket.socket(fileno=control)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C goes to the parent, which closes our channel
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(KEPT):
        os.dup2(null, descriptor)
    try:
        _warm()
        if isolate:
            _isolate(root)
    except OSError as e:
        channel.send(json.dumps({"refused": str(e)}).encode())
        os._exit(0)
    except BaseException as e:
        channel.send(json.dumps({"broken": f"{type(e).__name__}: {e}"}).encode())
        raise
    channel.send(b'{"ready": true}')
    _Server(channel, isolate).serve()


def _isolate(root: str) -> None:
    """Move into fresh namespaces with our own root. Returns in a grandchild, as process 1; the rest waits for it."""
    from curator.sandbox import kernel
    from curator.sandbox import root as tree

    ready, told = os.pipe()
    mapper = os.fork()
    if mapper == 0:
        os.close(told)
        with contextlib.suppress(OSError):
            os.read(ready, 1)
            _map_users(os.getppid())
        os._exit(0)
    os.close(ready)
    try:
        kernel.unshare(NAMESPACES | kernel.NEWUSER | kernel.NEWCGROUP)
    finally:
        os.close(told)
        os.waitpid(mapper, 0)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    child = os.fork()
    if child:
        kernel.close_from(KEPT)
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 127)
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    tree.build(root)
    environment("/tmp")
    filter_of(1)


def _map_users(pid: int) -> None:
    """Map the user of `pid` to root of its new namespace; root also brings nobody, whom the programs will be."""
    user, group = os.getuid(), os.getgid()
    wide = user == 0
    if not wide:
        _write(pid, "setgroups", "deny")
    for name, outside in (("uid_map", user), ("gid_map", group)):
        try:
            _write(pid, name, f"0 {outside} 1\n65534 65534 1" if wide else f"0 {outside} 1")
        except OSError:  # root of a container with few users
            if name == "gid_map":
                with contextlib.suppress(OSError):
                    _write(pid, "setgroups", "deny")
            _write(pid, name, f"0 {outside} 1")


def _write(pid: int, name: str, text: str) -> None:
    descriptor = os.open(f"/proc/{pid}/{name}", os.O_WRONLY)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def _warm() -> None:
    """Import what programs use most, once for all; keep it out of every child's garbage collection."""
    import gc
    import importlib

    for name in (
        "collections", "itertools", "functools", "math", "heapq", "bisect", "re", "string", "random", "typing",
        "operator", "copy", "dataclasses", "decimal", "fractions", "statistics", "datetime", "enum", "traceback",
        "linecache", "tokenize", "hashlib", "io", "types", "abc", "array", "queue", "threading", "cmath", "textwrap",
        "curator.sandbox.program", "curator.sandbox.tester",
    ):  # fmt: skip
        importlib.import_module(name)
    sys.path[:] = [p for p in sys.path if os.path.dirname(os.__file__) in p or p.endswith(".zip")]  # noqa: PTH120
    sys.path_importer_cache.clear()
    gc.collect()
    gc.freeze()


class _Server:
    """Forks boxes on request and reaps them."""

    def __init__(self, channel: socket.socket, isolate: bool) -> None:  # noqa: FBT001
        self.channel = channel
        self.isolate = isolate
        self.selector = selectors.DefaultSelector()
        self.selector.register(channel, selectors.EVENT_READ)
        self.folders: dict[int, str] = {}
        wake, self.signalled = os.pipe()
        self.wake = wake
        os.set_blocking(wake, False)
        os.set_blocking(self.signalled, False)
        self.selector.register(wake, selectors.EVENT_READ)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self.signalled, warn_on_full_buffer=False)
        self.ids: dict[int, int] = {}

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                if key.fileobj is self.channel:
                    if not self._request():
                        self._end()
                else:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self.wake, 4096)
            self._reap()

    def _end(self) -> None:
        for pid, _ in list(self.ids.items()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            self._tidy(pid)
        os._exit(0)

    def _request(self) -> bool:
        try:
            data, fds, _, _ = socket.recv_fds(self.channel, 65536, 8)
        except ConnectionResetError:  # closed with our last words unread
            return False
        if not data:
            return False
        order = json.loads(data)
        if "kill" in order:  # whoever asked for it has no descriptor to end it by
            for pid in [p for p, number in self.ids.items() if number == order["kill"]]:
                os.kill(pid, signal.SIGKILL)
            return True
        pid, folder = -1, None
        try:
            folder = None if self.isolate else tempfile.mkdtemp(prefix="curator-box-")
            pid = self._fork()
            if pid == 0:
                _child(order, fds, folder)
            self.ids[pid] = order["id"]
            if folder:
                self.folders[pid] = folder
            self._started(order["id"], pid)
        except OSError as e:
            if pid > 0:  # nobody could be told of it
                self.ids.pop(pid, None)
                os.kill(pid, signal.SIGKILL)
            elif folder:
                shutil.rmtree(folder, ignore_errors=True)
            self._tell({"id": order["id"], "failed": str(e)})
        finally:
            for descriptor in fds:
                os.close(descriptor)
        return True

    def _fork(self) -> int:
        if not self.isolate:
            return os.fork()
        from curator.sandbox import kernel

        return kernel.fork_into(NAMESPACES)

    def _started(self, number: int, pid: int) -> None:
        message = json.dumps({"id": number, "started": pid}).encode()
        if hasattr(os, "pidfd_open"):
            descriptor = os.pidfd_open(pid)
            socket.send_fds(self.channel, [message], [descriptor])
            os.close(descriptor)
        else:
            self.channel.send(message)

    def _tell(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):
            self.channel.send(json.dumps(message).encode())

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            number = self.ids.pop(pid, None)
            self._tidy(pid)
            if number is not None:
                code = os.waitstatus_to_exitcode(status)
                self._tell({"id": number, "status": code, "cpu": usage.ru_utime + usage.ru_stime})

    def _tidy(self, pid: int) -> None:
        folder = self.folders.pop(pid, None)
        if folder:
            with contextlib.suppress(OSError):
                os.killpg(pid, signal.SIGKILL)
            shutil.rmtree(folder, ignore_errors=True)


def _child(order: dict[str, Any], fds: list[int], folder: str | None) -> None:
    """Take the descriptors, go into the box, do the work. Never returns."""
    code = 70
    try:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        with contextlib.suppress(OSError):
            os.setsid()
        _place(fds, order["fds"])
        enter(Limits(order["memory"], order["cpu_s"], order["disk"]), folder)
        from curator.sandbox import program, tester

        run = {"functions": program.serve, "script": program.script, "tests": tester.main}[order["role"]]
        code = run()
    except BaseException as e:
        with contextlib.suppress(BaseException):
            os.write(2, f"sandbox: {type(e).__name__}: {e}\n".encode())
    finally:
        os._exit(code)


def _place(fds: list[int], numbers: list[int]) -> None:
    """Move received descriptors to their numbers and close every other one above 2."""
    safe = [os.dup2(os.dup(d), 200 + i) for i, d in enumerate(fds)]
    for descriptor, number in zip(safe, numbers, strict=True):
        os.dup2(descriptor, number)
    keep = max([2, *numbers])
    close_from(keep + 1)
    for number in range(3, keep):
        if number not in numbers:
            with contextlib.suppress(OSError):
                os.close(number)
