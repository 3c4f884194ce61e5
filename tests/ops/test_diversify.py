"""`diversify`: what is kept and told, whatever the order of rows, and bad input."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tableview import ids, step
from vectors_stand import featured, unit

from curator.diversity.vendi import Moments
from curator.errors import CheckError, InputError
from curator.op import find
from curator.ops.diversify import check, diversify


def test_it_keeps_n_and_says_how_good_they_are():
    x = unit(200, 12, 1, groups=10)
    out, dropped, counts = step(diversify(n=30), featured(x, nulls=(5,)))
    assert len(out) == 30
    assert {d["reason"] for d in dropped if d["row_id"] != "r00005"} == {"not_chosen"}
    assert [d["reason"] for d in dropped if d["row_id"] == "r00005"] == ["no_vector"]
    kept = x[[int(r["row_id"][1:]) for r in out]]
    assert counts["vendi"] == pytest.approx(Moments().add(kept).vendi(), rel=1e-6)
    assert counts["vendi_random"] < counts["vendi"] <= counts["vendi_bound"]
    assert counts["no_vector"] == 1


@pytest.mark.parametrize("how", ["greedy", "random", "kmeans"])
def test_order_and_shards_do_not_count(how):
    rows = featured(unit(120, 6, 2, groups=4))
    order = pa.array(np.random.default_rng(3).permutation(120))
    one = ids(step(diversify(n=25, how=how, seed=5), rows)[0])
    assert one == ids(step(diversify(n=25, how=how, seed=5), rows.take(order), batch_rows=11)[0])
    assert len(one) == 25
    if how == "random":
        assert one != ids(step(diversify(n=25, how=how, seed=6), rows)[0])


def test_few_rows():
    out, dropped, _ = step(diversify(n=5), featured(unit(1, 8)))
    assert (ids(out), dropped) == (["r00000"], [])
    out, dropped, _ = step(diversify(n=5), featured(unit(2, 8), nulls=(0, 1)))
    assert not out
    assert {d["reason"] for d in dropped} == {"no_vector"}
    zero = np.zeros((3, 4), np.float32)
    zero[1] = 1
    out, dropped, counts = step(diversify(n=2), featured(zero))
    assert (ids(out), counts["zero_vectors"]) == (["r00001"], 2)


def test_bad_vectors_are_refused():
    x = unit(4, 4)
    with pytest.raises(InputError, match=r"diversify: 'grad' holds features of a with .* and of b with"):
        step(diversify(n=2), featured(x, proxy=["a", "a", "b", "b"]))
    step(diversify(n=2), featured(x, proxy=["a", "a", "a", "b"], nulls=(3,)))  # a row without a vector mixes nothing
    x[1, 1] = np.inf
    with pytest.raises(InputError, match="row r00001 holds NaN or infinity"):
        step(diversify(n=2), featured(x))
    with pytest.raises(CheckError, match="'problem' is string"):
        check({"on": "problem"}, {"problem": pa.string()})
    assert find("diversify").effect == "keeps"
