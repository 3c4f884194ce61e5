"""One row, one question and one assistant turn: what is taken, what is refused, and that nothing is lost between."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.export.example import Refusal, Turn, assistant, inline, turn
from curator.text import split_think

LONG = {"trace": "<think>\nlong\n</think>\n\nanswer", "finish_reason": "stop"}
SHORT = {"short_cot": "short", "short_solution": "sol"}


@pytest.mark.parametrize(
    ("use", "row", "expected"),
    [
        ("auto", {**LONG, **SHORT, "verified": True}, Turn("short", "sol", True)),
        ("auto", {**LONG, **SHORT, "verified": False}, Turn("long", "answer", False)),
        ("auto", {**LONG, **SHORT, "verified": None}, Turn("long", "answer", False)),
        ("auto", {**LONG, "short_cot": None, "short_solution": None, "verified": None}, Turn("long", "answer", False)),
        ("long", {**LONG, **SHORT, "verified": True}, Turn("long", "answer", False)),
        ("short", {**LONG, **SHORT, "verified": True}, Turn("short", "sol", True)),
        ("short", SHORT, Turn("short", "sol", True)),
        ("short", {**LONG, **SHORT, "verified": False}, Refusal("no_short", "verified: False")),
        ("auto", {"think": "t", "response": "r", "trace": None}, Turn("t", "r", False)),
        ("auto", {"trace": "no thinking"}, Turn(None, "no thinking", False)),
        (
            "auto",
            {"trace": "<think>\n\n</think>\n\nqwen3 without thinking"},
            Turn(None, "qwen3 without thinking", False),
        ),
    ],
)
def test_which_text_is_taken(use, row, expected):
    assert turn(row, use) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"trace": None}, "no_trace"),
        ({"trace": "x", "finish_reason": "error", "error": "HTTP 500"}, "no_trace"),
        ({"trace": "x", "finish_reason": "content_filter"}, "no_trace"),
        ({"trace": "<think>\nnever closed"}, "unfinished"),
        ({"trace": "<think>\nt\n</think>\n\ncut", "finish_reason": "length"}, "unfinished"),
        ({"trace": "<think>\nonly thinking\n</think>\n\n  "}, "no_response"),
        ({"trace": "   "}, "no_trace"),
    ],
)
def test_what_cannot_be_an_example_has_a_reason(row, reason):
    found = turn(row, "auto")
    assert isinstance(found, Refusal)
    assert found.reason == reason


def test_an_error_keeps_its_evidence():
    assert turn({"trace": None, "finish_reason": "error", "error": "HTTP 500"}, "auto").evidence == "error: HTTP 500"


TEXT = st.text(alphabet=st.characters(blacklist_categories=("Cs",)), min_size=1).map(lambda s: s.strip("\n")).filter(
    lambda s: s.strip() and "<think>" not in s and "</think>" not in s
)  # fmt: skip


@given(TEXT, TEXT)
def test_inline_comes_apart_again(reasoning, response):
    found = turn({"trace": inline(Turn(reasoning, response, False))}, "long")
    assert found == Turn(reasoning, response, False)


@given(TEXT, TEXT)
def test_a_trace_is_rendered_as_it_was(reasoning, response):
    parts = split_think(f"<think>\n{reasoning}\n</think>\n\n{response}")
    assert inline(Turn(parts.think, parts.response, False)) == f"<think>\n{reasoning}\n</think>\n\n{response}"


@pytest.mark.parametrize("where", ["reasoning", "response"])
@pytest.mark.parametrize("tag", ["<think>", "</think>"])
def test_a_stray_tag_is_refused_inline_and_kept_in_a_field(where, tag):
    texts = {"reasoning": "a", "response": "b", where: f"x {tag} y"}
    found = Turn(texts["reasoning"], texts["response"], False)
    refusal = inline(found)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == "stray_tag"
    assert tag in refusal.evidence
    assert assistant(found, "reasoning_content")["reasoning_content"] == texts["reasoning"]


def test_four_renderings():
    found = Turn("t", "r", False)
    assert assistant(found, "inline") == {"role": "assistant", "content": "<think>\nt\n</think>\n\nr"}
    assert assistant(found, "reasoning_content") == {"role": "assistant", "content": "r", "reasoning_content": "t"}
    assert assistant(found, "thinking") == {"role": "assistant", "content": "r", "thinking": "t"}
    assert assistant(found, "none") == {"role": "assistant", "content": "r"}
    assert assistant(Turn(None, "r", False), "inline") == {"role": "assistant", "content": "r"}
