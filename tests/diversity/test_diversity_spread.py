"""How sure a score is: intervals against the truth by simulation, contributions that add up, draws of equal n."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.diversity.spread import contributions, equal, intervals, parted, whole
from curator.diversity.vendi import ORDERS, Moments, entropy, vendi


def source(chance, n, d=24, weights=None):
    """Rows of a mixture: a few directions that come often, with noise."""
    centres = np.random.default_rng(5).normal(size=(8, d))
    p = np.arange(8, 0, -1.0) if weights is None else np.asarray(weights, float)
    return centres[chance.choice(8, n, p=p / p.sum())] + chance.normal(size=(n, d)) * 0.4


def test_half_samples_know_how_much_a_score_varies():
    chance = np.random.default_rng(0)
    n, scores, widths = 300, [], []
    for k in range(120):
        x = source(chance, n)
        scores.append(math.log(Moments().add(x).vendi()))
        low, value, high = intervals(parted(x), draws=40, seed=k)[1.0]
        assert low < value < high
        widths.append(math.log(high / low) / (2 * 1.96))
    truth = np.std(scores, ddof=1)  # known to 6 % from 120 data sets
    assert np.mean(widths) == pytest.approx(truth, rel=0.2)
    mean = np.mean(scores)
    inside = np.mean([abs(s - mean) <= 1.96 * w for s, w in zip(scores, widths, strict=True)])
    assert 0.87 <= inside <= 1.0


def test_a_bootstrap_with_replacement_would_lie_below():
    x = np.random.default_rng(1).normal(size=(200, 100))
    found = intervals(parted(x), draws=20)[1.0]
    chance = np.random.default_rng(2)
    with_replacement = [Moments().add(x[chance.integers(0, 200, 200)]).vendi() for _ in range(20)]
    assert max(with_replacement) < found.low < found.value < found.high


def test_few_rows_have_no_interval():
    for n in (1, 2, 3):
        found = intervals(parted(np.eye(5)[:n]))
        assert found[1.0].value == pytest.approx(n)
        assert math.isnan(found[1.0].low)
    assert math.isnan(intervals([])[1.0].value)


@given(st.integers(1, 200), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_parts_hold_every_row_once(n, seed):
    x = np.random.default_rng(seed).normal(size=(n, 6))
    found = whole(parted(x))
    assert found.n == n
    np.testing.assert_allclose(found.total, Moments().add(x).total, atol=1e-12 * n)


def test_contributions_add_up_and_point_the_right_way():
    chance = np.random.default_rng(3)
    common, rare = chance.normal(size=(900, 10)), np.zeros((100, 10))
    common[:, 3:] *= 0.05
    rare[:, 5:] = chance.normal(size=(100, 5))
    groups = [("common", Moments().add(common)), ("rare", Moments().add(rare)), ("none", Moments())]
    found = contributions(groups)
    assert [g.name for g in found] == ["rare", "common"]
    total = whole([m for _, m in groups])
    assert sum(g.share * g.surprise for g in found) == pytest.approx(entropy(total.spectrum()), abs=1e-9)
    assert found[0].gain > 0 > found[1].gain
    more = Moments().add(np.concatenate([common, rare, rare[:50]])).vendi()
    assert more > total.vendi()
    # the gain is the derivative of the entropy by the group's weight
    step = 1e-6
    c = (total.total / 1000) * (1 - step) + groups[1][1].total / 100 * step
    slope = (entropy(np.linalg.eigvalsh(c)) - entropy(total.spectrum())) / step
    assert found[0].gain == pytest.approx(slope, rel=1e-3)


def drawn(chance, x, m, draws):
    return [Moments().add(x[chance.choice(len(x), m, replace=False)]).vendi() for _ in range(draws)]


def test_differences_at_equal_n_cover_the_truth():
    """Two samples of unequal size from one source do not differ; their raw scores do."""
    chance = np.random.default_rng(4)
    hits, m = 0, 60
    for _ in range(40):
        a, b = source(chance, 400), source(chance, 120)
        found = equal("vendi", [drawn(chance, a, m, 16), drawn(chance, b, m, 16)], [400, 120], m)
        (difference,) = found.differences
        hits += difference.low <= 0 <= difference.high
    assert hits >= 34
    wide, narrow = source(chance, 400, weights=[1] * 8), source(chance, 200, weights=[90, 2, 1, 1, 1, 1, 1, 1])
    found = equal("vendi", [drawn(chance, wide, m, 16), drawn(chance, narrow, m, 16)], [400, 200], m)
    assert found.differences[0].high < 0


def test_all_rows_drawn_have_no_interval():
    found = equal("vendi", [[2.0], [3.0]], [10, 10], 10)
    assert found.values == [2.0, 3.0]
    assert found.differences[0].value == 1.0
    assert math.isnan(found.differences[0].low)


def test_orders_have_intervals_of_their_own():
    x = source(np.random.default_rng(6), 500)
    found = intervals(parted(x))
    for q in ORDERS:
        assert found[q].value == pytest.approx(vendi(Moments().add(x).spectrum(), q))
        assert found[q].low < found[q].value < found[q].high
