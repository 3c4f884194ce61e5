"""Forms of tests: what is read as what, and which faults are named."""

# ruff: noqa: E501 - programs in a table
from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.sandbox.suite import NotTests, parse_tests

HUMANEVAL = "METADATA = {'a': 1}\n\ndef check(candidate):\n    x = 1\n    assert candidate(x) == 2\n    assert candidate(2) == 3\n"


def shape(value, entry=None):
    suite = parse_tests(value, entry)
    return suite and (suite.kind, len(suite.cases), suite.entry_point)


@pytest.mark.parametrize(
    ("value", "entry", "want"),
    [
        (["assert f(1) == 2"], None, ("assert", 1, None)),
        ('["assert f(1) == 2", "assert f(2) == 3"]', None, ("assert", 2, None)),
        ("assert f(1) == 2\nx = 3\nassert f(2) == x", None, ("assert", 2, None)),
        (HUMANEVAL, "f", ("assert", 2, "f")),
        ({"test": HUMANEVAL, "entry_point": "g"}, None, ("assert", 2, "g")),
        ({"test_list": ["assert f(1)"], "test_setup_code": "import math"}, None, ("assert", 1, None)),
        ("from solution import f\n\ndef test_a():\n    assert f(1)\n\ndef test_b():\n    assert f(2)", None, ("assert", 2, None)),
        ({"inputs": ["1\n", "2\n"], "outputs": ["1", "2"]}, None, ("stdio", 2, None)),
        ({"inputs": [[1], [2]], "outputs": [1, 2], "fn_name": "f"}, None, ("call", 2, "f")),
        ('[{"input": "1", "output": "1", "testtype": "stdin"}]', None, ("stdio", 1, None)),
        ([{"input": "1\n2", "output": "3", "testtype": "functional"}], "add", ("call", 1, "add")),
        ("", None, None), ("  ", None, None), (None, None, None), ([], None, None), ({}, None, None), ("[]", None, None),
        ({"inputs": [], "outputs": []}, None, None),
    ],
)  # fmt: skip
def test_forms(value, entry, want):
    assert shape(value, entry) == want


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("[1, 2", "tests are not JSON"), ("{'a': 1}", "tests are not JSON"), ("[" * 100000, "tests are not JSON"),
        (HUMANEVAL, "entry_point"), ("def f(: pass", "no Python"), ("x = 1", "without an assert"),
        ({"inputs": [1], "outputs": [1, 2]}, "same length"), ({"inputs": 1, "outputs": 1}, "same length"),
        ({"what": 1}, "unknown form"), ([1, 2], "must hold assert"), (7, "are a int"), (b"\xff", "not UTF-8"),
        ([{"input": "1", "output": "1", "testtype": "functional"}], "without `fn_name`"),
        ({"inputs": [[1]], "outputs": [1], "fn_name": "f(); g"}, "no name of a function: 'f"),
        ({"test": "def check():0", "fn_name": ":"}, "no name of a function: ':'"),
        (["assert f(1) ==", "assert f(2)"], "test 0 is no Python"),
    ],
)  # fmt: skip
def test_faults_are_named(value, text):
    with pytest.raises(NotTests, match=text):
        parse_tests(value)


def test_statements_between_tests_come_before_them():
    suite = parse_tests(HUMANEVAL, "f")
    assert suite is not None
    assert [c.code for c in suite.cases] == ["assert candidate(x) == 2", "assert candidate(2) == 3"]
    assert suite.cases[0].before.endswith("candidate = f\nx = 1")
    assert suite.cases[1].before == ""
    assert "f" in suite.names
    assert "candidate" not in suite.names


def test_arguments_of_a_call_are_json_lines():
    suite = parse_tests([{"input": '[1, 2]\n"a"', "output": '{"k": 1}', "testtype": "functional", "fn_name": "f"}])
    assert suite is not None
    assert (suite.cases[0].args, suite.cases[0].expected) == ([[1, 2], "a"], {"k": 1})


@pytest.mark.parametrize(
    ("tests", "entries"),
    [
        (["assert sum(10, 15) == 6"], ("sum",)),
        (["assert set(filter(2)) == {4}"], ("filter",)),
        (["assert set(f(2)) == {4}", "assert abs(f(2) - 1) < 1"], ()),
        (["s = S()", "assert len(s) == 1"], ()),
    ],
)
def test_a_built_in_name_is_under_test_only_where_nothing_else_is(tests, entries):
    suite = parse_tests(tests)
    assert suite is not None
    assert suite.entries == entries


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=20)
    | st.sampled_from(["assert f(1)", "def check(c): ..."])
)
KEYS = st.sampled_from(["input", "output", "inputs", "outputs", "fn_name", "test", "type", "x"])


@settings(max_examples=300, deadline=None)
@given(st.recursive(LEAVES, lambda c: st.lists(c, max_size=3) | st.dictionaries(KEYS, c, max_size=3), max_leaves=8))
def test_any_json_is_tests_or_a_named_fault(value):
    for given_value in (value, json.dumps(value)):
        with contextlib.suppress(NotTests):
            parse_tests(given_value, "f")
