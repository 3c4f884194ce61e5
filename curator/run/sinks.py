"""The end of a pipeline: sinks write files, from rows in an order that does not depend on how they were made."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from curator import table
from curator.errors import OutputError
from curator.op import DROPPED
from curator.run import receipts, worker
from curator.run.session import Planned, Session, files_of, now
from curator.run.sorting import sorted_batches
from curator.run.whole import Stop, fresh, told_sql
from curator.shards import ShardWriter

REFUSED = "refused"  # shards of the rows a sink left out, beside its receipt


class Folder:
    """The `Sink` of `curator.op`: a folder under construction that becomes the real one when the sink ends."""

    def __init__(self, folder: Path, facts: Mapping[str, Any], who: str = "sink") -> None:
        self._folder, self._facts = folder, facts
        self._refused = ShardWriter(folder.parent, REFUSED, schema=DROPPED, who=f"{who}, refused rows")
        self._reasons: Counter[str] = Counter()

    @property
    def folder(self) -> Path:
        """The folder under construction."""
        return self._folder

    @property
    def run(self) -> Mapping[str, Any]:
        """Facts for the card: those that are the same after an interruption."""
        return self._facts

    def refuse(self, rows: pa.Table) -> None:
        """Keep rows that are not in what is written, for the ledger. Raises OperatorError for another schema."""
        self._reasons.update(rows["reason"].to_pylist() if "reason" in rows.column_names else ())
        self._refused.add(rows)

    def close(self) -> dict[str, int]:
        """Write the refused rows; return how many for each reason."""
        self._refused.close(empty=False)
        return dict(sorted(self._reasons.items()))

    def open(self, name: str) -> BinaryIO:
        """Open `name` for writing. Raises OutputError where it would lie outside the folder."""
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()) or path == self._folder.resolve():
            msg = f"a sink may not write '{name}': it lies outside the output folder"
            raise OutputError(msg)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return io.BufferedWriter(io.FileIO(path, "w"))
        except OSError as e:
            raise table.cannot_write(path, e) from e


def run_sink(session: Session, planned: Planned, parent: Planned, facts: Mapping[str, Any], stop: Stop) -> None:
    """Let a sink write its files, from rows in the order of problem, sample and row id.

    Raises:
        OutputError: a file cannot be written.
        OperatorError: the sink raised.
    """
    started, begun = now(), time.time()
    spec = planned.spec
    fresh(planned)
    session.progress.step(planned.label, None, None)
    building, target = planned.folder / "new", sink_folder(session, planned)
    view = None
    try:
        building.mkdir(parents=True)
        with told_sql(spec):
            files = ordered(session, parent, planned.folder / "ordered", stop)
        view = stop.watch(session.view(files))
        count = view.con.execute("select count(*) from rows").fetchall()[0][0]
        sink = Folder(building, facts, spec.who)
        with told_sql(spec):
            worker.call(spec, "its factory", lambda: spec.factory(**spec.settings))(view, sink)
        left_out = sink.close()
        swap(building, target)
        shutil.rmtree(planned.folder / "ordered", ignore_errors=True)
    except OSError as e:
        raise table.cannot_write(target, e) from e
    finally:
        if view is not None:
            view.close()
    names = [str(f.relative_to(target)) for f in sorted(target.rglob("*")) if f.is_file()]
    numbers = receipts.add_up([{"rows_in": count, "out": count}])
    numbers |= {"folder": os.path.relpath(target, session.root), "files": names[:1000], "parts": 0, "reports": {}}
    numbers |= {"left_out": left_out} if left_out else {}
    numbers["seconds"] = round(time.time() - begun, 3)
    session.progress.done(planned.label, planned.finish(numbers, started))


def sink_folder(session: Session, planned: Planned) -> Path:
    """Return where a sink's files go: `out/`, or `out/LABEL/` where the pipeline has several sinks."""
    several = sum(p.spec.kind == "sink" for p in session.steps) > 1
    return session.root / "out" / planned.label if several else session.root / "out"


def swap(building: Path, target: Path) -> None:
    """Put a finished folder in the place of `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    old = building.with_name("old")
    if target.exists():
        target.replace(old)
    building.replace(target)
    shutil.rmtree(old, ignore_errors=True)


def ordered(session: Session, parent: Planned, folder: Path, stop: Stop) -> list[Path]:
    """Return shards of the parent's rows in `table.ORDER`; a sorted copy where they lie in another order."""
    files = files_of(parent)
    view = stop.watch(session.view(files))
    try:
        if table.in_order(view):
            return files
        folder.mkdir(parents=True)
        out = ShardWriter(folder, schema=view.schema, who="sorting", rows=session.shard_rows)
        for rows in sorted_batches(view, table.ORDER, folder.with_name("buckets"), stop):
            out.add(rows)
        return [p.path for p in out.close()]
    finally:
        view.close()
