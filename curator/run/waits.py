"""Barriers: the rows of a step go outside, and the run goes on with what comes back; see `curator.barrier`."""

from __future__ import annotations

import shutil
import time

import pyarrow as pa

from curator import rows, table
from curator.barrier import pass_barrier
from curator.errors import InputError
from curator.run import receipts, worker
from curator.run.session import Planned, Session, now
from curator.run.whole import Stop, fresh
from curator.shards import ShardWriter, parts


def run_barrier(session: Session, planned: Planned, parent: Planned, stop: Stop) -> None:
    """Hand the rows of `parent` over, wait for the result, and write the rows with it.

    They lie in `barriers/LABEL/rows` of the run's folder, beside the manifest, the command's log and the result.

    Raises:
        Waiting: there is no result yet.
        InputError: the result is none, or was made from other rows.
        OperatorError: the command failed.
    """
    started, begun = now(), time.time()
    spec = planned.spec
    session.progress.step(planned.label, None, None)
    read = worker.call(spec, "its factory", lambda: spec.factory(**spec.settings))
    place = session.root / "barriers" / planned.label
    handed = place / "rows"
    shutil.rmtree(handed, ignore_errors=True)
    table.make_folder(handed)
    given = ShardWriter(handed, schema=None, who=spec.who, rows=session.shard_rows)
    for part in parts(parent.folder):
        given.link(part)
    command, timeout = spec.settings["command"], spec.settings["timeout"]
    result = pass_barrier(place, {"rows": handed}, command=command, timeout=timeout, stop=stop.check)
    found = receipts.read_json(result)
    if found is None:
        msg = f"{spec.who}: {result} is no JSON object"
        raise InputError(msg)
    value, (name,) = read(found), spec.adds
    fresh(planned)
    schema = table.schema_of([p.path for p in given.parts])
    out = ShardWriter(planned.folder, schema=None, who=spec.who, rows=session.shard_rows)
    for part in given.parts:
        stop.check()
        rows_ = table.read_table(part.path).cast(schema)
        out.add(rows.put(rows_, {name: pa.array([value] * rows_.num_rows, pa.string())}))
    written = out.close()
    count = sum(p.rows for p in written)
    numbers = receipts.add_up([{"rows_in": count, "out": count}])
    numbers |= {"parts": len(written), "seconds": round(time.time() - begun, 3), "reports": {}, "result": found}
    session.progress.done(planned.label, planned.finish(numbers, started))
