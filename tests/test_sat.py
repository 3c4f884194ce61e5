"""SATURN: the generator against the published levels, counter and checker against each other and the fixtures."""

import json
import math
import random
import statistics
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.sat import (
    Level,
    above_chance,
    construct,
    count,
    holds,
    pass_at_k,
    read_bits,
    read_clauses,
    solutions,
)

GOLDEN = Path(__file__).parents[1].parent / "shared/specs/golden.json"


def golden(name):
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (found,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == name]
    return found


def test_a_fresh_sample_has_the_guess_rates_of_the_published_levels():
    group = golden("saturn_levels")
    for case in group["cases"]:
        level = Level(case["n"], case["k"], case["l"])
        assert level.difficulty == pytest.approx(case["D"], abs=group["tolerance_D"])
        assert case["n_assignments"] == 2**level.k
        made = [construct(level, random.Random(i)) for i in range(100)]
        mean = statistics.mean(p.guess_rate for p in made)
        assert mean == pytest.approx(case["guess_rate_mean"], abs=group["tolerance_fresh_sample_mean_guess_rate"]), case
        for p in made:
            assert holds(p.clauses, p.solution)
            assert len(set(p.clauses)) == level.l
            assert all(len({abs(v) for v in c}) == level.n for c in p.clauses)


def test_counting():
    for case in golden("sat_counting")["cases"]:
        assert count(case["clauses"], case["k"]) == case["n_solutions"]
        assert case["n_solutions"] / 2 ** case["k"] == case["guess_rate"]
        assert solutions(case["clauses"], case["k"]) == case["solutions"]


def clauses_of(k):
    literal = st.integers(1, k).flatmap(lambda v: st.sampled_from([v, -v]))
    return st.tuples(st.just(k), st.lists(st.lists(literal, min_size=1, max_size=4), max_size=8))


@given(st.integers(1, 7).flatmap(clauses_of))
def test_the_counter_finds_what_the_checker_accepts(found):
    k, clauses = found
    right = ["".join(bits) for bits in product("01", repeat=k) if holds(clauses, "".join(bits))]
    assert solutions(clauses, k) == right
    assert count(clauses, k) == len(right)


def test_too_many_letters_are_not_counted():
    assert construct(Level(3, 17, 20), random.Random(0)).guess_rate is None


def test_pass_at_k():
    group = golden("pass_at_k")
    for case in group["cases"]:
        assert pass_at_k(case["n"], case["c"], case["k"]) == pytest.approx(case["pass_at_k"], abs=group["tolerance"])
    with pytest.raises(ValueError, match="pass@3 of 1 right samples of 2"):
        pass_at_k(2, 1, 3)


def test_published_accuracies_below_chance_are_negative_after_correction():
    for case in golden("saturn_pass_at_1")["cases"]:
        for model in case["models"].values():
            corrected = above_chance(model["pass_at_1"], case["guess_rate_mean"])
            assert (corrected < 0) == model["below_chance"]
    assert above_chance(1.0, 0.5) == 1
    assert above_chance(0.5, 0.5) == 0
    assert math.isnan(above_chance(1.0, 1.0))


@pytest.mark.parametrize(
    ("text", "bits"),
    [("01101", "01101"), ("0 1 1 0 1", "01101"), ("(0,1,1,0,1)", "01101"), ("0110", None), ("011011", None),
     ("0110x", None), ("", None), ("__import__('os')", None), ("1e5", None)],
)  # fmt: skip
def test_an_answer_is_bits_or_nothing(text, bits):
    assert read_bits(text, 5) == bits


@pytest.mark.parametrize("value", ["[[1, -2]]", [[1, -2]], [["1", "-2"]]])
def test_clauses_are_read_from_lists_and_json(value):
    assert read_clauses(value) == [[1, -2]]


@pytest.mark.parametrize("value", [None, "", "[[1,", "A or B", [], [[]], [[0]], 3])
def test_what_is_no_clauses_is_none(value):
    assert read_clauses(value) is None
