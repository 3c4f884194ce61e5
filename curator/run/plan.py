"""`curator plan`: rows, requests, tokens, time, money and disk of a run, before its first paid call.

The input is read and counted. Up to `SAMPLE` problems of it, chosen by hash, go through all steps with engines that
are not asked (`rehearsal`); what they would have asked is scaled up to the whole input. So rows and requests after a
step that filters are estimates, and are as if every model answer were right: the most the run can cost.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator import table
from curator.errors import InputError
from curator.op import Op, Result
from curator.pipeline import Pipeline, Step, every
from curator.run import receipts, whole, worker
from curator.run.laws import Spec
from curator.run.local import execute, open_store
from curator.run.progress import Progress
from curator.run.rehearsal import Rehearsed, Use
from curator.run.rounds import NOTHING
from curator.run.session import Session
from curator.run.trial import resized, without_waiting
from curator.shards import SHARD_ROWS, widen

STORED, EARLIER, CAP = "stored answers", "an earlier run", "at most (max_tokens)"
SHORT = {STORED: "stored", EARLIER: "measured", CAP: "max", "": ""}
HEAD = ("step", "rows in", "rows out", "requests", "in store", "prompt tokens", "completion tokens", "cost", "time")
NOTHING_ASKED: dict[str, Any] = {
    "requests": 0, "stored": 0, "tokens_in": 0, "tokens_out": 0, "basis": "", "cost": None, "seconds": None,
}  # fmt: skip
SAMPLE = 50  # problems that are rehearsed: prompts of a data set differ little, and this stays under a few seconds


@dataclass(frozen=True)
class StepPlan:
    """What one step is expected to do. Rows, samples, tokens, dollars, seconds, bytes; None where not known.

    `basis` says what the completion tokens rest on: `stored answers`, `an earlier run`, or `at most (max_tokens)`.
    """

    step: str
    rows_in: int
    rows_out: int
    exact: bool
    disk: int
    requests: int = 0
    stored: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    basis: str = ""
    cost: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Plan:
    """The steps of a run and their sums. `sample`: problems that were rehearsed; `rows`: rows of the input."""

    name: str
    rows: int
    sample: int
    steps: list[StepPlan] = field(default_factory=list)

    @property
    def requests(self) -> int:
        """Samples to be asked of models, those from the store left out."""
        return sum(s.requests - s.stored for s in self.steps)

    @property
    def cost(self) -> float | None:
        """Dollars; None where an engine with requests left to ask has no known price."""
        asking = [s for s in self.steps if s.requests - s.stored > 0]
        return None if any(s.cost is None for s in asking) else sum(s.cost or 0.0 for s in asking)

    @property
    def seconds(self) -> float | None:
        """Seconds of the steps that ask models; None where the speed of one is not known."""
        asking = [s for s in self.steps if s.requests - s.stored > 0]
        return None if any(s.seconds is None for s in asking) else sum(s.seconds or 0.0 for s in asking)

    def __str__(self) -> str:
        """The plan as text."""
        lines = [HEAD, *map(_line, self.steps)]
        wide = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
        align = [str.ljust, *[str.rjust] * (len(HEAD) - 1)]
        text = ("  ".join(a(c, w) for a, c, w in zip(align, line, wide, strict=True)).rstrip() for line in lines)
        return "\n".join([*text, "", *self._notes()])

    def _notes(self) -> Iterator[str]:
        disk = _size(sum(s.disk for s in self.steps))
        yield f"to ask: {self.requests:,} samples, {_money(self.cost)}, time {_time(self.seconds)}; disk about {disk}"
        yield f"measured on {self.sample:,} of {self.rows:,} rows, as if every model answer were right (~: estimate)"
        if any(s.basis == CAP for s in self.steps):
            yield "max: the limit max_tokens; after a first run in this folder, the mean measured there"
        if self.cost is None:
            yield "cost unknown: a model is not in the price file (engine setting `prices`)"


def _line(s: StepPlan) -> tuple[str, ...]:
    about = "" if s.exact else "~"
    counted = (s.step, f"{about}{s.rows_in:,}", f"{about}{s.rows_out:,}")
    if not s.requests:
        return (*counted, *[""] * (len(HEAD) - 3))
    tokens = f"{s.tokens_out:,} {SHORT[s.basis]}".rstrip()
    return (*counted, f"{s.requests:,}", f"{s.stored:,}", f"{s.tokens_in:,}", tokens, _money(s.cost), _time(s.seconds))


def _money(cost: float | None) -> str:
    return "unknown" if cost is None else f"${cost:,.2f}"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "unknown"
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def plan(pipeline: Pipeline, folder: str | Path | None = None, *, limit: int | None = None, store: Any = None) -> Plan:
    """Return what running `pipeline` in `folder` would take. Asks no model, writes nothing into the folder.

    Args:
        pipeline: as for `run`.
        folder: where it would run (default `runs/<name>`): earlier receipts there give speed and answer lengths.
        limit: as for `run`.
        store: as for `run`; answers in it are not paid again.

    Raises:
        CuratorError: what reading the input or a step on the sample raises.
    """
    root = Path(folder) if folder is not None else Path("runs") / pipeline.name
    total, chosen = sample(pipeline, limit)
    with tempfile.TemporaryDirectory(prefix="plan-") as scratch:
        share = total / chosen.num_rows
        trial = _trial(pipeline, chosen, share)
        engines = Rehearsed(trial, open_store(store, root, pipeline), _answers(chosen))
        done = execute(Session(trial, Path(scratch), engines, Progress(), 0, SHARD_ROWS, table.MEMORY, None))
        seen: dict[str, receipts.Receipt] = {}
        disk: dict[str, int] = {}
        for s in done.walk():  # the rounds of a loop add up
            receipt, label = done.receipt(s), s["label"]
            if receipt is not None:
                seen[label] = receipts.add_up([seen[label], receipt]) if label in seen else receipt
            disk[label] = disk.get(label, 0) + _bytes(done.folder / "steps" / s["folder"])
        # A rehearsed round may well yield nothing, and end the loop; the run may need all.
        ended = [r for r in done.receipts if r.get("ended") == NOTHING]
    again = {f"{r['step']}.": r["settings"]["rounds"] / len(r["rounds"]) for r in ended}
    told: list[StepPlan] = []
    answer = 0.0
    for step in every(pipeline.steps):
        by = share * again.get("".join(step.label.partition(".")[:2]), 1.0)
        receipt = seen.get(step.label)
        if receipt is None and step.kind != "sink":  # of a loop of no rounds
            continue
        if receipt is None:
            told.append(replace(told[-1], step=step.label, rows_in=told[-1].rows_out, **NOTHING_ASKED))
            continue
        made = _rows(step, receipt, by, disk[step.label], told)
        for alias in step.engines.values() if not step.body else ():
            name = f"{step.label}/{alias}"
            if engines.uses[name].requests:
                made, answer = _asked(made, engines.uses[name], by, engines.prices[name], _earlier(root, step), answer)
        told.append(made)
    return Plan(pipeline.name, total, chosen.num_rows, told)


def _rows(step: Step, receipt: Mapping[str, Any], by: float, disk: int, before: list[StepPlan]) -> StepPlan:
    """Scale a step's rows up. Exact while no step before it could have filtered rows that the sample has not."""
    exact = before[-1].exact if before else True
    exact = exact and (by == 1 or step.op.effect == "marks" or step.kind in ("source", "model"))
    return StepPlan(step.label, round(receipt["rows_in"] * by), round(receipt["out"] * by), exact, round(disk * by))


def sample(pipeline: Pipeline, limit: int | None) -> tuple[int, pa.Table]:
    """Read the whole input; return how many rows it has and the rows of up to `SAMPLE` problems, chosen by hash.

    Raises:
        InputError: there are no rows.
    """
    step = pipeline.steps[0]
    settings = receipts.settings_of(step, pipeline)
    spec = Spec(step.label, step.op.name, "source", "shapes", step.op.factory, settings, {}, ())
    function = worker.call(spec, "its factory", lambda: step.op.factory(**settings))
    total, schema = 0, None
    heap: list[tuple[int, int, pa.Table]] = []
    for result in whole.limited(function, limit, spec):
        found = whole.declared(result.table, spec)
        schema = widen(schema, found.schema, spec.who)
        group = "problem_id" if "problem_id" in found.column_names else "row_id"
        for i, name in enumerate(found[group].to_pylist()):
            rank = -int.from_bytes(blake2b(str(name).encode(), digest_size=8).digest(), "big")
            if len(heap) < SAMPLE:
                heapq.heappush(heap, (rank, total + i, found.take([i])))
            elif rank > heap[0][0]:
                heapq.heapreplace(heap, (rank, total + i, found.take([i])))
        total += found.num_rows
    if schema is None or not heap:
        msg = f"pipeline '{pipeline.name}': its input has no rows; there is nothing to plan"
        raise InputError(msg)
    pieces = [piece for _, _, piece in sorted(heap, key=lambda h: h[1])]
    return total, pa.concat_tables(pieces, promote_options="permissive").combine_chunks()


def _answers(chosen: pa.Table) -> dict[str, str | None]:
    if "answer" not in chosen.column_names:
        return {}
    return dict(zip(chosen["row_id"].to_pylist(), chosen["answer"].cast(pa.string()).to_pylist(), strict=True))


def _trial(pipeline: Pipeline, chosen: pa.Table, by: float) -> Pipeline:
    """Return the pipeline over the sample: no sinks, and each step with engines of its own, to be counted apart.

    What a step makes by itself is scaled down like the input, so that scaling up by `by` is right for both.
    """
    first = pipeline.steps[0]
    source = Op(
        "sample", lambda _s: "source", "shapes", 1, lambda: lambda: iter([Result(chosen)]), lambda _s: (),
        lambda _s: {}, lambda _s: frozenset(), {}, {},
    )  # fmt: skip
    steps = [Step(first.label, source, {})]
    passing = (without_waiting(s) for s in pipeline.steps[1:] if s.kind != "sink")
    steps += [_apart(resized(s, lambda n: max(1, round(n / by)) if n else 0)) for s in passing]
    return replace(pipeline, steps=tuple(steps))


def _apart(step: Step, head: str = "") -> Step:
    own = step.with_engines(step.settings, partial("{}/{}".format, head + step.label))
    body = tuple(_apart(inner, f"{step.label}.") for inner in step.body)
    return Step(step.label, replace(step.op, reports={}), own, body=body)


def _bytes(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.glob("*.parquet"))


def _asked(
    made: StepPlan, use: Use, by: float, price: Any, earlier: Mapping[str, float], answer: float
) -> tuple[StepPlan, float]:
    """Add the requests of a step. `answer`: mean tokens of the answers its prompts quote; returned for the next one."""
    new = use.requests - use.stored
    if use.stored:
        mean, basis = use.known_out / use.stored, STORED
    elif earlier:
        mean, basis = earlier["tokens_out"], EARLIER
    else:
        mean, basis = (use.cap / new if new else 0.0), CAP
    tokens_in = (use.tokens_in + use.long * answer) * by
    tokens_out = mean * new * by
    cost = (price[0] * tokens_in + price[1] * tokens_out) / 1e6 if price else None
    rate = earlier.get("rate")
    seconds = tokens_out / rate if rate else None
    if not new:
        cost, seconds = 0.0, 0.0
    if made.requests:  # another engine of this step: their money adds up, their time runs side by side
        cost = None if cost is None or made.cost is None else cost + made.cost
        seconds = None if seconds is None or made.seconds is None else max(seconds, made.seconds)
    made = replace(
        made, requests=made.requests + round(use.requests * by), stored=made.stored + round(use.stored * by),
        tokens_in=made.tokens_in + round(tokens_in), tokens_out=made.tokens_out + round(tokens_out), basis=basis,
        cost=cost, seconds=seconds,
    )  # fmt: skip
    return made, mean


def _earlier(root: Path, step: Step) -> dict[str, float]:
    """Return mean completion tokens and tokens per second of this step in an earlier run of the folder."""
    loop, _, inner = step.label.rpartition(".")
    where = f"*-{loop}/round-*/steps/*-{inner}" if loop else f"*-{inner}"
    for path in sorted((root / "steps").glob(f"{where}/receipt.json")):
        receipt = receipts.read_json(path) or {}
        use = list((receipt.get("engines") or {}).values())
        asked = sum(u.get("requests", 0) for u in use)
        if receipt.get("op") == step.op.name and asked:
            out = sum(u.get("tokens_out", 0) for u in use)
            new = asked - sum(u.get("cached", 0) for u in use)
            seconds = receipt.get("seconds") or 0.0
            rate = out * new / asked / seconds if seconds and new else 0.0
            return {"tokens_out": out / asked, "rate": rate}
    return {}
