"""Operators and an engine that tests of the runner stand on; in a module, so that worker processes can import them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from curator.engines.protocol import Completion, Engine, Message, Request, Sampling
from curator.op import DROPPED, REGISTRY, Result, Split, operator
from curator.pipeline import EngineSpec, Pipeline, Step


def dropped(rows):
    return pa.table({f.name: [r[i] for r in rows] for i, f in enumerate(DROPPED)}, DROPPED)


@operator("source", effect="makes", version=1, reasons={"broken": "a line that is none"}, name="t_numbers")
def numbers(*, count: int = 10, broken: int = 0, batch: int = 1000, reverse: bool = False, path: str | None = None):
    def rows():
        ids = list(range(count))[:: -1 if reverse else 1]
        for at in range(0, count or 1, batch):
            part = ids[at : at + batch]
            table = pa.table(
                {
                    "row_id": pa.array([f"p-{i}" for i in part], pa.string()),
                    "problem_id": pa.array([f"p-{i}" for i in part], pa.string()),
                    "problem": pa.array([f"{i} + 1 = ?" for i in part], pa.string()),
                    "answer": pa.array([None if i % 5 == 4 else str(i + 1) for i in part], pa.string()),
                    "value": pa.array(part, pa.int64()),
                }
            )
            yield Result(table)
        if broken:
            empty = pa.table({"row_id": pa.array([], pa.string())})
            yield Result(empty, dropped([(f"line-{i}", "broken", "{}") for i in range(broken)]))

    return rows


@operator("row", effect="marks", version=1, needs=("value",), adds=lambda s: {s["into"]: pa.int64()}, name="t_double")
def double(*, into: str = "double"):
    log = os.environ.get("STAND_IN_LOG")
    if log:
        with Path(log).open("a") as f:
            f.write("built\n")

    def run(table):
        if log:
            with Path(log).open("a") as f:
                f.write(f"{table.num_rows}\n")
        return table.append_column(into, pc.multiply(table["value"], 2))

    return run


@operator("row", effect="keeps", version=1, needs=("value",), reasons={"odd": "not even"}, name="t_even")
def even(*, modulus: int = 2):
    def run(table):
        keep = pc.equal(pc.subtract(table["value"], pc.multiply(pc.divide(table["value"], modulus), modulus)), 0)
        lost = table.filter(pc.invert(keep))["row_id"].to_pylist()
        return Result(table.filter(keep), dropped([(i, "odd", json.dumps({"modulus": modulus})) for i in lost]))

    return run


@operator("row", effect="makes", version=1, adds=("row_id", "parent_id", "sample_idx"), name="t_twins")
def twins(*, n: int = 2):
    def run(table):
        out = table.take(pa.array([i for i in range(table.num_rows) for _ in range(n)], pa.int64()))
        parents = out["row_id"]
        idx = [k for _ in range(table.num_rows) for k in range(n)]
        out = out.set_column(
            0, "row_id", pa.array([f"{p}/{k}" for p, k in zip(parents.to_pylist(), idx, strict=True)], pa.string())
        )
        return out.append_column("parent_id", parents).append_column("sample_idx", pa.array(idx, pa.int32()))

    return run


@operator("model", effect="makes", version=1, needs=("problem",), adds=("row_id", "parent_id", "sample_idx", "trace"),
          reasons={"failed": "no answer"}, name="t_ask")  # fmt: skip
def ask(*, engine: Engine, n: int = 1, words: str = "think"):
    async def run(table):
        rows = table.to_pylist()
        requests = [
            Request((Message("user", f"{words}: {r['problem']}"),), Sampling(), n=n, key=r["row_id"]) for r in rows
        ]
        found = await asyncio.gather(*(engine.generate(q) for q in requests))
        source = [i for i, f in enumerate(found) for _ in f]
        made = [
            (f"{rows[i]['row_id']}/{k}", rows[i]["row_id"], k, c.text)
            for i, f in enumerate(found)
            for k, c in enumerate(f)
        ]
        out = table.take(pa.array(source, pa.int64()))
        for j, (name, kind) in enumerate(REGISTRY["t_ask"].adds({}).items()):
            column = pa.array([m[j] for m in made], kind)
            at = out.schema.get_field_index(name)
            out = out.append_column(name, column) if at < 0 else out.set_column(at, name, column)
        return Result(out, counts={"asked": len(found)})

    return run


@operator("model", effect="marks", version=1, needs=("trace",), adds={"short": pa.string()}, name="t_shorten")
def shorten(*, engine: Engine):
    async def run(table):
        requests = [Request((Message("user", f"shorten: {t}"),)) for t in table["trace"].to_pylist()]
        found = await asyncio.gather(*(engine.generate(q) for q in requests))
        return table.append_column("short", pa.array([f[0].text for f in found], pa.string()))

    return run


@operator("table", effect="keeps", version=1, reasons={"low": "below"}, name="t_atleast")
def atleast(*, value: int = 0):
    def run(view):
        view.con.execute(f"create temp table fate as select row_id, value >= {value} as keep from rows")
        return Split(
            "select rows.* from rows semi join (from fate where keep) using (row_id)",
            "select row_id, 'low' as reason, '{}' as evidence from fate where not keep",
            {"seen": view.con.execute("select count(*) from fate").fetchone()[0]},
        )

    return run


@operator("table", effect="marks", version=1, adds={"total": pa.int32()}, name="t_total",
          reports={"totals": "select total, count(*) as n from rows group by all order by all"})  # fmt: skip
def total():
    return lambda _view: Split("select *, count(*) over () as total from rows")


@operator("table", effect="marks", version=1, key=lambda s: (s["by"],), name="t_apart")
def apart(*, by: str):
    return lambda _view: Split("select * from rows")


@operator("table", effect="keeps", version=1, enough=lambda s: s["rows"], name="t_some")
def some(*, rows: int | None):
    return lambda _view: Split("select * from rows")


@operator("sink", effect="shapes", version=1, name="t_dump")
def dump(*, name: str = "rows.jsonl", refuse: str | None = None):
    def run(view, sink):
        if refuse:
            sink.refuse(dropped([(refuse, "too_plain", '{"why": "so"}')]))
        with sink.open(name) as f:
            for batch in view.batches(view.schema.names):
                for row in batch.to_pylist():
                    f.write(json.dumps(row, sort_keys=True).encode() + b"\n")
        with sink.open("facts.json") as f:
            f.write(json.dumps(sink.run, sort_keys=True, default=str).encode())

    return run


@operator("row", effect="marks", version=1, name="t_die")
def die(*, at: int = 3, marker: str | None = None, how: str = "kill"):
    def run(table):
        if at in table["value"].to_pylist() and not (marker and Path(marker).exists()):
            if marker:
                Path(marker).touch()
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "exit":
                os._exit(3)
            raise ValueError("row 3 is\nnot to my liking")
        return table

    return run


@operator("row", effect="marks", version=1, name="t_slow")
def slow(*, seconds: float = 0.05):
    def run(table):
        time.sleep(seconds)
        return table

    return run


def reply(messages, sample_idx, prefix):
    """For the replay engine: an answer of 40 tokens."""
    return f"{sample_idx}: {messages[-1].content}".ljust(160, ".")


class FakeEngine:
    """Answers with a text that depends on the request alone; keeps answers in `store` (a dict); can refuse."""

    capabilities = frozenset({"generate"})
    max_context = None
    concurrency = 8

    def __init__(self, alias, settings, store):
        self.alias, self.settings, self.store = alias, dict(settings), store
        self.model = self.settings.get("model", "fake")
        self.identity = {"kind": "fake", "model": self.model}
        self.price = self.settings.get("price")
        self.closed = False
        self.asked = 0

    async def generate(self, request):
        fail = self.settings.get("fail")
        out = []
        for i in range(request.first_sample, request.first_sample + request.n):
            key = json.dumps([self.model, request.messages[-1].content, i])
            held = self.store.get(key) if self.store is not None else None
            if held is None:
                if fail and fail(request):
                    raise fail(request)
                await asyncio.sleep(self.settings.get("delay", 0))
                self.asked += 1
                if self.settings.get("log"):
                    self.settings["log"].append(key)
                if self.store is not None:
                    self.store[key] = f"answer {i} to {request.messages[-1].content}"
            text = f"answer {i} to {request.messages[-1].content}"
            out.append(Completion(text, "stop", len(text), 10, cached=held is not None))
        return out

    async def score(self, messages, text):
        raise NotImplementedError

    def count_tokens(self, text):
        return len(text) // 4

    async def close(self):
        self.closed = True


@pytest.fixture
def engines(monkeypatch):
    """Pipelines open `FakeEngine`s; the fixture is the list of those opened."""
    opened = []

    def open_engine(alias, kind, settings, *, store=None):
        opened.append(FakeEngine(alias, settings, store))
        return opened[-1]

    monkeypatch.setattr("curator.engines.open_engine", open_engine)
    return opened


def step(op, label=None, **settings):
    return Step(label or op.removeprefix("t_"), REGISTRY[op], settings)


def chain(*steps, engines=None, seed=0, kind="fake"):
    specs = {alias: EngineSpec(alias, kind, settings) for alias, settings in (engines or {}).items()}
    return Pipeline("test", tuple(steps), specs, seed)


@operator("row", effect="marks", version=1, adds={"known": pa.bool_()}, name="t_known")
def known():
    return lambda table: table.append_column("known", pc.equal(pc.bit_wise_and(table["value"], 1), 0))
