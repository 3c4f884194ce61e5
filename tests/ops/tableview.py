"""A small stand-in for the runner's side of table operators: a View over Arrow, and the laws of one step."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from curator.op import Split


class ArrowView:
    def __init__(self, table: pa.Table, batch_rows: int = 3) -> None:
        self.table, self.batch_rows = table, batch_rows
        self.spill = tempfile.TemporaryDirectory()
        self.con = duckdb.connect(config={"temp_directory": self.spill.name})
        self.con.register("rows", table)

    @property
    def schema(self) -> pa.Schema:
        return self.table.schema

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        yield from self.table.select(columns).to_batches(max_chunksize=self.batch_rows)

    def give_back(self) -> None:
        pass


def fetch(con: duckdb.DuckDBPyConnection, query: str) -> list[dict]:
    return con.sql(query).to_arrow_table().to_pylist()


def step(run, table: pa.Table, batch_rows: int = 3) -> tuple[list[dict], list[dict], dict]:
    """Run a table operator; return (out, dropped, counts), each sorted by row_id, after checking conservation."""
    view = ArrowView(table, batch_rows)
    split: Split = run(view)
    out = sorted(fetch(view.con, split.out), key=lambda r: r["row_id"])
    dropped = sorted(fetch(view.con, split.dropped), key=lambda r: r["row_id"]) if split.dropped else []
    for row in dropped:
        assert list(row) == ["row_id", "reason", "evidence"], list(row)
        row["evidence"] = json.loads(row["evidence"])
    before = table.column("row_id").to_pylist()
    new = {r["row_id"] for r in out} - set(before)
    kept = {r["row_id"] for r in out} - new
    parents = {r["parent_id"] for r in out if r["row_id"] in new}
    lost = [r["row_id"] for r in dropped]
    assert len(lost) == len(set(lost))
    assert not (kept | parents) & set(lost)
    assert sorted(kept | parents | set(lost)) == sorted(before)
    return out, dropped, dict(split.counts)


def ids(rows: list[dict]) -> list[str]:
    return [r["row_id"] for r in rows]
