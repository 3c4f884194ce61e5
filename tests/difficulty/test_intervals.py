"""Intervals of a proportion, against closed forms, an independent library, and their measured coverage."""

from __future__ import annotations

import math

import mpmath
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.difficulty.intervals import METHODS, beta_cdf, beta_quantile, jeffreys, wilson

counts = st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@settings(deadline=None)
@given(st.floats(0.001, 0.999), st.floats(0.1, 300), st.floats(0.1, 300))
def test_the_beta_distribution_agrees_with_mpmath(x, a, b):
    assert beta_cdf(x, a, b) == pytest.approx(float(mpmath.betainc(a, b, 0, x, regularized=True)), abs=1e-11)


@settings(deadline=None)
@given(st.floats(0.001, 0.999), st.floats(0.5, 100), st.floats(0.5, 100))
def test_a_quantile_is_the_inverse(p, a, b):
    assert beta_cdf(beta_quantile(p, a, b), a, b) == pytest.approx(p, abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None)
@given(counts, st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_an_interval_holds_its_rate_and_mirrors(method, kn, confidence):
    (k, n), interval = kn, METHODS[method]
    low, high = interval(k, n, confidence)
    assert 0 <= low <= k / n <= high <= 1
    assert low < high
    assert interval(n - k, n, confidence) == pytest.approx((1 - high, 1 - low), abs=1e-9)
    wide = interval(k, n, 0.999)
    assert wide[0] <= low
    assert wide[1] >= high


def test_published_values():
    """Wilson at 0 of n ends at z^2 / (n + z^2); Jeffreys's from Brown, Cai and DasGupta (2001), table for n = 7, 20."""
    z2 = 1.959963984540054**2
    assert wilson(0, 4, 0.95) == pytest.approx((0, z2 / (4 + z2)))
    assert jeffreys(0, 7, 0.95) == pytest.approx((0, 0.292), abs=6e-4)
    assert jeffreys(1, 7, 0.95) == pytest.approx((0.016, 0.501), abs=6e-4)


def coverage(interval, n: int, p: float, confidence: float = 0.95) -> float:
    """Exactly, over all outcomes."""
    ends = [interval(k, n, confidence) for k in range(n + 1)]
    return math.fsum(
        math.comb(n, k) * p**k * (1 - p) ** (n - k) for k, (low, high) in enumerate(ends) if low <= p <= high
    )


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [4, 8, 16, 32])
def test_coverage_is_near_nominal_on_average(method, n):
    found = [coverage(METHODS[method], n, p) for p in (i / 200 for i in range(1, 200))]
    assert sum(found) / len(found) == pytest.approx(0.95, abs=0.02)
    assert min(found[10:-10]) > 0.80
