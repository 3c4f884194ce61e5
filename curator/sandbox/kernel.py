"""System calls that Python has no name for: namespaces, mounts, clone, capabilities. Linux on x86-64 and ARM64.

Only the fork server imports this, in a process of its own.
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
MNT_DETACH = 2
NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x20000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
_NUMBERS = {  # x86-64, ARM64
    "clone": (56, 220),
    "pivot_root": (155, 41),
    "capset": (126, 91),
    "mount_setattr": (442, 442),
    "close_range": (436, 436),
}
_MACHINES = {"x86_64": 0, "amd64": 0, "aarch64": 1, "arm64": 1}

# PyDLL: the lock of the interpreter stays held, which a clone between the two needs.
_libc = ctypes.PyDLL(None, use_errno=True)


def machine() -> int | None:
    """Return the column of the system call tables for this processor; None where there is none."""
    return _MACHINES.get(platform.machine().lower())


def _checked(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _call(name: str, *arguments: object) -> int:
    column = machine()
    if column is None:
        msg = f"no system call numbers for {platform.machine()}"
        raise OSError(msg)
    return _checked(_libc.syscall(ctypes.c_long(_NUMBERS[name][column]), *arguments), name)


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags`. Raises OSError where the kernel forbids it."""
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """Mount; `kind` may be empty for bind mounts and changes of flags. Raises OSError."""
    args = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _checked(_libc.mount(*args), f"mount {target}")


def seal(target: str) -> None:
    """Make a mount and all below it read-only, without devices and set-uid programs."""
    read_only_nosuid_nodev = 1 | 2 | 4
    attributes = (ctypes.c_uint64 * 4)(read_only_nosuid_nodev, 0, 0, 0)
    at_fdcwd, at_recursive = ctypes.c_int(-100), ctypes.c_uint(0x8000)
    try:
        _call("mount_setattr", at_fdcwd, target.encode(), at_recursive, ctypes.byref(attributes), ctypes.c_size_t(32))
    except OSError:  # before Linux 5.12; flags that are locked on the original must be repeated
        kept = os.statvfs(target).f_flag & ~MS_REMOUNT
        mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | (kept & MS_NOEXEC))


def enter_root(path: str) -> None:
    """Make `path` (a mount) the root of this mount namespace and let go of the old one."""
    os.chdir(path)
    _call("pivot_root", b".", b".")  # the old root now lies over the new one, and is taken off
    _checked(_libc.umount2(b".", MNT_DETACH), "umount old root")
    os.chdir("/")


def fork_into(flags: int) -> int:
    """Fork into new namespaces; returns as os.fork does, the child being process 1 where NEWPID is in `flags`."""
    ctypes.pythonapi.PyOS_BeforeFork()
    zero = ctypes.c_ulong(0)
    try:
        pid = _call("clone", ctypes.c_ulong(flags | signal.SIGCHLD), zero, zero, zero, zero)
    except OSError:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        raise
    if pid:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    return pid


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process. Raises OSError."""
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl {option}")


def drop_capabilities() -> None:
    """Give up every capability; for good, together with no_new_privs."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    try:
        _call("close_range", ctypes.c_uint(first), ctypes.c_uint(0xFFFFFFFF), ctypes.c_uint(0))
    except OSError:  # before Linux 5.9
        os.closerange(first, 4096)


def install_filter(program: bytes) -> None:
    """Install a seccomp program for this process, for good. Raises OSError."""

    class Program(ctypes.Structure):
        _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))

    mode_filter, pr_set_seccomp = ctypes.c_ulong(2), 22
    wrapped = Program(len(program) // 8, program)
    zero = ctypes.c_ulong(0)
    _checked(_libc.prctl(pr_set_seccomp, mode_filter, ctypes.byref(wrapped), zero, zero), "seccomp")
