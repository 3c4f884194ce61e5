"""`generate`: ask a model, one row in, `n` sample rows out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from curator import prompts, rows
from curator.engines.protocol import GENERATE, PREFIX, SEED, Completion, Engine, Message, Request, Sampling
from curator.op import DROPPED, ModelFn, Result, operator
from curator.spans import inserted
from curator.spans.edits import Edit
from curator.text import fields, seed_of, split_think

ADDS = (
    "row_id", "parent_id", "problem_id", "sample_idx", "trace", "think", "response", "finish_reason", "error",
    "engine", "model", "n_tokens", "n_prompt_tokens", "temperature", "inserted",
)  # fmt: skip
REASONS = {
    "null_field": "a column that the prompt or the prefix names is null in this row",
    "failed": "every sample of the row failed (on_error: drop)",
}


def _needs(settings: Mapping[str, Any]) -> tuple[str, ...]:
    named = (*fields(settings["prompt"]), *fields(settings["system"]), *fields(settings["prefix"]))
    return tuple(dict.fromkeys(("row_id", *named)))


@operator(
    "model",
    effect="makes",
    version=3,
    needs=_needs,
    adds=ADDS,
    wants=lambda s: frozenset({GENERATE, PREFIX}) if s["prefix"] else frozenset({GENERATE}),
    reasons=REASONS,
    reports={
        "samples by finish_reason": "SELECT engine, temperature, finish_reason, count(*) AS samples, "
        "avg(n_tokens) AS mean_tokens FROM rows GROUP BY ALL ORDER BY ALL",
    },
)
def generate(
    *,
    engine: Engine | tuple[Engine, ...],
    n: int = 1,
    prompt: str = prompts.GENERATE,
    system: str = "",
    temperature: float | tuple[float, ...] = 0.6,
    top_p: float = 0.95,
    top_k: int = 0,
    max_tokens: int = 4096,
    stop: tuple[str, ...] = (),
    seed: int | None = None,
    prefix: str = "",
    on_error: Literal["keep", "drop"] = "keep",
) -> ModelFn:
    """Sample `n` answers a row from a model, or from several side by side; each becomes a row of its own.

    The new rows have `row_id` "<row_id>/<i>", `parent_id` the row they answer, `sample_idx` i, and keep all old
    columns. A request that failed after its retries is a row with `finish_reason` error, its `error` text and a null
    `trace`. Sampling defaults are those DeepSeek-R1 and Open-R1 recommend (temperature 0.6, top_p 0.95).

    Args:
        engine: which engine of the pipeline is asked; of a list each one is asked for `n` samples of every row, and
            the samples are numbered on through the list.
        n: samples a row, from each engine at each temperature.
        prompt: user message; `{column}` is replaced by the row's value, other braces stay.
        system: system message, same fields; empty sends none.
        temperature: sampling temperature; 0 is greedy. A list is a schedule: `n` samples at each (DASD samples at 0.6
            for its first training stage and at 1.0 for its second); the column `temperature` tells them apart.
        top_p: nucleus sampling.
        top_k: keep the k likeliest tokens; 0 keeps all.
        max_tokens: longest completion, in tokens. Raising it later asks only the truncated ones again.
        stop: strings that end the answer; they stay in the text.
        seed: None is the run's seed. Sample i of a problem is drawn with hash(seed, problem_id, i) where the engine
            takes seeds.
        prefix: assistant text that the answer continues, same fields (`{draft}` continues a column). It becomes the
            head of `trace`. What of it nobody generated (its own words, what `splice` put into the column) is marked
            in `inserted`, so that `export` can keep training off it. Needs an engine that can continue a prefix.
        on_error: `keep` failed samples as rows with finish_reason error, or `drop` them; a row without any sample
            left is dropped with reason `failed`.

    Raises:
        ValueError: `n` is below 1.
    """
    if n < 1:
        msg = f"generate: n is {n}, it must be at least 1"
        raise ValueError(msg)
    arms = _arms(engine, temperature, n)
    sampling = {"top_p": top_p, "top_k": top_k, "max_tokens": max_tokens, "stop": tuple(stop)}
    named = dict.fromkeys((*fields(prompt), *fields(system), *fields(prefix)))

    async def ask(row: Mapping[str, Any]) -> tuple[str, list[tuple[Arm, Completion]]]:
        import asyncio  # 0.03 s that `check` need not pay

        values = {name: str(row[name]) for name in named}
        user = Message("user", prompts.fill(prompt, **values))
        messages = (Message("system", prompts.fill(system, **values)), user) if system else (user,)
        head = prompts.fill(prefix, **values)
        asked = [(arm, request) for arm in arms for request in arm.requests(messages, sampling, head, row, seed)]
        if len(asked) == 1:  # without a task of its own
            return head, [(arms[0], c) for c in await arms[0].engine.generate(asked[0][1])]
        answers = await asyncio.gather(*(arm.engine.generate(request) for arm, request in asked))
        return head, [(arm, c) for (arm, _), answer in zip(asked, answers, strict=True) for c in answer]

    async def run(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        read = ("row_id", "problem_id", *(inserted.READ if prefix else ()), *named)
        given = table.select([c for c in dict.fromkeys(read) if c in table.column_names])
        row_list = given.to_pylist()
        null = {r["row_id"]: [c for c in named if r[c] is None] for r in row_list}
        todo = [(i, r) for i, r in enumerate(row_list) if not null[r["row_id"]]]
        answers = await asyncio.gather(*(ask(r) for _, r in todo))
        dropped = [(k, "null_field", json.dumps({"columns": v})) for k, v in null.items() if v]
        made: list[dict[str, Any]] = []
        source: list[int] = []
        failed = 0
        for (i, row), (head, completions) in zip(todo, answers, strict=True):
            given_up = [c.error for _, c in completions if c.finish_reason == "error"]
            kept = [(k, *s) for k, s in enumerate(completions) if on_error == "keep" or s[1].finish_reason != "error"]
            failed += len(given_up)
            if not kept:
                dropped.append((row["row_id"], "failed", json.dumps({"errors": given_up})))
            parts = inserted.of_prefix(prefix, row, fields(prefix)) if prefix else []
            made += [_sample(row, k, head, c, arm, parts) for k, arm, c in kept]
            source += [i] * len(kept)
        return Result(_rows(table, source, made), _dropped(dropped), {"samples_failed": failed})

    return run


class Arm(NamedTuple):
    """One engine at one temperature, and the numbers of the samples that it is asked for."""

    engine: Engine
    temperature: float
    samples: range

    def requests(
        self, messages: tuple[Message, ...], sampling: Mapping[str, Any], head: str, row: Mapping[str, Any],
        seed: int | None,
    ) -> list[Request]:  # fmt: skip
        """Return what is asked for a row, at this temperature."""
        sampling = {**sampling, "temperature": self.temperature}
        return requests(messages, sampling, self.samples, head, row, self.engine, seed)


def _arms(engine: Engine | tuple[Engine, ...], temperature: float | tuple[float, ...], n: int) -> list[Arm]:
    """Return every engine at every temperature, in the order written.

    Every engine is asked for its samples 0 to n-1, so that its answers do not depend on its neighbours; a model that
    stands there under a second name gives the n samples after those.

    Raises:
        ValueError: an empty list, or a temperature that is negative or named twice.
    """
    engines = engine if isinstance(engine, tuple) else (engine,)
    temperatures = temperature if isinstance(temperature, tuple) else (temperature,)
    if not engines or not temperatures or min(temperatures) < 0 or len(set(temperatures)) < len(temperatures):
        msg = f"generate: temperature is {list(temperatures)}; it must be 0 or more, each named once"
        raise ValueError(msg)
    identities = [dict(e.identity) for e in engines]
    first = [identities[:i].count(identity) * n for i, identity in enumerate(identities)]
    return [Arm(e, float(t), range(f, f + n)) for e, f in zip(engines, first, strict=True) for t in temperatures]


def requests(
    messages: tuple[Message, ...], sampling: Mapping[str, Any], samples: range, head: str, row: Mapping[str, Any],
    engine: Engine, seed: int | None,
) -> list[Request]:  # fmt: skip
    """One request for all of `samples`, or one a sample where the engine takes seeds.

    One seed for a request of n would give sample 5 another text when it is asked for later by itself.
    """
    key = row["row_id"]
    if SEED not in engine.capabilities or sampling["temperature"] == 0:
        asked = Sampling(**sampling)
        return [Request(messages, asked, n=len(samples), prefix=head, first_sample=samples.start, key=key)]
    problem = row.get("problem_id") or key
    return [
        Request(
            messages, Sampling(**sampling, seed=seed_of(seed or 0, problem, i)), prefix=head, first_sample=i, key=key
        )
        for i in samples
    ]


def _sample(
    row: Mapping[str, Any], i: int, head: str, c: Completion, arm: Arm, put_in: Sequence[Edit]
) -> dict[str, Any]:
    """The new columns of one sample row; text that is not there is null, never empty."""
    trace = (head + c.text) if c.text else None
    parts = split_think(trace) if trace else None
    return {
        "row_id": f"{row['row_id']}/{i}",
        "parent_id": row["row_id"],
        "problem_id": row.get("problem_id") or row["row_id"],
        "sample_idx": i,
        "trace": trace,
        "think": (parts.think or None) if parts else None,
        "response": (parts.response or None) if parts else None,
        "finish_reason": c.finish_reason,
        "error": c.error,
        "engine": arm.engine.alias,
        "model": arm.engine.model,
        "n_tokens": c.n_tokens,
        "n_prompt_tokens": c.n_prompt_tokens,
        "temperature": arm.temperature,
        "inserted": [p._asdict() for p in put_in] if trace and put_in else None,
    }


def _rows(table: pa.Table, source: list[int], made: list[dict[str, Any]]) -> pa.Table:
    """Repeat the input rows `source` and set the new columns; old columns keep their place."""
    out = table.take(pa.array(source, pa.int64()))
    return rows.put(out, {name: pa.array([m[name] for m in made], kind) for name, kind in rows.types(ADDS).items()})


def _dropped(found: list[tuple[str, str, str]]) -> pa.Table:
    return pa.table({f.name: [d[i] for d in found] for i, f in enumerate(DROPPED)}, DROPPED)
