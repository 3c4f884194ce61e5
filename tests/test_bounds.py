"""Our bounds say what those of `annotated_types` say: to our reader, to pydantic, in the schema and in words."""

from __future__ import annotations

from typing import Annotated

import annotated_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from curator import bounds
from curator.op import Setting
from curator.settings import describe, typed

NAMES = st.lists(st.sampled_from(["Ge", "Gt", "Le", "Lt"]), min_size=1, max_size=2, unique=True)

VALUES = st.one_of(st.integers(-3, 3), st.floats(-3, 3), st.text())


def hints(kind, names, limit):
    """The same annotation with our bounds and with theirs."""
    return [Annotated[(kind, *(getattr(m, n)(limit) for n in names))] for m in (bounds, annotated_types)]


def said(hint, value):
    try:
        return typed(Setting("n", hint, None, required=True, doc="", is_engine=False), value)
    except ValueError as e:
        return str(e)


@settings(deadline=None)
@given(st.sampled_from([int, float]), NAMES, st.integers(-2, 2), VALUES)
def test_bounds_are_those_of_annotated_types(kind, names, limit, value):
    ours, theirs = hints(kind, names, limit)
    assert said(ours, value) == said(theirs, value)
    assert said(ours | None, value) == said(theirs | None, value)
    assert describe(ours) == describe(theirs)
    assert TypeAdapter(list[ours]).json_schema() == TypeAdapter(list[theirs]).json_schema()


def test_bounds_are_values():
    assert bounds.Ge(1) == bounds.Ge(1) != bounds.Gt(1)
    assert len({bounds.Ge(1), bounds.Ge(1), bounds.Ge(2)}) == 2
    assert repr(bounds.Le(0.5)) == "Le(0.5)"
    with pytest.raises(AttributeError):
        _ = bounds.Le(1).ge
