"""Tables as the files have them: one schema over all files, streamed in pieces of bounded size."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from curator.errors import InputError
from curator.reading.files import format_of
from curator.reading.infer import Types
from curator.reading.records import Bad, Record, records, too_large

PIECE_ROWS = 1024
PIECE_BYTES = 32 << 20
HEAD = 200


class Piece(NamedTuple):
    """Some rows of one file: the table, the number of each row in the file (from 1), and what was quarantined."""

    table: pa.Table
    numbers: list[int]
    bad: list[Bad]


class Input:
    """Files, or a generator of records, as one stream of pieces with one schema.

    Args:
        paths: the files; their format follows from their names.
        made: instead of files, (name, function that returns a fresh iterator of records).
        max_row_bytes: rows above it are quarantined.
        text: source columns that will be cast anyway, so that files may disagree on their type.
    """

    def __init__(
        self,
        paths: list[Path],
        max_row_bytes: int,
        made: tuple[str, Callable[[], Iterator[dict[str, Any]]]] | None = None,
    ) -> None:
        self.paths, self.max_row_bytes, self.made = paths, max_row_bytes, made
        self._types = Types()

    def names(self) -> list[str]:
        """Return the columns, in order of appearance, from schemas and the first lines alone."""
        found: dict[str, None] = {}
        for source in self._record_sources():
            for _, record in itertools.islice(source(), HEAD if self.made is None else 1):  # made rows are alike
                if not isinstance(record, Bad):
                    found.update(dict.fromkeys(record))
        for path in self._arrow_paths():
            found.update(dict.fromkeys(arrow_schema(path).names))
        return list(found)

    def schema(self, free: frozenset[str] = frozenset()) -> pa.Schema:
        """Return the schema that all files fit. Looks at every record of row-wise files.

        Args:
            free: columns whose types may disagree between files; they become text.

        Raises:
            InputError: two files give one column types that have no common one.
        """
        self._types = Types()
        for source in self._record_sources():
            for _, record in source():
                if not isinstance(record, Bad):
                    self._types.add(record)
        merged: dict[str, tuple[pa.DataType, str]] = {
            f.name: (f.type, str(self.paths[0]) if self.paths else "") for f in self._types.schema()
        }
        for path in self._arrow_paths():
            for f in arrow_schema(path):
                old = merged.get(f.name)
                new = f.type if old is None else _common(f, old, str(path), free=f.name in free)
                merged[f.name] = (new, old[1] if old and new == old[0] else str(path))
        return pa.schema([(name, kind) for name, (kind, _) in merged.items()])

    def pieces(self, schema: pa.Schema) -> Iterator[tuple[str, Piece]]:
        """Yield (file, piece) with tables of `schema`, in the order of the files and of their rows."""
        for name, source in zip(self._record_names(), self._record_sources(), strict=True):
            for piece in self._record_pieces(source()):
                yield name, piece._replace(table=_fit(piece.table, schema))
        for path in self._arrow_paths():
            for piece in self._arrow_pieces(path):
                yield str(path), piece._replace(table=_fit(piece.table, schema))

    def _record_paths(self) -> list[Path]:
        return [p for p in self.paths if format_of(p.name) in ("jsonl", "json", "csv")]

    def _arrow_paths(self) -> list[Path]:
        return [p for p in self.paths if format_of(p.name) in ("parquet", "arrow")]

    def _record_names(self) -> list[str]:
        return [str(p) for p in self._record_paths()] + ([self.made[0]] if self.made else [])

    def _record_sources(self) -> list[Callable[[], Iterator[Record]]]:
        sources: list[Callable[[], Iterator[Record]]] = []
        for path in self._record_paths():
            sources.append(lambda path=path: records(path, self.max_row_bytes))  # type: ignore[misc]
        if self.made:
            make = self.made[1]
            sources.append(lambda: enumerate(make(), 1))
        return sources

    def _record_pieces(self, found: Iterator[Record]) -> Iterator[Piece]:
        while chunk := list(itertools.islice(found, PIECE_ROWS)):
            good = [(n, r) for n, r in chunk if not isinstance(r, Bad)]
            table = self._types.table(r for _, r in good)
            yield Piece(table, [n for n, _ in good], [r for _, r in chunk if isinstance(r, Bad)])

    def _arrow_pieces(self, path: Path) -> Iterator[Piece]:
        start = 1
        for batch in arrow_batches(path):
            table = _plain(pa.Table.from_batches([batch]))
            numbers = list(range(start, start + len(table)))
            start += len(table)
            yield _quarantine(str(path), table, numbers, self.max_row_bytes)


def _unreadable(path: Path, error: Exception) -> str:
    why = str(error).split("\n")[0].rstrip(".")
    return f"{path}: cannot be read as {format_of(path.name)} ({why}); is it cut off?"


def arrow_schema(path: Path) -> pa.Schema:
    """Return the schema of a Parquet or Arrow file, encodings undone.

    Raises:
        InputError: not such a file, or a part of one.
    """
    try:
        if format_of(path.name) == "parquet":
            import pyarrow.parquet as pq  # 0.02 s that a look at other files need not pay

            schema = pq.read_schema(path)
        else:
            with pa.memory_map(str(path)) as source:
                schema = pa.ipc.open_stream(source).schema
    except (pa.ArrowException, OSError) as e:
        raise InputError(_unreadable(path, e)) from e
    return pa.schema([(f.name, _plain_type(f.type)) for f in schema])


def arrow_batches(path: Path) -> Iterator[Any]:
    """Yield small record batches of a Parquet or Arrow file.

    Raises:
        InputError: the file is damaged.
    """
    batches = _batches(path)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError, EOFError) as e:
            raise InputError(_unreadable(path, e)) from e
        if batch is None:
            return
        yield batch


def _batches(path: Path) -> Iterator[Any]:
    if format_of(path.name) == "parquet":
        import pyarrow.parquet as pq

        with pq.ParquetFile(path, pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=PIECE_ROWS):
                yield from _small(batch)
    else:
        with pa.memory_map(str(path)) as source:
            for batch in pa.ipc.open_stream(source):
                yield from _small(batch)


def _small(batch: Any) -> Iterator[Any]:
    step = PIECE_ROWS
    if batch.num_rows and batch.nbytes > PIECE_BYTES:
        step = max(1, PIECE_ROWS * PIECE_BYTES // batch.nbytes)
    for start in range(0, batch.num_rows, step):
        yield batch.slice(start, step)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Return the type without dictionaries, views and 64-bit offsets."""
    if pa.types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(f.name, _plain_type(f.type)) for f in kind])
    return kind


def _plain(table: pa.Table) -> pa.Table:
    return table.cast(pa.schema([(f.name, _plain_type(f.type)) for f in table.schema]), safe=False)


def _common(field: pa.Field, old: tuple[pa.DataType, str], path: str, *, free: bool) -> pa.DataType:
    """Return the type that holds both: nulls and number widths give way, text takes all where the column is `free`."""
    if field.type == old[0]:
        return old[0]
    pair = [pa.schema([field]), pa.schema([pa.field(field.name, old[0])])]
    try:
        found = _plain_type(pa.unify_schemas(pair, promote_options="permissive").field(0).type)
    except pa.ArrowException:
        found = None
    if found is None and free and not (pa.types.is_nested(field.type) or pa.types.is_nested(old[0])):
        return pa.string()
    if found is None:
        msg = (
            f"{path}: column '{field.name}' is {field.type}, in {old[1]} it is {old[0]}, and no type holds both; "
            "read the files apart, or convert one"
        )
        raise InputError(msg)
    return found


def _fit(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with all columns of `schema`; what it lacks is null."""
    columns = []
    for f in schema:
        if f.name not in table.column_names:
            columns.append(pa.nulls(len(table), f.type))
        elif table.schema.field(f.name).type == f.type:
            columns.append(table.column(f.name))
        else:
            columns.append(table.column(f.name).cast(f.type))
    return pa.table(columns, schema=schema)


def _quarantine(path: str, table: pa.Table, numbers: list[int], limit: int) -> Piece:
    """Take out rows that are too large or not text."""
    bad: dict[int, Bad] = {}
    if table.nbytes > limit:
        for i, size in enumerate(_sizes(table)):
            if size > limit:
                bad[i] = too_large(f"{path}:{numbers[i]}", size, limit, _begin(table, i))
    try:
        table.validate(full=True)
    except pa.ArrowInvalid:
        for i in set(range(len(table))) - set(bad):
            if why := _not_text(table, i):
                bad[i] = Bad(f"{path}:{numbers[i]}", "invalid_utf8", why, _begin(table, i))
    if not bad:
        return Piece(table, numbers, [])
    keep = [i for i in range(len(table)) if i not in bad]
    return Piece(table.take(pa.array(keep, pa.int64())), [numbers[i] for i in keep], [bad[i] for i in sorted(bad)])


def _sizes(table: pa.Table) -> list[int]:
    """Return the bytes of each row, nested columns included."""
    import pyarrow.compute as pc  # 0.1 s that a look at the columns need not pay

    flat = [n for n, t in zip(table.column_names, table.schema.types, strict=True) if pa.types.is_string(t)]
    sizes = [0] * len(table)
    for name in flat:
        lengths = pc.fill_null(pc.binary_length(table.column(name)), 0).to_pylist()
        sizes = [a + b for a, b in zip(sizes, lengths, strict=True)]
    nested = [n for n, t in zip(table.column_names, table.schema.types, strict=True) if pa.types.is_nested(t)]
    if nested:
        sizes = [s + table.select(nested).slice(i, 1).nbytes for i, s in enumerate(sizes)]
    return sizes


def _not_text(table: pa.Table, row: int) -> str | None:
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        value = table.column(name).slice(row, 1)
        try:
            value.validate(full=True)
        except pa.ArrowInvalid:
            return f"column '{name}' ({kind}) is not valid UTF-8"
    return None


def _begin(table: pa.Table, row: int) -> str:
    for name, kind in zip(table.column_names, table.schema.types, strict=True):
        if pa.types.is_string(kind):
            raw = table.column(name).slice(row, 1).combine_chunks().cast(pa.binary()).to_pylist()[0]
            if raw:
                return str(raw[:200].decode("utf-8", "replace"))
    return ""
