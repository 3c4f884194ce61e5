"""`rate`: a judge rates each row by criteria, and a rule says what the ratings come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import pyarrow as pa

from curator import prompts, rows
from curator.bounds import Ge, Gt
from curator.engines.protocol import GENERATE, Engine, Message, Request, Sampling
from curator.errors import CheckError
from curator.op import ModelFn, Names, Result, operator
from curator.text import fields, seed_of, split_think

ADDS = ("rating", "ratings", "rate_error")
CRITERIA = ["format", "factual accuracy", "difficulty alignment", "concept coverage", "solvability"]
MUST = ["factual accuracy", "solvability"]


def _needs(settings: Mapping[str, Any]) -> Names:
    return tuple(dict.fromkeys(("row_id", *(f for f in fields(settings["prompt"]) if f != "criteria"))))


def _adds(settings: Mapping[str, Any]) -> dict[str, pa.DataType]:
    return {_named(settings["name"], column): kind for column, kind in rows.types(ADDS).items()}


def _named(name: str, column: str) -> str:
    return f"{name}_{column}" if name else column


@operator(
    "model",
    effect="marks",
    version=1,
    needs=_needs,
    adds=_adds,
    wants=frozenset({GENERATE}),
)
def rate(
    *,
    engine: Engine,
    prompt: str = prompts.RATE_PROBLEM,
    criteria: list[str] = CRITERIA,  # read only; the signature is the schema
    must: list[str] = MUST,
    name: str = "",
    temperature: Annotated[float, Ge(0)] = 0.6,
    max_tokens: Annotated[int, Gt(0)] = 2048,
    seed: int | None = None,
) -> ModelFn:
    """Ask a judge for a rating by each criterion: perfect, acceptable or bad; `rating` is what they come to.

    `perfect`: every criterion of `must` is, two others are at least, and none is bad. `bad`: any is. `acceptable`: the
    rest (PromptCoT 1.0's rule, its released code; the prompt is ours). A reply that does not rate every criterion in a
    line of its own has no rating, and `rate_error` says so: nothing is guessed from words, and "imperfect" is not
    perfect. PromptCoT keeps what two judges call perfect: two steps with different `name`, then a `select`.

    Args:
        engine: the judge.
        prompt: user message; `{column}` is replaced by the row's value, a list by its items, numbered, and
            `{criteria}` by the criteria, one a line.
        criteria: what is rated.
        must: the criteria that must be perfect.
        name: goes before the names of the columns: `name: second` gives `second_rating`.
        temperature: of the judge (PromptCoT: 0.6).
        max_tokens: longest reply, the judge's own thinking included (PromptCoT: 2048).
        seed: None is the run's seed.

    Raises:
        CheckError: no criteria, one named twice, or one of `must` that is not among them.
    """
    if not criteria or len(set(criteria)) < len(criteria) or not set(must) <= set(criteria):
        msg = f"rate: criteria is {criteria} and must {must}; it wants different names, those of must among them"
        raise CheckError(msg)
    named = fields(prompt)
    listed = "\n".join(f"{c}: " for c in criteria)

    async def ask(row: Mapping[str, Any]) -> tuple[str | None, Any, str | None]:
        from curator.verdicts import rubric

        if absent := [n for n in named if n != "criteria" and row[n] is None]:
            return None, None, f"column '{absent[0]}' is null"
        values = {n: prompts.shown(row[n]) for n in named if n != "criteria"}
        text = prompts.fill(prompt, **values, criteria=listed)
        drawn = seed_of(seed or 0, text) if "seed" in engine.capabilities and temperature else None
        sampling = Sampling(temperature=temperature, top_p=1.0, max_tokens=max_tokens, seed=drawn)
        (c,) = await engine.generate(Request((Message("user", text),), sampling, key=row["row_id"]))
        if c.finish_reason == "error":
            return None, None, c.error or "failed"
        found = rubric.read(split_think(c.text).response, criteria)
        if found is None:
            return None, None, "cut short" if c.finish_reason == "length" else "the reply does not rate every criterion"
        return rubric.verdict(found, must), [{"criterion": k, "rating": v} for k, v in found.items()], None

    async def run(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        asked = table.select(list(_needs({"prompt": prompt}))).to_pylist()
        said = await asyncio.gather(*(ask(row) for row in asked))
        kinds = _adds({"name": name})
        columns = {c: pa.array([s[i] for s in said], kind) for i, (c, kind) in enumerate(kinds.items())}
        return Result(rows.put(table, columns), None, {"not_rated": sum(s[0] is None for s in said)})

    return run
