"""The shards of a step: a stream of tables cut into Parquet files of bounded rows and bytes, under one schema.

A step's rows lie in `part-00000.parquet`, `part-00001.parquet`, ... in one folder. The schema is settled once a step:
declared types win over what a batch happens to hold, so an all-null batch cannot turn a text column into a null column.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curator.errors import InputError, OperatorError
from curator.table import cannot_write, difference, read_table, unreadable, write_table

SHARD_ROWS = 5000  # one shard is one unit of work and of loss after kill -9: well under a second of CPU work
SHARD_BYTES = 32 << 20  # long traces: 32 MiB hold about 320 traces of 100 kB; a worker holds a few such tables


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
        msg = f"{who}: rows do not share one schema: {difference(held, found)}"
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

    def link(self, part: Part) -> None:
        """Take over a shard as it is, before any table: another name of its file, or a copy where there are no such."""
        target = self.folder / f"{self.name}-{len(self.parts):05d}.parquet"
        try:
            target.hardlink_to(part.path)
        except OSError:
            try:
                shutil.copyfile(part.path, target)
            except OSError as e:
                raise cannot_write(target, e) from e
        self.parts.append(Part(target, part.rows))

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
