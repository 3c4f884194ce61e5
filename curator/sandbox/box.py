"""A process goes into its box: what it gives up, in order. Runs in the forked child, before any of the program's text.

With isolation: its own namespaces (mounts, processes, network, IPC, host name) and user, a private /tmp, no
capability, the list of system calls. Without (`unsafe`): the same limits, a private folder, and the list of system
calls where the kernel has it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
from dataclasses import dataclass
from functools import lru_cache

from curator.sandbox import kernel, seccomp

NAMESPACES = kernel.NEWNS | kernel.NEWPID | kernel.NEWNET | kernel.NEWIPC | kernel.NEWUTS
NOBODY = 65534
THREADS = 64
_STACK = 64 << 20


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of address space, CPU seconds of the whole process (the kernel's backstop), bytes of private files."""

    memory: int
    cpu_s: int
    disk: int


def enter(limits: Limits, folder: str | None) -> None:
    """Give everything up. `folder` is the private folder without isolation; None: isolate.

    Raises:
        OSError: a step failed; nothing may run then.
    """
    os.umask(0o077)
    if folder is None:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        options = f"size={limits.disk},nr_inodes=4096,mode=777"
        kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, options)
        socket.sethostname("sandbox")
    os.chdir(folder or "/tmp")
    if folder:
        environment(folder)
    _resources(limits, isolated=folder is None)
    if folder is None:
        _become_nobody()
        kernel.unshare(kernel.NEWUSER)  # counts of its own: threads of other boxes do not weigh on this one
        kernel.drop_capabilities()
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)  # forgotten when the user changes
    _filter(required=folder is None)


def environment(home: str) -> None:
    """Leave nothing of the host's environment."""
    os.environ.clear()
    os.environ.update({"HOME": home, "TMPDIR": home, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC"})


def _resources(limits: Limits, *, isolated: bool) -> None:
    """Set the limits, hard ones too. Without a count of its own a limit of threads would count the user's others."""
    hard = {
        resource.RLIMIT_CPU: limits.cpu_s,
        resource.RLIMIT_FSIZE: limits.disk,
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_CORE: 0,
    }
    if isolated and _counts_by_namespace():
        hard[resource.RLIMIT_NPROC] = THREADS
    for name, value in hard.items():
        _, ceiling = resource.getrlimit(name)
        value = value if ceiling == resource.RLIM_INFINITY else min(value, ceiling)
        resource.setrlimit(name, (value, value))
    _, ceiling = resource.getrlimit(resource.RLIMIT_STACK)
    stack = _STACK if ceiling == resource.RLIM_INFINITY else min(_STACK, ceiling)
    with contextlib.suppress(ValueError, OSError):  # macOS accepts neither
        resource.setrlimit(resource.RLIMIT_STACK, (stack, stack))
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a file over its limit is an OSError


def _counts_by_namespace() -> bool:
    release = os.uname().release.split(".")
    return (int(release[0]), int(release[1].split("-")[0])) >= (5, 14)


def _become_nobody() -> None:
    """Root of the host becomes nobody; where only one user is mapped (not root, or rootless containers) it stays."""
    with contextlib.suppress(PermissionError):
        os.setgroups([])
    try:
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    except OSError:
        if os.getuid() == NOBODY:
            raise


def _filter(*, required: bool) -> None:
    try:
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        kernel.install_filter(filter_of(os.getpid()))
    except (OSError, AttributeError):
        if required:
            raise


@lru_cache(maxsize=1)
def filter_of(pid: int) -> bytes:
    """The list of system calls for a process that sees itself as `pid`: 1 with isolation, so it is built once."""
    column = kernel.machine()
    if column is None:
        msg = "no list of system calls for this processor"
        raise OSError(msg)
    return seccomp.build(column, pid)
