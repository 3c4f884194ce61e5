"""What stands behind `tool_loop`: one trace between model and interpreter, and all traces of a table at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from curator import prompts, rows
from curator.engines.protocol import SEED, Completion, Engine, Message, Request, Sampling
from curator.op import DROPPED, Result
from curator.ops._tool_trace import Box, Trace
from curator.ops.generate import ADDS as SAMPLE
from curator.spans import inserted
from curator.text import THINK_CLOSE, fields, seed_of, split_think

if TYPE_CHECKING:
    import asyncio

    from curator.sandbox.extract import Fence

ADDS = (*SAMPLE, "n_calls", "exit_reason", "tool_calls")
STOP = "\n```\n"
PAUSES = 8  # stops at blocks that are not run, in a row; then the model goes on without a stop string
THREADS = 4  # programs that run at the same time
GONE = ("timeout", "cut", "ended")  # how blocks end that are not run again for later ones
Row = Mapping[str, Any]


class Asked(NamedTuple):
    """Templates of what a row is asked."""

    prompt: str
    system: str
    prefix: str

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that they name."""
        return tuple(dict.fromkeys(name for text in self for name in fields(text)))

    def messages(self, row: Row) -> tuple[Message, ...]:
        """Return the conversation of a row."""
        values = {n: str(row[n]) for n in self.names}
        user = Message("user", prompts.fill(self.prompt, **values))
        return (Message("system", prompts.fill(self.system, **values)), user) if self.system else (user,)


def refusal() -> str | None:
    """Return why this machine cannot keep programs from it; None where it can."""
    from curator.sandbox.judge import refusal as why_not

    return why_not()


@dataclass(frozen=True)
class Work:
    """The inner function of `tool_loop`: all samples of a table are under way at the same time."""

    engine: Engine
    asked: Asked
    n: int
    budget: int | str
    cool: Sampling
    hot: Sampling
    box: Box
    seed: int
    drop: bool

    async def __call__(self, table: pa.Table) -> Result:
        """Walk every sample of every row to its end."""
        import asyncio  # 0.03 s that `check` need not pay

        column = (self.budget,) if isinstance(self.budget, str) else ()
        wanted = dict.fromkeys(("row_id", "problem_id", *inserted.READ, *ADDS, *self.asked.names, *column))
        given = table.select([c for c in wanted if c in table.column_names]).to_pylist()
        null = {r["row_id"]: [c for c in (*self.asked.names, *column) if r[c] is None] for r in given}
        threads = asyncio.Semaphore(THREADS)
        live = [(i, r, k) for i, r in enumerate(given) if not null[r["row_id"]] for k in range(self._samples(r))]
        ended = await asyncio.gather(*(self._walk(r, k, threads) for _, r, k in live))
        made = [(i, _sample(r, k, t, self)) for (i, r, k), t in zip(live, ended, strict=True)]
        lost = [(k, "null_field", json.dumps({"columns": v})) for k, v in null.items() if v]
        if self.drop:
            failed = {i: m["error"] for i, m in made if m["finish_reason"] == "error"}
            made = [(i, m) for i, m in made if m["finish_reason"] != "error"]
            left = {i for i, _ in made}
            gone = {given[i]["row_id"]: json.dumps({"error": e}) for i, e in failed.items() if i not in left}
            lost += [(k, "failed", evidence) for k, evidence in gone.items()]
        made += [(i, _unchanged(r)) for i, r in enumerate(given) if not null[r["row_id"]] and not self._samples(r)]
        made.sort(key=lambda m: m[0])
        dropped = pa.table({f.name: [r[k] for r in lost] for k, f in enumerate(DROPPED)}, DROPPED)
        return Result(_table(table, made), dropped, _counts(ended))

    def _allowed(self, row: Row) -> int:
        return max(0, int(row[self.budget] if isinstance(self.budget, str) else self.budget))

    def _samples(self, row: Row) -> int:
        return self.n if self._allowed(row) else 0

    async def _walk(self, row: Row, sample: int, threads: asyncio.Semaphore) -> Trace:
        """Take one trace from its prefix to its end."""
        prefix = self.asked.prefix
        head = prompts.fill(prefix, **{n: str(row[n]) for n in fields(prefix)})
        parts = inserted.of_prefix(prefix, row, fields(prefix)) if prefix else []
        trace, messages, pauses = Trace(head, parts, self._allowed(row)), self.asked.messages(row), 0
        while not trace.exit:
            if trace.tokens >= self.cool.max_tokens:
                trace.end("length", "length")
                break
            free = len(trace.calls) >= trace.budget or pauses >= PAUSES or THINK_CLOSE in trace.text[trace.clean :]
            since = len(trace.text)
            answer = await self._ask(trace, messages, row, sample, stop=() if free else (STOP,))
            if self._failed(trace, answer):
                break
            fence = None if free else next((f for f in trace.fences() if trace.runnable(f, since)), None)
            pauses += 1
            if fence and fence.after is None:
                fence = self._closed(trace, fence, answer)
            if fence:
                await self._run(trace, fence, threads)
                pauses = 0
            elif free or not answer.text or answer.finish_reason != "stop" or not answer.text.endswith(STOP):
                trace.ended(answer, since)
        return trace

    async def _ask(
        self, trace: Trace, messages: tuple[Message, ...], row: Row, sample: int, stop: tuple[str, ...]
    ) -> Completion:
        """Ask for what comes next and append it."""
        seed = None
        if SEED in self.engine.capabilities:
            seed = seed_of(self.seed, row.get("problem_id") or row["row_id"], sample, trace.requests)
        sampling = self.hot if trace.writing() else self.cool
        left = max(1, sampling.max_tokens - trace.tokens)
        request = Request(
            messages, replace(sampling, max_tokens=left, stop=stop, seed=seed), 1, trace.text,
            first_sample=sample, key=row["row_id"],
        )  # fmt: skip
        (answer,) = await self.engine.generate(request)
        if trace.text and answer.text.startswith(trace.text):  # some servers say the prefix again
            answer = replace(answer, text=answer.text[len(trace.text) :])
        trace.text += answer.text
        trace.tokens += answer.n_tokens
        trace.prompt_tokens = trace.prompt_tokens or answer.n_prompt_tokens
        trace.requests += 1
        return answer

    def _failed(self, trace: Trace, answer: Completion) -> bool:
        """End the loop where the engine gave nothing; a context that is full is the end of a text like any other."""
        if answer.too_long and trace.requests > 1:
            trace.end("length", "length")
        elif answer.finish_reason == "error":
            trace.end("error", "error", answer.error)
        elif answer.finish_reason == "content_filter":
            trace.end("refused", "content_filter", answer.error)
        return bool(trace.exit)

    def _closed(self, trace: Trace, fence: Fence, answer: Completion) -> Fence | None:
        """Close a block whose end the server kept to itself; None where the model was cut off or wrote no code."""
        if answer.finish_reason != "stop" or not trace.text[fence.start :].strip():
            return None
        trace.put(("" if trace.text.endswith("\n") else "\n") + STOP[1:], "fence")
        return fence._replace(end=fence.end, after=len(trace.text))

    async def _run(self, trace: Trace, fence: Fence, threads: asyncio.Semaphore) -> None:
        """Run a block that has closed; what the model wrote behind it is thrown away, and the output put there."""
        import asyncio

        assert fence.after is not None
        trace.text = trace.text[: fence.after]
        code = trace.text[fence.start : fence.end]
        async with threads:
            printed = await asyncio.to_thread(self.box.run, [*trace.blocks, code])
        if printed.status not in GONE:
            trace.blocks.append(code)
        trace.calls.append({"start": fence.start, "end": fence.end, "status": printed.status})
        last = len(trace.calls) == trace.budget and self.box.note
        edge = "" if trace.text.endswith("\n") else "\n"
        trace.put(edge + self.box.told(printed), "output")
        if last:
            trace.put(self.box.note, "note")
        trace.clean = len(trace.text)


def _sample(row: Row, i: int, t: Trace, work: Work) -> dict[str, Any]:
    """The new columns of one sample row; text that is not there is null, never empty."""
    trace = t.text if t.finish != "error" and t.text else None
    parts = split_think(trace) if trace else None
    return {
        "row_id": f"{row['row_id']}/{i}", "parent_id": row["row_id"],
        "problem_id": row.get("problem_id") or row["row_id"], "sample_idx": i, "trace": trace,
        "think": (parts.think or None) if parts else None, "response": (parts.response or None) if parts else None,
        "finish_reason": t.finish, "error": t.error, "engine": work.engine.alias, "model": work.engine.model,
        "n_tokens": t.tokens, "n_prompt_tokens": t.prompt_tokens, "temperature": work.cool.temperature,
        "inserted": [p._asdict() for p in t.parts] if trace and t.parts else None,
        "n_calls": len(t.calls), "exit_reason": t.exit, "tool_calls": t.calls,
    }  # fmt: skip


def _unchanged(row: Row) -> dict[str, Any]:
    """A row that may run nothing, as it came."""
    return {**{n: row.get(n) for n in ADDS}, "n_calls": 0, "exit_reason": "no_budget", "tool_calls": []}


def _table(table: pa.Table, made: list[tuple[int, dict[str, Any]]]) -> pa.Table:
    out = table.take(pa.array([i for i, _ in made], pa.int64()))
    return rows.put(out, {n: pa.array([m[n] for _, m in made], kind) for n, kind in rows.types(ADDS).items()})


def _counts(ended: Sequence[Trace]) -> dict[str, float]:
    return {
        "runs_of_code": float(sum(len(t.calls) for t in ended)),
        "requests": float(sum(t.requests for t in ended)),
        "samples_failed": float(sum(t.finish == "error" for t in ended)),
    }
