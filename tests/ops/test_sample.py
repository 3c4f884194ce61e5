"""`sample`: exact, repeatable, blind to order."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import ids, step

from curator.errors import CheckError
from curator.ops.sample import sample


def table(count: int, kinds: int = 3) -> pa.Table:
    return pa.table({
        "row_id": [f"r{i}" for i in range(count)],
        "problem_id": [f"p{i // 3}" for i in range(count)],
        "kind": [f"k{i % kinds}" for i in range(count)],
    })  # fmt: skip


def test_n_is_exact_and_the_rest_is_dropped():
    out, dropped, _ = step(sample(n=10), table(50))
    assert (len(out), len(dropped)) == (10, 40)
    assert {r["reason"] for r in dropped} == {"not_sampled"}


@pytest.mark.parametrize(
    "settings_", [{"n": 7}, {"fraction": 0.4}, {"n": 2, "per": "kind"}, {"n": 3, "by": "problem_id"}]
)
@settings(deadline=None, max_examples=10)
@given(data=st.data())
def test_order_does_not_matter(settings_, data):
    whole = table(30)
    order = data.draw(st.permutations(range(30)))
    assert ids(step(sample(**settings_), whole)[0]) == ids(step(sample(**settings_), whole.take(order))[0])


def test_a_larger_sample_holds_the_smaller_one_and_rows_decide_for_themselves():
    small, large = (set(ids(step(sample(fraction=f), table(300))[0])) for f in (0.2, 0.5))
    assert small < large
    assert 90 < len(large) < 210
    half = set(ids(step(sample(fraction=0.5), table(150))[0]))
    assert half == {i for i in large if int(i[1:]) < 150}


def test_the_seed_decides():
    assert ids(step(sample(n=10, seed=1), table(50))[0]) != ids(step(sample(n=10, seed=2), table(50))[0])


def test_strata_and_units():
    out, _, _ = step(sample(n=2, per="kind"), table(50))
    assert sorted(r["kind"] for r in out) == ["k0", "k0", "k1", "k1", "k2", "k2"]
    out, _, _ = step(sample(n=4, by="problem_id"), table(48))
    assert len({r["problem_id"] for r in out}) == 4
    assert len(out) == 12


def test_nulls_are_a_stratum_and_count_as_their_own_unit():
    nulls = table(9).set_column(1, "problem_id", pa.nulls(9, pa.string()))
    assert len(step(sample(n=4, by="problem_id"), nulls)[0]) == 4
    nulls = table(9).set_column(2, "kind", pa.nulls(9, pa.string()))
    assert len(step(sample(n=4, per="kind"), nulls)[0]) == 4


@pytest.mark.parametrize("fraction", [0, 1])
def test_the_ends_of_fraction(fraction):
    assert len(step(sample(fraction=fraction), table(20))[0]) == 20 * fraction


def test_settings_that_cannot_be():
    for bad in ({}, {"n": 1, "fraction": 0.5}, {"n": -1}, {"fraction": 1.5}):
        with pytest.raises(CheckError, match="sample:"):
            sample(**bad)
