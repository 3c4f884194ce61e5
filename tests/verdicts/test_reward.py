"""Reward: a number becomes a verdict only where a threshold was set."""

from __future__ import annotations

import pytest

from curator.verdicts.case import Case
from curator.verdicts.reward import judged, outcome


def test_without_a_threshold_only_the_score():
    found = outcome({"reward": -3.2}, (), None, "reward/1:m")
    assert (found.verdict, found.correct, found.score, found.scale) == ("no_reference", None, -3.2, "logit")


@pytest.mark.parametrize(("score", "correct"), [(0.9, True), (0.89, False)])
def test_the_threshold_itself_is_correct(score, correct):
    assert outcome({"reward": score}, (), 0.9, "reward/1:m").correct is correct


def test_heads_are_averaged_and_must_be_named_where_there_are_several():
    scores = {"correctness": 4.0, "helpfulness": 3.0, "verbosity": 1.0}
    found = outcome(scores, ("correctness", "helpfulness"), 3.5, "reward/1:m")
    assert (found.score, found.correct) == (3.5, True)
    unnamed = outcome(scores, (), 3.5, "reward/1:m")
    assert (unnamed.verdict, unnamed.score) == ("error", None)
    assert "it has correctness, helpfulness, verbosity" in unnamed.detail
    assert "no head 'coherence'" in outcome(scores, ("coherence",), None, "reward/1:m").detail


def test_what_is_read():
    case = Case("r", "<think>x</think>\nIt is 4.", None)
    assert judged(case, "response") == "It is 4."
    assert judged(case, "trace") == case.trace
    assert judged(Case("r", "<think>x", None), "response").verdict == "unparseable"
    assert judged(Case("r", "It is", None, {"finish_reason": "length"}), "trace").detail == "truncated"
