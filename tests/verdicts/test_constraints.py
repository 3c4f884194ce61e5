"""Instruction following: each constraint holds and fails, and what cannot be checked is an error that names it."""

from __future__ import annotations

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.verdicts import constraints
from curator.verdicts.case import NOT_TEXT, Case
from curator.verdicts.checks import CHECKS

# constraint, a text that meets it, a text that does not
CASES = [
    ({"type": "words", "min": 3}, "one two three", "one two"),
    ({"type": "words", "max": 2}, "one two", "it's three words"),
    ({"type": "sentences", "min": 2, "max": 2}, "It is 3.14, e.g. pi. Yes!", "One."),
    ({"type": "paragraphs", "min": 2}, "a\n\nb", "a\nb"),
    ({"type": "paragraphs", "min": 2, "max": 2, "separator": "***"}, "a\n***\nb", "a\n\nb"),
    ({"type": "bullets", "min": 2, "max": 2}, "- a\n* b", "- a\n**bold**"),
    ({"type": "highlights", "min": 1}, "so *this*", "2 * 3 * 4"),
    ({"type": "placeholders", "min": 1}, "Dear [name]", "Dear Ann"),
    ({"type": "sections", "splitter": "Section", "min": 2}, "Section 1\na\nSection 2\nb", "Section 1\na"),
    ({"type": "capital_words", "max": 1}, "NASA went", "NASA and ESA"),
    ({"type": "letter", "letter": "a", "min": 2}, "Anna", "Ann"),
    ({"type": "keyword", "word": "cat", "min": 2}, "Cat, cat", "cat, category"),
    ({"type": "include", "words": ["cat", "big dog"]}, "the Cat and the big dog", "the cat and the dog"),
    ({"type": "exclude", "words": ["cat"]}, "category", "a cat"),
    ({"type": "regex", "pattern": r"\d{3}"}, "call 911", "call 91"),
    ({"type": "not_regex", "pattern": r"\d"}, "none", "1"),
    ({"type": "starts_with", "text": "Dear"}, "dear Ann", "Hello Ann"),
    ({"type": "ends_with", "text": "Bye."}, 'so, "bye."', "Bye. Ann"),
    ({"type": "first_word", "paragraph": 2, "word": "then"}, "First.\n\nThen so.", "First.\n\nSo then."),
    ({"type": "json"}, '```json\n{"a": 1}\n```', "{a: 1}"),
    ({"type": "title"}, "<<A title>>\ntext", "<< >> text"),
    ({"type": "lowercase"}, "all small", "Not small"),
    ({"type": "uppercase"}, "ALL BIG 1", "Not BIG"),
    ({"type": "no_comma"}, "none here", "a, b"),
    ({"type": "quoted"}, '"all of it"', '"part" of it'),
    ({"type": "postscript"}, "text\n\nP. S. more", "text PS"),
    ({"type": "one_of", "options": ["My answer is yes.", "My answer is no."]}, "My answer is no.", "No."),
    ({"type": "responses", "count": 2}, "a ****** b", "a ****** a"),
    ({"type": "script", "name": "cyrillic"}, "Привет, мир", "Hello мир"),
    ({"type": "language", "code": "ja"}, "これは日本語です", "这是中文"),
    ({"type": "language", "code": "zh"}, "这是中文", "これはにほんごです"),
]


def judge(text, value, threshold=1.0, **row):
    return constraints.judge(Case("r", text, None, {"constraints": value, **row}), "constraints", threshold)


@pytest.mark.parametrize(("constraint", "good", "bad"), CASES, ids=lambda v: v["type"] if isinstance(v, dict) else "")
def test_each_constraint_holds_and_fails(constraint, good, bad):
    assert judge(good, [constraint]).verdict == "correct", good
    found = judge(bad, [constraint])
    assert (found.verdict, found.score, found.detail) == ("incorrect", 0.0, f"not met: {constraint['type']}")


def test_all_of_the_vocabulary_is_tested_and_documented():
    assert {c["type"] for c, _, _ in CASES} == set(CHECKS)
    assert all(inspect.getdoc(f) for f in CHECKS.values())


def test_the_score_is_the_share_that_holds():
    value = [{"type": "json"}, {"type": "no_comma"}, {"type": "words", "max": 5}, {"type": "lowercase"}]
    half = judge("Two of four.", value)
    assert (half.verdict, half.score, half.detail) == ("incorrect", 0.5, "not met: json, lowercase")
    assert judge("Two of four.", value, 0.5).verdict == "correct"


def ifeval(name, **kwargs):
    return {"instruction_id": name, "kwargs": kwargs}


@pytest.mark.parametrize(
    ("one", "good", "bad"),
    [
        (ifeval("length_constraints:number_words", num_words=3, relation="less than"), "a b", "a b c"),
        (ifeval("length_constraints:number_words", num_words=3, relation="at least"), "a b c", "a b"),
        (ifeval("keywords:frequency", keyword="a", frequency=2, relation="at least", x=None), "a a", "a b"),
        ({"id": "keywords:forbidden_words", "kwargs": {"forbidden_words": ["a"]}}, "b", "a"),
        ({"id": "detectable_format:number_bullet_lists", "kwargs": {"num_bullets": 2}}, "- a\n- b", "- a"),
        ({"id": "length_constraints:number_paragraphs", "kwargs": {"num_paragraphs": 2}}, "a\n***\nb", "a\n\nb"),
        ({"id": "detectable_content:number_placeholders", "kwargs": {"num_placeholders": 1}}, "[a] [b]", "a"),
        ({"id": "startend:end_checker", "kwargs": {"end_phrase": "done"}}, "all Done", "done it"),
        ({"id": "combination:two_responses", "kwargs": {}}, "a\n******\nb", "a"),
        ({"id": "punctuation:no_comma", "kwargs": {"num_words": None}}, "a", "a,"),
    ],
    ids=lambda v: next((v[k] for k in ("id", "instruction_id") if k in v), "") if isinstance(v, dict) else "",
)  # fmt: skip
def test_ifeval_ids(one, good, bad):
    assert judge(good, [one]).verdict == "correct"
    assert judge(bad, json.dumps([one])).verdict == "incorrect"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ([{"type": "max_wrds"}], "unknown constraint 'max_wrds'"),
        ([{"type": "word", "min": 1}], "unknown constraint 'word'; did you mean 'words'?"),
        ([{"type": "words"}], "constraint 'words': wants min, max or both"),
        ([{"type": "words", "min": "3"}], "constraint 'words': min wants a whole number, got '3'"),
        ([{"type": "words", "least": 3}], "constraint 'words' has no argument 'least'; it takes min, max"),
        ([{"type": "include", "words": 3}], "constraint 'include': words wants a list of texts, got '3'"),
        ([{"type": "keyword", "min": 3}], "constraint 'keyword' needs the argument 'word'"),
        ([{"type": "json", "min": 3}], "constraint 'json' has no argument 'min'; it takes none"),
        ([{"type": "regex", "pattern": r"(?=a)"}], "constraint 'regex': pattern is not RE2"),
        ([{"type": "language", "code": "fr"}], "constraint 'language': language 'fr' cannot be told by its script"),
        ([{"type": "script", "name": "elvish"}], "constraint 'script': script 'elvish' is not one of latin"),
        ([{"min": 3}], "a constraint is {type: ..., arguments}"),
        ([3], "a constraint is {type: ..., arguments}"),
        ("{broken", "constraints are not JSON"),
        ("[" * 100_000, "constraints are not JSON"),
        (3, "constraints are int, not a list"),
        (NOT_TEXT, "constraints are bytes that are not text"),
        ([{"id": "keywords:frequency", "kwargs": {"keyword": "a", "frequency": 2, "relation": "around"}}],
         "constraint 'keywords:frequency': relation 'around' is not one of"),
    ],
)  # fmt: skip
def test_what_cannot_be_checked_is_an_error_that_names_it(value, why):
    found = judge("some text", value)
    assert (found.verdict, found.correct) == ("error", None)
    assert found.detail.startswith(why), found.detail


def test_nothing_to_check_and_nothing_to_look_at():
    assert judge("text", []).verdict == judge("text", None).verdict == judge("text", " ").verdict == "no_reference"
    assert judge("<think>cut", [{"type": "json"}]).detail == "truncated"
    assert judge("words", [{"type": "json"}], finish_reason="length").verdict == "unparseable"
    assert judge(None, [{"type": "json"}]).verdict == "error"


def test_only_the_response_is_looked_at():
    assert judge("<think>A, b, c</think>\nno", [{"type": "no_comma"}, {"type": "lowercase"}]).verdict == "correct"


def test_a_pattern_cannot_hang():
    evil = [{"type": "regex", "pattern": "(a+)+$"}]
    assert judge("a" * 50_000 + "!", evil).verdict == "incorrect"


@given(st.text(max_size=300))
def test_any_text_can_be_checked(text):
    for constraint, _, _ in CASES:
        assert judge(text, [constraint]).verdict in {"correct", "incorrect", "error", "unparseable"}


@pytest.mark.parametrize(
    "text", [" ", "\n", "a", "<<a", "*a", "- ", "[", '"', "`", "a ", "P.", "a. ", "\n\n", "Ж", "1.", "**"]
)
def test_long_monotonous_text_is_linear_work(text):
    """No limit on time is asserted; what grows with the square of the length would not come back."""
    long = "x" + text * (200_000 // len(text)) + "x"
    for constraint, _, _ in CASES:
        assert judge(long, [constraint]).verdict in {"correct", "incorrect"}
