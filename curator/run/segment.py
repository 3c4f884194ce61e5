"""Row and model operators between two table operators, as one streaming pass over the shards.

Each shard goes through all steps of the segment without waiting for the others; several are under way at a time, so
that engines and workers stay busy, but never more than can be worked on: that bound is the back-pressure. A shard's
numbers (`part-00000.json`) are written after its rows; their presence means the shard is done.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator import table
from curator.errors import CuratorError, OperatorError
from curator.run import laws, receipts, worker
from curator.run.meter import tally
from curator.run.pool import Pool
from curator.run.receipts import Receipt
from curator.run.session import Planned, Session, layout_of, now
from curator.run.worker import Job, Staged
from curator.shards import Part, parts

MODEL_ROWS = 256  # rows of a shard before a model operator: 16 samples of 100 kB each are then 400 MB, not 8 GB

# A small table is still work for several workers: a thousand long traces are one file and minutes of verification. So
# row operators get at least PIECES units, but none of fewer rows than pay for starting a worker. The cut must not
# depend on how many workers there are: a run goes on with another number of them.
PIECES, PIECE_ROWS = 16, 256


@dataclass(frozen=True)
class Unit:
    """The rows of one shard of the segment: a slice of a file of the step before."""

    number: int
    source: Path
    start: int
    rows: int


def rows_of_unit(shards: Sequence[Part], most: int | None) -> int | None:
    """Return the rows of a unit; None where the shards are units as they are. `most`: the limit for model operators."""
    if most is not None:
        return most
    return max(PIECE_ROWS, -(-sum(s.rows for s in shards) // PIECES)) if len(shards) < PIECES else None


def cut(shards: Sequence[Part], rows: int | None) -> list[Unit]:
    """Return the units of a segment: the shards before it, cut to at most `rows` rows."""
    units: list[Unit] = []
    for shard in shards:
        step = shard.rows if rows is None else rows
        for start in range(0, max(1, shard.rows), max(1, step)):
            units.append(Unit(len(units), shard.path, start, min(max(1, step), shard.rows - start)))
    return units


class Segment:
    """One pass: `steps` over the rows of `parent`."""

    def __init__(
        self, session: Session, steps: Sequence[Planned], parent: Planned, units: list[Unit] | None = None
    ) -> None:
        self.session, self.steps, self.parent = session, steps, parent
        models = [p for p in steps if p.spec.kind == "model"]
        shards = parts(parent.folder) if units is None else []
        self.unit_rows = rows_of_unit(shards, min(session.shard_rows, MODEL_ROWS) if models else None)
        self.units = cut(shards, self.unit_rows) if units is None else units
        self.pool = Pool({p.label: p.spec for p in steps if p.spec.kind == "row"}, session.workers)
        self.functions: dict[str, Any] = {}
        engines = [e for p in models for e in p.step.engines.values()]
        calls = sum(session.engines.get(alias).concurrency for alias in set(engines))
        self.in_flight = max(1, session.workers) + 1 + (-(-2 * calls // self.unit_rows) if self.unit_rows else 0)

    async def run(self) -> None:
        """Process all shards, then write the receipts.

        Raises:
            CuratorError: of the first shard that failed; others under way are given up, finished ones are kept.
        """
        started = now()
        try:
            await self.process(self.units, layout_of(self.parent, self.unit_rows))
        finally:
            await self.close()
        self.finish(self.units, started)

    async def process(self, units: Sequence[Unit], layout: str) -> None:
        """Take `units` through all steps; those done before, with the same keys and `layout`, are left as they are."""
        for planned in self.steps:
            planned.begin(layout)
            rows = sum(u.rows for u in units) if planned is self.steps[0] else None
            self.session.progress.step(planned.label, rows, len(units))
        waiting = iter(units)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.in_flight, len(units))):
                    group.create_task(self._consume(waiting))
        except BaseExceptionGroup as e:
            raise self._first(e) from e

    async def close(self) -> None:
        """End the worker processes."""
        await self.pool.close()

    def finish(self, units: Sequence[Unit], started: str, left: Receipt | None = None) -> None:
        """Check what needs all shards, and write the receipts. `left`: numbers of rows the first step was not given."""
        for planned in self.steps:
            self._finish(planned, started, units, [left] if left and planned is self.steps[0] else [])

    async def _consume(self, waiting: Any) -> None:
        for unit in waiting:
            await self._unit(unit)

    def _first(self, group: BaseExceptionGroup[BaseException]) -> BaseException:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, CuratorError):
            last = self.steps[-1].folder
            kept = len(list(last.glob("part-*.json")))
            said = f"{error} [{kept} of {len(self.units)} shards up to '{self.steps[-1].label}' are done and kept]"
            told = type(error)(said)
            told.__cause__ = error.__cause__
            return told
        return error

    async def _unit(self, unit: Unit) -> None:
        """Take one shard through the steps that have not got it yet."""
        source, start = unit.source, unit.start
        rows: int | None = unit.rows
        at = 0
        while at < len(self.steps):
            planned = self.steps[at]
            numbers = receipts.read_json(planned.folder / f"part-{unit.number:05d}.json")
            if numbers is not None:
                self.session.progress.shard(planned.label, numbers)
                until = at + 1
            elif planned.spec.kind == "model":
                until = at + 1
                self._commit(unit, [await self._ask(planned, unit, source, start, rows)])
            else:
                until = self._row_run(at, unit)
                group = self.steps[at:until]
                labels, folders = tuple(p.label for p in group), tuple(p.folder for p in group)
                self._commit(unit, await self.pool.run(Job(source, start, rows, labels, folders, unit.number)))
            source, start, rows = self.steps[until - 1].folder / f"part-{unit.number:05d}.parquet", 0, None
            at = until

    def _row_run(self, at: int, unit: Unit) -> int:
        """Return where the run of row operators that begins at `at` ends: they share one visit to a worker."""
        until = at + 1
        while until < len(self.steps) and self.steps[until].spec.kind == "row":
            if (self.steps[until].folder / f"part-{unit.number:05d}.json").exists():
                break
            until += 1
        return until

    async def _ask(self, planned: Planned, unit: Unit, source: Path, start: int, rows: int | None) -> Staged:
        """Run a model operator on one shard in the event loop; reading and writing in a thread."""
        spec, where = planned.spec, f"shard {unit.number}"
        given: pa.Table = await asyncio.to_thread(table.read_table, source, start, rows)
        begun = time.time()
        try:
            with tally() as usage:
                if given.num_rows or spec.effect == "shapes":
                    returned = await worker.call(spec, where, lambda: worker.built(spec, self.functions))(given)
                else:
                    returned = laws.nothing(spec, given.schema)
        except CuratorError:
            raise
        except Exception as e:
            raise worker.raised(spec, where, e) from e
        span = (begun, time.time())
        _, staged = await asyncio.to_thread(worker.stage, spec, planned.folder, unit.number, given, returned, span)
        staged.numbers["engines"] = usage
        return staged

    def _commit(self, unit: Unit, done: Sequence[Staged]) -> None:
        """Rename a shard's files into place; its numbers come last."""
        for staged in done:
            planned = next(p for p in self.steps if p.label == staged.label)
            for tmp, path in staged.files:
                try:
                    tmp.replace(path)
                except OSError as e:
                    raise table.cannot_write(path, e) from e
            # Not synced: an empty one after a power cut reads as "not done".
            receipts.write_json(planned.folder / f"part-{unit.number:05d}.json", staged.numbers, sync=False)
            self.session.progress.shard(planned.label, staged.numbers)

    def _finish(self, planned: Planned, started: str, units: Sequence[Unit], more: list[Receipt]) -> None:
        found = [receipts.read_json(planned.folder / f"part-{u.number:05d}.json") or {} for u in units]
        numbers: Receipt = receipts.add_up([*found, *more])
        numbers["parts"] = len(units)
        if planned.spec.effect in ("makes", "shapes"):
            unique(self.session, planned)
        numbers["reports"] = reports(self.session, planned)
        receipt = planned.finish(numbers, started)
        for unit in units:
            (planned.folder / f"part-{unit.number:05d}.json").unlink(missing_ok=True)
        self.session.progress.done(planned.label, receipt)


def unique(session: Session, planned: Planned) -> None:
    """Check that no row_id comes twice in a step's rows, over all shards. Raises OperatorError naming some."""
    view = session.view(sorted(planned.folder.glob("part-*.parquet")))
    try:
        sql = "select row_id from rows group by row_id having count(*) > 1 order by 1 limit 5"
        twice = [str(r[0]) for r in view.con.execute(sql).fetchall()]
    finally:
        view.close()
    if twice:
        msg = f"{planned.spec.who}: the same row_id twice in its rows: {', '.join(twice)}"
        raise OperatorError(msg)


def reports(session: Session, planned: Planned) -> dict[str, list[dict[str, Any]]]:
    """Return title -> rows of the operator's reports over the step's rows. Raises OperatorError for a broken one."""
    told: dict[str, list[dict[str, Any]]] = {}
    if not planned.step.op.reports:
        return told
    view = session.view(sorted(planned.folder.glob("part-*.parquet")))
    try:
        for title, sql in planned.step.op.reports.items():
            told[title] = view.con.sql(sql).to_arrow_table().to_pylist()
    except Exception as e:
        msg = f"{planned.spec.who}: its report '{title}' failed: {' '.join(str(e).split())[:300]}"
        raise OperatorError(msg) from e
    finally:
        view.close()
    return told
