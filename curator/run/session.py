"""One run's state: its folder, its steps with their keys, and what they share."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curator import table
from curator.errors import CheckError
from curator.op import Op
from curator.pipeline import Pipeline, Step
from curator.run import receipts
from curator.run.laws import Spec
from curator.run.meter import Engines
from curator.run.progress import Progress
from curator.run.receipts import Fingerprints, Receipt
from curator.state import standing_in, with_state


@dataclass(frozen=True)
class Planned:
    """One step of this run: where its rows go and the key that says whether they are there already."""

    step: Step
    spec: Spec
    folder: Path
    key: str
    parent: str | None
    inputs: Mapping[str, str]

    @property
    def label(self) -> str:
        """The step's label."""
        return self.step.label

    @property
    def receipt(self) -> Receipt | None:
        """The receipt, where the step is done with this key."""
        found = receipts.read_json(self.folder / "receipt.json")
        return found if found is not None and found.get("key") == self.key else None

    def begin(self, layout: str) -> None:
        """Make the folder ready: shards of the same key and layout stay, everything else goes.

        `layout` says how the rows before this step are cut into shards: shard 7 of another cut is other rows.
        """
        mark = {"key": self.key, "layout": layout}
        try:
            if receipts.read_json(self.folder / "step.json") != mark:
                if self.folder.exists():
                    shutil.rmtree(self.folder)
                self.folder.mkdir(parents=True)
                receipts.write_json(self.folder / "step.json", mark)
            for stale in self.folder.glob(".*.tmp"):
                stale.unlink()
        except OSError as e:
            raise table.cannot_write(self.folder, e) from e

    def finish(self, numbers: Receipt, started: str) -> Receipt:
        """Write the receipt, last of all."""
        op = self.spec
        receipt: Receipt = {
            "step": self.label, "op": op.name, "kind": op.kind, "effect": op.effect, "version": self.step.op.version,
            "settings": dict(op.settings), "key": self.key, "parents": [self.parent] if self.parent else [],
            "inputs": dict(self.inputs), **numbers, "started": started, "finished": now(),
        }  # fmt: skip
        receipt["settings"] |= self.step.bound | {k: v for k, v in op.settings.items() if k == "seed"}
        receipts.write_json(self.folder / "receipt.json", receipt)
        return receipt


@dataclass
class Session:
    """What the parts of the runner share during one run."""

    pipeline: Pipeline
    root: Path
    engines: Engines
    progress: Progress
    workers: int
    shard_rows: int
    memory: str
    limit: int | None
    steps: list[Planned] = field(default_factory=list)
    prints: Fingerprints | None = None

    def spill(self) -> Path:
        """Where DuckDB puts what does not fit into memory."""
        return self.root / ".spill"

    def view(self, files: list[Path]) -> table.TableView:
        """Return a view over shards with this run's memory limit."""
        return table.TableView(files, self.spill(), memory=self.memory, threads=max(1, self.workers))


_STATE = Op(
    "state", lambda _s: "table", "shapes", 1, lambda: None, lambda _s: (), lambda _s: {}, lambda _s: frozenset(), {}, {}
)  # fmt: skip


def state_of(folder: Path, key: str, parent: str | None = None) -> Planned:
    """Return the state of a loop, see `rounds`: rows that its steps begin with, as if a step had made them."""
    spec = Spec("state", "state", "table", "shapes", _STATE.factory, {}, {}, ())
    return Planned(Step("state", _STATE), spec, folder, key, parent, {})


def now() -> str:
    """Return the time in UTC, to the microsecond."""
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat()


def layout_of(parent: Planned, unit_rows: int | None) -> str:
    """Return what names the cut of a parent's rows into units: its receipt (of that very run) and the size."""
    return receipts.digest([hashlib.sha256((parent.folder / "receipt.json").read_bytes()).hexdigest(), unit_rows])


def files_of(planned: Planned) -> list[Path]:
    """Return the shards of a finished step."""
    return sorted(planned.folder.glob("part-*.parquet"))


def plan_steps(
    pipeline: Pipeline,
    root: Path,
    engines: Engines,
    limit: int | None,
    wanted: Callable[[Sequence[Step], int], Any] | None = None,
    *,
    state: Planned | None = None,
    prints: Fingerprints | None = None,
) -> list[Planned]:
    """Return the steps with folders and keys; opens the engines the steps name, for their identities.

    `wanted`: what else decides about the rows of a step, see `refill.wanted`. `state`: where the steps are those of a
    round, what they begin with; its files count by its key. `prints`: hashes of input files, where they are kept.

    Raises:
        CheckError: the first step is no source, or a later one is.
        InputError: a file that a setting names cannot be read.
    """
    if state is None:
        _check_order(pipeline)
    prints = prints or Fingerprints(root / "inputs.json")
    planned: list[Planned] = []
    parent = state.key if state is not None else None
    for number, step in enumerate(pipeline.steps, 1):
        placed = with_state(step, state.folder) if state is not None else step
        mine = state.folder.resolve() if state is not None else None
        read = (f for f in receipts.input_files(placed) if mine is None or not f.resolve().is_relative_to(mine))
        inputs = {str(f): prints.of(f) for f in read}
        identities = {alias: engines.get(alias).identity for alias in step.engines.values()}
        more = wanted(pipeline.steps, number - 1) if wanted else None
        key = receipts.key(
            step, pipeline, parent=parent, inputs=inputs, identities=identities, limit=limit, wanted=more
        )
        if step.body:
            key = receipts.digest([key, *_body(replace(pipeline, steps=step.body), root, engines, wanted, prints)])
        settings = placed.with_engines(receipts.settings_of(placed, pipeline), engines.get)
        bound = placed.bound
        spec = Spec(
            step.label, step.op.name, step.kind, step.op.effect, step.op.factory, settings,
            dict(step.op.adds(bound)), tuple(step.op.reasons),
        )  # fmt: skip
        planned.append(Planned(step, spec, root / "steps" / f"{number:02d}-{step.label}", key, parent, inputs))
        if step.kind != "sink":
            parent = key
    prints.save()
    return planned


def _body(
    pipeline: Pipeline, root: Path, engines: Engines, wanted: Callable[[Sequence[Step], int], Any] | None,
    prints: Fingerprints,
) -> list[str]:  # fmt: skip
    """Return the keys of a loop's steps on a state that is none, for the key of the loop."""
    with standing_in({}) as folder:
        none = state_of(folder, "state")
        return [p.key for p in plan_steps(pipeline, root, engines, None, wanted, state=none, prints=prints)]


def _check_order(pipeline: Pipeline) -> None:
    if not pipeline.steps:
        msg = f"pipeline '{pipeline.name}' has no steps; begin with read"
        raise CheckError(msg)
    for i, step in enumerate(pipeline.steps):
        if (step.kind == "source") != (i == 0):
            what = "must be a source such as read" if i == 0 else "is a source, which can only come first"
            msg = f"step {i + 1} ({step.label}) {what}"
            raise CheckError(msg)
