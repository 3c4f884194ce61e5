"""What does not fit in memory goes to files in the run's spill folder; those without a name vanish with the process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np

from curator.errors import OutputError
from curator.kernels.deal import deal

HELD = 64 << 20  # bytes of one store in memory before it goes to disk
STEP = 2048  # rows whose places are read at once
ENTRIES = 2_500_000  # entries of one partition in memory, at 24 bytes
FAN = 64  # partitions that one is dealt into; open files
CHUNK = 1 << 17  # entries written or read at once


def _file(folder: str) -> IO[bytes]:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)


def named(folder: str) -> str:
    """Return the path of a new, empty file, for what another library reads by its name; it goes with the folder."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    number, path = tempfile.mkstemp(".parquet", "dedup-", folder)
    os.close(number)
    return path


def _write(file: IO[bytes], array: Any) -> None:
    with writing():
        file.write(np.ascontiguousarray(array).view(np.uint8).data)


@contextmanager
def writing() -> Iterator[None]:
    """Tell in one line what the disk refuses."""
    try:
        yield
    except OSError as e:
        msg = f"dedup: cannot write to the spill folder: {e.strerror or e}; free space and run again"
        raise OutputError(msg) from e


class Ragged:
    """Rows of uint32 of any length, appended once and read by number: in memory up to `held` bytes, else on disk.

    On disk, nothing of them stays in memory: where each row ends is in a file of its own.
    """

    def __init__(self, folder: str, held: int = HELD) -> None:
        self.folder, self.held, self.total, self.rows = folder, held, 0, 0
        self._flat: list[Any] = []
        self._ends: list[Any] = [np.zeros(1, np.int64)]
        self._files: tuple[IO[bytes], IO[bytes]] | None = None

    def append(self, flat: Any, ends: Any) -> None:
        """Add rows: uint32[values], int64[rows + 1]."""
        self._flat.append(flat.copy())  # a view would hold the whole scratch buffer it was cut from
        self._ends.append(ends[1:] - ends[0] + self.total)
        self.rows += len(ends) - 1
        self.total += len(flat)
        if self._files is None and 4 * self.total + 8 * self.rows > self.held:
            self._files = _file(self.folder), _file(self.folder)
        if self._files is not None:
            for file, pieces in zip(self._files, (self._flat, self._ends), strict=True):
                for piece in pieces:
                    _write(file, piece)
                pieces.clear()

    @property
    def spilled(self) -> bool:
        """Whether the rows lie on disk."""
        return self._files is not None

    def bounds(self, rows: Any) -> tuple[Any, Any]:
        """Return (begins, ends) of some rows, int64 each: in values, from the first ever appended. No more appending.

        rows: int64[k], ascending where they lie on disk.
        """
        if self._files is None:
            self._ends = [np.concatenate(self._ends)]
            return self._ends[0][rows], self._ends[0][rows + 1]
        file = self._files[1]
        file.flush()
        begins, ends = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        edges = np.flatnonzero(np.diff(rows // STEP, prepend=-1)).tolist()
        for start, stop in pairwise([*edges, len(rows)]):
            first = int(rows[start]) // STEP * STEP
            held = np.frombuffer(os.pread(file.fileno(), 8 * (STEP + 1), 8 * first), np.int64)
            place = rows[start:stop] - first
            begins[start:stop], ends[start:stop] = held[place], held[place + 1]
        return begins, ends

    def gather(self, rows: Any) -> tuple[Any, Any, Any]:
        """Return (flat uint32, begins, ends) where row k of `rows` lies in `flat`; `rows` as `bounds` wants them."""
        starts, stops = self.bounds(rows)
        if self._files is None:
            self._flat = [np.concatenate([*self._flat, np.zeros(0, np.uint32)])] if len(self._flat) != 1 else self._flat
            return self._flat[0], starts, stops
        ends = np.cumsum(stops - starts)
        begins = ends - (stops - starts)
        flat = np.empty(int(ends[-1]) if len(ends) else 1, np.uint32)
        self._files[0].flush()
        view, number = flat.view(np.uint8).data, self._files[0].fileno()
        for begin, end, start in zip((4 * begins).tolist(), (4 * ends).tolist(), (4 * starts).tolist(), strict=True):
            if end > begin:
                os.preadv(number, [view[begin:end]], start)
        return flat, begins, ends


class Keyed:
    """Entries (key, row, content) that come back with all entries of a key together.

    In memory up to `entries`, else dealt into files by key; a file that holds more is dealt again when it is read.

    Args:
        folder: where to spill.
        entries: of one partition, which is what is in memory at once; more where one key alone has more.
    """

    WIDTH = np.dtype([("key", np.uint64), ("content", np.uint64), ("row", np.int64)])

    def __init__(self, folder: str, entries: int = ENTRIES) -> None:
        self.folder, self.entries, self.total = folder, entries, 0
        self._held: list[Any] = []
        self._waiting = 0
        self._files: list[IO[bytes]] = []

    def add(self, keys: Any, rows: Any, content: Any) -> None:
        """Add entries: uint64[k], int64[k], uint64[k]."""
        made = np.empty(len(keys), self.WIDTH)
        made["key"], made["row"], made["content"] = keys, rows, content
        self._held.append(made)
        self._waiting += len(made)
        self.total += len(made)
        if self.total > self.entries and not self._files:
            self._files = [_file(self.folder) for _ in range(FAN)]
        if self._files and self._waiting > min(CHUNK, self.entries):
            self._deal()

    def _deal(self) -> None:
        some: list[Any] = []
        self._held.reverse()
        while self._held:  # not all of them side by side: that would hold them twice
            some.append(self._held.pop())
            if not self._held or sum(map(len, some)) > CHUNK:
                _deal(np.concatenate(some), self._files, 40)
                some.clear()
        self._waiting = 0

    def parts(self, skip: Any = None) -> Iterator[tuple[Any, Any, Any]]:
        """Yield (keys, rows, content) of one partition after the other. No more adding.

        skip: bool[rows], entries of these are left out.
        """
        if not self._files:
            if self._held:
                self._held = [np.concatenate(self._held)]
                yield _columns(self._held, self.total, skip)
            return
        if self._held:
            self._deal()
        for file in self._files:
            yield from self._read(file, 20, skip)

    def _read(self, file: IO[bytes], shift: int, skip: Any) -> Iterator[tuple[Any, Any, Any]]:
        count = file.seek(0, os.SEEK_END) // self.WIDTH.itemsize
        if count <= self.entries or shift < 0:
            yield _columns(self._chunks(file), count, skip)
            return
        again = [_file(self.folder) for _ in range(min(FAN, 2 * -(-count // self.entries)))]
        for chunk in self._chunks(file):
            _deal(chunk, again, shift)
        for part in again:
            yield from self._read(part, shift - 20, skip)
            part.close()

    def _chunks(self, file: IO[bytes]) -> Iterator[Any]:
        file.seek(0)
        while raw := file.read(CHUNK * self.WIDTH.itemsize):
            yield np.frombuffer(raw, self.WIDTH)


def _deal(entries: Any, files: list[IO[bytes]], shift: int) -> None:
    """Write entries to files by 20 bits of their keys."""
    flat = entries.view(np.uint64).reshape(-1, entries.itemsize // 8)
    flat.flags.writeable = False
    dealt, edges = np.empty(flat.shape, np.uint64), np.empty(len(files) + 1, np.int64)
    deal(flat, shift, len(files), dealt, edges)
    for k in np.flatnonzero(np.diff(edges)).tolist():
        _write(files[k], dealt[edges[k] : edges[k + 1]])


def _columns(chunks: Any, count: int, skip: Any) -> tuple[Any, Any, Any]:
    """Return (keys, rows, content) of all chunks, without the rows to skip."""
    keys, rows, content = np.empty(count, np.uint64), np.empty(count, np.int64), np.empty(count, np.uint64)
    at = 0
    for chunk in chunks:
        some = chunk if skip is None else chunk[~skip[chunk["row"]]]
        place = slice(at, at := at + len(some))
        keys[place], rows[place], content[place] = some["key"], some["row"], some["content"]
    return keys[:at], rows[:at], content[:at]
