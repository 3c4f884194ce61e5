"""The response store: every answer of a model, kept by the content of its question, so that no token is paid twice.

A folder of append-only segment files, one per writing process (`segments`), and `compact-*.parquet` files made of
segments that nobody writes any more. No locks and no database: safe after kill -9 and on a shared mount. A record is
handed to the operating system before `put` returns, so a killed process loses nothing; a power cut may lose the last
seconds (no fsync).
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from curator.engines import segments
from curator.errors import OutputError

_SHIFT = 40  # a place is file number << 40 | offset (segment) or row (Parquet)
_LOST_CHECK = 60.0  # seconds between looks whether our segment still lies in its folder


class Record(NamedTuple):
    """One stored answer. `asked`: the `max_tokens` it was asked with; `payload`: see `answers`."""

    key: bytes
    asked: int
    cut: bool
    payload: Mapping[str, Any]


class Store:
    """Answers by key. One writer per object, any number of readers and other writers beside it.

    The index holds about 200 bytes an answer in memory; texts stay on disk.
    """

    def __init__(self, path: str | Path) -> None:
        """Open (or name) the store at `path`. The folder appears with the first answer.

        Raises:
            OutputError: `path` is a file, or cannot be read.
        """
        self.path = Path(path)
        self._index: dict[bytes, int] = {}
        self._files: list[str] = []
        self._numbers: dict[str, int] = {}
        self._read_to: dict[str, int] = {}
        self._fds: OrderedDict[str, int] = OrderedDict()
        self._tables: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._out: int | None = None
        self._name = ""
        self._place = self._end = 0
        self._looked = 0.0
        if self.path.exists() and not self.path.is_dir():
            msg = f"response store {self.path} is a file; give a folder"
            raise OutputError(msg)
        self.refresh()

    def __len__(self) -> int:
        return len(self._index)

    def refresh(self) -> None:
        """See what other writers have added since."""
        try:
            names = sorted(e.name for e in os.scandir(self.path)) if self.path.exists() else []
        except OSError as e:
            msg = f"response store {self.path} cannot be read ({e.strerror})"
            raise OutputError(msg) from e
        gone = [n for n in self._files if n not in set(names) and n != self._name]
        if gone:
            self._forget(set(gone))
        # Parquet first: what lies in it is older than any segment beside it.
        for name in (n for n in names if n.endswith(".parquet")):
            if name not in self._numbers:
                self._load_parquet(name)
        for name in (n for n in names if n.endswith(".seg") and n != self._name):
            self._load_segment(name)

    def get(self, key: bytes, max_tokens: int) -> Mapping[str, Any] | None:
        """Return the payload of the answer to `key`, if it serves a request for `max_tokens`; else None.

        A finished answer always serves; one cut at its limit serves up to the limit it was asked with.
        """
        place = self._index.get(key)
        if place is None:
            return None
        try:
            record = self._read(key, place)
        except FileNotFoundError:  # compacted by another process
            self.refresh()
            place = self._index.get(key)
            record = None if place is None else self._read(key, place)
        if record is None or (record.cut and record.asked < max_tokens):
            return None
        return record.payload

    def put(self, key: bytes, payload: Mapping[str, Any], max_tokens: int) -> None:
        """Append one answer. When this returns, the operating system has it.

        Raises:
            OutputError: the folder cannot be written, or the disk is full.
        """
        cut = payload.get("finish") == "length"
        data = segments.frame(key, orjson.dumps(payload), min(max_tokens, 0xFFFFFFFF), cut=cut)
        try:
            fd = self._writer()
            written, size = os.write(fd, data), len(data)
            while written < size:
                written += os.write(fd, data[written:])
        except OSError as e:
            self._drop_writer()  # a half-written record ends this segment; readers skip it
            msg = f"response store {self.path} cannot be written ({e.strerror}); free the disk or name another folder"
            raise OutputError(msg) from e
        self._index[key] = self._place + self._end + segments.HEAD.size
        self._end += size

    def close(self) -> None:
        """Close all files. The store can be used again afterwards."""
        self._drop_writer()
        while self._fds:
            os.close(self._fds.popitem()[1])
        self._tables.clear()

    def _writer(self) -> int:
        now = time.monotonic()
        if self._out is not None and now - self._looked > _LOST_CHECK:
            self._looked = now
            if not (self.path / self._name).exists():  # somebody tidied it away: a new one
                self._forget({self._name})
                self._drop_writer()
        if self._out is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._name = segment_name()
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
            self._out = os.open(self.path / self._name, flags, 0o644)
            self._place, self._end, self._looked = self._number(self._name) << _SHIFT, 0, now
        return self._out

    def _drop_writer(self) -> None:
        if self._out is not None:
            os.close(self._out)
        self._out, self._name = None, ""

    def _number(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._files)
            self._files.append(name)
        return self._numbers[name]

    def _forget(self, names: set[str]) -> None:
        numbers = {self._numbers.pop(n) for n in names if n in self._numbers}
        self._index = {k: v for k, v in self._index.items() if v >> _SHIFT not in numbers}
        for name in names:
            self._read_to.pop(name, None)
            if name in self._fds:
                os.close(self._fds.pop(name))

    def _load_segment(self, name: str) -> None:
        number = self._number(name)
        start = self._read_to.get(name, 0)
        try:
            for head in segments.scan(self.path / name, start):
                self._add(head.key, number << _SHIFT | head.offset, head.asked, cut=head.cut)
                self._read_to[name] = head.offset + head.length
        except FileNotFoundError:
            self._forget({name})

    def _load_parquet(self, name: str) -> None:
        import pyarrow.parquet as pq

        number = self._number(name) << _SHIFT
        try:
            table = pq.read_table(self.path / name, columns=["key", "max_tokens", "cut"], partitioning=None)
        except FileNotFoundError:
            self._forget({name})
            return
        columns = (table[c].to_pylist() for c in ("key", "max_tokens", "cut"))
        for row, (key, asked, cut) in enumerate(zip(*columns, strict=True)):
            self._add(key, number | row, asked, cut=cut)

    def _add(self, key: bytes, place: int, asked: int, *, cut: bool) -> None:
        """Index one record. Of two answers to one key the finished one counts, else the longer, else the first."""
        held = self._index.get(key)
        if held is not None and held != place:
            old = self._read(key, held)
            if old is not None and (not old.cut or (cut and old.asked >= asked)):
                return
        self._index[key] = place

    def _read(self, key: bytes, place: int) -> Record | None:
        name, at = self._files[place >> _SHIFT], place & ((1 << _SHIFT) - 1)
        if name.endswith(".parquet"):
            return self._read_row(name, at)
        fd = self._open(name)
        head = os.pread(fd, segments.HEAD.size, at - segments.HEAD.size)
        if len(head) < segments.HEAD.size:
            return None
        _, _, length, asked, cut, found = segments.HEAD.unpack(head)
        payload = segments.read(fd, at, length) if found == key else None
        return None if payload is None else Record(key, asked, bool(cut), orjson.loads(payload))

    def _read_row(self, name: str, row: int) -> Record:
        from curator.engines.compact import GROUP, read_group

        group = (name, row // GROUP)
        if group not in self._tables:
            self._tables[group] = read_group(self.path / name, row // GROUP)
            while len(self._tables) > 8:
                self._tables.popitem(last=False)
        self._tables.move_to_end(group)
        one = self._tables[group].slice(row % GROUP, 1).to_pylist()[0]
        return Record(one["key"], one["max_tokens"], one["cut"], orjson.loads(one["payload"]))

    def _open(self, name: str) -> int:
        if name not in self._fds:
            self._fds[name] = os.open(self.path / name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
            while len(self._fds) > 64:
                os.close(self._fds.popitem(last=False)[1])
        self._fds.move_to_end(name)
        return self._fds[name]


def segment_name() -> str:
    """Return a new name: time (so that names sort by age), host, process and a random part."""
    host = "".join(c for c in socket.gethostname() if c.isalnum())[:32] or "host"
    return f"{time.time_ns():020d}-{host}-{os.getpid()}-{secrets.token_hex(4)}.seg"
