"""How sure a score is, and who brings it: half samples, the surprise of groups, and means of equal-sized draws.

A bootstrap with replacement is wrong here: a row drawn twice adds nothing, so its scores lie below the data's own, and
an interval of theirs need not even hold it. Half samples without replacement have no row twice. Their level is not used
either, since fewer rows score less; only their spread is: that of halves of n rows around their mean equals that of n
rows around theirs (McCarthy 1969; Politis and Romano 1994).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from curator.diversity.vendi import ORDERS, Moments, clean, vendi

PARTS = 32  # random parts of a data set that half samples are made of: their variance is known to a quarter
DRAWS = 40
Z = 1.959963984540054  # of a 95 % interval


class Interval(NamedTuple):
    """A value with its 95 % interval; NaN ends where nothing is known of it."""

    low: float
    value: float
    high: float


def whole(parts: Sequence[Moments]) -> Moments:
    """Return the moments of all parts."""
    return reduce(Moments.merge, parts, Moments())


def parted(x: Any, parts: int = PARTS) -> list[Moments]:
    """Return the moments of random parts of rows that lie in random order: sizes differ by one at most."""
    return [Moments().add(x[k::parts]) for k in range(min(parts, len(x)))]


def intervals(parts: Sequence[Moments], *, draws: int = DRAWS, seed: int = 0) -> dict[float, Interval]:
    """Return the score of every order of the whole, with what n rows leave uncertain of the mean score of such n rows.

    Args:
        parts: moments of random parts of about equal size, at best `PARTS` of them.
        draws: half samples.
        seed: of the choice of halves.
    """
    held = [p for p in parts if p.n]
    found = {q: vendi(whole(held).spectrum(), q) for q in ORDERS}
    half = len(held) // 2
    if half < 2:
        return {q: Interval(math.nan, value, math.nan) for q, value in found.items()}
    chance = np.random.default_rng(seed)
    logs = []
    for _ in range(draws):
        chosen = chance.choice(len(held), half, replace=False)
        eigenvalues = whole([held[i] for i in sorted(chosen)]).spectrum()
        logs.append([math.log(vendi(eigenvalues, q)) for q in ORDERS])
    scale = math.sqrt(half / (len(held) - half))  # an odd number of parts has no halves
    away = Z * scale * np.std(logs, axis=0, ddof=1)
    return {
        q: Interval(value * math.exp(-away[k]), value, value * math.exp(away[k]))
        for k, (q, value) in enumerate(found.items())
    }


class Group(NamedTuple):
    """A group's part in the score. `gain`: nats by which the entropy rises for each unit of weight it is given."""

    name: str
    n: int
    share: float
    vendi: float
    surprise: float
    gain: float


def contributions(groups: Sequence[tuple[str, Moments]]) -> list[Group]:
    """Return each group's part in G-Vendi, the largest gain first.

    With S = - tr(C ln C) and C the mean of g g^T, S is the mean over all rows of their surprise, - g^T ln(C) g. So the
    mean surprises of groups, weighted by their sizes, add up to S exactly, and a group's own less S is the derivative
    of S by its weight: above 0, more of this group makes the set more diverse (the influence function of the entropy).
    `vendi` is the group's score for itself, at its own n.
    """
    held = [(name, m) for name, m in groups if m.n]
    total = whole([m for _, m in held])
    if not total.n:
        return []
    eigenvalues, axes = np.linalg.eigh(total.total / total.n)
    kept = len(clean(eigenvalues, min(total.n, total.d)))
    values, axes = np.clip(eigenvalues[::-1][:kept], 0, 1), axes[:, ::-1][:, :kept]
    logs = -np.log(values)
    entropy = float(values @ logs)
    found = []
    for name, m in held:
        surprise = float(np.einsum("ik,ik->k", axes, m.total @ axes) @ logs) / m.n
        found.append(Group(name, m.n, m.n / total.n, m.vendi(), surprise, surprise - entropy))
    return sorted(found, key=lambda g: (-g.gain, g.name))


class Equal(NamedTuple):
    """A measure of several sets at equal n: mean over draws of each, and the others' difference to the first."""

    measure: str
    values: list[float]
    differences: list[Interval]


def equal(measure: str, drawn: Sequence[Sequence[float]], sizes: Sequence[int], m: int) -> Equal:
    """Return the means of a measure over draws of m rows, and the differences to the first set with their intervals.

    The interval asks whether the *sources* differ: besides the chance of the draws it holds what the n rows leave
    uncertain. The mean over draws estimates the mean over all subsets, whose variance is that among draws times
    m / (n - m): exactly so for a mean of rows, to first order for a smooth function of one (Hoeffding 1948).

    Args:
        measure: its name.
        drawn: of each set, the value at each draw of m rows without replacement.
        sizes: rows of each set that were drawn from.
        m: rows of a draw; with m = n the interval is unknown.
    """
    means, variances = [], []
    for values, n in zip(drawn, sizes, strict=True):
        spread = float(np.var(values, ddof=1)) if len(values) > 1 and n > m else math.nan
        means.append(float(np.mean(values)))
        variances.append(spread * (m / (n - m) + 1 / len(values)) if n > m else math.nan)
    differences = []
    for mean, variance in zip(means[1:], variances[1:], strict=True):
        away = Z * math.sqrt(variance + variances[0])
        between = mean - means[0]
        differences.append(Interval(between - away, between, between + away))
    return Equal(measure, means, differences)
