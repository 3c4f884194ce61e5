"""Intervals of a proportion: k successes in n."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache
from statistics import NormalDist

Interval = tuple[float, float]


def wilson(k: int, n: int, confidence: float) -> Interval:
    """Return Wilson's score interval (Wilson 1927): honest at 0 of n and n of n, where the normal one has no width.

    Args:
        k: successes.
        n: trials, at least 1.
        confidence: between 0 and 1.
    """
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    # At the ends the sums cancel to 0 and 1 only up to rounding.
    return (0.0 if k == 0 else max(0.0, middle - half)), (1.0 if k == n else min(1.0, middle + half))


def jeffreys(k: int, n: int, confidence: float) -> Interval:
    """Return the equal-tailed interval of Beta(k + 1/2, n - k + 1/2), from 0 where k is 0 and to 1 where k is n.

    With these ends as Brown, Cai and DasGupta (2001, section 4.1.1), whose coverage is close to nominal on average.
    Arguments as of `wilson`.
    """
    tail = (1 - confidence) / 2
    a, b = k + 0.5, n - k + 0.5
    return (0.0 if k == 0 else beta_quantile(tail, a, b)), (1.0 if k == n else beta_quantile(1 - tail, a, b))


METHODS: dict[str, Callable[[int, int, float], Interval]] = {"wilson": wilson, "jeffreys": jeffreys}


@lru_cache(maxsize=4096)
def beta_quantile(p: float, a: float, b: float) -> float:
    """Return x with P(Beta(a, b) <= x) = p, by bisection: 60 halvings leave nothing that a float shows."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if beta_cdf(middle, a, b) < p else (low, middle)
    return (low + high) / 2


def beta_cdf(x: float, a: float, b: float) -> float:
    """Return P(Beta(a, b) <= x), the regularised incomplete beta function (DLMF 8.17.22: a continued fraction)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly its mirror image does not
        return 1 - beta_cdf(1 - x, b, a)
    front = a * math.log(x) + b * math.log1p(-x) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(front) / a / _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction, from the front (Lentz)."""
    value = c = 1.0
    d = 0.0
    for step in range(1, 400):
        m, odd = divmod(step, 2)
        term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)) if odd else (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        )  # fmt: skip
        d = 1 / (1 + term * d)
        c = 1 + term / c
        value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value


def log_beta(a: float, b: float) -> float:
    """Return the logarithm of the beta function."""
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)
