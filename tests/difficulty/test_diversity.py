"""Diverse texts and draws: golden vectors, brute force, and laws."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from golden import group
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.difficulty import diversity
from curator.difficulty.diversity import RULES, distances, max_min, max_sum
from curator.difficulty.draw import by_length, chance, length_weights, shares


def test_golden_ded():
    for case in group("ded_diversity")["cases"]:
        matrix = distances(case["strings"])
        if "levenshtein" in case:
            assert matrix.tolist() == case["levenshtein"]
        found = RULES[case["mode"]](matrix, case["P"])
        assert sorted(found) == case["selected_sorted"]
        assert found == case.get("pick_order", found)
        if "pair_distance" in case:
            assert matrix[found[0], found[1]] == case["pair_distance"]
        if "total" in case:
            assert matrix[np.ix_(found, found)].sum() / 2 == case["total"]


texts = st.lists(st.text("ab", max_size=6), min_size=1, max_size=7)


def slow_max_min(matrix, p: int) -> list[int]:
    """The definition, without a clever step."""
    n = len(matrix)
    chosen = list(max(itertools.combinations(range(n), 2), key=lambda ij: (matrix[ij], -ij[0], -ij[1])))[:p]
    while len(chosen) < min(p, n):
        rest = [i for i in range(n) if i not in chosen]
        chosen.append(max(rest, key=lambda i: (min(matrix[i, j] for j in chosen), -i)))
    return chosen


@settings(deadline=None)
@given(texts, st.integers(1, 7), st.sampled_from(["none", "max_len"]))
def test_max_min_against_brute_force(given_, p, normalize):
    matrix = distances(given_, normalize)
    found = max_min(matrix, p)
    assert len(set(found)) == len(found) == min(p, len(given_))
    if len(given_) > 1:
        assert found == slow_max_min(matrix, p)
    if normalize == "none" and len(found) > 1:  # a metric: at least half of the best there is

        def least(s):
            return min(matrix[i, j] for i, j in itertools.combinations(s, 2))

        best = max(least(s) for s in itertools.combinations(range(len(given_)), len(found)))
        assert least(found) >= best / 2
        if p == 2:
            assert least(found) == best


@settings(deadline=None)
@given(texts, st.integers(1, 7))
def test_max_sum_against_brute_force(given_, p):
    matrix = distances(given_)
    found = max_sum(matrix, p)
    assert len(set(found)) == len(found) == min(p, len(given_))
    if 2 <= p < len(given_):

        def total(s):
            return sum(matrix[i, j] for i, j in itertools.combinations(s, 2))

        sets = list(itertools.combinations(range(len(given_)), p))
        best = max(map(total, sets))
        assert tuple(found) == next(s for s in sets if total(s) == best)


def test_greedy_beyond_the_exact(monkeypatch):
    monkeypatch.setattr(diversity, "EXACT", 0)
    matrix = distances(["aaaa", "aaab", "bbbb", "abab", "b" * 30])
    found = max_sum(matrix, 3)
    assert found == sorted(found)
    assert 4 in found


def test_golden_length_weights():
    for case in group("s1_length_weights")["cases"]:
        assert length_weights(case["lengths"]) == pytest.approx(case["weights"], abs=1e-6)


def test_drawn_as_often_as_the_weights_say():
    domains = {"a": ["long", "middle", "short"], "b": ["x"]}
    found = Counter(by_length(domains, 1, seed)[0] for seed in range(4000))
    assert found["x", "b"] / 4000 == pytest.approx(0.5, abs=0.03)
    for row, weight in zip(domains["a"], length_weights([900, 500, 100]), strict=True):
        assert found[row, "a"] / 4000 == pytest.approx(weight / 2, abs=0.03)
    by_weight = Counter(by_length(domains, 1, seed, {"a": 3, "b": 1})[0][1] for seed in range(4000))
    assert by_weight["a"] / 4000 == pytest.approx(0.75, abs=0.03)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 4), max_size=3), st.integers(0, 12), st.integers(0, 5))
def test_a_draw_repeats_itself_and_never_a_row(sizes, n, seed):
    domains = {d: [f"{d}{i}" for i in range(k)] for d, k in sizes.items()}
    found = by_length(domains, n, seed)
    assert found == by_length(dict(reversed(domains.items())), n, seed)
    assert len(set(found)) == len(found) == min(n, sum(sizes.values()))
    assert found[: n // 2] == by_length(domains, n // 2, seed)
    assert {d for _, d in by_length(domains, 99, seed, {"a": 1, "b": 0})} <= {"a"}


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=2), st.integers(0, 50), max_size=6), st.integers(0, 200))
def test_shares_are_proportional_to_the_row(sizes, n):
    found = shares(sizes, n)
    total = sum(sizes.values())
    assert sum(found.values()) == min(n, total)
    for name, k in found.items():
        assert k <= sizes[name]
        assert abs(k - sizes[name] * min(n, total) / max(1, total)) < 1


def test_chance_is_even():
    found = [chance(1, i) for i in range(4000)]
    assert sum(found) / 4000 == pytest.approx(0.5, abs=0.02)
    assert chance(1, "a") == chance(1, "a") != chance(2, "a")
