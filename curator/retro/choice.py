"""Which rollout of a position takes the place of the tail, if any, and why the others do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from curator.retro.rule import better, mean_better


@dataclass(frozen=True)
class Limits:
    """Settings of the loop, as `retro_search` has them. The original is right: its reward is 1."""

    mode: Literal["full", "partial"] = "full"
    rollouts: int = 1
    passes: int = 1
    gamma: float = 0.9
    graded: bool = False
    average: bool = False
    unit: Literal["steps", "tokens"] = "steps"
    guard: bool = False
    max_thoughts: int = 64
    max_rollouts: int = 64
    seed: int = 0


class Tried(NamedTuple):
    """One rollout of the audit. `start`: characters of the trace before it; an accepted one replaces all after them.

    `steps_old`, `steps_new`: remaining steps of the tail and of the rollout.
    `tokens_old`, `tokens_new`: of the whole thinking as it stood and as it would become, where somebody asks for them.
    `why`: what kept it out although it was correct, or what was wrong with it; None where it was accepted.
    """

    sweep: int
    position: int
    sample: int
    start: int
    text: str
    verdict: str
    reward: float
    steps_old: int
    steps_new: int
    tokens_old: int | None = None
    tokens_new: int | None = None
    accepted: bool = False
    why: str | None = None

    def length(self, unit: str) -> int:
        """Return what the rollout has instead of `old`, in steps or tokens."""
        return self.steps_new if unit == "steps" else self.tokens_new or 0

    def old(self, unit: str) -> int:
        """Return what the tail has, in steps or tokens."""
        return self.steps_old if unit == "steps" else self.tokens_old or 0


def choose(tried: list[Tried], s: Limits) -> int | None:
    """Return which of the rollouts of one position is accepted, None for none; `tried` is marked with the reasons."""
    able = []
    for i, t in enumerate(tried):
        if t.reward > 0:
            why = _lacking(t, s)
            tried[i] = t._replace(why=why)
            able += [] if why else [i]
    if able and s.average:
        values = [(t.length(s.unit), t.reward) for t in tried]
        if not mean_better(values, tried[able[0]].old(s.unit), 1.0, s.gamma):
            for i in able:
                tried[i] = tried[i]._replace(why="the mean of the rollouts is not of higher value")
            return None
    best: int | None = None
    for i in able:
        # With rewards of 0 and 1: the correct one with the fewest steps, the first of equals.
        if best is None or _above(tried[i], tried[best], s):
            best = i
    for i in able:
        same = i == best
        tried[i] = tried[i]._replace(accepted=same, why=None if same else "another rollout is as good or better")
    return best


def _above(one: Tried, other: Tried, s: Limits) -> bool:
    return better(one.length(s.unit), other.length(s.unit), one.reward, other.reward, s.gamma)


def _lacking(t: Tried, s: Limits) -> str | None:
    """Return why a rollout with a reward is not better than the tail, or None where it is."""
    if not better(t.length(s.unit), t.old(s.unit), t.reward, 1.0, s.gamma):
        return "not of higher value" if s.graded else f"not fewer {s.unit}"
    if s.guard and (t.tokens_new or 0) > (t.tokens_old or 0):
        return "fewer steps, but more tokens"
    return None
