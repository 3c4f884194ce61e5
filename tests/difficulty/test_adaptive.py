"""When a band is decided: chances against enumeration, certainty, and what stopping early costs."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.difficulty.adaptive import Plan, fit_prior
from curator.difficulty.bands import table

THIRDS = table({"easy": "(0.75, 1]", "medium": "[0.25, 0.75]", "hard": "[0, 0.25)"})
TEACHABLE = table({"keep": "(0.1, 0.9)"})


def by_hand(k: int, n: int, left: int, plan: Plan) -> dict:
    """The chances by Polya's urn, draw after draw."""
    if left == 0:
        return {plan.band(k, n): 1.0}
    p = (k + plan.prior[0]) / (n + sum(plan.prior))
    out: dict = {}
    for step, chance in ((1, p), (0, 1 - p)):
        for band, c in by_hand(k + step, n + 1, left - 1, plan).items():
            out[band] = out.get(band, 0.0) + chance * c
    return out


@settings(deadline=None)
@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 6), st.sampled_from([(0.5, 0.5), (1, 1), (0.3, 0.03)]))
def test_chances_are_those_of_an_urn(k, wrong, left, prior):
    plan = Plan(k + wrong + left, THIRDS, 0.95, prior)
    found, expected = plan.chances(k, k + wrong, left), by_hand(k, k + wrong, left, plan)
    assert found == pytest.approx(expected, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.booleans(), min_size=1, max_size=16), st.sampled_from([THIRDS, TEACHABLE]), st.sampled_from([1, 0.9])
)  # fmt: skip
def test_a_certain_band_is_the_band_of_all_samples(verdicts, bands, confidence):
    plan = Plan(len(verdicts), bands, confidence)
    n = k = 0
    while more := plan.more(k, n):
        k += sum(verdicts[n : n + more])
        n += more
    assert n <= len(verdicts)
    if confidence == 1:
        assert plan.decision(k, n) == plan.band(sum(verdicts), len(verdicts))


def test_a_batch_never_asks_for_more_than_one_at_a_time_would():
    for bands in (THIRDS, TEACHABLE):
        plan = Plan(12, bands, 0.95)
        for word in range(2**12):
            verdicts = [bool(word >> i & 1) for i in range(12)]
            single = next(n for n in range(1, 13) if plan.decided(sum(verdicts[:n]), n))
            n = 0
            while more := plan.more(sum(verdicts[:n]), n):
                n += more
            assert n == single


def test_more_confidence_never_asks_for_less():
    for k, n in ((3, 3), (0, 4), (2, 4)):
        asked = [Plan(16, THIRDS, c).decided(k, n) for c in (0.8, 0.9, 0.99, 1)]
        assert asked == sorted(asked, reverse=True)


def test_with_the_right_prior_as_few_bands_change_as_promised():
    rng = random.Random(1)
    plan = Plan(16, THIRDS, 0.97, (0.4, 0.2))
    changed = asked = 0
    for _ in range(3000):
        rate = rng.betavariate(0.4, 0.2)
        verdicts = [rng.random() < rate for _ in range(16)]
        n = 0
        while more := plan.more(sum(verdicts[:n]), n):
            n += more
        asked += n
        changed += plan.decision(sum(verdicts[:n]), n) != plan.band(sum(verdicts), 16)
    assert changed / 3000 < 0.03
    assert asked / (3000 * 16) < 0.7


@pytest.mark.parametrize("prior", [(0.4, 0.1), (1.0, 1.5), (3.0, 0.5)])
def test_the_prior_is_found_again(prior):
    rng = random.Random(2)
    counts = Counter()
    for _ in range(3000):
        rate = rng.betavariate(*prior)
        counts[sum(rng.random() < rate for _ in range(10)), 10] += 1
    assert fit_prior(counts) == pytest.approx(prior, rel=0.2)


def test_too_little_to_fit():
    assert fit_prior({}) is None
    assert fit_prior({(1, 1): 500, (2, 4): 5}) is None
    assert fit_prior({(4, 4): 50}) is not None
