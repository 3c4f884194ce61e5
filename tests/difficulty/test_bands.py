"""Bands: ends as written, nothing twice, and every published threshold."""

from __future__ import annotations

import duckdb
import pytest
from golden import group
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.difficulty.bands import name_of, parse, table

RULES = {
    "0.1 < rate < 0.9 (strict)": "(0.1, 0.9)",
    "drop if rate > 0.3": "[0, 0.3]",
    "drop if tokens < 5000": "[5000, inf)",
    "drop if solved > 6 of 16": "[0, 6]",
    "drop level 8 of 8": "[0, 8)",
    "drop if tokens < 2000; 2000-4000 is down-sampled, not dropped": "[2000, inf)",
    "keep 1..3 correct of 32": "[1, 3]",
    "mean difficulty >= 5": "[5, inf)",
    "prompt tokens <= 800": "[0, 800]",
    "response tokens <= 19000": "[0, 19000]",
    "score >= 0.9": "[0.9, inf)",
    "score > 0.99 (strict)": "(0.99, inf)",
    "score > 4.99 (strict, 0-5 scale)": "(4.99, inf)",
    "score > 0.7 (strict)": "(0.7, inf)",
    "perplexity > 20 dropped": "[0, 20]",
    "Korean share in [0.05, 0.20]": "[0.05, 0.20]",
    "Hangul share >= 0.30": "[0.30, 1]",
}


def test_published_thresholds():
    for case in group("threshold_bands")["cases"]:
        (value,) = (v for k, v in case.items() if k not in ("system", "rule", "keep"))
        assert (value in parse("keep", RULES[case["rule"]])) == case["keep"], case


ends = st.sampled_from([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1])


@settings(deadline=None)
@given(ends, ends, st.sampled_from("(["), st.sampled_from(")]"), ends)
def test_sql_and_python_agree(low, high, left, right, value):
    text = f"{left}{low}, {high}{right}"
    if low > high or (low == high and (left, right) != ("[", "]")):
        with pytest.raises(ValueError, match="nothing lies in"):
            parse("b", text)
        return
    band = parse("b", text)
    ((said,),) = duckdb.sql(f"select {band.condition.format(f'{value}::double')}").fetchall()
    assert said == (value in band)


def test_fractions_and_infinity():
    assert 1 / 3 in parse("b", "[1/3, 2/3)")
    assert 2 / 3 not in parse("b", "[1/3, 2/3)")
    assert -5.0 in parse("b", "(-inf, 0)")
    assert duckdb.sql(f"select {parse('b', '(-inf, inf)').condition.format('1.0')}").fetchall() == [(True,)]


def test_a_table_has_names_and_no_overlaps():
    bands = table({"easy": "(0.75, 1]", "hard": "[0, 0.25)", "medium": "[0.25, 0.75]"})
    assert [b.name for b in bands] == ["hard", "medium", "easy"]
    assert [name_of(v, bands) for v in (0, 0.25, 0.75, 0.76, None)] == ["hard", "medium", "medium", "easy", None]
    for bad in ({"a": "[0, 0.5]", "b": "[0.5, 1]"}, {"a": "[0, 1]", "b": "[0.2, 0.3]"}):
        with pytest.raises(ValueError, match="overlap"):
            table(bad)
    with pytest.raises(ValueError, match="write an interval such as"):
        table({"a": "0.1..0.9"})
