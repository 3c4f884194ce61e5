"""One run per folder: a lock file that names who holds it and is free again when its holder is gone."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from curator import table
from curator.errors import FolderLocked


def _started(pid: int) -> str | None:
    """Return when process `pid` started (clock ticks since boot); None where it is gone or that cannot be known."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    return None


def _alive(pid: int, start: str | None) -> bool:
    """Return whether `pid` lives and is still the process that started at `start` (numbers are reused)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    now = _started(pid)
    return start is None or now is None or now == start


def _refuse(path: Path, held: dict[str, object]) -> FolderLocked:
    who = f"process {held.get('pid', '?')} on {held.get('host', '?')}"
    msg = f"{path.parent} is in use by {who} since {held.get('since', '?')}; wait for it, or use another folder"
    if held.get("host") != socket.gethostname():
        msg += f" (if that machine is gone: delete {path})"
    return FolderLocked(msg)


@contextmanager
def hold(path: Path) -> Iterator[None]:
    """Hold the lock file `path` for the length of the block.

    The kernel's lock on the file decides on one machine: it falls with its process, also after kill -9. What the file
    says (pid, host, start) decides on shared mounts without such locks, and names the holder in the message.

    Raises:
        FolderLocked: a live process holds it, or another machine whose processes cannot be seen from here.
    """
    while True:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as e:
            raise table.cannot_write(path, e) from e
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            held = _read(fd)
            os.close(fd)
            raise _refuse(path, held) from e
        if path.exists() and path.stat().st_ino == os.fstat(fd).st_ino:
            break
        os.close(fd)  # its last holder removed the file between our open and our lock
    try:
        held = _read(fd)
        pid = held.get("pid")
        foreign = bool(held) and held.get("host") != socket.gethostname()
        if foreign or (isinstance(pid, int) and pid != os.getpid() and _alive(pid, _text(held.get("start")))):
            raise _refuse(path, held)
        _write(fd, path)
    except BaseException:
        os.close(fd)
        raise
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()
        os.close(fd)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _read(fd: int) -> dict[str, object]:
    try:
        found = json.loads(os.pread(fd, 4096, 0) or b"{}")
    except ValueError:  # killed while writing it: nobody holds it
        return {}
    return found if isinstance(found, dict) else {}


def _write(fd: int, path: Path) -> None:
    me = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "start": _started(os.getpid()),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps(me).encode(), 0)
    except OSError as e:
        raise table.cannot_write(path, e) from e
