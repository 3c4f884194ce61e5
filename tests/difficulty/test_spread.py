"""The coefficient of variation and DeepDistill's decision: golden vectors and laws."""

from __future__ import annotations

import math

import pytest
from golden import group
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.difficulty.spread import cv, decide


def near(value):
    return None if value is None else pytest.approx(value, abs=1e-6)


def test_golden_cv():
    for case in group("cv")["cases"]:
        for ddof in (0, 1):
            assert cv(case["scores"], ddof) == near(case[f"cv_ddof{ddof}"]), case


def test_the_papers_worked_examples_are_ddof_1():
    for case in group("cv")["paper_printed"]:
        assert round(cv(case["scores"], 1), 2) == case["cv"]


def test_golden_cv_of_binary_scores():
    for case in group("cv_binary")["cases"]:
        scores = [1] * case["k"] + [0] * (case["n"] - case["k"])
        assert cv(scores) == near(case["cv_ddof0"])
        assert cv(scores, 1) == near(case["cv_ddof1"])
        assert cv(scores) == pytest.approx(math.sqrt((case["n"] - case["k"]) / case["k"]))


REASONS = {
    "max_below_thr": "max_below_threshold", "none_above_thr": "none_above_threshold", "cv_low": "cv_low",
    "cv_low_open_category": "cv_low", "cv_high": "cv_high",
}  # fmt: skip


def test_golden_decisions():
    for case in group("deepdistill_stage1_decision")["cases"]:
        said = decide(case["scores"], case["thr"], case["cv_t"], case["ddof"])
        assert said == REASONS[case["reason"]], case


def test_what_is_not_defined():
    assert cv([0.5], 1) is None
    assert cv([0.5]) == 0
    assert cv([]) is None
    assert cv([None, None]) is None
    assert cv([-1, 1]) is None
    assert decide([None], 0.5, 0.1) is None


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 5), min_size=2, max_size=12), st.floats(0.1, 10), st.randoms(use_true_random=False))
def test_cv_knows_neither_order_nor_scale(scores, factor, random):
    shuffled = scores[:]
    random.shuffle(shuffled)
    assert cv(shuffled) == pytest.approx(cv(scores), rel=1e-9, abs=1e-12)
    assert cv([s * factor for s in scores]) == pytest.approx(cv(scores), rel=1e-6, abs=1e-9)
