"""What a judge's reply says: read strictly, never guessed; and what votes make of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.verdicts.case import Case, Outcome
from curator.verdicts.judge import MAX_CHARS, Reading, Reply, material, outcome, read

YES_NO = Reading({"yes": True, "no": False})
GRADES = Reading({"correct": True, "incorrect": False})
SCALE = Reading({}, scale=(0.0, 5.0))


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("yes", True),
        ("Yes.", True),
        (" **No** ", False),
        ("<think>no, no</think>\nYes", True),
        ("They differ.\n\nno", False),
        ("Both are one half.\n\nVerdict: yes", True),
        ("Yes, because no term is left out.", None),
        ("Yes, because both are 1/2.", True),
        ("No - the second is larger.", False),
        (r"\boxed{yes}", True),
        ("The answers agree, so yes", True),
        ("There is no doubt: they are the same, yes", None),
        ("I would not say yes", None),
        ("maybe", None),
        ("yesterday", None),
        ("", None),
        ("<think>yes", None),
        ("known", None),
    ],
)
def test_yes_and_no(reply, value):
    assert read(reply, YES_NO) is value


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("correct", True), ("incorrect", False), ("This is not correct", None), ("It isn't correct.", None),
        ("The answer is incorrect", False), ("Judgement: Correct", True), ("correct or incorrect?", None),
    ],
)  # fmt: skip
def test_a_word_inside_another_and_a_negation_do_not_count(reply, value):
    assert read(reply, GRADES) is value


def test_imperfect_is_not_perfect():
    how = Reading({"perfect": True, "acceptable": True, "bad": False})
    assert read("imperfect", how) is None
    assert read("perfect", how) is True


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("4", 4.0), ("4.5", 4.5), ("Score: 4", 4.0), ("**Score:** 4/5", 4.0), ("4 out of 5", 4.0), (r"\boxed{3}", 3.0),
        ("It has 3 parts and 2 errors.\nRating: 1", 1.0), ("It has 3 parts, 2 are good", None), ("6", None),
        ("-1", None), ("4/10", None), ("four", None), ("", None),
    ],
)  # fmt: skip
def test_numbers_on_a_scale(reply, value):
    assert read(reply, SCALE) == value


def test_a_pattern_finds_the_last_match():
    how = Reading({"same": True, "different": False}, re.compile(r"\[\[(\w+)\]\]"))
    assert read("[[same]] at first, but [[different]]", how) is False
    assert read("same", how) is None
    assert read("score=7 score=3", Reading({}, re.compile(r"score=(\d+)"), (0, 5))) == 3.0


@given(st.text(max_size=200))
def test_any_reply_can_be_read(text):
    for how in (YES_NO, SCALE, Reading({"yes": True, "no": False}, re.compile(r"(\w+)"))):
        assert read(text, how) in (True, False, None) or how is SCALE


def said(*replies):
    return [Reply(r) if isinstance(r, str) else r for r in replies]


def verdict(orders, how=YES_NO, threshold=0.0):
    return outcome(orders, how, threshold, "judge/1:m", "4")


FAILED = Reply("", "503")


def test_votes():
    assert verdict([said("yes")]) == Outcome("correct", None, "4", 1.0, "0-1", "judge/1:m")
    two = verdict([said("yes", "no", "yes")])
    assert (two.verdict, two.detail) == ("correct", "votes yes, no, yes")
    assert two.score == pytest.approx(2 / 3)
    assert verdict([said("yes", "no")]).verdict == "unparseable"
    assert verdict([said("yes", "what?", "yes")]).score == 1.0
    assert verdict([said("no", FAILED, "no")]).verdict == "incorrect"


def test_orders_that_disagree_decide_nothing():
    found = verdict([said("yes"), said("no")])
    assert (found.verdict, found.detail, found.correct) == (
        "unparseable",
        "the two orders disagree, votes yes | no",
        None,
    )
    assert verdict([said("no"), said("no")]).verdict == "incorrect"
    assert verdict([said("yes"), said("hm")]).verdict == "unparseable"
    assert verdict([said("yes"), said(FAILED)]).verdict == "error"


def test_a_reply_nobody_understands_is_unparseable_and_a_failed_request_an_error():
    odd = verdict([said("well, it depends")])
    assert (odd.verdict, odd.detail) == ("unparseable", "judge's reply not understood: 'well, it depends'")
    assert verdict([said(FAILED)]).detail == "the judge failed: 503"


def test_numbers_are_averaged_and_cut_at_the_threshold():
    five = verdict([said("5", "4")], SCALE, 4.5)
    assert (five.verdict, five.score, five.scale) == ("correct", 4.5, "0-5")
    assert verdict([said("4", "4")], SCALE, 4.5).verdict == "incorrect"
    assert verdict([said("5"), said("4")], SCALE, 4.5).verdict == "unparseable"


def case(trace, answer="4", **row):
    return Case("r", trace, answer, {"problem": "2+2?", **row})


NEEDS = ("problem", "reference", "answer")


def test_what_is_quoted():
    assert material(case(r"<think>x</think>So \boxed{4}"), NEEDS) == {
        "problem": "2+2?",
        "reference": "4",
        "answer": "4",
    }
    free = material(case("<think>x</think>Water boils.\nIt turns into steam."), NEEDS)
    assert free["answer"] == "Water boils.\nIt turns into steam."


def test_what_cannot_be_asked():
    assert material(case(None, error="503"), NEEDS).verdict == "error"
    assert material(case("x", None), NEEDS).verdict == "no_reference"
    assert material(case("<think>x"), NEEDS).detail == "truncated"
    assert material(case("two\nlines", finish_reason="length"), NEEDS).detail == "truncated"
    assert material(case("x", problem=None), NEEDS).detail == "column 'problem' is empty"
    long = material(case("two\nlines " * MAX_CHARS), NEEDS)
    assert (long.verdict, long.detail[:11]) == ("unparseable", "answer has ")


@pytest.mark.parametrize("text", ["yes ", "not yes ", "1", "score ", "\n", "\\boxed{", "no yes ", " "])
def test_a_long_reply_is_linear_work(text):
    long = "x" + text * (100_000 // len(text)) + "x"
    for how in (YES_NO, SCALE, GRADES):
        assert read(long, how) in (None, True)
