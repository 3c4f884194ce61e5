"""Exactly n accepted rows without asking for more than needed: the steps before `select(n=...)` are fed in waves.

    generate | verify | grade | select(where="correct", n=1000)

Problems come in the order of hash(seed, problem_id), the order in which `select` takes them too. After each wave the
steps up to `select` are tried on what there is; feeding stops when n rows are accepted or the input is used up. The n
rows are the first n accepted ones of that order, so they do not depend on the size of the waves. Input rows that were
not needed are dropped by the first of these steps, reason `not_needed`.

This holds only where a problem's fate is its own: steps that compare problems (dedup, sample, sql) end the stretch.
A spent budget stops the run like any other (resumable): what there is so far is not passed off as the n rows.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator import table
from curator.pipeline import Step
from curator.run import laws, receipts
from curator.run.progress import Progress
from curator.run.receipts import Receipt
from curator.run.segment import MODEL_ROWS, Segment, Unit
from curator.run.session import Planned, Session, layout_of, now
from curator.run.whole import run_table
from curator.shards import ShardWriter

REASON = "not_needed"
WAVES = 8  # the first wave is n rows: it is cut into so many shards at least, so that feeding can stop inside it


OWN = {"problem_id", "row_id"}  # a step that compares no rows but those of a problem leaves its fate to itself


def demand(step: Step) -> int | None:
    """Return how many rows a step wants in all, see `enough` in `curator.op`."""
    return step.op.enough(step.bound) if step.kind == "table" else None


def _own_fate(step: Step) -> bool:
    """Whether a step decides about a problem by its own rows alone."""
    if step.kind != "table":
        return step.kind in ("row", "model")
    key = step.op.key(step.bound)
    return bool(key) and set(key) <= OWN and demand(step) is None


def stretches(steps: Sequence[Step]) -> dict[int, int]:
    """Return start -> end of the stretches that are fed in waves; `end` is the place of the `select`.

    A stretch begins with the first model operator from which only steps of `_own_fate` lead to the `select`.
    """
    found: dict[int, int] = {}
    for end, step in enumerate(steps):
        if demand(step) is None:
            continue
        start = end
        while start > 0 and _own_fate(steps[start - 1]):
            start -= 1
        models = [i for i in range(start, end) if steps[i].kind == "model"]
        if models and models[0] not in found:
            found[models[0]] = end
    return found


def wanted(steps: Sequence[Step], at: int) -> Any:
    """Return what belongs into the key of step `at` because it is fed in waves: all that decides how far."""
    for start, end in stretches(steps).items():
        if start <= at < end:
            return [[s.op.name, s.op.version, s.bound] for s in steps[start : end + 1]]
    return None


async def feed(session: Session, steps: Sequence[Planned], parent: Planned, cut_at: int) -> None:
    """Run the first segment of a stretch on as many problems as the `select` at its end needs.

    Args:
        session: the run.
        steps: the stretch, from the model operator to the `select`.
        parent: the step before it.
        cut_at: how many of `steps` are the segment (row and model operators before the first table operator).

    Raises:
        CuratorError: as `Segment.run`, and what a table operator on the way raises.
    """
    n = demand(steps[-1].step) or 0
    folder = session.root / ".feed"
    started = now()
    unit_rows = max(1, min(MODEL_ROWS, session.shard_rows, n // WAVES))
    layout = receipts.digest([layout_of(parent, unit_rows), "in waves", n])
    units = _ordered(session, parent, steps[-1], folder, unit_rows)
    segment = Segment(session, steps[:cut_at], parent, units)
    fed, target = 0, max(1, n)
    try:
        while True:
            while fed < len(units) and sum(u.rows for u in units[:fed]) < target:
                fed += 1
            await segment.process(units[:fed], layout)
            rows = sum(u.rows for u in units[:fed])
            accepted = await _accepted(session, steps, cut_at, n)
            if accepted >= n or fed == len(units):
                break
            # As many more as the share accepted so far asks for, a little over; at most twice as many as now.
            target = min(2 * rows, rows + int((n - accepted) * rows / max(1, accepted) * 1.05) + 1)
    finally:
        await segment.close()
    segment.finish(units[:fed], started, _leave(segment.steps[0], units[fed:]))


def _ordered(session: Session, parent: Planned, select: Planned, folder: Path, rows: int) -> list[Unit]:
    """Write the parent's rows in the order of hash(seed, problem_id), cut between problems; return the units."""
    from curator.ops._sql import uniform

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    view = session.view(sorted(parent.folder.glob("part-*.parquet")))
    try:
        group = "problem_id" if "problem_id" in view.schema.names else "row_id"
        key = uniform(select.spec.settings.get("seed") or 0, f"coalesce({group}, row_id)")
        order = f"select * from rows order by {key}, {group}, row_id"
        held: list[pa.Table] = []
        units: list[Unit] = []

        def write(pieces: list[pa.Table]) -> None:
            whole = pa.concat_tables(pieces)
            path = folder / f"part-{len(units):05d}.parquet"
            table.write_table(whole, path)
            units.append(Unit(len(units), path, 0, whole.num_rows))

        last, count = None, 0
        for batch in view.con.sql(order).to_arrow_reader(table.BATCH_ROWS):
            piece = pa.Table.from_batches([batch]).cast(view.schema)
            begin = 0
            for i, name in enumerate(piece[group].to_pylist()):
                if count >= rows and name != last:
                    write([*held, piece.slice(begin, i - begin)])
                    held, begin, count = [], i, 0
                last, count = name, count + 1
            held.append(piece.slice(begin))
        write(held or [view.schema.empty_table()])
        return units
    finally:
        view.close()


async def _accepted(session: Session, steps: Sequence[Planned], cut_at: int, n: int) -> int:
    """Try the rest of the stretch on what there is, in a scratch folder; return how many rows the select accepts."""
    from curator.run.local import in_thread

    quiet = replace(session, progress=Progress())
    parent = steps[cut_at - 1]
    at = cut_at
    try:
        while at < len(steps):
            trial = replace(steps[at], folder=session.root / ".trial" / steps[at].folder.name)
            if trial.spec.kind == "table":
                await in_thread(partial(run_table, quiet, trial, parent))
                until = at + 1
            else:
                until = at
                while steps[until].spec.kind != "table":
                    until += 1
                group = [replace(s, folder=session.root / ".trial" / s.folder.name) for s in steps[at:until]]
                for planned in group:
                    shutil.rmtree(planned.folder, ignore_errors=True)
                await Segment(quiet, group, parent).run()
                trial = group[-1]
            parent, at = trial, until
        counts = (receipts.read_json(parent.folder / "receipt.json") or {})["counts"]
        return n - int(counts["short_by"])
    finally:
        shutil.rmtree(session.root / ".trial", ignore_errors=True)


def _leave(first: Planned, units: Sequence[Unit]) -> Receipt | None:
    """Write the rows that were not needed as dropped rows of the first step of the stretch; return their numbers."""
    if not units:
        return None
    schema = laws.dropped_schema(table.schema_of([units[0].source]))
    out = ShardWriter(first.folder, "dropped-rest", schema=schema, who=first.spec.who)
    told = {"dropped_by": first.label, "reason": REASON, "evidence": "{}"}
    for unit in units:
        given = table.read_table(unit.source)
        columns = [pa.array([told[f.name]] * len(given), f.type) if f.name in told else given[f.name] for f in schema]
        out.add(pa.table(columns, schema=schema))
    count = sum(p.rows for p in out.close(empty=False))
    return {"rows_in": count, "dropped": count, "reasons": {REASON: count}}
