r"""Multiple choice: every stated form of a letter is read, and no letter is taken out of running text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.verdicts import choice
from curator.verdicts.case import Case
from curator.verdicts.options import Options, Unreadable, letters_of

TEXTS = ["3 cm", "5 cm", r"\frac{1}{2}", "none of these"]
OPTIONS = letters_of(TEXTS)


def never(pairs):
    raise AssertionError(f"compared {pairs}")


def no(pairs):
    return [False] * len(pairs)


def judge(trace, gold, choices=None, same=no, **row):
    return choice.judge(Case("r", trace, gold, {"choices": choices, **row}), "choices", same)


@pytest.mark.parametrize(
    ("trace", "letters"),
    [
        (r"So \boxed{B}", "B"),
        (r"So \boxed{\text{B}}", "B"),
        (r"So \boxed{\textbf{(B)}}", "B"),
        (r"So $\boxed{\mathrm{B}.}$", "B"),
        (r"\boxed{(b)}", "B"),
        (r"\boxed{B) 5 cm}", "B"),
        (r"\boxed{\text{(B) } 5\text{ cm}}", "B"),
        (r"\boxed{B: 5 cm}", "B"),
        (r"\boxed{5 \text{ cm}}", "B"),
        (r"\boxed{None of these.}", "D"),
        ("<think>maybe C</think>Answer: B", "B"),
        ("**Answer:** B", "B"),
        ("Answer: **(B)**", "B"),
        ("Long text.\nThe answer is (B).", "B"),
        ("Long text.\nThe answer is B because it is longer.", "B"),
        ("Long text.\nThe correct option is B.", "B"),
        ("Long text.\nSo option (B) is correct.", "B"),
        ("Long text.\nFinal choice: B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("Option B", "B"),
        (r"\boxed{A, C}", "AC"),
        (r"\boxed{AC}", "AC"),
        (r"\boxed{(A) and (C)}", "AC"),
        (r"\boxed{I}", "I"),
    ],
)
def test_stated_letters_are_read(trace, letters):
    found = judge(trace, letters, None if letters == "I" else TEXTS)
    assert (found.verdict, found.predicted, found.score) == ("correct", letters, 1.0)
    wrong = judge(trace, "J" if letters != "J" else "A")
    assert (wrong.verdict, wrong.score) in [("incorrect", 0.0), ("unparseable", None)]  # option text needs the options


@pytest.mark.parametrize(
    "trace",
    [
        "I think a good start is B.\nA dog came by.\nC is the speed of light.",
        "The answer is a number between A and B.\nNothing else.",
        "The answer is A good question.\nWe leave it there.",
        r"\boxed{42}",
        r"\boxed{A+B}",
        r"\boxed{BAD}",
        "<think>A or B? Option B is correct, I say.",
        "Point A lies on the line.\nPoint B does not.",
    ],
)
def test_no_letter_comes_out_of_running_text(trace):
    found = judge(trace, "A", TEXTS)
    assert (found.verdict, found.correct, found.score) == ("unparseable", None, None)


@given(st.text(max_size=300))
def test_any_text_has_a_verdict(text):
    assert judge(text, "A", TEXTS).verdict in {"correct", "incorrect", "unparseable", "error"}


def test_gold_as_the_text_of_an_option():
    assert judge(r"\boxed{B}", "5 cm", TEXTS).verdict == "correct"
    assert judge(r"\boxed{A}", "5 cm", TEXTS).verdict == "incorrect"
    assert judge(r"\boxed{B}", "(B) 5 cm", TEXTS).verdict == "correct"
    assert judge(r"\boxed{D}", r"\text{None of these}", TEXTS).verdict == "correct"


def test_the_value_of_one_option_is_its_letter():
    half = r"So \boxed{0.5}"
    found = judge(half, "C", TEXTS, lambda pairs: [p == (r"\frac{1}{2}", "0.5") for p in pairs])
    assert (found.verdict, found.predicted) == ("correct", "C")
    twice = judge(half, "C", TEXTS, lambda pairs: [True] * len(pairs))
    assert (twice.verdict, twice.detail) == ("unparseable", "several options have this value")
    assert judge(r"\boxed{C}", "C", TEXTS, never).verdict == "correct"


def test_a_letter_with_the_text_of_another_option_contradicts_itself():
    found = judge(r"\boxed{A) 5 cm}", "A", TEXTS)
    assert (found.verdict, found.detail) == ("unparseable", "letter A with the text of B")


def test_faults_of_the_data_are_errors_and_not_wrong_answers():
    assert judge(r"\boxed{A}", None).verdict == "no_reference"
    assert judge(r"\boxed{A}", "  ").verdict == "no_reference"
    told = judge(r"\boxed{A}", "5 cm")
    assert (told.verdict, told.detail) == (
        "error", "reference is no letter from A to J and there are no choices to find it in",
    )  # fmt: skip
    assert judge(r"\boxed{A}", "7 cm", TEXTS).verdict == "error"
    assert judge(r"\boxed{A}", "H", TEXTS).detail == "reference H is none of the choices"
    assert judge(r"\boxed{H}", "A", TEXTS).verdict == "incorrect"
    assert judge(r"\boxed{A}", "A", "{broken").detail == "choices do not parse: not JSON"
    assert judge(r"\boxed{A}", "2", TEXTS).verdict == "error", "an index counts from 0 or from 1: not guessed"


@pytest.mark.parametrize(
    "value",
    [
        TEXTS,
        dict(zip("ABCD", TEXTS, strict=True)),
        {"label": list("ABCD"), "text": TEXTS},
        {"label": list("1234"), "text": TEXTS},
        [{"label": k, "text": t} for k, t in zip("abcd", TEXTS, strict=True)],
        json.dumps(TEXTS),
        json.dumps(dict(zip("ABCD", TEXTS, strict=True))),
        "\n".join(f"{k}. {t}" for k, t in zip("ABCD", TEXTS, strict=True)),
        "\n".join(f"({k}) {t}" for k, t in zip("ABCD", TEXTS, strict=True)),
    ],
)
def test_options_in_all_their_forms(value):
    assert letters_of(value) == OPTIONS


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("running text", "text without lines like 'A. first option'"),
        ([str(i) for i in range(11)], "11 options, at most 10 have letters"),
        ({"K": "x"}, "label 'K' is no letter from A to J"),
        ([["a"]], "option A is list, not text"),
        (3, "int, not a list of options"),
        (b"\xff", "bytes that are not text"),
        ("[" * 100_000, "not JSON"),
        ([{"label": "A", "text": "x"}, {"label": "a", "text": "y"}], "a letter comes twice"),
    ],
)
def test_options_that_cannot_be_read_say_why(value, why):
    with pytest.raises(Unreadable, match=why.replace("(", r"\(")):
        letters_of(value)


def test_no_options_are_none():
    assert not letters_of(None)
    assert letters_of([]) == Options()


@pytest.mark.parametrize(
    "text", ["A", "A ", "\n", "(A) ", "\\boxed{", "\\text{", "option A is ", "answer is ", "A. x\n", "$"]
)
def test_a_long_text_is_linear_work(text):
    long = "x" + text * (100_000 // len(text))
    assert judge(long, "A", TEXTS).verdict in {"correct", "incorrect", "unparseable"}
    assert judge("Answer: A", long, TEXTS).verdict in {"error", "correct"}
    assert judge("Answer: A", "A", long).verdict in {"error", "correct"}
