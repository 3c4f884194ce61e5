"""Write the dataset folder: one sorted pass over the rows feeds every format, the metadata and the statistics."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curator.errors import InputError, OutputError
from curator.export.example import Refusal, columns, turn
from curator.export.formats import Format, Item, Place, Plan, Record
from curator.export.shards import Shards, bare, chunks
from curator.export.stats import TableStats
from curator.op import DROPPED, View
from curator.spans.edits import Edit
from curator.table import ORDER, in_order, sort_key

READER_ROWS = 256  # rows held at once between DuckDB and the row groups
TEXTS = pa.schema([(name, pa.string()) for name in ("question", "thinking", "answer")])
PARTS = ("inserted", "edit_log", "rejected_inserted")
LEFT_OUT = pa.schema([(name, pa.string()) for name in ("row_id", "config", "reason", "evidence")])


@dataclass(frozen=True)
class Layout:
    """What to write: formats (the first is the default config), splits with their shares, and sizes in bytes."""

    formats: tuple[Format, ...]
    plan: Plan
    splits: Mapping[str, float]
    seed: int
    metadata: bool
    shard_bytes: int
    name: str


@dataclass
class Config:
    """One config of the finished dataset: where it lies, its schema, rows and bytes per split."""

    name: str
    directory: str
    schema: pa.Schema
    format: Format | None
    rows: dict[str, int] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    files: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    merged: int = 0
    masked: int = 0
    sample: Record | None = None


@dataclass
class Summary:
    """What was written, for the card."""

    rows_in: int
    problems: int
    configs: list[Config]
    input_stats: TableStats
    text_stats: TableStats
    learn: tuple[str, ...] = ()


def inside(root: Path, name: str) -> Path:
    """Return `root / name`, refusing a name that would leave the folder.

    Raises:
        OutputError: `name` is absolute or climbs out.
    """
    pure = PurePosixPath(name)
    if pure.is_absolute() or ".." in pure.parts or "\\" in name or not pure.parts:
        msg = f"export: file name '{name}' would leave the dataset folder"
        raise OutputError(msg)
    return root.joinpath(*pure.parts)


def split_of(key: str, splits: Mapping[str, float], seed: int) -> str:
    """Return the split of a problem: a hash of seed and id against the shares, so that its samples stay together."""
    if len(splits) == 1:
        return next(iter(splits))
    import xxhash

    point = xxhash.xxh64_intdigest(f"{seed}\x00{key}".encode()) / 2**64 * sum(splits.values())
    for name, share in splits.items():
        if point < share:
            return name
        point -= share
    return next(reversed(list(splits)))


def write_folder(view: View, root: Path, layout: Layout) -> Summary:
    """Write all configs under `root` and return what was written.

    Raises:
        InputError: no row could be written for one of the formats.
    """
    have = view.schema.names
    wanted = _wanted(layout)
    names = have if layout.metadata else [n for n in have if n in wanted or n in ORDER]
    writer = _Writer(root, layout, pa.schema([view.schema.field(n) for n in names]))
    for table in chunks(_ordered(view, names)):
        writer.add(table)
    summary = writer.close()
    _refuse_empty(summary)
    return summary


def _ordered(view: View, names: list[str]) -> Any:
    """Stream `names` in `ORDER`; rows that lie in order already, as the runner gives them, are not sorted."""
    listed = ", ".join('"' + n.replace('"', '""') + '"' for n in names)
    order = "" if in_order(view) else f" ORDER BY {', '.join(sort_key(view.schema))}"
    return view.con.sql(f"SELECT {listed} FROM rows{order}").to_arrow_reader(READER_ROWS)


def _wanted(layout: Layout) -> set[str]:
    found = {"problem", "answer", "source", "domain", *PARTS, *columns(layout.plan.use), *layout.plan.columns}
    return found | {n for f in layout.formats for n in f.needs(layout.plan)}


def holds_inserted(view: View) -> bool:
    """Return whether some row holds text that no model wrote, or may; think tags and white space are none."""
    named = [n for n in PARTS if n in view.schema.names and _of_parts(view.schema.field(n).type)]
    if not named:
        return False
    blank = "regexp_replace(p['text'], '</?think>|\\s', '', 'g') = ''"
    some = " or ".join(f"len(list_filter({n}, lambda p: not ({blank}))) > 0" for n in named)
    return bool(view.con.execute(f"select count(*) from (select 1 from rows where {some} limit 1)").fetchall()[0][0])


def _of_parts(kind: pa.DataType) -> bool:
    """Whether a column of such a name is ours: a list of edits."""
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else None
    return inner is not None and pa.types.is_struct(inner) and {f.name for f in inner} == set(Edit._fields)


def _refuse_empty(summary: Summary) -> None:
    if not summary.rows_in:
        msg = "export: no row reached this step; `curator report` shows where they were dropped"
        raise InputError(msg)
    for config in summary.configs:
        if not sum(config.rows.values()):
            reasons = ", ".join(f"{reason} {n}" for reason, n in config.left_out.most_common())
            name = config.format.name if config.format else config.name
            msg = f"export: none of {summary.rows_in} rows can be written as '{name}' ({reasons})"
            raise InputError(msg)


class _Writer:
    """Feeds one chunk after another to the shards of every config and split."""

    def __init__(self, root: Path, layout: Layout, schema: pa.Schema) -> None:
        self._root, self._layout, self._schema = root, layout, bare(schema)
        carried = [self._schema.field(n) for n in layout.plan.columns]
        self._configs = [
            Config("default" if i == 0 else f.name, "data" if i == 0 else f.name,
                   pa.schema([*f.schema(layout.plan), *carried]), f)
            for i, f in enumerate(layout.formats)
        ]  # fmt: skip
        if layout.metadata:
            self._configs.append(Config("metadata", "metadata", self._schema, None))
        self._shards = {(c.name, split): self._open(c, split) for c in self._configs for split in layout.splits}
        self._left: Shards | None = None
        self._done: dict[str, str] = {}
        self._index: Counter[tuple[str, str]] = Counter()
        self._last_problem: str | None = None
        self.rows = self.problems = 0
        self.input_stats, self.text_stats = TableStats(self._schema), TableStats(TEXTS)
        wanted = _wanted(layout) | set(ORDER)
        ours = {n for n in PARTS if n in self._schema.names and _of_parts(self._schema.field(n).type)}
        self._columns = [n for n in self._schema.names if n in wanted and (n in ours or n not in PARTS)]

    def _open(self, config: Config, split: str) -> Shards:
        nested = config.format is not None and config.format.split_folders and len(self._layout.splits) > 1
        directory = f"{config.directory}/{split}" if nested else config.directory
        inside(self._root, directory)
        return Shards(self._root, directory, split, config.schema, self._layout.shard_bytes)

    def add(self, table: Any) -> None:
        """Render one chunk in every format."""
        self.input_stats.add(table)
        rows = table.select(self._columns).to_pylist()
        items = [self._item(row) for row in rows]
        for config in self._configs:
            if config.format is None:
                self._add_metadata(config, table, items)
            else:
                self._add_records(config, config.format, items)
        self.rows += len(rows)

    def _item(self, row: Record) -> Item:
        key = _problem(row)
        if key != self._last_problem:
            self.problems += 1
            self._last_problem = key
        split = split_of(key, self._layout.splits, self._layout.seed)
        return Item(row, turn(row, self._layout.plan.use, self._layout.plan.learn), split, 0)

    def _add_metadata(self, config: Config, table: Any, items: list[Item]) -> None:
        for split in self._layout.splits:
            mask = pa.array([item.split == split for item in items])
            self._shards[config.name, split].write(table.filter(mask))

    def _add_records(self, config: Config, format_: Format, items: list[Item]) -> None:
        records: dict[str, list[Record]] = {split: [] for split in self._layout.splits}
        refused: list[Record] = []
        texts: list[tuple[Any, ...]] = []
        for item in items:
            key = _problem(item.row)
            if format_.per_problem and self._done.get(config.name) == key:
                config.merged += 1
                continue
            slot = (config.name, item.split)
            record = format_.record(item._replace(number=self._index[slot]), self._layout.plan)
            if isinstance(record, Refusal):
                config.left_out[record.reason] += 1
                refused.append({"row_id": item.row["row_id"], "config": config.name, **record._asdict()})
                continue
            self._index[slot] += 1
            config.masked += format_.masks and item.holds_inserted
            self._done[config.name] = key
            record.update({n: item.row[n] for n in self._layout.plan.columns})
            records[item.split].append(record)
            texts.append((item.row.get("problem"), *_said(item, format_)))
        for split, found in records.items():
            if found:
                config.sample = config.sample or found[0]
                self._shards[config.name, split].write(pa.Table.from_pylist(found, schema=config.schema))
        if config is self._configs[0] and texts:
            columns = [pa.array(column, pa.string()) for column in zip(*texts, strict=True)]
            self.text_stats.add(pa.Table.from_arrays(columns, schema=TEXTS))
        if refused:
            self._refuse(refused)

    def _refuse(self, refused: list[Record]) -> None:
        if self._left is None:
            self._left = Shards(self._root, "left_out", "rows", LEFT_OUT, self._layout.shard_bytes)
        self._left.write(pa.Table.from_pylist(refused, schema=LEFT_OUT))

    def close(self) -> Summary:
        """Finish all files and return the summary."""
        for config in self._configs:
            for split in self._layout.splits:
                shards = self._shards[config.name, split]
                config.files[split] = shards.close()
                config.rows[split], config.bytes[split] = shards.rows, shards.bytes
        if self._left is not None:
            self._left.close()
        learn = self._layout.plan.learn
        return Summary(self.rows, self.problems, self._configs, self.input_stats, self.text_stats, learn)


def _said(item: Item, format_: Format) -> tuple[str | None, str | None]:
    """Thinking and answer of what was written; a format for reinforcement learning has only the reference answer."""
    if format_.per_problem or isinstance(item.turn, Refusal):
        return None, item.row.get("answer")
    return item.turn.reasoning, item.turn.response


def _problem(row: Mapping[str, Any]) -> str:
    found = row.get("problem_id")
    return str(row["row_id"] if found is None else found)


def refused(root: Path) -> Iterator[pa.Table]:
    """Yield the rows of `left_out/` as a sink tells of them: row_id, reason, and config with evidence as JSON."""
    for path in sorted((root / "left_out").glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(READER_ROWS):
                rows = batch.to_pylist()
                told = [json.dumps({k: r[k] for k in ("config", "evidence")}, ensure_ascii=False) for r in rows]
                yield pa.table([batch["row_id"], batch["reason"], pa.array(told, pa.string())], schema=DROPPED)


def trainer_files(summary: Summary, layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield name and text of the small files that trainers want; entries of one JSON file are merged."""
    merged: dict[str, Any] = {}
    for config in summary.configs:
        if config.format is None:
            continue
        place = Place(config.name, config.directory, config.files)
        for name, text in config.format.files(layout.name, place, layout.plan).items():
            if name.endswith(".json"):
                merged[name] = {**merged.get(name, {}), **json.loads(text)}
            else:
                yield name, text
    for name, entries in merged.items():
        yield name, json.dumps(entries, indent=2) + "\n"
