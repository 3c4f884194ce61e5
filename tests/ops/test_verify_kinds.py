"""`verify` by rules: choice, constraints, auto, combinations, and the bad input every kind must survive."""

from __future__ import annotations

import dataclasses
import json

import duckdb
import pyarrow as pa
import pytest

from curator import rows
from curator.maths.rules import Rules
from curator.op import find
from curator.ops._verify_settings import CONVENTIONS
from curator.ops.verify import verify
from curator.pipeline import Step
from curator.verdicts import code

VERDICTS = {"correct", "incorrect", "unparseable", "no_reference", "timeout", "error"}


def table(**columns):
    n = len(next(iter(columns.values())))
    return pa.table({"row_id": [f"r{i}" for i in range(n)], **columns})


def told(out, *names):
    return list(zip(*(out[n].to_pylist() for n in names), strict=True))


def bound(**settings):
    return Step("verify", find("verify"), settings)


def test_conventions_one_by_one():
    traces = [r"\boxed{2, 1}", r"\boxed{10\%}", r"\boxed{0.333333}", r"\boxed{x=5}"]
    given = table(trace=traces, answer=["1,2", "10", "1/3", "5"])
    assert verify()(given)["correct"].to_pylist() == [True] * 4
    assert verify(strict=True)(given)["correct"].to_pylist() == [False] * 4
    for i, name in enumerate(CONVENTIONS):
        assert verify(strict=[name])(given)["correct"].to_pylist() == [k != i for k in range(4)], name
    assert set(CONVENTIONS) <= {f.name for f in dataclasses.fields(Rules)}


def test_tolerances_for_all_rows_or_of_a_column():
    given = table(trace=[r"\boxed{3.14}"] * 5, answer=["3.1", "3.1", "3.1", "3.1", None])
    given = given.append_column("within", pa.array(["0.1", "1e-3", None, "wide", "wide"]))
    assert verify(tolerance=0.05)(given)["correct"].to_pylist()[:2] == [True, True]
    assert verify(tolerance=0.03)(given)["correct"].to_pylist()[:2] == [False, False]
    assert verify(rtol=0.02)(given)["correct"].to_pylist()[0] is True
    out = verify(tolerance="within")(given)
    assert out["verdict"].to_pylist() == ["correct", "incorrect", "incorrect", "error", "no_reference"]
    assert out["verdict_detail"].to_pylist()[3] == "tolerance 'wide' is no number >= 0"
    step = bound(tolerance="within")
    assert step.op.needs(step.bound) == ("row_id", "trace", "answer", "within")


def test_choice():
    given = table(
        trace=[r"\boxed{B}", r"\boxed{5 cm}", "The point A is far.\nSo be it.", "Answer: C"],
        answer=["B", "B", "A", "5 cm"],
        choices=[["3 cm", "5 cm"], ["3 cm", "5 cm"], None, None],
    )
    out = verify(kind="choice")(given)
    assert told(out, "verdict", "predicted_answer", "score", "score_scale") == [
        ("correct", "B", 1.0, "0-1"),
        ("correct", "B", 1.0, "0-1"),
        ("unparseable", None, None, None),
        ("error", "C", None, None),
    ]
    assert set(out["verifier"].to_pylist()) == {"choice/1"}


def test_choice_compares_values_with_the_real_comparison():
    given = table(trace=[r"\boxed{0.5}"], answer=["A"], choices=[[r"\frac{1}{2}", "2", "3"]])
    assert told(verify(kind="choice")(given), "verdict", "predicted_answer") == [("correct", "A")]


def test_choices_are_optional_unless_named():
    assert verify(kind="choice")(table(trace=[r"\boxed{B}"], answer=["B"]))["correct"].to_pylist() == [True]
    step = bound(kind="choice", choices="options")
    assert step.op.needs(step.bound) == ("row_id", "trace", "answer", "options")


def test_constraints_as_structs_and_as_json():
    one = [{"type": "words", "max": 3, "pattern": None}, {"type": "not_regex", "max": None, "pattern": r"\d"}]
    given = table(trace=["<think>1 2 3 4</think>three words here", "4 words are here"], constraints=[one, one])
    out = verify(kind="constraints")(given)
    assert told(out, "verdict", "score", "verdict_detail") == [
        ("correct", 1.0, None),
        ("incorrect", 0.0, "not met: words, not_regex"),
    ]
    as_json = given.set_column(2, "constraints", pa.array([json.dumps(one)] * 2))
    assert verify(kind="constraints")(as_json)["score"].to_pylist() == [1.0, 0.0]
    assert bound(kind="constraints").op.needs(bound(kind="constraints").bound) == ("row_id", "trace", "constraints")


def test_combinations_of_rules():
    given = table(
        trace=[r"\boxed{\text{B}}", r"\boxed{7}", r"\boxed{C}"],
        answer=["B", "7", "B"],
        constraints=[[{"type": "no_comma"}]] * 3,
    )
    first = verify(kind=["choice", "math"], combine="first")(given)
    assert told(first, "verdict", "verifier") == [
        ("correct", "choice/1"),
        ("correct", verify()(given)["verifier"][1].as_py()),
        ("incorrect", "choice/1"),
    ]
    both = verify(kind=["choice", "constraints"], combine="all")(given)
    assert both["verdict"].to_pylist() == ["correct", "error", "incorrect"]
    either = verify(kind=["choice", "constraints"])(given)
    assert either["correct"].to_pylist() == [True, True, True]
    assert either["verdict_detail"].to_pylist()[2] == "choice/1 said incorrect"


def test_auto_judges_each_row_by_what_it_is():
    given = table(
        trace=[r"\boxed{1/2}", r"\boxed{B}", "no commas", r"\boxed{x}", r"\boxed{x}", r"\boxed{B}"],
        answer=["0.5", "B", None, "x", "x", "B"],
        answer_type=["number", "mcq", "ifeval", None, None, None],
        domain=["math", "math", None, "heraldry", "science", None],
        choices=[None, None, None, None, None, ["a", "b"]],
        constraints=[None, None, [{"type": "no_comma"}], None, None, None],
    )
    out = verify(kind="auto")(given)
    assert out["verdict"].to_pylist() == ["correct", "correct", "correct", "error", "error", "correct"]
    assert out["verdict_detail"].to_pylist()[3:5] == [
        "no kind for domain 'heraldry'; name one in auto",
        "domain 'science' wants a judge, and no engine is set",
    ]
    ours = verify(kind="auto", auto={"heraldry": "math", "Science": "math"})(given)
    assert ours["verdict"].to_pylist()[3:5] == ["correct", "correct"]
    assert bound(kind="auto").kind == "row"
    assert bound(kind="auto", engine="teacher").kind == "model"


KINDS = ["math", "choice", "constraints", ["math", "choice"], "auto"]
BIG = "x" * 5_000_000


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_bad_input_never_raises_and_never_counts_as_wrong(kind):
    traces = [
        None,
        "",
        "  ",
        b"\xff\xfe",
        BIG.encode(),
        b"\\boxed{" + BIG.encode() + b"}",
        b"\\boxed{4}",
        b"\\boxed{4}",
        b"a\x00b\nc",
    ]
    answers = [b"4", b"4", b"4", b"4", b"4", b"4", b"\xff", BIG.encode(), b"4"]
    given = table(
        trace=pa.array([t.encode() if isinstance(t, str) else t for t in traces], pa.binary()),
        answer=pa.array(answers, pa.binary()),
        constraints=pa.array([b"\xff"] * len(traces), pa.binary()),
        choices=pa.array([b"\xff"] * len(traces), pa.binary()),
    )
    out = verify(kind=kind)(given)
    assert set(out["verdict"].to_pylist()) <= VERDICTS - {"incorrect", "correct"}
    assert out["verdict_detail"].to_pylist()[3] == "the trace is bytes that are not text", "told once"
    assert out["verdict"].to_pylist()[:3] == ["error"] * 3


def test_text_columns_with_broken_utf8_cost_only_their_row():
    good = pa.array([rb"\boxed{4}", b"\xff\xfe", rb"\boxed{4}"], pa.binary())
    broken = pa.StringArray.from_buffers(3, good.buffers()[1], good.buffers()[2])
    out = verify()(table(trace=broken, answer=["4"] * 3))
    assert out["verdict"].to_pylist() == ["correct", "unparseable", "correct"]


def test_a_fault_of_the_reference_is_named():
    given = table(trace=[r"\boxed{4}"] * 3, answer=pa.array([None, r"\frac{1", b"\xff"][:2] + [None], pa.string()))
    assert verify()(given)["verdict"].to_pylist() == ["no_reference", "error", "no_reference"]
    given = table(trace=[r"\boxed{4}"], answer=pa.array([b"\xff"], pa.binary()))
    assert told(verify()(given), "verdict", "verdict_detail") == [("error", "the reference is bytes that are not text")]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_order_and_shards_do_not_matter(kind):
    given = table(
        trace=[r"\boxed{4}", r"\boxed{B}", "text, text", None, r"\boxed{\sqrt{8}}"],
        answer=["4", "B", "5", "6", r"2\sqrt{2}"],
        constraints=[[{"type": "no_comma"}]] * 5,
    )
    whole = verify(kind=kind)(given)
    turned = verify(kind=kind)(given.take(pa.array([4, 3, 2, 1, 0])))
    assert turned.take(pa.array([4, 3, 2, 1, 0])).equals(whole)
    assert pa.concat_tables([verify(kind=kind)(given.slice(i, 1)) for i in range(5)]).equals(whole)
    assert verify(kind=kind)(given.slice(0, 0)).num_rows == 0


def test_reports_bind_and_count_by_verifier():
    con = duckdb.connect()
    con.register(
        "rows", verify(kind="auto")(table(trace=[r"\boxed{4}", "x"], answer=["4", "5"], domain=["math", "odd"]))
    )
    found = {title: con.sql(sql).fetchall() for title, sql in find("verify").reports.items()}
    assert [r[1:3] for r in found["verdicts by verifier"]] == [("error", 1), ("correct", 1)]


def test_types_of_the_columns():
    out = verify()(table(trace=[r"\boxed{4}"], answer=["4"]))
    for name in find("verify").adds({}):
        assert out.schema.field(name).type == rows.COLUMNS[name].type


def test_code_reads_the_columns_that_are_there():
    assert set(code.COLUMNS) == {"language", "entry_point", "prompt", "setup"}
    step = bound(kind="code", tests="test_cases")
    assert step.op.needs(step.bound) == ("row_id", "trace", "test_cases")
    assert step.kind == "row"
