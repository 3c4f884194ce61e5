"""`grade`: pass rates, and how sure they are."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import step

from curator.errors import CheckError
from curator.op import find
from curator.ops.grade import grade

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"


def table(groups: dict[str | None, list[bool | None]]) -> pa.Table:
    rows = [(f"{p}/{i}", p, v) for p, verdicts in groups.items() for i, v in enumerate(verdicts)]
    columns = list(zip(*rows, strict=True))
    types = (pa.string(), pa.string(), pa.bool_())
    names = ("row_id", "problem_id", "correct")
    return pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})


def test_golden_cases():
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "pass_rate_null"]
    for case in group["cases"]:
        verdicts = [None if v is None else bool(v) for v in case["verdicts"]]
        for row in step(grade(), table({"p": verdicts}))[0]:
            assert (row["n"], row["n_ok"], row["n_undecided"]) == (case["n"], case["n_ok"], case["n_undecided"])
            assert row["pass_rate"] == pytest.approx(case["pass_rate"], abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.sampled_from("abcd"), st.lists(st.sampled_from([True, False, None]), min_size=1), min_size=1))
def test_every_row_is_marked_with_its_group(groups):
    whole = table(groups)
    out, dropped, _ = step(grade(), whole)
    assert dropped == []
    assert [r["correct"] for r in out] == [r["correct"] for r in sorted(whole.to_pylist(), key=lambda r: r["row_id"])]
    for row in out:
        verdicts = groups[row["problem_id"]]
        assert row["n_ok"] == verdicts.count(True)
        assert row["n"] == row["n_ok"] + verdicts.count(False)
        assert row["n_undecided"] == verdicts.count(None)
        if row["n"]:
            assert 0 <= row["pass_rate_low"] <= row["pass_rate"] <= row["pass_rate_high"] <= 1
        else:
            assert (row["pass_rate"], row["pass_rate_low"], row["pass_rate_high"]) == (None, None, None)


def test_wilson_interval():
    """Closed form at the ends: with no success the upper end is z^2 / (n + z^2)."""
    z2 = 1.959963984540054**2
    (row, *_), _, _ = step(grade(), table({"p": [False] * 4}))
    assert (row["pass_rate_low"], row["pass_rate_high"]) == (pytest.approx(0, abs=1e-12), pytest.approx(z2 / (4 + z2)))
    (row, *_), _, _ = step(grade(confidence=0.5), table({"p": [True, False]}))
    assert row["pass_rate_high"] - row["pass_rate_low"] < 0.5


def test_without_a_problem_id_a_row_is_its_own_group():
    out, _, _ = step(grade(), table({None: [True, False]}))
    assert [r["n"] for r in out] == [1, 1]


def test_bins_belong_to_their_lower_end():
    groups = {"a": [True, True, True, False], "b": [True, False, False, False], "c": [False] * 4, "d": [None]}
    out, _, _ = step(grade(bins={"easy": 0.75, "hard": 0.25}), table(groups))
    found = {r["problem_id"]: (r["difficulty"], r["difficulty_source"]) for r in out}
    rated = "pass_rate"
    assert found == {"a": ("easy", rated), "b": ("medium", rated), "c": ("hard", rated), "d": (None, None)}


def test_bins_say_what_they_add():
    op = find("grade")
    defaults = {s.name: s.default for s in op.settings}
    assert "difficulty" not in op.adds(defaults)
    assert "difficulty" in op.adds({**defaults, "bins": {"easy": 0.75, "hard": 0.25}})


def test_grading_twice_replaces_the_numbers():
    out, _, _ = step(grade(), table({"p": [True, False]}))
    again, _, _ = step(grade(), pa.Table.from_pylist(out))
    assert out == again


def test_settings_that_cannot_be():
    for bad in ({"confidence": 1}, {"bins": {"easy": 0.2, "hard": 0.5}}, {"bins": {"easy": 0.5}}):
        with pytest.raises(CheckError, match="grade:"):
            grade(**bad)
