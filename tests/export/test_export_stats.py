"""Statistics: within one per cent of the truth, whatever the chunks."""

import statistics

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.export.stats import MAX_VALUES, ColumnStats


def fed(type_, values, cut=3):
    stats = ColumnStats("c", type_)
    for i in range(0, len(values), cut):
        stats.add(pa.chunked_array([values[i : i + cut]], type_))
    return stats


@given(st.lists(st.integers(-(10**9), 10**9), min_size=1), st.integers(1, 9))
def test_numbers(values, cut):
    stats = fed(pa.int64(), values, cut)
    assert (stats.low, stats.high) == (min(values), max(values))
    assert stats.mean == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert stats.median == pytest.approx(statistics.median_low(values), rel=0.011, abs=0.51)


def test_texts_are_described_by_length_and_few_values_by_count():
    stats = fed(pa.string(), ["a", "bb", None, "a", "\u00e9\u00e9\u00e9"])
    assert (stats.unit, stats.rows, stats.nulls, stats.low, stats.high) == ("chars", 5, 1, 1, 3)
    assert stats.values == {"a": 2, "bb": 1, "\u00e9\u00e9\u00e9": 1}
    assert fed(pa.string(), [str(i) for i in range(MAX_VALUES + 1)]).values is None
    assert len(fed(pa.string(), [str(i) for i in range(MAX_VALUES)]).values) == MAX_VALUES


def test_nan_and_infinity_are_left_out_and_all_null_has_no_numbers():
    stats = fed(pa.float64(), [float("nan"), 1.0, float("inf"), 3.0])
    assert (stats.count, stats.low, stats.high, stats.median) == (2, 1.0, 3.0, 1.0)
    assert fed(pa.string(), [None, None]).median is None


def test_lists_are_described_by_their_length():
    assert fed(pa.list_(pa.string()), [["a"], [], None]).mean == 0.5
