"""When a rollout is better than what it would replace, and when it is not worth judging."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from curator.spans.cuts import BREAK, paragraph_starts

MAX_REPEATS = 10  # of a line in one rollout (specs core 4.4; unpublished, ours)


def better(steps_new: int, steps_old: int, reward: float = 1.0, reward_old: float = 1.0, gamma: float = 0.9) -> bool:
    """Return whether the value of a rollout is strictly above that of the tail it would replace.

    V(s^i) = gamma^(N - i) R: of two steps at one place the one is better whose trajectory has the higher reward and
    fewer steps to go (Retro-Search 4.3; the form of V is recalled, not published in what we could read). With R in
    {0, 1} and a correct original this is: correct, and strictly fewer steps, whatever gamma. Logarithms are compared,
    so that a long tail does not vanish in rounding, and equal rewards leave a comparison of whole numbers.

    Args:
        steps_new: steps of the rollout.
        steps_old: steps of the tail after the same thought.
        reward: of the rollout, 0 or more.
        reward_old: of the original.
        gamma: between 0 and 1.
    """
    if reward <= 0 or reward_old <= 0:
        return reward > 0
    return (steps_new - steps_old) * math.log(gamma) + math.log(reward / reward_old) > 0


def mean_better(tried: Sequence[tuple[int, float]], steps_old: int, reward_old: float, gamma: float) -> bool:
    """Return whether the mean value of several rollouts, (steps, reward) each, is strictly above the old tail's."""
    if reward_old <= 0:
        return any(r > 0 for _, r in tried)
    # Relative to gamma^steps_old; beyond e^700 it is larger than any number of rollouts can undo.
    values = [r * math.exp(min(700.0, (n - steps_old) * math.log(gamma))) for n, r in tried]
    return math.fsum(values) > reward_old * len(tried)


def degenerate(think: str, kept: str) -> str | None:
    """Return what is wrong with the thinking of a rollout before its answer is looked at, or None.

    Args:
        think: thinking of the rollout.
        kept: thinking before it.
    """
    if not think.strip():
        return "empty"
    if think.count("\n") > MAX_REPEATS:
        lines = Counter(line.strip() for line in think.splitlines())
        if any(n > MAX_REPEATS and any(c.isalnum() for c in line) for line, n in lines.items()):
            return "looping"
    end = BREAK.search(think, len(think) - len(think.lstrip()))
    first = think[: end.start() if end else len(think)].strip()
    if first in kept:  # rarely, so only then step by step
        starts = [*paragraph_starts(kept), len(kept)]
        return "repeats" if first in (kept[a:b].strip() for a, b in pairwise(starts)) else None
    return None
