"""Steps that stand alone: sources and table operators. Each runs in a thread and starts over after a stop."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from curator import rows, table
from curator.errors import CuratorError, InputError, OperatorError, OutputError
from curator.op import DROPPED, Result, Split
from curator.run import laws, receipts, worker
from curator.run.receipts import Receipt
from curator.run.segment import reports, unique
from curator.run.session import Planned, Session, files_of, now
from curator.shards import Part, ShardWriter, conform


class Stop:
    """Asks a thread to stop: between batches, and inside DuckDB by interrupting it."""

    def __init__(self) -> None:
        self._flag = threading.Event()
        self._views: list[table.TableView] = []

    def watch(self, view: table.TableView) -> table.TableView:
        """Interrupt this view's connection as well."""
        self._views.append(view)
        return view

    def ask(self) -> None:
        """Stop as soon as possible."""
        self._flag.set()
        for view in self._views:
            with suppress(duckdb.Error):  # it may be closed already
                view.con.interrupt()

    def check(self) -> None:
        """Raise KeyboardInterrupt where the stop was asked for."""
        if self._flag.is_set():
            raise KeyboardInterrupt


def fresh(planned: Planned) -> None:
    """Empty the step's folder: the work of these steps is not divided into shards that could be kept."""
    shutil.rmtree(planned.folder, ignore_errors=True)
    planned.begin("whole")


def run_source(session: Session, planned: Planned, stop: Stop) -> None:
    """Read the input into shards; rows that could not be read are dropped rows with a reason.

    Raises:
        InputError: the input has duplicate or null ids, or columns whose types cannot be one schema.
    """
    started, begun = now(), time.time()
    spec, who = planned.spec, planned.spec.who
    fresh(planned)
    session.progress.step(planned.label, None, None)
    out = ShardWriter(planned.folder, schema=None, who=who, rows=session.shard_rows)
    lost = ShardWriter(planned.folder, "dropped", schema=laws.dropped_schema(pa.schema([DROPPED[0]])), who=who)
    counts: list[Receipt] = []
    for result in limited(worker.call(spec, "its factory", lambda: spec.factory(**spec.settings)), session.limit, spec):
        stop.check()
        out.add(declared(result.table, spec))
        dropped = result.dropped if result.dropped is not None else DROPPED.empty_table()
        dropped = conform(dropped, DROPPED, f"{who}, dropped rows")
        reasons = {v["values"]: v["counts"] for v in dropped["reason"].value_counts().to_pylist()}
        laws.known_reasons(spec, reasons, who)
        lost.add(dropped.add_column(1, "dropped_by", pa.array([planned.label] * dropped.num_rows, pa.string())))
        numbers = {"rows_in": result.table.num_rows + dropped.num_rows, "out": result.table.num_rows}
        counts.append(numbers | {"dropped": dropped.num_rows, "reasons": reasons, "counts": result.counts})
        session.progress.shard(planned.label, counts[-1])
    if out.schema is None:
        out.add(pa.table({"row_id": pa.array([], pa.string())}))
    written = out.close()
    lost.close(empty=False)
    try:
        unique(session, planned)
    except OperatorError as e:
        raise InputError(str(e)) from e
    _end(session, planned, receipts.add_up(counts), len(written), begun, started)


def declared(found: pa.Table, spec: laws.Spec) -> pa.Table:
    """Give shared columns their declared types."""
    schema = laws.out_schema(spec, pa.schema([]), found.schema) if spec.effect == "shapes" else None
    if schema is None:
        known = {n: c.type for n, c in rows.COLUMNS.items()} | dict(spec.adds)
        schema = pa.schema([(f.name, known.get(f.name, f.type)) for f in found.schema])
    if "row_id" not in found.column_names or found["row_id"].null_count:
        msg = f"{spec.who}: returned rows without row_id"
        raise OperatorError(msg)
    try:
        return conform(found, schema, spec.who)
    except OperatorError as e:
        raise InputError(str(e)) from e


def limited(function: Callable[[], Iterator[Result]], limit: int | None, spec: laws.Spec) -> Iterator[Result]:
    """Yield what a source gives, the table cut after `limit` rows."""
    left = limit
    try:
        for given in function():
            result = Result(given) if isinstance(given, pa.Table) else given
            if left is None:
                yield result
                continue
            yield Result(result.table.slice(0, left), result.dropped, result.counts)
            left -= min(left, result.table.num_rows)
            if left <= 0:
                return
    except CuratorError:
        raise
    except Exception as e:
        raise worker.raised(spec, "reading", e) from e


def run_table(session: Session, planned: Planned, parent: Planned, stop: Stop) -> None:
    """Run a table operator over all rows of the step before.

    Raises:
        OperatorError: its SQL fails, or its rows break the laws.
    """
    started, begun = now(), time.time()
    spec = planned.spec
    fresh(planned)
    session.progress.step(planned.label, None, None)
    view = stop.watch(session.view(files_of(parent)))
    try:
        with told_sql(spec):
            function = worker.call(spec, "its factory", lambda: spec.factory(**spec.settings))
            split = function(view)
            table.settle(view.con)
            if not isinstance(split, Split):
                msg = f"{spec.who}: returned {type(split).__name__}, not a Split"
                raise OperatorError(msg)
            written, numbers = _write(session, planned, view, split, stop)
    finally:
        view.close()
    _end(session, planned, numbers, written, begun, started)


@contextmanager
def told_sql(spec: laws.Spec) -> Iterator[None]:
    """Tell what goes wrong in DuckDB, and in the operator itself, in one line."""
    try:
        yield
    except CuratorError:
        raise
    except duckdb.InterruptException as e:
        raise KeyboardInterrupt from e
    except duckdb.OutOfMemoryException as e:
        msg = f"{spec.who}: does not fit into memory: {' '.join(str(e).split())[:200]}; raise `memory`"
        raise OperatorError(msg) from e
    except duckdb.IOException as e:
        msg = f"{spec.who}: {' '.join(str(e).split())[:300]}; free space and run again (finished shards are kept)"
        raise OutputError(msg) from e
    except Exception as e:
        raise worker.raised(spec, "all rows", e) from e


def _write(session: Session, planned: Planned, view: table.TableView, split: Split, stop: Stop) -> tuple[int, Receipt]:
    spec = planned.spec
    relation = view.con.sql(split.out)
    reader = relation.to_arrow_reader(table.BATCH_ROWS)
    schema = laws.out_schema(spec, view.schema, reader.schema)
    out = ShardWriter(planned.folder, schema=schema, who=spec.who, rows=session.shard_rows)
    out.add(pa.Table.from_batches([], reader.schema))
    for batch in reader:
        stop.check()
        out.add(pa.Table.from_batches([batch]))
    written = out.close()
    lost, reasons = _write_dropped(session, planned, view, split, stop)
    _name(view.con, "out_rows", [p.path for p in written])
    if lost:
        _name(view.con, "dropped_rows", [p.path for p in lost])
    else:
        view.con.execute("create view dropped_rows as select * from rows limit 0")
    counts = {"out_rows": sum(p.rows for p in written), "dropped_rows": sum(p.rows for p in lost)}
    counts["rows"] = view.con.execute("select count(*) from rows").fetchall()[0][0]
    made = laws.hold_whole(spec, view, view.schema, counts)
    numbers = receipts.add_up([{"reasons": reasons, "counts": split.counts}])
    numbers |= {"rows_in": counts["rows"], "made": made, "out": counts["out_rows"], "dropped": counts["dropped_rows"]}
    return len(written), numbers


def _write_dropped(
    session: Session, planned: Planned, view: table.TableView, split: Split, stop: Stop
) -> tuple[list[Part], dict[str, int]]:
    """Write the dropped rows with their own columns; return shards and how many for each reason."""
    if split.dropped is None:
        return [], {}
    spec = planned.spec
    con = view.con
    con.execute(f"create temp table run_dropped as select row_id::varchar as row_id, reason::varchar as reason, "
                f"evidence::varchar as evidence from ({split.dropped})")  # fmt: skip
    reasons = dict(con.execute("select reason, count(*) from run_dropped group by 1 order by 1").fetchall())
    laws.known_reasons(spec, reasons, spec.who)
    strangers = con.execute("select row_id from run_dropped anti join rows using (row_id) limit 5").fetchall()
    if strangers:
        msg = f"{spec.who}: dropped rows it was not given: {', '.join(str(r[0]) for r in strangers)}"
        raise OperatorError(msg)
    schema = laws.dropped_schema(view.schema)
    told = {"dropped_by": "?::varchar", "reason": "d.reason", "evidence": "d.evidence"}
    chosen = ", ".join(f'{told[n]} as "{n}"' if n in told else f"r.{rows.quote(n)}" for n in schema.names)
    label = planned.label.replace("'", "''")
    sql = f"select {chosen} from rows r join run_dropped d using (row_id)".replace("?::varchar", f"'{label}'")
    lost = ShardWriter(planned.folder, "dropped", schema=schema, who=spec.who, rows=session.shard_rows)
    for batch in con.sql(sql).to_arrow_reader(table.BATCH_ROWS):
        stop.check()
        lost.add(pa.Table.from_batches([batch]))
    return lost.close(empty=False), reasons


def _name(con: Any, name: str, files: list[Path]) -> None:
    con.execute(f"create view {name} as select * from {table.sql_files(files)}")


def _end(session: Session, planned: Planned, numbers: Receipt, parts: int, begun: float, started: str) -> None:
    numbers["seconds"] = round(time.time() - begun, 3)
    numbers["parts"] = parts
    numbers["reports"] = reports(session, planned)
    session.progress.done(planned.label, planned.finish(numbers, started))
