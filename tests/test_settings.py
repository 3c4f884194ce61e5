"""Settings: typed without guessing, every mistake with the near miss, no secret let in or repeated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import annotated_types as at
import pytest
from hypothesis import given as examples
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from curator.op import Setting
from curator.settings import _UNSURE, _as_json, _bind, _plainly, describe, find_secret, plain, typed


def setting(hint: Any, **more: Any) -> Setting:
    return Setting("x", hint, None, False, "", False, **more)


@pytest.mark.parametrize(
    ("hint", "given", "expected"),
    [
        (int, 8, 8),
        (float, 1, 1.0),
        (float | None, 1, 1.0),
        (str, "yes", "yes"),
        (bool, False, False),
        (int | None, None, None),
        (tuple[str, ...], ["a"], ("a",)),
        (list[str], ("a",), ["a"]),
        (str | list[str], ["a"], ["a"]),
        (dict[str, float], {"a": 1}, {"a": 1.0}),
        (Literal["a", "b"], "b", "b"),
        (Annotated[int, at.Ge(1)], 1, 1),
        (Path, "a/b", Path("a/b")),
        (int | str, "8", "8"),
        (frozenset[str], ["b", "a"], frozenset({"a", "b"})),
        (Any, {"a": [1]}, {"a": [1]}),
    ],
)
def test_values_come_out_as_the_annotation_says(hint, given, expected):
    found = typed(setting(hint), given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("hint", "given", "message"),
    [
        (int, "8", "wants a whole number, got '8'"),
        (int, 8.0, "wants a whole number, got 8.0"),
        (int, True, "wants a whole number, got True"),
        (int, None, "wants a whole number, got None"),
        (float, "1e5", "wants a number, got '1e5'"),
        (bool, "yes", "wants true or false, got 'yes'"),
        (bool, 1, "wants true or false, got 1"),
        (str, 8, "wants text, got 8"),
        (str | None, False, "wants text or null, got False"),
        (tuple[str, ...], "a", "wants a list of text, got 'a'"),
        (tuple[str, ...], ["a", 1], "wants a list of text, got 1 (at 1)"),
        (dict[str, float], [1], "wants a mapping of text to a number, got [1]"),
        (Literal["keep", "drop"], "kep", "must be one of keep, drop; got 'kep'; did you mean 'keep'?"),
        (Literal["keep", "drop"], "zzz", "must be one of keep, drop; got 'zzz'"),
        (Literal["keep", "drop"], 3, "wants one of keep, drop, got 3"),
        (Annotated[int, at.Ge(1)], 0, "must be >= 1, got 0"),
        (Annotated[float, at.Gt(0), at.Le(1)], 1.5, "must be <= 1.0, got 1.5"),
        (Annotated[int, at.Ge(1)] | None, 0, "must be >= 1, got 0"),
        (str, "x" * 10_000, None),
    ],
)
def test_a_wrong_value_says_what_is_wanted_and_what_was_given(hint, given, message):
    if message is None:
        assert typed(setting(hint), given) == given
        return
    with pytest.raises(ValueError, match="wants|must be") as e:
        typed(setting(hint), given)
    assert str(e.value) == message


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(ValueError, match="wants") as e:
        typed(setting(int), "x" * 10_000)
    assert len(str(e.value)) < 100


def test_types_in_words():
    assert describe(int | None) == "a whole number or null"
    assert describe(Annotated[float, at.Ge(0), at.Lt(1)]) == "a number >= 0 < 1"
    assert describe(dict[str, list[int]]) == "a mapping of text to a list of a whole number"
    assert describe(Literal["a", 1]) == "one of a, 1"


def test_all_mistakes_are_told_at_once_and_good_settings_survive():
    known = [Setting("n", int, 1, False, "", False), Setting("on", str, None, True, "", False)]
    found, faults = _bind("dedup", known, {"n": "1", "onn": "problem", "zzzzz": 1})
    assert found == {}
    assert [f.message for f in faults] == [
        "dedup: n wants a whole number, got '1'",
        "dedup has no setting 'onn'; did you mean 'on'?",
        "dedup has no setting 'zzzzz'; there is n, on",
        "dedup needs the setting 'on' (text)",
    ]
    assert [f.setting for f in faults] == ["n", "onn", "zzzzz", None]


KEY = "sk-" + "a1B2" * 8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key", "anything"), ("apikey", "x"), ("API_KEY", "x"), ("openai_api_key", "x"), ("hf_token", "x"),
        ("password", "x"), ("headers", {"Authorization": "Bearer x"}), ("model", KEY), ("stop", ["a", KEY]),
        ("base_url", "http://user:word@host/v1"), ("path", "hf_" + "a" * 30), ("extra", {"deep": {"api_key": "x"}}),
    ],
)  # fmt: skip
def test_secrets_are_refused_with_the_way_out_and_never_repeated(name, value):
    message = find_secret(name, value)
    assert message is not None
    assert "api_key_env" in message
    assert KEY not in message
    _, faults = _bind("openai", [Setting(name, Any, None, False, "", False)], {name: value})
    assert faults[0].message == message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api_key_env", "OPENAI_API_KEY"), ("max_tokens", 4096), ("n_tokens", 1), ("best", "n_tokens"),
        ("api_key", None),
        ("base_url", "http://127.0.0.1:8000/v1"), ("token_budget", 5), ("model", "sk-tiny"), ("stop", ["</think>"]),
        ("prompt", "the ask-for-help-when-you-are-stuck method"), ("tokenizer", "Qwen/Qwen3-0.6B"),
    ],
)  # fmt: skip
def test_what_only_looks_a_little_like_a_secret_is_let_through(name, value):
    assert find_secret(name, value) is None


def test_plain_refuses_what_yaml_cannot_say():
    assert plain({"a": (1, Path("b"), {"y", "x"})}) == {"a": [1, "b", ["x", "y"]]}
    with pytest.raises(TypeError, match="not plain data"):
        plain({"f": print})


HINTS = (
    str, int, bool, int | None, str | None, int | str, bool | int, float, float | None, int | float, str | list[str],
    Any, Literal["a", "b"], Literal["a", "b"] | None, tuple[str, ...], str | tuple[str, ...], tuple[int, ...],
    tuple[str, int], list[str] | None, list[Literal["a"]], dict[str, int], dict[str, float] | None, dict[str, Any],
    dict[str, str] | str, frozenset[str], Annotated[int, at.Ge(1)], Annotated[float, at.Gt(0), at.Le(1)] | None,
    Annotated[str, at.MinLen(2)],
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from("ab")
KEYS = st.text(st.characters(), max_size=3)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(KEYS, SCALARS, max_size=3)


@examples(st.sampled_from(HINTS), VALUES | VALUES.map(lambda v: tuple(v) if isinstance(v, list) else v))
def test_what_is_taken_without_asking_pydantic_is_what_pydantic_would_give(hint, value):
    sure = _plainly(hint, value)
    if sure is _UNSURE:
        return
    try:
        found = TypeAdapter(hint).validate_json(_as_json(value), strict=True)
    except ValidationError:
        found = ValidationError
    assert (found, repr(found)) == (sure, repr(sure))  # repr: 1 is not 1.0, nor True


@pytest.mark.parametrize(
    ("hint", "given", "taken"),
    [
        (str | list[str], "a", "a"), (int | None, 8, 8), (bool, True, True), (float, 1, 1.0), (int, True, _UNSURE),
        (str, "\ud800", _UNSURE), (tuple[str, ...], ["a"], ("a",)), (Annotated[int, at.Ge(1)], 0, _UNSURE),
        (dict[str, int] | None, {"a": 1}, {"a": 1}), (Literal["a", "b"], "b", "b"), (Literal["a"], "c", _UNSURE),
    ],
)  # fmt: skip
def test_most_settings_are_taken_without_asking_pydantic(hint, given, taken):
    assert _plainly(hint, given) == taken
