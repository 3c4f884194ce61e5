"""Combination of verdicts: Kleene's three values, asked lazily, and nothing undecided turns into incorrect."""

from __future__ import annotations

from itertools import product

import pytest

from curator.verdicts.case import UNDECIDED, Outcome, decided
from curator.verdicts.combine import combined, settled

YES, NO = decided(True, "m/1", "4"), decided(False, "m/1", "5")
OPEN = {v: Outcome(v, f"why {v}", verifier="j/1") for v in UNDECIDED}
ALL = [YES, NO, *OPEN.values()]


def kleene(rule, values):
    """The independent oracle: or, and, first over true, false, None."""
    if rule == "any":
        return True if True in values else None if None in values else False
    if rule == "all":
        return False if False in values else None if None in values else True
    return next((v for v in values if v is not None), None)


@pytest.mark.parametrize("rule", ["any", "all", "first"])
@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_verdict_is_kleenes_and_asking_in_turn_changes_nothing(rule, n):
    for said in product(ALL, repeat=n):
        wanted = kleene(rule, [o.correct for o in said])
        assert combined(rule, said).correct is wanted
        asked = []
        for o in said:
            asked.append(o)
            if settled(rule, asked):
                break
        assert combined(rule, asked).correct is wanted, "the ones not asked could not have mattered"


def test_a_second_opinion_is_asked_only_where_the_first_did_not_say_correct():
    assert settled("any", [YES])
    assert not settled("any", [NO])
    assert not settled("any", [OPEN["unparseable"]])


def test_who_decided_is_the_verifier_and_the_others_are_told():
    rescued = combined("any", [NO, decided(True, "judge/1:q", "5")])
    assert (rescued.verifier, rescued.verdict, rescued.detail) == ("judge/1:q", "correct", "m/1 said incorrect")
    failed = combined("any", [NO, Outcome("error", "503", verifier="judge/1:q")])
    assert (failed.verdict, failed.verifier, failed.detail) == ("error", "judge/1:q", "503; m/1 said incorrect")
    assert failed.predicted == "5"


def test_of_several_open_verdicts_the_one_that_a_second_run_may_mend():
    assert combined("any", [OPEN["unparseable"], OPEN["error"], OPEN["timeout"]]).verdict == "error"
    assert combined("first", [OPEN["no_reference"], OPEN["timeout"]]).verdict == "timeout"


def test_redi_is_and_open_r1_is_or():
    judge_yes = decided(True, "judge/1", "4")
    assert combined("all", [NO, judge_yes]).correct is False  # REDI: llama AND math_verify
    assert combined("any", [NO, judge_yes]).correct is True  # its LorMV variant; Open-R1, DeepDistill: rescue
