"""`propose`: replies become problems of new rows; what is none is said, and the pocket model writes real ones."""

import asyncio
import json

import pyarrow as pa
import pytest
from scripted import Scripted

import curator as cu
from curator import prompts
from curator.engines.protocol import Completion
from curator.errors import CheckError
from curator.op import find

TAGS = r"(?s)<rationale>(?P<rationale>.*?)</rationale>.*<problem>(?P<problem>.*?)</problem>"


def draws(*examples, **more):
    return pa.table(
        {"row_id": [f"d-{i}" for i in range(len(examples))], "problem_id": [f"d-{i}" for i in range(len(examples))],
         "examples": pa.array(examples, pa.list_(pa.string())), **more}
    )  # fmt: skip


def proposed(table, answer, **given):
    engine = Scripted(answer)
    result = asyncio.run(find("propose").factory(engine=engine, seed=0, **given)(table))
    lost = {r["row_id"]: (r["reason"], json.loads(r["evidence"])) for r in result.dropped.to_pylist()}
    return result.table.to_pylist(), lost, engine


def test_a_reply_is_the_problem_of_a_new_row():
    rows, lost, engine = proposed(draws(["one", "two"]), lambda _r, i: f"<think>hm</think>\n a new one {i} ", n=2)
    assert [(r["row_id"], r["parent_id"], r["problem_id"], r["problem"]) for r in rows] == [
        ("d-0/0", "d-0", "d-0/0", "a new one 0"), ("d-0/1", "d-0", "d-0/1", "a new one 1"),
    ]  # fmt: skip
    assert rows[0]["examples"] == ["one", "two"]
    assert lost == {}
    assert engine.requests[0].messages[0].content == prompts.fill(prompts.PROPOSE, examples="1. one\n\n2. two")
    assert len({r.sampling.seed for r in engine.requests}) == 2


@pytest.mark.parametrize(
    ("reply", "why"),
    [("two", "same"), ("  ", "empty"), ("<think>only", "empty"), (Completion("half", "length"), "length"),
     (Completion("", "error", error="gone"), "failed")],
)  # fmt: skip
def test_what_is_no_problem_is_dropped_with_its_reason(reply, why):
    rows, lost, _ = proposed(draws(["one", "two"]), lambda _r, _i: reply)
    assert rows == []
    assert lost == {"d-0": ("nothing_proposed", {"replies": [why]})}


def test_a_pattern_makes_columns():
    text = "<rationale>why</rationale>\n<problem> what? </problem> tail"
    rows, _, _ = proposed(draws(["a"]), lambda _r, _i: text, pattern=TAGS)
    assert (rows[0]["rationale"], rows[0]["problem"]) == ("why", "what?")
    _, lost, _ = proposed(draws(["a"]), lambda _r, _i: "no tags", pattern=TAGS)
    assert lost["d-0"][1] == {"replies": ["no_match"]}


def test_a_null_field_is_told():
    table = draws(["a"], ["b"], level=pa.array(["easy", None], pa.string()))
    rows, lost, _ = proposed(table, lambda _r, _i: "new", prompt="{level}: {examples}")
    assert [r["row_id"] for r in rows] == ["d-0/0"]
    assert lost == {"d-1": ("null_field", {"columns": ["level"]})}


@pytest.mark.parametrize(
    ("given", "said"),
    [({"n": 0}, "n is 0"), ({"pattern": "(?P<text>.*)"}, "no group 'problem'"),
     ({"pattern": "(?P<problem>.*"}, "does not compile")],
)  # fmt: skip
def test_settings_that_make_no_sense(given, said):
    with pytest.raises(CheckError, match=said):
        find("propose").factory(engine=Scripted(lambda _r, _i: ""), **given)


def test_the_pocket_model_writes_problems_that_it_can_solve(tmp_path):
    pytest.importorskip("tokenizers", reason="the pocket model needs the extra [pocket]")
    from curator.pocket.solver import parse

    teacher = cu.engine("pocket")
    chain = cu.read(path="builtin:pocket", n=40) | cu.draw(n=24, k=3) | cu.propose(engine=teacher, temperature=0.8)
    done = chain.run(tmp_path / "run", workers=0, progress=False)
    rows = done.table().to_arrow_table().to_pylist()
    assert len(rows) >= 20
    assert len({r["problem"] for r in rows}) >= 0.9 * len(rows)
    solvable = sum(parse(r["problem"]) is not None for r in rows)
    assert solvable >= 0.6 * len(rows), solvable
    assert all(len(r["parent_ids"]) == 3 for r in rows)
    assert {"read", "made", "final"} <= {e["event"] for e in done.why(rows[0]["row_id"])}
