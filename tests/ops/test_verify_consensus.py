"""`verify` by the vote of a problem's samples: the real comparison, any order of rows, any cut into batches."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tableview import step

from curator.ops import _consensus
from curator.ops.verify import verify

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "specs" / "golden.json"
COLUMNS = (
    "verdict", "correct", "score", "consensus_answer", "consensus_votes", "consensus_n", "consensus_undecided",
)  # fmt: skip


def samples(problems, order=None):
    """Rows of {problem: [answer or None, ...]}; `order` permutes them."""
    found = [
        {"row_id": f"{p}/{i}", "problem_id": p, "sample_idx": i, "trace": None if a == "fail" else "cut" if a is None
         else rf"\boxed{{{a}}}", "finish_reason": "length" if a is None else "stop"}
        for p, answers in problems.items() for i, a in enumerate(answers)
    ]  # fmt: skip
    schema = pa.schema(
        [("row_id", pa.string()), ("problem_id", pa.string()), ("sample_idx", pa.int32()), ("trace", pa.string()),
         ("finish_reason", pa.string())]
    )  # fmt: skip
    table = pa.Table.from_pylist(found, schema)
    return table.take(pa.array(order)) if order is not None else table


def vote(table, batch_rows=3, **more):
    out, dropped, counts = step(verify(kind="consensus", **more), table, batch_rows)
    assert dropped == []
    return out, counts


def told(out, *names):
    return [tuple(r[n] for n in names) for r in out]


def test_equal_values_vote_together_and_need_no_reference():
    out, counts = vote(samples({"p": [r"\frac12", "0.5", "1/2", "7"]}))
    assert told(out, *COLUMNS) == [
        ("correct", True, 0.75, r"\frac12", 3, 4, 0),
        ("correct", True, 0.75, r"\frac12", 3, 4, 0),
        ("correct", True, 0.75, r"\frac12", 3, 4, 0),
        ("incorrect", False, 0.25, r"\frac12", 3, 4, 0),
    ]
    assert counts == {"problems": 1, "with_consensus": 1}


def test_undecided_samples_are_counted_and_vote_for_nobody():
    out, _ = vote(samples({"p": ["4", None, "fail", "4", "4"]}))
    assert told(out, "verdict", "verdict_detail", "consensus_n", "consensus_undecided") == [
        ("correct", "3 of 5 agree", 3, 2),
        ("unparseable", "truncated", 3, 2),
        ("error", "no trace", 3, 2),
        ("correct", "3 of 5 agree", 3, 2),
        ("correct", "3 of 5 agree", 3, 2),
    ]


def test_three_different_answers_are_no_majority_but_the_published_rule_keeps_them():
    table = samples({"p": ["1", "2", "3"]})
    out, counts = vote(table)
    assert (
        told(out, "verdict", "verdict_detail", "consensus_answer")
        == [("no_reference", "no majority: votes 1, 1, 1 of 3", None)] * 3
    )
    assert counts["with_consensus"] == 0
    out, _ = vote(table, majority="published")
    assert told(out, "verdict", "consensus_answer") == [("correct", None)] * 3
    out, _ = vote(table, majority="plurality")
    assert told(out, "verdict", "consensus_answer")[0] == ("correct", "1")


@pytest.mark.parametrize(
    ("answers", "strict", "decided"), [(["4", None, None], False, True), (["4", "4", None], True, True)]
)
def test_strict_counts_all_samples_and_decided_those_with_an_answer(answers, strict, decided):
    table = samples({"p": answers})
    assert (vote(table)[0][0]["correct"] is True) is strict
    assert (vote(table, majority="decided")[0][0]["correct"] is True) is decided


def test_unanimous_is_deepmaths_three_of_three():
    out, _ = vote(samples({"a": ["4", "4.0", "4"], "b": ["4", "4", "5"], "c": ["4", "4", None]}), majority="unanimous")
    assert {r["problem_id"] for r in out if r["correct"]} == {"a"}


@pytest.mark.skipif(not GOLDEN.exists(), reason="the specification is not there (../shared/specs)")
def test_deepmaths_rule_with_a_source_answer():
    """Three answers equal, and equal to the source answer where there is one: the chain docs/verify.md names."""
    groups = json.loads(GOLDEN.read_text())["groups"]
    (rules,) = [g["cases"] for g in groups if g["id"] == "row_rules"]
    cases = [c for c in rules if c["system"] == "DeepMath-103K"]
    assert len(cases) >= 4
    for case in cases:
        table = samples({"p": case["input"]["answers"]})
        source = pa.array([case["input"]["source_answer"]] * 3, pa.string())
        agreed = [r for r in vote(table.append_column("answer", source), majority="unanimous")[0] if r["correct"]]
        kept = []
        if agreed:
            judged = verify()(pa.Table.from_pylist(agreed))
            kept = [c for c in judged["correct"].to_pylist() if c is not False]
        assert bool(kept) is case["output"]


def test_rows_without_a_problem_or_a_number_stand_alone():
    table = samples({"p": ["4", "5"]})
    table = table.set_column(1, "problem_id", pa.array([None, None], pa.string())).drop_columns(["sample_idx"])
    out, counts = vote(table)
    assert counts["problems"] == 2
    assert told(out, "consensus_answer") == [("4",), ("5",)]


ANSWERS = st.sampled_from(["4", "4.0", r"\frac{8}{2}", "5", "x", None, "fail"])


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.sampled_from("abc"), st.lists(ANSWERS, min_size=1, max_size=5), min_size=1),
    st.randoms(),
    st.data(),
)
def test_the_order_of_rows_and_the_cut_into_batches_do_not_matter(monkeypatch, problems, rng, data):
    table = samples(problems)
    order = list(range(table.num_rows))
    rng.shuffle(order)
    whole, counts = vote(table, batch_rows=100)
    monkeypatch.setattr(_consensus, "PART", data.draw(st.integers(1, 4)))
    assert vote(samples(problems, order), batch_rows=data.draw(st.integers(1, 4))) == (whole, counts)
