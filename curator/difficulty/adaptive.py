"""How many samples a problem needs before its band is decided.

A band is what all N samples would say. After n of them, k right, the rest is uncertain: with a Beta prior on the pass
rate the number of right ones among the N - n to come is beta-binomial, so the chance that the band of all N will be
this or that one is a finite sum. Sampling stops when one band has at least the confidence asked for; when nothing that
may come can change the band, that chance is 1. The rule is unpublished, ours: a confidence interval that has to fit
into a band never stops near an end, while what the user asks is only what the full number of samples would have said.

The prior is Jeffreys's Beta(1/2, 1/2). It fits well, because pass rates of real problem sets pile up at 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property

from curator.difficulty.bands import Band, name_of
from curator.difficulty.intervals import log_beta


class Plan:
    """The rule for at most `n` samples.

    Args of the constructor:
        n: most samples of a problem.
        bands: see `bands.table`; pass rates in none of them count as one more.
        confidence: chance that the band of all n samples is the one found; 1 stops only where nothing can change it.
        prior: the two parameters of the Beta prior.
    """

    def __init__(
        self, n: int, bands: Sequence[Band], confidence: float, prior: tuple[float, float] = (0.5, 0.5)
    ) -> None:
        self.n, self.bands, self.confidence, self.prior = n, tuple(bands), confidence, prior

    def band(self, k: int, n: int) -> str | None:
        """Return the band of k right ones of n."""
        return name_of(k / n if n else None, self.bands)

    def chances(self, k: int, n: int, left: int) -> dict[str | None, float]:
        """Return band -> the chance that k of n, and `left` more to come, will end in it."""
        found: dict[str | None, float] = {}
        a, b = k + self.prior[0], n - k + self.prior[1]
        for more in range(left + 1):
            ways = math.lgamma(left + 1) - math.lgamma(more + 1) - math.lgamma(left - more + 1)
            chance = math.exp(ways + log_beta(a + more, b + left - more) - log_beta(a, b))
            name = self.band(k + more, n + left)
            found[name] = found.get(name, 0.0) + chance
        return found

    @cached_property
    def _decided(self) -> dict[tuple[int, int], str | None]:
        """(k, n) -> the band, where it is decided. Of n = 0 nothing is."""
        out: dict[tuple[int, int], str | None] = {}
        for n in range(1, self.n + 1):
            for k in range(n + 1):
                chances = self.chances(k, n, self.n - n)
                name = max(chances, key=lambda c: (chances[c], str(c)))
                if len(chances) == 1 or (self.confidence < 1 and chances[name] >= self.confidence):
                    out[k, n] = name
        return out

    def decided(self, k: int, n: int) -> bool:
        """Whether k right ones of n decide the band."""
        return (k, n) in self._decided

    def decision(self, k: int, n: int) -> str | None:
        """Return the band that k of n decide, or that of k / n where they decide none."""
        return self._decided.get((k, n), self.band(k, n))

    def more(self, k: int, n: int) -> int:
        """Return how many samples to ask for next: the fewest after which the band may be decided; 0 where it is.

        Asking for fewer at a time would not stop earlier.
        """
        if self.decided(k, n):
            return 0
        for ahead in range(1, self.n - n + 1):
            if any(self.decided(k + right, n + ahead) for right in range(ahead + 1)):
                return ahead
        return self.n - n


def fit_prior(counts: Mapping[tuple[int, int], int]) -> tuple[float, float] | None:
    """Return the Beta prior under which so many problems with k right of n are likeliest (maximum likelihood).

    Args:
        counts: (k, n) -> problems.

    Returns:
        The two parameters to two significant digits, or None where fewer than 20 problems have two samples or more:
        with less there is nothing to fit.
    """
    several = {(k, n): times for (k, n), times in counts.items() if n > 1}
    if sum(several.values()) < 20:
        return None

    def likelihood(mean: float, size: float) -> float:
        a, b = mean * size, (1 - mean) * size
        norm = log_beta(a, b)
        return math.fsum(times * (log_beta(k + a, n - k + b) - norm) for (k, n), times in several.items())

    mean, size, step = 0.5, 1.0, 0.25
    best = likelihood(mean, size)
    while step > 0.002:  # a pattern search: the surface has one top
        around = [(mean + d * step, size * math.exp(4 * e * step)) for d in (-1, 0, 1) for e in (-1, 0, 1) if d or e]
        found = max((likelihood(m, s), m, s) for m, s in around if 0.002 < m < 0.998 and 0.02 < s < 500)
        if found[0] > best + 1e-9:
            best, mean, size = found
        else:
            step /= 2
    return _digits(mean * size), _digits((1 - mean) * size)


def _digits(value: float) -> float:
    return float(f"{value:.2g}")
