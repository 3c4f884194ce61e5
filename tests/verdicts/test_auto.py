"""Which verifier judges a row: the answer type before the domain, then what is there to judge by."""

from __future__ import annotations

import pytest

from curator.verdicts.auto import BY_TYPE, kind_of

FILLED = {"tests": "code", "constraints": "constraints", "choices": "choice"}


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ({"answer_type": "number"}, "math"),
        ({"answer_type": "MCQ ", "domain": "math"}, "choice"),
        ({"answer_type": None, "domain": "Math"}, "math"),
        ({"answer_type": "odd", "domain": "code"}, "code"),
        ({"domain": "science"}, "judge"),
        ({"domain": "sat"}, "sat"),
        ({"domain": "heraldry"}, None),
        ({"tests": "assert f() == 1"}, "code"),
        ({"constraints": [{"type": "json"}], "choices": []}, "constraints"),
        ({"choices": ["a", "b"]}, "choice"),
        ({}, "math"),
    ],
)
def test_the_kind_of_a_row(row, kind):
    assert kind_of(row, {}, FILLED) == kind


def test_overrides_win():
    assert kind_of({"domain": "Heraldry"}, {"heraldry": "judge"}, FILLED) == "judge"
    assert kind_of({"domain": "science"}, {"Science": "choice"}, FILLED) == "choice"


def test_every_kind_of_the_mapping_exists():
    assert set(BY_TYPE.values()) == {"math", "choice", "code", "constraints", "sat", "judge"}
