"""The ledger: one row for each event that decided the fate of a row, written after a run by DuckDB, streaming.

`ledger.parquet`: row_id, problem_id, parent_id, step, position (of the step, from 1), round (of a loop, else null),
event, reason, evidence. The steps of a loop are `loop.generate`, once a round, with positions of their own. Events:
`read` (came from the input), `made` (by a step, from parent_id), `dropped` (with reason and evidence), `final` (in the
last table), `left_out` (of what a sink wrote, with reason and evidence; a row may be left out of one format and be in
another, so it is `final` too). A row without `dropped` and `final` became the parent of others. What the steps of a
loop in mode append do with rows of its state is no event: those rows go on in the state.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb

from curator import table
from curator.run.result import Run

NAME = "ledger.parquet"


def write(run: Run, *, memory: str = table.MEMORY, threads: int = 2) -> Path:
    """Write the ledger of a finished run and return its path. Raises OutputError where the disk refuses."""
    path = run.folder / NAME
    tmp = table.temporary(path)
    con = table.connect(run.folder / ".spill", memory=memory, threads=threads)
    try:
        con.execute("set preserve_insertion_order = false")
        con.execute(f"copy ({_events(con, run)}) to '{_text(tmp)}' (format parquet, compression zstd)")
        tmp.replace(path)
    except duckdb.IOException as e:
        raise table.cannot_write(path, OSError(" ".join(str(e).split())[:300])) from e
    except OSError as e:
        raise table.cannot_write(path, e) from e
    finally:
        con.close()
    return path


def _text(value: object) -> str:
    return str(value).replace("'", "''")


def _events(con: Any, run: Run) -> str:
    """Return the SQL of all events."""
    steps = [s for s in run.walk() if s["kind"] != "sink"]
    said = []
    before: str | None = None
    for position, step in enumerate(steps, 1):
        receipt = run.receipt(step) or {}
        rows = table.sql_files(run.shards(step))
        begins = position == 1 or step.get("round") != steps[position - 2].get("round")
        state = table.sql_files(run.shards(step, state=True)) if "state" in step else ""
        before = state if state and begins else before
        new = f" anti join {state} state using (row_id)" if step.get("aside") and state else ""
        if before is None:
            said.append(_select(con, rows, step, position, "read"))
        elif receipt.get("effect") in ("makes", "shapes") and step["kind"] != "loop":
            said.append(_select(con, rows, step, position, "made") + f" anti join {before} before using (row_id)" + new)
        lost = run.shards(step, dropped=True)
        if lost and step["kind"] != "loop":
            said.append(_select(con, table.sql_files(lost), step, position, "dropped") + new)
        if position == len(steps):
            said.append(_select(con, rows, step, position, "final"))
        before = rows
    for position, step in enumerate((s for s in run.walk() if s["kind"] == "sink"), len(steps) + 1):
        files = refused(run, step)
        if files and before is not None:
            told = f"(select l.*, b.* exclude (row_id) from {table.sql_files(files)} l join {before} b using (row_id))"
            said.append(_select(con, told, step, position, "left_out"))
    return " union all ".join(said)


def refused(run: Run, step: Mapping[str, Any]) -> list[Path]:
    """Return the shards of the rows that a finished sink left out of what it wrote."""
    folder = run.folder / "steps" / step["folder"]
    return sorted(folder.glob("refused-*.parquet")) if run.receipt(step) is not None else []


def _select(con: Any, rows: str, step: Mapping[str, Any], position: int, event: str) -> str:
    there = set(con.sql(f"select * from {rows} limit 0").columns)

    def column(name: str, *, told: bool = True) -> str:
        return (f"r.{name}::varchar" if told and name in there else "null::varchar") + f" as {name}"

    gone = event in ("dropped", "left_out")
    names = [column("row_id"), column("problem_id"), column("parent_id")]
    names += [f"'{_text(step['label'])}' as step", f"{position}::integer as position"]
    names += [f"{step.get('round', 'null')}::integer as round", f"'{event}' as event"]
    names += [column("reason", told=gone), column("evidence", told=gone)]
    return f"select {', '.join(names)} from {rows} r"
