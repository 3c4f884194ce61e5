"""What does not fit in memory goes to files without a name in the run's spill folder; they vanish with the process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from curator.errors import OutputError
from curator.kernels import pairs

HELD = 256 << 20  # bytes of one store in memory before it goes to disk
STRIDE = 256


def _file(folder: str) -> IO[bytes]:
    Path(folder).mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryFile(dir=folder)


def _write(file: IO[bytes], array: Any) -> None:
    try:
        file.write(np.ascontiguousarray(array).view(np.uint8).data)
    except OSError as e:
        msg = f"dedup: cannot write to the spill folder: {e.strerror or e}; free space and run again"
        raise OutputError(msg) from e


class Ragged:
    """Rows of uint32 of any length, appended once and read by number: in memory up to `held` bytes, else on disk.

    What stays in memory beyond that is 4 bytes a row (its length) and 8 for every 256 rows.
    """

    def __init__(self, folder: str, held: int = HELD) -> None:
        self.folder, self.held, self.total, self.rows = folder, held, 0, 0
        self._file: IO[bytes] | None = None
        self._pieces: list[Any] = []
        self._flat: Any = None
        self._sizes: list[Any] = []
        self._index: tuple[Any, Any] | None = None

    def append(self, flat: Any, ends: Any) -> None:
        """Add rows: uint32[values], int64[rows + 1]."""
        self._sizes.append(np.diff(ends).astype(np.uint32))
        self.rows += len(ends) - 1
        self.total += len(flat)
        if self._file is None and 4 * self.total > self.held:
            self._file = _file(self.folder)
            for piece in self._pieces:
                _write(self._file, piece)
            self._pieces = []
        if self._file is not None:
            _write(self._file, flat)
        else:
            self._pieces.append(flat.copy())  # a view would hold the whole scratch buffer it was cut from

    @property
    def spilled(self) -> bool:
        """Whether the rows lie on disk."""
        return self._file is not None

    def _bounds(self, rows: Any) -> tuple[Any, Any]:
        """Return (begins, ends) of some rows, int64 each: in values, from the first ever appended."""
        if self._index is None:
            sizes = np.concatenate([*self._sizes, np.zeros(STRIDE, np.uint32)])
            blocks = sizes[: len(sizes) // STRIDE * STRIDE].reshape(-1, STRIDE).sum(1, dtype=np.int64)
            self._index, self._sizes = (sizes, np.concatenate([[0], np.cumsum(blocks)])), []
        begins, ends = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        pairs.locate(*self._index, STRIDE, np.ascontiguousarray(rows), begins, ends)
        return begins, ends

    def gather(self, rows: Any) -> tuple[Any, Any, Any]:
        """Return (flat uint32, begins, ends) where row k of `rows`, int64[k], lies in `flat`. No more appending."""
        starts, stops = self._bounds(rows)
        if self._file is None:
            if self._flat is None:
                self._flat = np.concatenate(self._pieces) if self._pieces else np.zeros(1, np.uint32)
                self._pieces = []
            return self._flat, starts, stops
        self._file.flush()
        ends = np.cumsum(stops - starts)
        begins = ends - (stops - starts)
        flat = np.empty(int(ends[-1]) if len(ends) else 1, np.uint32)
        view, number = flat.view(np.uint8).data, self._file.fileno()
        for begin, end, start in zip((4 * begins).tolist(), (4 * ends).tolist(), (4 * starts).tolist(), strict=True):
            if end > begin:
                os.preadv(number, [view[begin:end]], start)
        return flat, begins, ends

    def sizes(self, rows: Any) -> Any:
        """Return int64[k]: how many values some rows hold."""
        begins, ends = self._bounds(rows)
        return ends - begins


class Keyed:
    """Entries (key, row, content) dealt into partitions by key: all entries of a key come back together.

    Args:
        folder: where to spill.
        entries: how many are expected; decides the number of partitions.
        per_part: entries of one partition, which is what is in memory at once.
    """

    WIDTH = np.dtype([("key", np.uint64), ("content", np.uint64), ("row", np.int64)])

    def __init__(self, folder: str, entries: int, per_part: int = 6_000_000) -> None:
        self.parts = max(1, -(-entries // per_part))
        self._held: list[tuple[Any, Any, Any]] = []
        self._files = [_file(folder) for _ in range(self.parts)] if self.parts > 1 else []

    def add(self, keys: Any, rows: Any, content: Any) -> None:
        """Add entries: uint64[k], int64[k], uint64[k]."""
        if not self._files:
            self._held.append((keys, rows, content))
            return
        entries = np.empty(len(keys), self.WIDTH)
        entries["key"], entries["row"], entries["content"] = keys, rows, content
        part = (keys >> np.uint64(40)) % np.uint64(self.parts)
        order = np.argsort(part.astype(np.uint16), kind="stable")
        edges = np.searchsorted(part[order], np.arange(self.parts + 1))
        entries = entries[order]
        for k in np.flatnonzero(np.diff(edges)).tolist():
            _write(self._files[k], entries[edges[k] : edges[k + 1]])

    def __iter__(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield (keys, rows, content) of one partition after the other."""
        if not self._files:
            if self._held:
                yield tuple(np.concatenate(column) for column in zip(*self._held, strict=True))  # type: ignore[misc]
            return
        for file in self._files:
            file.seek(0)
            entries = np.frombuffer(file.read(), self.WIDTH)
            yield entries["key"].copy(), entries["row"].copy(), entries["content"].copy()
