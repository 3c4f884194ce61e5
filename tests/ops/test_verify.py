from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator import rows
from curator.op import find
from curator.ops.verify import verify
from curator.pipeline import Step

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"

CASES = [
    # trace, answer, finish_reason, verdict, correct, predicted, detail
    (r"<think>x</think>\boxed{\frac12}", "0.5", "stop", "correct", True, r"\frac12", None),
    (r"\boxed{\sqrt{8}}", r"2\sqrt{2}", "stop", "correct", True, r"\sqrt{8}", None),
    (r"\boxed{3}", "4", "stop", "incorrect", False, "3", None),
    (r"\boxed{3}", None, "stop", "no_reference", None, "3", None),
    (r"\boxed{3}", " ", "stop", "no_reference", None, "3", None),
    ("<think>and then", "4", "length", "unparseable", None, None, "truncated"),
    ("we think\nand leave", "4", "stop", "unparseable", None, None, "no answer found"),
    (r"\boxed{\frac{1}", "4", "length", "unparseable", None, None, "truncated"),
    (r"\boxed{x^{}+}", "x", "stop", "unparseable", None, "x^{}+", "answer does not parse"),
    (r"\boxed{x}", r"\frac{1", "stop", "error", None, "x", "reference does not parse"),
    (None, "4", "error", "error", None, None, "no trace: 503"),
]


def given(cases=CASES):
    return pa.table(
        {
            "row_id": [str(i) for i in range(len(cases))],
            "trace": pa.array([c[0] for c in cases], pa.string()),
            "answer": pa.array([c[1] for c in cases], pa.string()),
            "finish_reason": [c[2] for c in cases],
            "error": ["503" if c[2] == "error" else None for c in cases],
        }
    )


def test_verdicts_stay_apart():
    out = verify()(given())
    got = zip(*(out[c].to_pylist() for c in ("verdict", "correct", "predicted_answer", "verdict_detail")), strict=True)
    assert list(got) == [c[3:] for c in CASES]
    assert out["score"].to_pylist() == [None if c[4] is None else float(c[4]) for c in CASES]
    for name in find("verify").adds({}):
        assert out.schema.field(name).type == rows.COLUMNS[name].type


def test_a_comparison_over_its_limit_is_a_timeout_and_costs_its_own_row(monkeypatch):
    slow = r"\boxed{" + "+".join(rf"\sin^{{{n}}}(x{n % 7})" for n in range(20, 60)) + "}"
    cases = [(slow, r"\cos(x1)+\sin(x2)", "stop"), (r"\boxed{\sqrt{8}}", r"\sqrt{2}\cdot 2", "stop")]
    assert verify(limit_s=0.01)(given(cases))["verdict"].to_pylist()[0] == "timeout"
    assert verify()(given(cases))["verdict"].to_pylist()[1] == "correct"


def test_order_and_shards_do_not_matter():
    table = given()
    whole = verify()(table)["verdict"].to_pylist()
    turned = verify()(table.take(pa.array(range(len(CASES) - 1, -1, -1))))["verdict"].to_pylist()
    assert turned[::-1] == whole
    assert [verify()(table.slice(i, 1))["verdict"][0].as_py() for i in range(len(CASES))] == whole


def test_strict_and_other_columns():
    cases = [(r"\boxed{10\%}", "10", "stop")]
    table = given(cases).rename_columns(["row_id", "output", "gold", "finish_reason", "error"])
    assert verify(trace="output", answer="gold")(table)["correct"].to_pylist() == [True]
    assert verify(trace="output", answer="gold", strict=True)(table)["correct"].to_pylist() == [False]
    step = Step("verify", find("verify"), {"trace": "output", "answer": "gold"})
    assert step.op.needs(step.bound) == ("row_id", "output", "gold")


def test_references_may_be_numbers_and_old_verdicts_are_replaced():
    table = pa.table({"row_id": ["a"], "trace": [r"\boxed{4}"], "answer": [4.0], "verdict": ["incorrect"]})
    out = verify()(table)
    assert out["verdict"].to_pylist() == ["correct"]
    assert out.column_names.count("verdict") == 1


def test_report_binds():
    con = duckdb.connect()
    con.register("rows", verify()(given()))
    for sql in find("verify").reports.values():
        assert con.sql(sql).fetchall()


def test_empty_shard():
    assert verify()(given().slice(0, 0)).num_rows == 0


@pytest.mark.skipif(not SHARED.exists(), reason="real data is not there (../shared/data)")
def test_real_traces_agree_with_their_recorded_verdicts():
    traces = pq.read_table(SHARED / "traces" / "saturn_math500_r1_distill_qwen_7b.parquet")
    table = traces.append_column("row_id", traces["id"])
    out = verify(trace="output", answer="gold")(table)
    recorded, ours = traces["correct"].to_pylist(), out["verdict"].to_pylist()
    agree = sum(r == (v == "correct") for r, v in zip(recorded, ours, strict=True))
    assert agree >= 490
    # what the grader called wrong is either read and different, or cut before an answer
    assert {v for r, v in zip(recorded, ours, strict=True) if not r} == {"incorrect", "unparseable"}
