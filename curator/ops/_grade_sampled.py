"""`grade` that samples an engine itself and checks the answers by rules, no more than a problem's band needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from curator import prompts
from curator.difficulty.adaptive import Plan
from curator.difficulty.bands import name_of
from curator.difficulty.intervals import METHODS
from curator.engines.protocol import Completion, Engine, Message
from curator.op import ModelFn, Result
from curator.ops import _verify
from curator.ops._grade_settings import Settings, band_table, verify_settings, with_values
from curator.ops.generate import requests
from curator.rows import put
from curator.text import fields

SAMPLING = ("temperature", "top_p", "top_k", "max_tokens")


@dataclass
class Problem:
    """One problem under way. `place`: its row; `lengths`: tokens of each sample."""

    place: int
    row: Mapping[str, Any]
    n_ok: int = 0
    n: int = 0
    n_undecided: int = 0
    lengths: list[int] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """Samples asked for so far."""
        return self.n + self.n_undecided

    def take(self, completion: Completion, *, correct: bool | None) -> None:
        """Count one sample."""
        self.lengths += [completion.n_tokens] if completion.finish_reason != "error" else []
        self.n_undecided += correct is None
        self.n += correct is not None
        self.n_ok += correct is True


def model_function(settings: Settings) -> ModelFn:
    """Return the function of the step."""
    engine: Engine = settings["engine"]
    named_fields = dict.fromkeys((*fields(settings["prompt"]), *fields(settings["system"])))
    how = verify_settings(settings)
    bands = band_table(settings).get(None, ()) if settings["bands"] else ()

    @lru_cache(maxsize=256)
    def plan(most: int) -> Plan:
        return Plan(most, bands, settings["stop_at"], settings["prior"])

    def wanted(p: Problem) -> range:
        most = settings["n"] - p.n_undecided  # samples without a verdict say nothing and are not made up for
        more = settings["n"] - p.asked
        if settings["stop_at"] is not None and most > 0:
            more = plan(most).more(p.n_ok, p.n)
        return range(p.asked, p.asked + more)

    async def ask(p: Problem, samples: range) -> list[Completion]:
        import asyncio  # 0.03 s that `check` need not pay

        values = {name: str(p.row[name]) for name in named_fields}
        messages = [Message("user", prompts.fill(settings["prompt"], **values))]
        if settings["system"]:
            messages.insert(0, Message("system", prompts.fill(settings["system"], **values)))
        sampling = {name: settings[name] for name in SAMPLING}
        asked = requests(tuple(messages), sampling, samples, "", p.row, engine, settings["seed"])
        answers = await asyncio.gather(*(engine.generate(request) for request in asked))
        return [c for answer in answers for c in answer]

    async def run(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        keep = [c for c in dict.fromkeys(("row_id", "problem_id", *named_fields)) if c in table.column_names]
        problems = [Problem(i, row) for i, row in enumerate(table.select(keep).to_pylist())]
        live = [p for p in problems if all(p.row[name] is not None for name in named_fields)]
        unread = settings["unparseable"] == "incorrect"
        while todo := [(p, w) for p in live if (w := wanted(p))]:
            answers = await asyncio.gather(*(ask(p, w) for p, w in todo))
            flat = [(p, c) for (p, _), found in zip(todo, answers, strict=True) for c in found]
            said = await asyncio.to_thread(_correct, table, flat, how, unread=unread)
            for (p, completion), correct in zip(flat, said, strict=True):
                p.take(completion, correct=correct)
        numbers = [_numbers(p, plan, settings) for p in problems]
        return Result(with_values(table, numbers, settings), None, _counts(problems, live, settings))

    return run


def _correct(
    table: pa.Table, flat: Sequence[tuple[Problem, Completion]], how: Mapping[str, Any], *, unread: bool
) -> list[bool | None]:
    """Check the samples by rules; `unread`: an answer that cannot be read is a wrong one."""
    sampled = table.take(pa.array([p.place for p, _ in flat], pa.int64()))
    columns = {
        "trace": pa.array([c.text or None for _, c in flat], pa.string()),
        "finish_reason": pa.array([c.finish_reason for _, c in flat], pa.string()),
        "error": pa.array([c.error for _, c in flat], pa.string()),
    }
    outcomes = _verify.judged(_verify.read(put(sampled, columns), how), how)
    return [False if unread and o.verdict == "unparseable" else o.correct for o in outcomes]


def _numbers(p: Problem, plan: Any, settings: Settings) -> dict[str, Any]:
    low, high = METHODS[settings["interval"]](p.n_ok, p.n, settings["confidence"]) if p.n else (None, None)
    rate = p.n_ok / p.n if p.n else None
    mean = sum(p.lengths) / len(p.lengths) if p.lengths else None
    out: dict[str, Any] = {
        "n": p.n, "n_ok": p.n_ok, "n_undecided": p.n_undecided, "pass_rate": rate, "pass_rate_low": low,
        "pass_rate_high": high, "length_mean": mean, "n_asked": p.asked, "stopped": _why(p, settings),
    }  # fmt: skip
    if settings["bands"]:
        bands = band_table(settings)[None]
        out["band"] = name_of(out[settings["band_of"]], bands)
        if out["stopped"] == "decided":
            out["band"] = plan(settings["n"] - p.n_undecided).decision(p.n_ok, p.n)
    if settings["bins"]:
        easy, hard = settings["bins"]["easy"], settings["bins"]["hard"]
        level = None if rate is None else "easy" if rate >= easy else "hard" if rate < hard else "medium"
        out |= {"difficulty": level, "difficulty_source": "pass_rate" if level else None}
    return out


def _why(p: Problem, settings: Settings) -> str | None:
    if not p.asked:
        return None  # a column that the prompt names is null
    return "n" if p.asked == settings["n"] else "decided"


def _counts(problems: Sequence[Problem], live: Sequence[Problem], settings: Settings) -> dict[str, float]:
    asked = sum(p.asked for p in problems)
    return {
        "problems": float(len(problems)), "not_asked": float(len(problems) - len(live)),
        "samples_asked": float(asked), "samples_saved": float(settings["n"] * len(live) - asked),
        "problems_decided_early": float(sum(_why(p, settings) == "decided" for p in problems)),
    }  # fmt: skip
