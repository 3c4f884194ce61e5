"""Choosing m rows: the greedy order against the definition, exchanges that only help, and a bound that holds."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.diversity import choose
from curator.diversity.vendi import Moments


def unit(n, d, seed, groups=5):
    chance = np.random.default_rng(seed)
    weights = 1 / np.arange(1, groups + 1) ** 2
    x = chance.normal(size=(groups, d))[chance.choice(groups, n, p=weights / weights.sum())]
    x = x + 0.3 * chance.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def definition(x, m):
    """Order 2, looking at every row for every choice, in float64."""
    x = x.astype(np.float64)
    total, chosen = np.outer(x[0], x[0]), [0]  # alone, every row is as good as the first
    for _ in range(m - 1):
        norms = [np.inf if i in chosen else np.linalg.norm(total + np.outer(g, g)) for i, g in enumerate(x)]
        chosen.append(int(np.argmin(norms)))
        total += np.outer(x[chosen[-1]], x[chosen[-1]])
    return chosen


@pytest.mark.parametrize(("candidates", "step"), [(2048, 256), (7, 3), (1, 1), (20, 100)])
def test_greedy_is_the_definition_however_it_is_blocked(candidates, step, monkeypatch):
    monkeypatch.setattr(choose, "CANDIDATES", candidates)
    monkeypatch.setattr(choose, "STEP", step)
    x = unit(120, 8, 3)
    assert choose.greedy(x, 60).tolist() == definition(x, 60)


@given(st.integers(4, 60), st.integers(2, 10), st.integers(1, 40), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_the_choice_beats_chance_and_the_bound_holds(n, d, m, seed):
    x = unit(n, d, seed)
    found = choose.choose(x, m)
    m = min(m, n)
    assert len(found.rows) == len(set(found.rows.tolist())) == m
    assert found.vendi == pytest.approx(Moments().add(x[found.rows]).vendi())
    if m < n:
        start = Moments().add(x[choose.greedy(x, m)]).vendi()
        assert found.vendi >= start - 1e-6
        assert found.vendi <= found.bound + 1e-6 <= min(m, d) + 2e-6
        chance = np.random.default_rng(seed)
        for _ in range(5):
            other = Moments().add(x[chance.choice(n, m, replace=False)]).vendi()
            assert other <= found.bound + 1e-6


def test_the_bound_is_above_the_best_of_all_choices():
    for seed in range(5):
        x = unit(12, 4, seed)
        best = max(Moments().add(x[list(c)]).vendi() for c in itertools.combinations(range(12), 5))
        found = choose.choose(x, 5)
        assert found.vendi <= best + 1e-9 <= found.bound + 1e-6
        assert found.vendi >= 0.93 * best


def test_it_beats_chance_and_kmeans_where_there_is_something_to_win():
    x = unit(2000, 32, 1, groups=20)
    scores = {how: choose.choose(x, 200, how).vendi for how in ("greedy", "random", "kmeans")}
    assert scores["greedy"] > 1.5 * scores["random"]
    assert scores["greedy"] > scores["kmeans"] > scores["random"]
    assert scores["greedy"] <= choose.choose(x, 200).bound


def test_twins_are_not_chosen_twice_while_others_are_left():
    x = np.concatenate([np.tile(unit(1, 16, 0), (50, 1)), np.eye(16, dtype=np.float32)])
    found = choose.choose(x, 16)
    assert sum(row < 50 for row in found.rows) <= 1
    assert found.vendi > 15


def test_more_than_there_are_and_all_of_them():
    x = unit(10, 4, 0)
    for m in (10, 11):
        found = choose.choose(x, m)
        assert found.rows.tolist() == list(range(10))
        assert math.isnan(found.bound)
    assert choose.choose(x[:0], 3).rows.tolist() == []
