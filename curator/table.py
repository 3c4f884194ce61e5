"""Parquet files <-> Arrow and DuckDB: the one place where rows become files and files become rows.

Files appear whole or not at all (temporary file beside the target, fsync, rename). How a stream of rows becomes the
shards of a step is in `curator.shards`; in what order rows are written for others is here (`ORDER`).
"""

from __future__ import annotations

import ctypes
import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from curator.errors import InputError, OutputError

if TYPE_CHECKING:
    import duckdb

    from curator.op import View

ROW_GROUP_ROWS = 2048  # DuckDB's vector size; a slice of a shard is read without the rest
ROW_GROUP_BYTES = 16 << 20
BATCH_ROWS = 2048
BATCH_BYTES = 4 << 20  # what is made of a batch of about that size is still in the cache when it is read
ORDER = ("problem_id", "sample_idx", "row_id")  # of what others read: samples together; row_id breaks every tie
MEMORY = "512MB"  # of DuckDB, more spills to disk: keeps the peak flat from 100 thousand rows to any number


def describe(error: OSError) -> str:
    """Return the plain reason of an operating system error, without its number."""
    return error.strerror or str(error)


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the one-line error for a file that cannot be written."""
    msg = f"cannot write {path}: {describe(error)}; free space or choose another folder, then run again (finished "
    return OutputError(msg + "shards and answers are kept)")


def make_folder(path: Path) -> None:
    """Make a folder and those above it. Raises OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise cannot_write(path, e) from e


def write_bytes(path: Path, data: bytes, *, sync: bool = True) -> None:
    """Write `data` so that `path` appears whole or not at all. Raises OutputError where the disk refuses.

    `sync`: wait until the disk has it; without, a power cut may leave an empty file (kill -9 cannot).
    """
    tmp = temporary(path)
    try:
        with tmp.open("wb") as f:
            f.write(data)
            f.flush()
            if sync:
                os.fsync(f.fileno())
        tmp.replace(path)
    except OSError as e:
        _discard(tmp)
        raise cannot_write(path, e) from e


def temporary(path: Path) -> Path:
    """Return the name of the temporary file of `path`: hidden, in the same folder, told apart by process."""
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def _discard(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # the disk that refused the write may refuse this as well; the first error is the one to tell
        return


def write_table(table: pa.Table, path: Path) -> None:
    """Write `table` as one Parquet file, atomically. Raises OutputError where the disk refuses."""
    tmp = stage_table(table, path)
    try:
        tmp.replace(path)
    except OSError as e:
        raise cannot_write(path, e) from e


def stage_table(table: pa.Table, path: Path) -> Path:
    """Write `table` to the temporary file of `path`, synced, and return that file; renaming it is the caller's.

    zstd level 1; row groups of at most `ROW_GROUP_ROWS` rows and about `ROW_GROUP_BYTES` bytes.
    """
    tmp = temporary(path)
    per_row = max(1, table.nbytes // max(1, table.num_rows))
    group = max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // per_row))
    try:
        with tmp.open("wb") as f:
            pq.write_table(table, f, compression="zstd", compression_level=1, row_group_size=group)
            f.flush()
            os.fsync(f.fileno())
    except OSError as e:
        _discard(tmp)
        raise cannot_write(path, e) from e
    return tmp


def read_table(path: Path, start: int = 0, rows: int | None = None) -> pa.Table:
    """Read rows `start .. start+rows-1` of one Parquet file, reading only the row groups that hold them.

    Raises InputError where the file is missing, cut in half or not Parquet.
    """
    try:
        with pq.ParquetFile(path) as file:
            meta = file.metadata
            stop = meta.num_rows if rows is None else min(meta.num_rows, start + rows)
            groups: list[int] = []
            before = at = 0
            for g in range(meta.num_row_groups):
                size = meta.row_group(g).num_rows
                if at < stop and at + size > start:
                    before = at if not groups else before
                    groups.append(g)
                at += size
            table = file.read_row_groups(groups)
            return table.slice(start - before, stop - start) if groups else table
    except (OSError, pa.ArrowInvalid) as e:
        raise unreadable(path, e) from e


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the one-line error for a Parquet file that cannot be read."""
    first = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
    return InputError(f"cannot read {path}: not a whole Parquet file ({first}); delete it and run again")


def schema_of(files: Sequence[Path]) -> pa.Schema:
    """Return the schema that all `files` share.

    Raises:
        InputError: a file is not whole Parquet, or has other columns or types than the first.
    """
    schema: pa.Schema | None = None
    for path in files:
        try:
            found = pq.read_schema(path).remove_metadata()
        except (OSError, pa.ArrowInvalid) as e:
            raise unreadable(path, e) from e
        if schema is None:
            schema = found
        elif not found.equals(schema):
            msg = f"{path} has another schema than {files[0].name}: {difference(schema, found)}"
            raise InputError(msg)
    return schema if schema is not None else pa.schema([])


def difference(left: pa.Schema, right: pa.Schema) -> str:
    """Return in words which columns and types of two schemas differ."""
    said = []
    for name in dict.fromkeys([*left.names, *right.names]):
        a = str(left.field(name).type) if name in left.names else "absent"
        b = str(right.field(name).type) if name in right.names else "absent"
        if a != b:
            said.append(f"{name} is {b}, not {a}")
    return "; ".join(said[:5]) or "the order of the columns differs"


def sql_files(files: Iterable[Path]) -> str:
    """Return `files` as a `read_parquet(...)` call for SQL: these and no others, whatever `*` or `?` is in a name."""
    quoted = ", ".join("'" + glob.escape(str(f)).replace("'", "''") + "'" for f in files)
    return f"read_parquet([{quoted}], hive_partitioning = false)"  # else a folder `a=1` on the way is a column


def sort_key(schema: pa.Schema, names: Iterable[str] = ORDER) -> list[str]:
    """Return the SQL keys that put rows in the order of those `names` that exist; texts by length first.

    So p-10 follows p-9. Null comes last.
    """
    keys = []
    for name in names:
        if name in schema.names:
            numbers = pa.types.is_integer(schema.field(name).type)
            keys += [name] if numbers else [f"strlen({name}::varchar)", name]
    return keys


def in_order(view: View) -> bool:
    """Whether the rows of a view lie in `ORDER` already; streamed, nothing is held."""
    keys = sort_key(view.schema)
    key = "{" + ", ".join(f"'k{i}': {k}" for i, k in enumerate(keys)) + "}"
    query = f"select count(*) from (select {key} as k, lag({key}) over () as before from rows) where k < before"
    return not keys or view.con.execute(query).fetchall() == [(0,)]


def connect(spill: Path, *, memory: str = MEMORY, threads: int = 2) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory with a memory limit; what does not fit spills to the folder `spill`."""
    import duckdb  # 0.1 s that workers of row operators need not pay

    return duckdb.connect(
        ":memory:", config={"memory_limit": memory, "threads": threads, "temp_directory": str(spill)}
    )  # fmt: skip


def settle(con: duckdb.DuckDBPyConnection) -> None:
    """Run a half-read result to its end: DuckDB 2 refuses the next statement before that (`fetchone` leaves one)."""
    if hasattr(con, "complete"):
        con.complete()


def _batch_rows(meta: pq.FileMetaData, columns: Sequence[str]) -> int:
    """Return how many rows make a batch of about `BATCH_BYTES`, going by the first row group, at most `BATCH_ROWS`."""
    if not meta.num_row_groups:
        return BATCH_ROWS
    first = meta.row_group(0)
    parts = (first.column(i) for i in range(first.num_columns))
    size: int = sum(c.total_uncompressed_size for c in parts if c.path_in_schema.split(".")[0] in columns)
    rows: int = first.num_rows * BATCH_BYTES // max(1, size)
    return max(1, min(BATCH_ROWS, rows))


class TableView:
    """The `View` of `curator.op` over Parquet shards."""

    def __init__(self, files: Sequence[Path], spill: Path, *, memory: str = MEMORY, threads: int = 2) -> None:
        self.files = list(files)
        self.schema = schema_of(self.files)
        self.con = connect(spill, memory=memory, threads=threads)
        self.con.execute(f"CREATE VIEW rows AS SELECT * FROM {sql_files(self.files)}")

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Stream `columns` of all rows, in stored order, file by file.

        Arrow reads the files itself: DuckDB would refuse other statements on `con` while the stream is open.
        """
        for path in self.files:
            with pq.ParquetFile(path) as file:
                stream = file.iter_batches(_batch_rows(file.metadata, columns), columns=columns, use_threads=False)
                yield from (batch.select(columns) for batch in stream)

    def give_back(self) -> None:
        """Return what was freed to the system: DuckDB's own allocator cannot use what the C library and Arrow keep."""
        pa.default_memory_pool().release_unused()
        if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc alone has it, and alone keeps so much
            trim(0)

    def close(self) -> None:
        """Close the connection; its temporary tables and spilled files go."""
        self.con.close()
