"""Parquet files whose bytes depend only on the rows: fixed order, fixed row groups, no time, no input metadata."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

GROUP_ROWS = 1000  # the Hub's viewer reads whole row groups; its own advice is small ones
GROUP_BYTES = 32 << 20  # so that 1,000 rows of long traces do not make a group of gigabytes


def bare(schema: pa.Schema) -> pa.Schema:
    """Return `schema` without metadata: it may hold paths or times of whoever wrote the input."""
    return pa.schema([pa.field(f.name, f.type) for f in schema])


def chunks(batches: Iterable[Any]) -> Iterator[Any]:
    """Cut a stream of record batches into tables of at most `GROUP_ROWS` rows and about `GROUP_BYTES` of text.

    Where a cut falls depends on the rows alone, not on how the stream was batched.
    """
    pending: list[Any] = []
    rows = size = 0
    for batch in batches:
        start = 0
        for i, width in enumerate(_widths(batch)):
            if rows and (rows >= GROUP_ROWS or size + width > GROUP_BYTES):
                pending.append(batch.slice(start, i - start))
                yield pa.Table.from_batches([b for b in pending if len(b)], batch.schema).combine_chunks()
                pending, start, rows, size = [], i, 0, 0
            rows += 1
            size += width
        pending.append(batch.slice(start))
    if rows:
        yield pa.Table.from_batches([b for b in pending if len(b)], pending[0].schema).combine_chunks()


def _widths(batch: Any) -> list[int]:
    """Bytes of text in each row."""
    total = pa.array([0] * len(batch), pa.int64())
    for column in batch.columns:
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type) or pa.types.is_binary(column.type):
            total = pc.add(total, pc.fill_null(pc.cast(pc.binary_length(column), pa.int64()), 0))
    widths: list[int] = total.to_pylist()
    return widths


class Shards:
    """Writes `<directory>/<split>-00000-of-00003.parquet`, a new file when one holds `limit` bytes of Arrow data."""

    def __init__(self, root: Path, directory: str, split: str, schema: pa.Schema, limit: int) -> None:
        self.rows = self.bytes = 0
        self._root, self._directory, self._split, self._limit = root, directory, split, limit
        self._schema = bare(schema)
        self._pending: list[Any] = []
        self._pending_rows = self._pending_bytes = 0
        self._paths: list[Path] = []
        self._writer: Any = None
        self._written = 0
        (root / directory).mkdir(parents=True, exist_ok=True)

    def write(self, table: Any) -> None:
        """Add rows; they reach the disk one row group at a time."""
        if not len(table):
            return
        table = pa.Table.from_arrays(table.columns, schema=self._schema)
        self.rows += len(table)
        self._pending.append(table)
        self._pending_rows += len(table)
        self._pending_bytes += table.nbytes
        if self._pending_rows >= GROUP_ROWS or self._pending_bytes >= GROUP_BYTES:
            self._flush()

    def _open(self) -> None:
        import pyarrow.parquet as pq

        self._paths.append(self._root / self._directory / f".{self._split}-{len(self._paths):05d}.part")
        self._writer = pq.ParquetWriter(self._paths[-1], self._schema, compression="zstd", write_page_index=True)
        self._written = 0

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is not None and self._written >= self._limit:
            self._writer.close()
            self._writer = None
        if self._writer is None:
            self._open()
        group = pa.concat_tables(self._pending).combine_chunks()
        self._writer.write_table(group, row_group_size=max(1, len(group)))
        self._written += group.nbytes
        self.bytes += group.nbytes
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def close(self) -> tuple[str, ...]:
        """Finish the last file and return all names, relative to the root. An empty split is one empty file."""
        self._flush()
        if self._writer is None:
            self._open()
        self._writer.close()
        names = []
        for i, path in enumerate(self._paths):
            name = f"{self._directory}/{self._split}-{i:05d}-of-{len(self._paths):05d}.parquet"
            path.rename(self._root / name)
            names.append(name)
        return tuple(names)
