"""The local runner: all steps of a pipeline on this machine, in one folder, from left to right.

    from curator.run.local import run
    done = run(pipeline, "runs/mine")

A finished step is reused when its key agrees (see `receipts`), a finished shard when its step's does.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Literal

from curator import table
from curator.pipeline import Pipeline
from curator.run import ledger, receipts, refill
from curator.run.lock import hold
from curator.run.meter import Engines
from curator.run.progress import Progress, choose
from curator.run.receipts import Fingerprints
from curator.run.result import Run
from curator.run.rounds import run_loop
from curator.run.segment import Segment
from curator.run.session import Planned, Session, files_of, plan_steps
from curator.run.sinks import run_sink, sink_folder
from curator.run.waits import run_barrier
from curator.run.whole import Stop, run_source, run_table
from curator.shards import SHARD_ROWS


def run(
    pipeline: Pipeline,
    folder: str | Path,
    *,
    workers: int | None = None,
    store: Any = None,
    progress: Progress | Literal[False, "lines"] | None = None,
    limit: int | None = None,
    shard_rows: int = SHARD_ROWS,
    memory: str = table.MEMORY,
) -> Run:
    """Run `pipeline` in `folder` and return the finished run; what is already there and still valid is reused.

    Args:
        pipeline: engines and steps; not checked here (`Pipeline.check` does).
        folder: of the run; made where missing.
        workers: processes for row operators; 0 runs them in this process; default: the cores we may use.
        store: response store, or its folder; default `.store` beside `folder`, so that runs share it.
        progress: None shows a live table on a terminal and nothing elsewhere; "lines" writes plain lines to stderr;
            False is silent; or a `Progress` of your own.
        limit: read at most this many rows.
        shard_rows: rows of a shard; the result does not depend on it.
        memory: DuckDB's limit, such as "2GB"; more spills to disk.

    Raises:
        CuratorError: one line and an exit code for everything a person can mend.
        KeyboardInterrupt: Ctrl-C; finished shards and stored answers are kept.
    """
    root, shown = Path(folder), choose(progress)
    workers = len(os.sched_getaffinity(0)) if workers is None else workers
    engines = Engines(pipeline, open_store(store, root, pipeline), shown.asked)
    return execute(Session(pipeline, root, engines, shown, workers, shard_rows, memory, limit))


def execute(session: Session) -> Run:
    """Run a session's pipeline in its folder, holding the folder's lock. Raises as `run`."""
    root, shown = session.root, session.progress
    table.make_folder(root / "steps")

    async def go() -> None:
        try:
            await _steps(session)
        finally:
            await session.engines.close()

    with hold(root / "lock"):
        try:
            shown.start([s.label for s in session.pipeline.steps])
            _blocking(go)
        finally:
            shown.stop()
            for scratch in (".spill", ".trial", ".feed"):
                shutil.rmtree(root / scratch, ignore_errors=True)
    return Run(root)


def open_store(store: Any, root: Path, pipeline: Pipeline) -> Any:
    """Return the response store; None where no step asks an engine."""
    if not any(step.engines for step in pipeline.steps):
        return None
    if store is not None and not isinstance(store, str | Path):
        return store
    from curator.engines.store import Store

    return Store(Path(store) if store is not None else root.resolve().parent / ".store")


def _blocking(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run `main` to its end, also where a loop runs already (a notebook): then in a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(main())
        return
    failed: list[BaseException] = []

    def target() -> None:
        try:
            asyncio.run(main())
        except BaseException as e:  # noqa: BLE001 - raised again in the caller's thread
            failed.append(e)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


async def _steps(session: Session) -> None:
    """Run what has no valid receipt, in order, and write the ledger."""
    session.prints = Fingerprints(session.root / "inputs.json")
    computed, _ = await _advance(session, None)
    if computed or not (session.root / ledger.NAME).exists():
        ledger.write(Run(session.root), memory=session.memory, threads=max(1, session.workers))


async def _round(session: Session, state: Planned) -> Planned:
    """Run the steps of a round of a loop; return the last."""
    table.make_folder(session.root / "steps")
    _, last = await _advance(session, state)
    assert last is not None
    return last


async def _advance(session: Session, state: Planned | None) -> tuple[bool, Planned | None]:
    """Run the steps of `session`, in a loop from `state`; return whether any was computed, and the last with rows."""
    session.steps = plan_steps(
        session.pipeline, session.root, session.engines, session.limit, refill.wanted,
        state=state, prints=session.prints,
    )  # fmt: skip
    stretches = refill.stretches(session.pipeline.steps)
    _describe(session, state)
    at, parent, computed = 0, state, False
    while at < len(session.steps):
        planned = session.steps[at]
        receipt, until = _done(session, planned), at + 1
        computed = computed or receipt is None
        if receipt is not None:
            session.progress.reuse(planned.label, receipt)
        elif parent is not None and planned.spec.kind in ("row", "model"):
            until = _segment_end(session, at)
            if at in stretches:
                await refill.feed(session, session.steps[at : stretches[at] + 1], parent, until - at)
            else:
                until = min([until, *(start for start in stretches if at < start)])
                await Segment(session, session.steps[at:until], parent).run()
        elif parent is not None and planned.spec.kind == "loop":
            _note_change(session, planned)
            await run_loop(session, planned, parent, _round)
        else:
            _note_change(session, planned)
            await _thread(session, planned, parent)
        last = session.steps[until - 1]
        parent = parent if last.spec.kind == "sink" else last
        at = until
    _sweep(session)
    return computed, parent


def _done(session: Session, planned: Planned) -> receipts.Receipt | None:
    """Return the step's receipt where it is valid and what it speaks of still lies in the folder."""
    receipt = planned.receipt
    if receipt is None:
        return None
    if planned.spec.kind == "sink":
        there = sink_folder(session, planned).exists()
    else:
        there = len(files_of(planned)) == receipt["parts"]
    if not there:
        (planned.folder / "receipt.json").unlink(missing_ok=True)
    return receipt if there else None


def _segment_end(session: Session, at: int) -> int:
    """Return where the run of row and model operators that begins at `at`, none of them done, ends."""
    until, steps = at + 1, session.steps
    while until < len(steps) and steps[until].spec.kind in ("row", "model") and _done(session, steps[until]) is None:
        until += 1
    return until


def _note_change(session: Session, planned: Planned) -> None:
    old = receipts.read_json(planned.folder / "receipt.json")
    if old is not None:
        session.progress.note(f"{planned.label}: something it depends on changed; computing it and what follows again")


async def _thread(session: Session, planned: Planned, parent: Planned | None) -> None:
    """Run a source, table operator, barrier or sink in a thread."""

    def work(stop: Stop) -> None:
        if planned.spec.kind == "source":
            run_source(session, planned, stop)
        if parent is not None and planned.spec.kind == "table":
            run_table(session, planned, parent, stop)
        elif parent is not None and planned.spec.kind == "barrier":
            run_barrier(session, planned, parent, stop)
        elif parent is not None:
            run_sink(session, planned, parent, facts(session), stop)

    await in_thread(work)


async def in_thread(work: Callable[[Stop], None]) -> None:
    """Run `work` in a thread; when cancelled, ask it to stop and wait for its end before going on."""
    stop = Stop()
    task = asyncio.ensure_future(asyncio.to_thread(_unless_stopped, work, stop))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.ask()
        await asyncio.wait([task])
        if not task.cancelled():
            task.exception()
        raise


class _Stopped(Exception):
    """A thread ended because it was asked to: an asyncio task cannot carry a KeyboardInterrupt."""


def _unless_stopped(work: Callable[[Stop], None], stop: Stop) -> None:
    try:
        work(stop)
    except KeyboardInterrupt as e:
        raise _Stopped from e


def facts(session: Session) -> dict[str, Any]:
    """Return what a sink may know: plain values that are the same after an interruption and on another machine."""
    done = [p.receipt for p in session.steps if p.spec.kind != "sink"]
    past = [receipts.lasting(receipt) for receipt in done if receipt is not None]
    pipeline = session.pipeline
    return {
        "pipeline": text_of(pipeline), "name": pipeline.name, "seed": pipeline.seed,
        "description": getattr(pipeline, "description", ""), "receipts": past, "engines": session.engines.facts(),
    }  # fmt: skip


def text_of(pipeline: Pipeline) -> str:
    """Return the pipeline as YAML; a note where Python objects in it cannot be said in YAML."""
    from curator.errors import CheckError

    try:
        return pipeline.to_yaml()
    except CheckError as e:
        return f"# {e}\nname: {pipeline.name}\n"


def _describe(session: Session, state: Planned | None) -> None:
    """Write what this run is: `pipeline.yaml`, and `run.json` with the chain of step folders that queries follow.

    Of a round of a loop, `run.json` alone, with the key of its state.
    """
    steps = [
        {"label": p.label, "folder": p.folder.name, "key": p.key, "kind": p.spec.kind, "op": p.spec.name}
        | ({"aside": p.step.bound["mode"] == "append"} if p.step.body else {})
        for p in session.steps
    ]
    told = {"name": session.pipeline.name, "seed": session.pipeline.seed, "limit": session.limit, "steps": steps}
    if state is not None:
        return receipts.write_json(session.root / "run.json", told | {"state": state.key})
    receipts.write_json(session.root / "run.json", told)
    table.write_bytes(session.root / "pipeline.yaml", text_of(session.pipeline).encode())


def _sweep(session: Session) -> None:
    """Remove the folders of steps that the pipeline no longer has."""
    mine = {p.folder.name for p in session.steps}
    for folder in (session.root / "steps").iterdir():
        if folder.name not in mine:
            shutil.rmtree(folder, ignore_errors=True)
