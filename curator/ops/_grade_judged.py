"""`grade` by a model's judgement: a number asked for several times, and the mean of what could be read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from statistics import fmean, pstdev
from typing import Any

import pyarrow as pa

from curator import prompts
from curator.difficulty.bands import name_of
from curator.engines.protocol import Completion, Engine, Message
from curator.op import ModelFn, Result
from curator.ops._grade_settings import Settings, band_table, with_values
from curator.ops.generate import requests
from curator.text import fields

_LABEL = re.compile(r"\bdifficulty\b", re.I)


def model_function(settings: Settings) -> ModelFn:
    """Return the function of the step."""
    engine: Engine = settings["engine"]
    quoted = fields(settings["template"])
    sampling = {name: settings[name] for name in ("temperature", "top_p", "top_k", "max_tokens")}

    async def ask(row: Mapping[str, Any]) -> list[Completion]:
        import asyncio  # 0.03 s that `check` need not pay

        if any(row[name] is None for name in quoted):
            return []
        text = prompts.fill(settings["template"], **{name: str(row[name]) for name in quoted})
        asked = requests(
            (Message("user", text),), sampling, range(settings["calls"]), "", row, engine, settings["seed"]
        )
        answers = await asyncio.gather(*(engine.generate(request) for request in asked))
        return [c for answer in answers for c in answer]

    async def run(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        keep = dict.fromkeys(("row_id", "problem_id", settings["category"], *quoted))
        rows = table.select([c for c in keep if c in table.column_names]).to_pylist()
        answers = await asyncio.gather(*(ask(row) for row in rows))
        votes = [_votes(found, settings["scale"]) for found in answers]
        counts = {
            "replies": float(sum(map(len, answers))),
            "not_read": float(sum(map(len, answers)) - sum(map(len, votes))),
        }
        numbers = [_numbers(v, row, settings) for v, row in zip(votes, rows, strict=True)]
        return Result(with_values(table, numbers, settings), None, counts)

    return run


def _votes(replies: Sequence[Completion], scale: tuple[float, float]) -> list[float]:
    """The numbers of the replies that can be read; one off the scale cannot."""
    from curator.verdicts.judge import Reading, read

    how = Reading({}, None, scale)
    said = (read(_LABEL.sub("score", c.text), how) for c in replies if c.finish_reason != "error")
    return [float(v) for v in said if v is not None]


def _numbers(votes: Sequence[float], row: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    mean = fmean(votes) if votes else None
    spread = pstdev(votes) if votes else None
    out: dict[str, Any] = {"judged_difficulty": mean, "judged_n": len(votes), "judged_std": spread}
    if settings["bands"]:
        tables = band_table(settings)
        bands = tables.get(None) or tables.get(row.get(settings["category"])) or tables.get("*", ())
        out["band"] = name_of(mean, bands)
    return out
