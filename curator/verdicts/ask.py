"""Judge and reward model put to an engine: one question for equal prompts, votes, both orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from curator import prompts
from curator.engines.protocol import SEED, Engine, Message, Request, RewardModel, Sampling
from curator.text import seed_of
from curator.verdicts import judge, reward
from curator.verdicts.case import ERROR, Case, Outcome

SWAPPED = {"reference": "answer", "answer": "reference"}
SHOWN = 200  # characters of the given answer in predicted_answer
Orders = list[list[judge.Reply]]


@dataclass(frozen=True)
class Judge:
    """How an engine is asked for its opinion. `needs`: the fields of the template; `seed`: of the run."""

    template: str
    needs: tuple[str, ...]
    how: judge.Reading
    threshold: float
    votes: int
    both_orders: bool
    sampling: Sampling
    seed: int

    async def __call__(self, cases: Sequence[Case], engine: Engine) -> list[Outcome]:
        """Ask about each case, at the same time; rows whose prompts are equal share one question."""
        import asyncio  # 0.03 s that `check` need not pay

        asked: dict[str, asyncio.Task[Orders]] = {}
        given = [judge.material(case, self.needs) for case in cases]
        prompted = [None if isinstance(g, Outcome) else prompts.fill(self.template, **g) for g in given]
        async with asyncio.TaskGroup() as group:
            for case, fields, prompt in zip(cases, given, prompted, strict=True):
                if prompt is not None and prompt not in asked and not isinstance(fields, Outcome):
                    asked[prompt] = group.create_task(self._orders(fields, prompt, engine, case.row_id))
        who = f"{judge.VERIFIER}:{engine.model}"
        said = []
        for fields, prompt in zip(given, prompted, strict=True):
            if isinstance(fields, Outcome):
                said.append(replace(fields, verifier=who))
            else:
                shown = fields.get("answer", "")[:SHOWN] or None
                said.append(judge.outcome(asked[str(prompt)].result(), self.how, self.threshold, who, shown))
        return said

    async def _orders(self, fields: Mapping[str, str], prompt: str, engine: Engine, key: str) -> Orders:
        import asyncio  # 0.03 s that `check` need not pay

        texts = [prompt]
        if self.both_orders:
            texts.append(prompts.fill(self.template, **{SWAPPED.get(k, k): v for k, v in fields.items()}))
        different = dict.fromkeys(texts)  # equal answers are the same question in either order
        return list(await asyncio.gather(*(self._votes(text, engine, key) for text in different)))

    async def _votes(self, prompt: str, engine: Engine, key: str) -> list[judge.Reply]:
        import asyncio  # 0.03 s that `check` need not pay

        found = await asyncio.gather(*(engine.generate(r) for r in self._requests(prompt, engine, key)))
        return [
            judge.Reply(c.text, c.error or c.finish_reason if c.finish_reason in ("error", "content_filter") else None)
            for answers in found
            for c in answers
        ]

    def _requests(self, prompt: str, engine: Engine, key: str) -> list[Request]:
        """One request for all votes, or one a vote where the engine takes seeds; the prompt draws them, not the row."""
        messages = (Message("user", prompt),)
        if SEED not in engine.capabilities or self.sampling.temperature == 0:
            return [Request(messages, self.sampling, n=self.votes, key=key)]
        return [
            Request(messages, replace(self.sampling, seed=seed_of(self.seed, prompt, i)), first_sample=i, key=key)
            for i in range(self.votes)
        ]


@dataclass(frozen=True)
class Rewarding:
    """How a reward model is asked: about which `part` of a trace, and which of its `heads` count."""

    problem: str
    part: str
    heads: tuple[str, ...]
    threshold: float | None

    async def __call__(self, cases: Sequence[Case], engine: Any) -> list[Outcome]:
        """Score each case, at the same time."""
        import asyncio  # 0.03 s that `check` need not pay

        return list(await asyncio.gather(*(self._one(case, engine) for case in cases)))

    async def _one(self, case: Case, engine: RewardModel) -> Outcome:
        who = f"{reward.VERIFIER}:{engine.model}"
        text = reward.judged(case, self.part)
        if isinstance(text, Outcome):
            return replace(text, verifier=who)
        problem = case.row.get(self.problem)
        if not isinstance(problem, str) or not problem.strip():
            return Outcome(ERROR, f"column '{self.problem}' is empty", verifier=who)
        found = await engine.rewards((Message("user", problem), Message("assistant", text)))
        if found.error is not None:
            return Outcome(ERROR, f"the reward model failed: {found.error}", verifier=who)
        return reward.outcome(found.scores, self.heads, self.threshold, who)
