"""What happened to a row, and what differs between two runs: queries over the shards of the steps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from curator import flow, table
from curator.errors import CheckError
from curator.op import find
from curator.run import ledger, receipts
from curator.run.result import Run

SHOWN = 60  # characters of a value in an event
ROWS = 20  # differing rows that `diff` names on each side; all are counted
TOLD = {"row_id", "parent_id", "problem_id", "dropped_by", "reason", "evidence"}  # columns with a place of their own

Row = dict[str, Any]


def why(folder: str | Path, row: str) -> list[dict[str, Any]]:
    """Return what happened to a row or to all rows of a problem, step by step, rows made from it included.

    Also of a run that was stopped: its finished shards answer.

    Args:
        folder: of the run.
        row: a row_id or a problem_id.

    Returns:
        Events in order: `step`, `event` (read, made, changed, kept, told, dropped, left_out, final), `row_id`, `what`:
        for `dropped` and `left_out` the reason and the evidence, for `told` what the step says itself, else the columns
        that are new or changed, with the beginning of their values.

    Raises:
        CheckError: the folder holds no run, or the run has no such row.
    """
    run = Run(Path(folder))
    con = duckdb.connect(":memory:")
    tracked = _ancestors(con, run, row)
    family: set[str] = {row}
    events: list[dict[str, Any]] = []
    before: dict[str, Row] = {}
    present: dict[str, Row] = {}
    now_in: int | None = None
    for step in run.walk():
        if step["kind"] == "sink":
            events += _left_out(con, run, step, present)
            continue
        aside: set[str] = set()
        if "state" in step:
            held = {r["row_id"]: r for r in _find(con, run.shards(step, state=True), row, tracked, family)}
            before = held if step["round"] != now_in else before
            aside = {*held} if step["aside"] else aside
        now_in = step.get("round")
        out, lost = (_find(con, files, row, tracked, family) for files in _files(run, step))
        family |= {r["row_id"] for r in (*out, *lost)} - tracked
        present = {r["row_id"]: r for r in out}
        for r in out if step["kind"] != "loop" else ():
            events += [_event(step, r, before), *_told(step, r, before)] if r["row_id"] not in aside else []
        for r in lost if step["kind"] != "loop" else ():
            if r["row_id"] in aside:
                continue
            events.append({"step": step["label"], "event": "dropped", "row_id": r["row_id"], "what": _gone(r)})
        before = present
    if not events:
        raise CheckError(_unknown(con, run, row))
    if run.steps and all(run.receipt(s) for s in run.steps):
        last = [s for s in run.steps if s["kind"] != "sink"][-1]["label"]
        events += [{"step": last, "event": "final", "row_id": i, "what": "in the last table"} for i in present]
    return events


def _left_out(con: Any, run: Run, step: Mapping[str, Any], present: Mapping[str, Row]) -> list[dict[str, Any]]:
    """Return the rows of the story that a sink left out of what it wrote, with its reason."""
    files = ledger.refused(run, step)
    found = _rows(con, files, "row_id in (select unnest(?))", [[*present]]) if files else []
    return [{"step": step["label"], "event": "left_out", "row_id": r["row_id"], "what": _gone(r)} for r in found]


def _files(run: Run, step: Mapping[str, Any]) -> tuple[list[Path], list[Path]]:
    """Return a step's shards and dropped shards, also where the step is not finished."""
    folder = run.folder / "steps" / step["folder"]
    mark = receipts.read_json(folder / "step.json") or {}
    if mark.get("key") != step["key"]:
        return [], []
    return sorted(folder.glob("part-*.parquet")), sorted(folder.glob("dropped-*.parquet"))


def _rows(con: Any, files: Sequence[Path], where: str, values: list[Any]) -> list[Row]:
    found = con.execute(f"select * from {table.sql_files(files)} where {where}", values)
    names = [d[0] for d in found.description]
    return [dict(zip(names, r, strict=True)) for r in found.fetchall()]


def _find(con: Any, files: list[Path], row: str, tracked: set[str], family: set[str]) -> list[Row]:
    """Return the rows of `files` that belong to the story: ancestors, the row itself, and what was made from it."""
    if not files:
        return []
    names = set(con.sql(f"select * from {table.sql_files(files)} limit 0").columns)
    tests, values = ["row_id in (select unnest(?))"], [[*tracked, *family]]
    if "problem_id" in names:
        tests.append("problem_id = ?")
        values.append(row)  # type: ignore[arg-type]
    if "parent_id" in names:
        tests.append("parent_id in (select unnest(?))")
        values.append([*family])
    if "parent_ids" in names:
        tests.append("list_has_any(parent_ids, ?)")
        values.append([*family])
    found = _rows(con, files, " or ".join(tests), values)
    return sorted(found, key=lambda r: (len(r["row_id"]), r["row_id"]))


def _ancestors(con: Any, run: Run, row: str) -> set[str]:
    """Return the ids of the rows that `row` was made from, over all steps."""
    wanted = {row}
    for step in reversed([*run.walk()]):
        for files in _files(run, step) if step["kind"] != "sink" else ():
            names = con.sql(f"select * from {table.sql_files(files)} limit 0").columns if files else []
            parents = {"parent_id": "parent_id", "parent_ids": "unnest(parent_ids)"}
            for parent in (parents[name] for name in names if name in parents):
                sql = f"select distinct {parent} from {table.sql_files(files)} where row_id in (select unnest(?))"
                wanted |= {r[0] for r in con.execute(sql, [[*wanted]]).fetchall() if r[0] is not None}
    return wanted - {row}


def _event(step: Mapping[str, Any], row: Row, before: Mapping[str, Row]) -> dict[str, Any]:
    old = before.get(row["row_id"])
    if old is not None:
        new = {k: v for k, v in row.items() if k not in TOLD and not _same(v, old.get(k))}
        event = "changed" if new else "kept"
    elif step["kind"] == "source":
        event, new = "read", {k: v for k, v in row.items() if k not in TOLD and v not in (None, "")}
    else:
        old = before.get(row.get("parent_id") or "", {})
        event, new = "made", {k: v for k, v in row.items() if k not in TOLD and not _same(v, old.get(k))}
    what = "; ".join(f"{k}: {_short(v)}" for k, v in new.items())
    if event == "made" and row.get("parent_id"):
        what = f"from {row['parent_id']}; {what}"
    return {"step": step["label"], "event": event, "row_id": row["row_id"], "what": what}


def _told(step: Mapping[str, Any], row: Row, before: Mapping[str, Row]) -> Iterator[dict[str, Any]]:
    """Yield what the operator itself tells of a row that it made or changed: its `story(row)`, where it has one."""
    if row == before.get(row["row_id"]):
        return
    try:
        story = flow.hook(find(step["op"]), "story")
    except (KeyError, CheckError):  # an operator of a package that is not here any more
        return
    for said in story(row) if story is not None else ():
        yield {"step": step["label"], "event": "told", "row_id": row["row_id"], "what": said}


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (a != a and b != b)  # NaN is the same as NaN


def _short(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = f"{value:.4g}" if isinstance(value, float) else " ".join(str(value).split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}... ({len(text):,} characters)"


def _gone(row: Row) -> str:
    evidence = row["evidence"]
    return row["reason"] if evidence in (None, "", "{}") else f"{row['reason']}: {evidence}"


def _unknown(con: Any, run: Run, row: str) -> str:
    examples: list[str] = []
    for step in run.steps[:1]:
        files = _files(run, step)[0]
        if files:
            sql = f"select row_id from {table.sql_files(files)} limit 3"
            examples = [r[0] for r in con.execute(sql).fetchall()]
    said = f"; its rows are called {', '.join(examples)}, ..." if examples else " (it has no rows yet)"
    return f"{run.folder} has no row or problem '{row}'{said}"


@dataclass(frozen=True)
class Diff:
    """What differs between runs a and b.

    `steps`: one a label: step, difference (same, or what changed), rows_a, rows_b. `only_a`, `only_b`: rows of the last
    table that the other lacks, at most `ROWS`, with the fate they had there. `counts`: how many of each, and how many
    rows are in both with other values.
    """

    a: str
    b: str
    steps: list[dict[str, Any]]
    only_a: list[dict[str, Any]]
    only_b: list[dict[str, Any]]
    counts: dict[str, int]

    def __str__(self) -> str:
        """The difference as text."""
        table_ = [("step", "rows in a", "rows in b", "difference")]
        table_ += [(s["step"], _n(s["rows_a"]), _n(s["rows_b"]), s["difference"]) for s in self.steps]
        wide = [max(len(row[i]) for row in table_) for i in range(3)]
        lines = [f"a = {self.a}, b = {self.b}", ""]
        lines += [f"{n:<{wide[0]}}  {a:>{wide[1]}}  {b:>{wide[2]}}  {said}" for n, a, b, said in table_]
        lines.append("")
        for name, other, rows in (("a", "b", self.only_a), ("b", "a", self.only_b)):
            lines += [f"rows only in {name}: {self.counts['only_' + name]:,}"]
            lines += [f"  {r['row_id']}: in {other} {r['fate']}" for r in rows]
        lines += [f"rows in both, with other values: {self.counts['changed']:,}"]
        return "\n".join(lines)


def _n(rows: int | None) -> str:
    return "-" if rows is None else f"{rows:,}"


def diff(a: str | Path, b: str | Path) -> Diff:
    """Return what differs between two finished runs: steps, and rows of the last tables with where they were lost.

    Raises:
        CheckError: one of the folders holds no finished run.
    """
    one, other = Run(Path(a)), Run(Path(b))
    con = duckdb.connect(":memory:")
    left, right = (table.sql_files(run.files(-1)) for run in (one, other))
    counts = {"changed": _changed(con, left, right)}
    only = {}
    for name, mine, theirs, run in (("only_a", left, right, other), ("only_b", right, left, one)):
        sql = f"from {mine} m anti join {theirs} t using (row_id)"
        counts[name] = con.execute(f"select count(*) {sql}").fetchall()[0][0]
        ids = [
            r[0] for r in con.execute(f"select row_id {sql} order by strlen(row_id), row_id limit {ROWS}").fetchall()
        ]
        only[name] = [{"row_id": i, "fate": fate} for i, fate in zip(ids, _fates(con, run, ids), strict=True)]
    return Diff(str(a), str(b), _steps(one, other), only["only_a"], only["only_b"], counts)


def _changed(con: Any, left: str, right: str) -> int:
    names = set(con.sql(f"select * from {left} limit 0").columns)
    shared = [n for n in con.sql(f"select * from {right} limit 0").columns if n in names]
    row = "hash(" + ", ".join('{0}."' + n.replace('"', '""') + '"' for n in shared) + ")"
    sql = f"select count(*) from {left} a join {right} b using (row_id) where {row.format('a')} <> {row.format('b')}"
    found: int = con.execute(sql).fetchall()[0][0]
    return found


def _fates(con: Any, run: Run, ids: list[str]) -> Iterable[str]:
    """Return for each id what became of it in `run`: dropped where and why, itself or the row it is made from."""
    path = run.folder / ledger.NAME
    if not path.exists():
        ledger.write(run)
    events = table.sql_files([path])
    for row in ids:
        sql = f"select row_id, event, step, reason from {events} where row_id = ? order by position desc limit 1"
        found = con.execute(sql, [row]).fetchall()
        parent = row
        while not found and "/" in parent:
            parent = parent.rpartition("/")[0]
            found = con.execute(sql, [parent]).fetchall()
        if not found:
            yield "never seen"
            continue
        row_id, event, step, reason = found[0]
        who = "" if row_id == row else f"not made: {row_id} was "
        yield f"{who}dropped by {step} ({reason})" if event == "dropped" else f"{who}{event} by {step}"


def _steps(one: Run, other: Run) -> list[dict[str, Any]]:
    mine, theirs = ({r["step"]: r for r in run.receipts} for run in (one, other))
    told = []
    for label in dict.fromkeys([*mine, *theirs]):
        a, b = mine.get(label), theirs.get(label)
        told.append(
            {
                "step": label,
                "difference": _difference(a, b),
                "rows_a": a["out"] if a else None,
                "rows_b": b["out"] if b else None,
            }
        )
    return told


def _difference(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> str:
    if a is None or b is None:
        return "only in b" if a is None else "only in a"
    if a["key"] == b["key"]:
        return "same"
    said = [f"{name} {a[name]} -> {b[name]}" for name in ("op", "version") if a[name] != b[name]]
    names = dict.fromkeys([*a["settings"], *b["settings"]])
    both = [(n, a["settings"].get(n), b["settings"].get(n)) for n in names]
    said += [f"{n}: {_short(x)} -> {_short(y)}" for n, x, y in both if x != y]
    if sorted(a["inputs"].values()) != sorted(b["inputs"].values()):
        said.append("input files")
    return ", ".join(said) or "the same settings, after a step that differs"
