"""The loop of Retro-Search for one trace; many of them run at the same time, so that the engine is never idle.

From each thought to the one before the last: roll out from its end, and where the rollout is better (`rule`), put it in
the place of everything after that thought, cut the new tail into thoughts, and go on with the next thought of the new
trace. Steps never grow in number and the position always does, so it ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from curator.engines.protocol import Message
from curator.retro import rule
from curator.retro.choice import Limits, Tried, choose
from curator.retro.reviser import Draw, Reviser
from curator.retro.trace import Trace, split
from curator.spans.thoughts import count_steps
from curator.text import seed_of


class Judged(NamedTuple):
    """A verdict and its reward: 1 or 0, or a share where rewards are graded."""

    verdict: str
    reward: float
    note: str | None = None


@dataclass
class Found:
    """What became of a trace. Positions count thoughts from 1. Token sums are the engine's own counts."""

    trace: Trace
    stop: str
    start: int | None = None
    tried: list[Tried] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)
    requests: int = 0
    tokens_out: int = 0
    tokens_in: int = 0
    tokens_shared: int = 0


@dataclass
class Search:
    """One trace under revision.

    `key`: the row, for seeds; `judge(text)`: verdict of a rollout; `fits(prefix)`: whether the engine has room then.
    """

    key: str
    messages: tuple[Message, ...]
    reviser: Reviser
    limits: Limits
    judge: Callable[[str], Awaitable[Judged]]
    fits: Callable[[str], bool]
    count: Callable[[str], int]
    _read: int = 0  # prompt tokens that earlier requests of this trace have in common with the next one

    async def run(self, trace: Trace) -> Found:
        """Search until the last thought, or a limit."""
        found = Found(trace, "done")
        for sweep in range(self.limits.passes):
            before = len(found.accepted)
            stop = await self._sweep(sweep, found)
            if stop is not None:
                found.stop = stop
                break
            if len(found.accepted) == before:
                break
        return found

    async def _sweep(self, sweep: int, found: Found) -> str | None:
        """Go once over the thoughts; return the limit that ended it, or None."""
        s = self.limits
        at = 1
        if s.mode == "partial" and found.trace.n_thoughts > 1:
            at += seed_of(s.seed, self.key, sweep, "start") % (found.trace.n_thoughts - 1)
        if found.start is None:
            found.start = at
        self._read = 0
        while at < found.trace.n_thoughts:
            if at > s.max_thoughts:
                return "max_thoughts"
            if len(found.tried) + s.rollouts > s.max_rollouts:
                return "max_rollouts"
            if not self.fits(found.trace.prefix(at)):
                return "too_long"
            await self._position(sweep, at, found)
            at += 1
        return None

    async def _position(self, sweep: int, at: int, found: Found) -> None:
        """Roll out from the end of one thought, and replace the tail where that is better."""
        s, trace = self.limits, found.trace
        seed = seed_of(s.seed, self.key, at, sweep)
        draws = await self.reviser.draw(self.messages, trace.prefix(at), s.rollouts, seed, self.key)
        self._spend(found, draws)
        import asyncio  # 0.03 s that `check` need not pay

        judged = (self._judged(trace, at, sweep, i, d) for i, d in enumerate(draws))
        tried = list(await asyncio.gather(*judged)) if len(draws) > 1 else [await next(judged)]
        best = choose(tried, s)
        if best is not None:
            found.trace = trace.replaced(at, tried[best].text, self.reviser.words)
            found.accepted.append(at)
            self._read += draws[best].tokens  # the next prefix goes on into what this rollout wrote
        found.tried += tried

    def _spend(self, found: Found, draws: list[Draw]) -> None:
        first = draws[0].first_prompt
        for d in draws:
            found.requests += d.requests
            found.tokens_out += d.tokens
            found.tokens_in += d.prompt
            found.tokens_shared += d.shared
        found.tokens_shared += min(self._read, first)
        self._read = first

    async def _judged(self, trace: Trace, at: int, sweep: int, sample: int, draw: Draw) -> Tried:
        think, closing = split(draw.text)
        told = draw.why or rule.degenerate(think, trace.kept(at)) or ("" if closing else "unclosed")
        j = Judged(told, 0.0, draw.note) if told else await self.judge(draw.text)
        reward = j.reward if self.limits.graded else float(j.reward >= 1.0)
        steps_old, steps_new = trace.steps_after(at), count_steps(think)
        old = new = None
        if reward > 0 and (self.limits.guard or self.limits.unit == "tokens"):
            old, new = self.count(trace.think), self.count(trace.kept(at) + think)
        start, why = len(trace.head) + len(trace.kept(at)), j.note or told or None
        return Tried(sweep, at, sample, start, draw.text, j.verdict, reward, steps_old, steps_new, old, new, why=why)
