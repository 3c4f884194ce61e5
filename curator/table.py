"""Parquet shards <-> Arrow and DuckDB: the one place where rows become files and files become rows.

A step's rows lie in `part-00000.parquet`, `part-00001.parquet`, ... in one folder. Files appear whole or not at all
(temporary file beside the target, fsync, rename). The schema is settled once a step: declared types win over what a
batch happens to hold, so an all-null batch cannot turn a text column into a null column.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curator.errors import InputError, OperatorError, OutputError

SHARD_ROWS = 5000  # one shard is one unit of work and of loss after kill -9: well under a second of CPU work
SHARD_BYTES = 32 << 20  # long traces: 32 MiB hold about 320 traces of 100 kB; a worker holds a few such tables
ROW_GROUP_ROWS = 2048  # DuckDB's vector size; a slice of a shard is read without the rest
ROW_GROUP_BYTES = 16 << 20
BATCH_ROWS = 2048
MEMORY = "512MB"  # of DuckDB, more spills to disk: keeps the peak flat from 100 thousand rows to any number


def describe(error: OSError) -> str:
    """Return the plain reason of an operating system error, without its number."""
    return error.strerror or str(error)


def cannot_write(path: Path, error: OSError) -> OutputError:
    """Return the one-line error for a file that cannot be written."""
    msg = f"cannot write {path}: {describe(error)}; free space or choose another folder, then run again (finished "
    return OutputError(msg + "shards and answers are kept)")


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
            msg = f"{path} has another schema than {files[0].name}: {_difference(schema, found)}"
            raise InputError(msg)
    return schema if schema is not None else pa.schema([])


def _difference(left: pa.Schema, right: pa.Schema) -> str:
    said = []
    for name in dict.fromkeys([*left.names, *right.names]):
        a = str(left.field(name).type) if name in left.names else "absent"
        b = str(right.field(name).type) if name in right.names else "absent"
        if a != b:
            said.append(f"{name} is {b}, not {a}")
    return "; ".join(said[:5]) or "the order of the columns differs"


def conform(table: pa.Table, schema: pa.Schema, who: str) -> pa.Table:
    """Return `table` with exactly the columns and types of `schema`, in its order.

    Raises:
        OperatorError: `who` left a column out, returned one it does not declare, or a value does not fit the type.
    """
    if table.schema.names == schema.names and table.schema.types == schema.types:
        return table.cast(schema) if table.schema.metadata else table
    twice = {n for n in table.schema.names if table.schema.names.count(n) > 1}
    lost = [n for n in schema.names if n not in table.schema.names]
    extra = [n for n in table.schema.names if n not in schema.names]
    if twice or lost or extra:
        said = [f"{what} {', '.join(sorted(names)[:5])}" for what, names in
                (("lost", lost), ("returned the undeclared", extra), ("returned twice", twice)) if names]  # fmt: skip
        msg = f"{who}: columns do not fit its declaration: {'; '.join(said)}"
        raise OperatorError(msg)
    columns = []
    for field in schema:
        try:
            columns.append(table.column(field.name).cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as e:
            was = table.schema.field(field.name).type
            msg = f"{who}: column '{field.name}' is {was}, declared {field.type}: {e}"
            raise OperatorError(msg) from e
    return pa.table(columns, schema=schema)


def widen(held: pa.Schema | None, found: pa.Schema, who: str) -> pa.Schema:
    """Return the schema that holds both `held` and `found`: null gives way to any type, int to float.

    Raises InputError where the same column comes with types that no value can have in common (text and number).
    """
    found = found.remove_metadata()
    if held is None:
        return found
    try:
        return pa.unify_schemas([held, found], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
        msg = f"{who}: rows do not share one schema: {_difference(held, found)}"
        raise InputError(msg) from e


@dataclass(frozen=True)
class Part:
    """One shard of a step: its file and how many rows it holds."""

    path: Path
    rows: int


def parts(folder: Path) -> list[Part]:
    """Return the shards of a step folder in order, with their row counts. Raises InputError for a broken file."""
    found = []
    for path in sorted(folder.glob("part-*.parquet")):
        try:
            found.append(Part(path, pq.read_metadata(path).num_rows))
        except (OSError, pa.ArrowInvalid) as e:
            raise unreadable(path, e) from e
    return found


class ShardWriter:
    """Cut a stream of tables into shards `NAME-00000.parquet`, ... of bounded rows and bytes.

    `schema`: what every shard must have; None where the source decides (it then widens as tables come, and shards
    that were written before it widened are written again at `close`).
    """

    def __init__(
        self,
        folder: Path,
        name: str = "part",
        *,
        schema: pa.Schema | None,
        who: str,
        rows: int = SHARD_ROWS,
        size: int = SHARD_BYTES,
    ) -> None:
        self.folder, self.name, self.who, self.rows, self.size = folder, name, who, rows, size
        self.schema = schema
        self.parts: list[Part] = []
        self._declared = schema is not None
        self._held: list[pa.Table] = []
        self._held_rows = self._held_bytes = 0

    def add(self, table: pa.Table) -> None:
        """Take the next rows; full shards are written on the way."""
        if not self._declared:
            self.schema = widen(self.schema, table.schema, self.who)
        else:
            table = conform(table, self.schema, self.who)
        per_row = max(1, table.nbytes // max(1, table.num_rows))
        at = 0
        while at < table.num_rows:
            room = max(1, (self.size - self._held_bytes) // per_row)
            take = min(room, table.num_rows - at, self.rows - self._held_rows)
            piece = table.slice(at, take)
            self._held.append(piece)
            self._held_rows += take
            self._held_bytes += take * per_row
            at += take
            if self._held_rows >= self.rows or self._held_bytes >= self.size:
                self._flush()

    def _flush(self) -> None:
        assert self.schema is not None
        whole = pa.concat_tables([self._fit(t) for t in self._held])
        path = self.folder / f"{self.name}-{len(self.parts):05d}.parquet"
        write_table(whole, path)
        self.parts.append(Part(path, whole.num_rows))
        self._held, self._held_rows, self._held_bytes = [], 0, 0

    def _fit(self, table: pa.Table) -> pa.Table:
        if self._declared:
            return table
        assert self.schema is not None
        for field in self.schema:
            if field.name not in table.schema.names:
                table = table.append_column(field, pa.nulls(table.num_rows, field.type))
        return conform(table, self.schema, self.who)

    def close(self, *, empty: bool = True) -> list[Part]:
        """Write what is left and return all shards; with `empty`, one shard without rows where there was no row."""
        if self._held_rows:
            self._flush()
        if not self._declared and self.schema is not None:
            for part in self.parts:
                if not pq.read_schema(part.path).equals(self.schema):
                    write_table(self._fit(read_table(part.path)), part.path)
        if empty and not self.parts and self.schema is not None:
            self._held = [self.schema.empty_table()]
            self._flush()
        return self.parts


def sql_files(files: Iterable[Path]) -> str:
    """Return `files` as a `read_parquet(...)` call for SQL."""
    quoted = ", ".join("'" + str(f).replace("'", "''") + "'" for f in files)
    return f"read_parquet([{quoted}])"


def connect(spill: Path, *, memory: str = MEMORY, threads: int = 2) -> duckdb.DuckDBPyConnection:
    """Open DuckDB in memory with a memory limit; what does not fit spills to the folder `spill`."""
    return duckdb.connect(
        ":memory:", config={"memory_limit": memory, "threads": threads, "temp_directory": str(spill)}
    )  # fmt: skip


def settle(con: duckdb.DuckDBPyConnection) -> None:
    """Run a half-read result to its end: DuckDB 2 refuses the next statement before that (`fetchone` leaves one)."""
    if hasattr(con, "complete"):
        con.complete()


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
                stream = file.iter_batches(BATCH_ROWS, columns=columns, use_threads=False)
                yield from (batch.select(columns) for batch in stream)

    def close(self) -> None:
        """Close the connection; its temporary tables and spilled files go."""
        self.con.close()
