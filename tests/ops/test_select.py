"""`select`: filter, best of each group, exactly n."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import ids, step

from curator.errors import CheckError
from curator.op import find
from curator.ops import select as module
from curator.ops.select import select

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"
SAMPLES = [
    ("a0", "a", 0, True, 30), ("a1", "a", 1, True, 10), ("a2", "a", 2, False, 5), ("a3", "a", 3, True, 10),
    ("b0", "b", 0, None, 1), ("b1", "b", 1, True, None), ("c0", "c", 0, False, 2),
]  # fmt: skip
SCHEMA = pa.schema([
    ("row_id", pa.string()), ("problem_id", pa.string()), ("sample_idx", pa.int32()), ("correct", pa.bool_()),
    ("n_tokens", pa.int32()),
])  # fmt: skip


DEFAULTS = {s.name: s.default for s in find("select").settings}


def table(samples=SAMPLES) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(SCHEMA.names, s, strict=True)) for s in samples], schema=SCHEMA)


def reasons(dropped) -> dict[str, str]:
    return {r["row_id"]: r["reason"] for r in dropped}


def test_null_is_not_true():
    out, dropped, _ = step(select(where="correct"), table())
    assert ids(out) == ["a0", "a1", "a3", "b1"]
    assert set(reasons(dropped).values()) == {"where"}
    evidence = {r["row_id"]: r["evidence"] for r in dropped}
    assert evidence["b0"] == {"where": "correct", "row": {"correct": None}}


def test_shortest_correct_of_each_problem():
    out, dropped, _ = step(select(where="correct", best="n_tokens", per="problem_id"), table())
    assert ids(out) == ["a1", "b1"]  # a1 and a3 tie: the smaller sample_idx
    assert reasons(dropped)["a3"] == "not_best"
    assert reasons(dropped)["c0"] == "where"
    evidence = {r["row_id"]: r["evidence"] for r in dropped}
    assert evidence["a0"] == {"best": "n_tokens", "value": 30, "place": 3, "k": 1}


def test_longest_and_top_k():
    assert ids(step(select(best="n_tokens desc", k=2), table())[0]) == ["a0", "a1", "b0", "b1", "c0"]
    assert ids(step(select(best="-n_tokens", k=1), table())[0]) == ["a0", "b0", "c0"]


def test_groups_may_be_several_columns():
    assert len(step(select(best="n_tokens", per=["problem_id", "correct"]), table())[0]) == 5


def test_exactly_n_and_the_shortfall():
    out, dropped, counts = step(select(where="correct", n=2), table())
    assert (len(out), counts["short_by"]) == (2, 0)
    assert sorted(reasons(dropped).values()) == ["not_needed"] * 2 + ["where"] * 3
    out, _, counts = step(select(where="correct", n=9), table())
    assert (len(out), counts["short_by"]) == (4, 5)
    assert step(select(n=0), table())[0] == []
    assert step(select(n=3, seed=1), table())[0] != step(select(n=3, seed=2), table())[0]


sample = st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.sampled_from([True, False, None]),
                   st.one_of(st.none(), st.integers(0, 3)))  # fmt: skip


@settings(deadline=None, max_examples=30)
@given(st.lists(sample, max_size=12), st.randoms(use_true_random=False), st.integers(0, 4))
def test_order_does_not_matter(samples, random, n):
    rows = [(f"r{i}", *s) for i, s in enumerate(samples)]
    shuffled = rows[:]
    random.shuffle(shuffled)
    run = {"where": "correct is not false", "best": "n_tokens", "k": 2, "n": n}
    assert step(select(**run), table(rows)) == step(select(**run), table(shuffled))


def test_published_bands():
    """Strict and inclusive ends are written as such: a filter is plain SQL."""
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "threshold_bands"]
    wheres = {
        "0.1 < rate < 0.9 (strict)": "pass_rate > 0.1 and pass_rate < 0.9",
        "drop if rate > 0.3": "not pass_rate > 0.3",
        "drop if tokens < 5000": "not tokens < 5000",
        "drop if solved > 6 of 16": "not n_ok_of_16 > 6",
        "keep 1..3 correct of 32": "n_ok_of_32 between 1 and 3",
        "mean difficulty >= 5": "difficulty >= 5",
        "score > 0.99 (strict)": "verify_score > 0.99",
        "perplexity > 20 dropped": "not ppl > 20",
    }
    tried = 0
    for case in group["cases"]:
        where = wheres.get(case["rule"])
        values = {k: v for k, v in case.items() if k not in ("system", "rule", "keep")}
        if where and len(values) == 1:
            one = pa.Table.from_pylist([{"row_id": "x", **values}])
            assert bool(step(select(where=where), one)[0]) == case["keep"], case
            tried += 1
    assert tried >= 15


def test_needs_are_read_off_the_expressions():
    needs = find("select").needs
    bound = {**DEFAULTS, "where": "correct and score > 1", "best": "n_tokens / pass_rate desc", "per": "problem_id"}
    assert needs(bound) == ("row_id", "correct", "score", "n_tokens", "pass_rate", "problem_id")
    assert needs({**bound, "where": None, "best": None}) == ("row_id",)


def test_what_check_says():
    columns = {"row_id": pa.string(), "correct": pa.bool_()}
    module.check({**DEFAULTS, "where": "correct"}, columns)
    with pytest.raises(CheckError, match="Candidate bindings"):
        module.check({**DEFAULTS, "where": "corect"}, columns)
    with pytest.raises(CheckError, match="not a condition"):
        module.check({**DEFAULTS, "where": "row_id"}, columns)
    with pytest.raises(CheckError, match="Candidate bindings"):
        module.check({**DEFAULTS, "best": "tokens desc"}, columns)
    with pytest.raises(CheckError, match="Candidate bindings"):
        module.check({**DEFAULTS, "n": 1, "rank": "tokens desc"}, columns)


def test_settings_that_cannot_be():
    for bad in ({}, {"best": "n_tokens", "k": 0}, {"n": -1}, {"where": "a >"}, {"where": "random() > 0.5"}):
        with pytest.raises(CheckError):
            select(**bad)
