"""Loops: rounds of steps over a state. A round is a small run in a folder of its own, with its steps and receipts.

    steps/03-loop/round-0/state           the rows that entered
    steps/03-loop/round-1/steps/01-...    the steps of the first round, which begin with that state
    steps/03-loop/round-1/state           the state after it, and the rows that the round made and dropped
    steps/03-loop/part-*.parquet          the last state: the rows of the loop

The key of a state follows from the state before it and the last step of the round, so rounds are reused like steps are:
one that was stopped in the middle goes on there, and more rounds go on after the last.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator import rows, table
from curator.errors import CuratorError, OperatorError
from curator.run import receipts, worker
from curator.run.progress import Inside
from curator.run.receipts import Receipt
from curator.run.session import Planned, Session, files_of, now, state_of
from curator.run.whole import Stop, fresh, told_sql
from curator.shards import Part, ShardWriter, parts, widen
from curator.text import seed_of

RunSteps = Callable[[Session, Planned], Awaitable[Planned]]
NOTHING, UNTIL, ROUNDS = "nothing new", "until", "rounds"  # why a loop ended, in its receipt
AGAIN = (
    "; what an earlier round made of the same rows has the same ids: pick the rows to work on by their round (sql: "
    "select * from rows where round = (select max(round) from rows)), draw from them, or write mode: replace"
)


async def run_loop(session: Session, planned: Planned, parent: Planned, run_steps: RunSteps) -> None:
    """Run the rounds of a loop on the rows of `parent` and write its receipt.

    Args:
        session: the run.
        planned: the loop.
        parent: the step before it.
        run_steps: runs the steps of a session from a given state and returns the last of them.

    Raises:
        CuratorError: what a step of a round raises, with the number of the round before it.
    """
    from curator.run.local import in_thread

    started, begun = now(), time.time()
    session.progress.step(planned.label, None, None)
    told: list[Receipt] = []
    state = state_of(planned.folder / "round-0/state", receipts.digest(["state", planned.step.op.version, parent.key]))
    await in_thread(partial(_enter, session, planned, state, parent))
    entered, ended = sum(p.rows for p in parts(state.folder)), ROUNDS
    bound = planned.step.bound
    for number in range(1, bound["rounds"] + 1):
        session.progress.note(f"{planned.label}: round {number} of {bound['rounds']}")
        inside = _begin(session, planned, state, number)
        try:
            last = await run_steps(inside, state)
            after = _next(planned, state, last, number)
            await in_thread(partial(_join, inside, planned, state, last, after))
        except CuratorError as e:
            raise _in_round(e, planned, number) from e
        finally:
            for scratch in (".spill", ".trial", ".feed"):
                shutil.rmtree(inside.root / scratch, ignore_errors=True)
        told.append((after.receipt or {})["round"])
        state = after
        if not told[-1]["yielded"]:
            ended = NOTHING
            rest = bound["rounds"] - number
            more = f"; the {rest} rounds after it are left out" if rest else ""
            session.progress.note(f"{planned.label}: round {number} yielded nothing new; the loop ends{more}")
            break
        if _reached(session, planned, state):
            ended = UNTIL
            break
    await in_thread(partial(_finish, session, planned, state, told, entered, ended, started, begun))


def _in_round(error: CuratorError, planned: Planned, number: int) -> CuratorError:
    way = AGAIN if number > 1 and ("rows vanished" in str(error) or "the same row_id" in str(error)) else ""
    told = type(error)(f"{planned.label}, round {number}: {error}{way}")
    told.__cause__ = error.__cause__
    return told


def _begin(session: Session, planned: Planned, state: Planned, number: int) -> Session:
    """Return the session of a round; what lies there of a round that began with another state is removed."""
    root = planned.folder / f"round-{number}"
    known = receipts.read_json(root / "run.json")
    if known is not None and known.get("state") != state.key:
        _forget(planned.folder, number)
    pipeline = replace(
        session.pipeline, steps=planned.step.body, seed=seed_of(session.pipeline.seed, planned.label, number)
    )
    progress = Inside(session.progress, planned.label)
    return replace(session, pipeline=pipeline, root=root, progress=progress, limit=None, steps=[])


def _forget(folder: Path, first: int) -> None:
    for old in folder.glob("round-*"):
        if int(old.name.removeprefix("round-")) >= first:
            shutil.rmtree(old, ignore_errors=True)


def _next(planned: Planned, state: Planned, last: Planned, number: int) -> Planned:
    made_of = ["state", planned.step.op.version, planned.step.bound["mode"], state.key, last.key, number]
    return state_of(planned.folder / f"round-{number}/state", receipts.digest(made_of), last.key)


def _whole(planned: Planned) -> bool:
    receipt = planned.receipt
    return receipt is not None and len(files_of(planned)) == receipt["parts"]


def _enter(session: Session, planned: Planned, state: Planned, parent: Planned, stop: Stop) -> None:
    """Write the first state: the rows that enter, in round 0."""
    if _whole(state):
        return
    started = now()
    fresh(state)
    out = ShardWriter(state.folder, schema=None, who=planned.spec.who, rows=session.shard_rows)
    for part in parts(parent.folder):
        stop.check()
        out.add(_numbered(table.read_table(part.path), pa.scalar(0, pa.int32())))
    state.finish({"parts": len(out.close()), "round": {"round": 0}}, started)


def _numbered(found: pa.Table, numbers: Any) -> pa.Table:
    """Return the table with these numbers as its column `round`."""
    column = numbers if isinstance(numbers, pa.Array | pa.ChunkedArray) else pa.repeat(numbers, found.num_rows)
    return rows.put(found, {"round": column})


def _join(inside: Session, planned: Planned, state: Planned, last: Planned, after: Planned, stop: Stop) -> None:
    """Write the state after a round, the rows it dropped beside it, and its receipt."""
    if _whole(after):
        return
    started, number = now(), int(after.folder.parent.name.removeprefix("round-"))
    append = planned.step.bound["mode"] == "append"
    fresh(after)
    view = stop.watch(inside.view(files_of(state)))
    try:
        with told_sql(planned.spec):
            written, yielded, known = _write_state(inside, planned, view, state, last, after, number, stop)
            dropped, reasons = _write_dropped(inside, planned, view if append else None, after, number, stop)
    finally:
        view.close()
    before = sum(p.rows for p in parts(state.folder))
    steps = {p.label: receipts.lasting(p.receipt or {}) for p in inside.steps}
    body = {label: {k: r.get(k) for k in NUMBERS} for label, r in steps.items()}
    made = yielded + dropped if append else sum(int(b["made"] or 0) for b in body.values())
    numbers = {
        "round": number, "rows_in": before, "made": made, "out": sum(p.rows for p in written), "dropped": dropped,
        "reasons": reasons, "yielded": yielded, "known": known, "steps": body,
    }  # fmt: skip
    _hold(f"{planned.spec.who}, round {number}", numbers)
    after.finish({"parts": len(written), "round": numbers}, started)


NUMBERS = ("op", "settings", "rows_in", "made", "out", "dropped", "reasons", "engines")


def _hold(who: str, numbers: Mapping[str, Any]) -> None:
    """Check the law of rows for a round or a loop. Raises OperatorError."""
    if numbers["rows_in"] + numbers["made"] != numbers["out"] + numbers["dropped"]:
        said = ", ".join(f"{k} {numbers[k]:,}" for k in ("rows_in", "made", "out", "dropped"))
        msg = f"{who}: rows vanished or came from nowhere: {said}"
        raise OperatorError(msg)


def _write_state(
    inside: Session, planned: Planned, view: table.TableView, state: Planned, last: Planned, after: Planned,
    number: int, stop: Stop,
) -> tuple[list[Part], int, int]:  # fmt: skip
    """Write the next state; return its shards, how many rows the round yielded, and how many the state held already."""
    append = planned.step.bound["mode"] == "append"
    view.con.execute(f"create view yielded as select row_id from {table.sql_files(files_of(last))}")
    held = view.con.sql("select row_id, round from rows semi join yielded using (row_id)").to_arrow_table()
    ids, numbers = held["row_id"].combine_chunks(), held["round"].combine_chunks()
    new = table.schema_of(files_of(last))
    new = new if "round" in new.names else new.append(pa.field("round", pa.int32()))
    schema = widen(view.schema, new, planned.spec.who) if append else new
    out = ShardWriter(after.folder, schema=schema, who=planned.spec.who, rows=inside.shard_rows)
    for part in parts(state.folder) if append else ():
        stop.check()
        if schema.equals(view.schema):
            out.link(part)
        else:
            out.add(_filled(table.read_table(part.path), schema))
    yielded = 0
    for part in parts(last.folder):
        stop.check()
        found = table.read_table(part.path)
        at = pc.index_in(found["row_id"], ids)
        if append:
            found = found.filter(pc.is_null(at))
            yielded += found.num_rows
            found = _numbered(found, pa.scalar(number, pa.int32()))
        else:
            yielded += found.num_rows
            found = _numbered(found, pc.coalesce(numbers.take(at), pa.scalar(number, pa.int32())))
        if found.num_rows:
            out.add(_filled(found, schema))
    return out.close(), yielded, len(held)


def _filled(found: pa.Table, schema: pa.Schema) -> pa.Table:
    for field in schema:
        if field.name not in found.column_names:
            found = found.append_column(field, pa.nulls(found.num_rows, field.type))
    return found.select(schema.names).cast(schema)


def _write_dropped(
    inside: Session, planned: Planned, state: table.TableView | None, after: Planned, number: int, stop: Stop
) -> tuple[int, dict[str, int]]:
    """Write the rows that the steps of a round dropped; return how many, and how many for each reason.

    `state`: rows of it are left out: in mode append they go on in the state, whatever the steps did with them.
    """
    out = ShardWriter(after.folder, "dropped", schema=None, who=planned.spec.who, rows=inside.shard_rows)
    reasons: dict[str, int] = {}
    for step in inside.steps:
        for path in sorted(step.folder.glob("dropped-*.parquet")):
            stop.check()
            lost = table.read_table(path)
            if state is not None:
                state.con.register("lost", pa.table({"row_id": lost["row_id"]}))
                held = state.con.sql("select row_id from lost semi join rows using (row_id)").to_arrow_table()
                lost = lost.filter(pc.invert(pc.is_in(lost["row_id"], held["row_id"].combine_chunks())))
            told = pa.array([f"{planned.label}.{step.label}"] * lost.num_rows, pa.string())
            out.add(_numbered(rows.put(lost, {"dropped_by": told}), pa.scalar(number, pa.int32())))
            for v in pc.value_counts(lost["reason"]).to_pylist():
                reasons[v["values"]] = reasons.get(v["values"], 0) + v["counts"]
    return sum(p.rows for p in out.close(empty=False)), dict(sorted(reasons.items()))


def _reached(session: Session, planned: Planned, state: Planned) -> bool:
    """Whether the loop's condition holds for the state."""
    view = session.view(files_of(state))
    try:
        with told_sql(planned.spec):
            ended = worker.call(planned.spec, "its factory", lambda: planned.spec.factory(**planned.spec.settings))
            return bool(ended(view))
    finally:
        view.close()


def _finish(
    session: Session, planned: Planned, state: Planned, told: list[Receipt], entered: int, ended: str, started: str,
    begun: float, stop: Stop,
) -> None:  # fmt: skip
    """Put the last state in the place of the loop's rows, and write the receipt that sums up the rounds."""
    _forget(planned.folder, len(told) + 1)
    try:
        for old in [*planned.folder.glob("*.parquet"), planned.folder / "receipt.json"]:
            old.unlink(missing_ok=True)
    except OSError as e:
        raise table.cannot_write(planned.folder, e) from e
    out = ShardWriter(planned.folder, schema=table.schema_of(files_of(state)), who=planned.spec.who)
    for part in parts(state.folder):
        out.link(part)
    lost = ShardWriter(planned.folder, "dropped", schema=None, who=planned.spec.who, rows=session.shard_rows)
    for one in told:
        for path in sorted((planned.folder / f"round-{one['round']}/state").glob("dropped-*.parquet")):
            stop.check()
            lost.add(table.read_table(path))
    lost.close(empty=False)
    total = receipts.add_up(told)
    folders = [planned.folder / f"round-{one['round']}/steps" for one in told]
    used = receipts.add_up([receipts.read_json(f) or {} for d in folders for f in sorted(d.glob("*/receipt.json"))])
    total |= {"rows_in": entered, "out": sum(p.rows for p in out.parts), "engines": used["engines"]}
    total["counts"] = {"rounds": len(told), "known": sum(one["known"] for one in told)}
    _hold(planned.spec.who, total)
    total |= {"parts": len(out.parts), "rounds": told, "ended": ended, "reports": {}}
    receipts.write_json(planned.folder / "step.json", {"key": planned.key, "layout": "loop"})
    total["seconds"] = round(time.time() - begun, 3)
    session.progress.done(planned.label, planned.finish(total, started))
