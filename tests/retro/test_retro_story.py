"""The audit tells how the revised trace came about: replayed, and seen by `why` and the report."""

import json
import random

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retro_stand import Replies, rows, search, table, trace_of

import curator as cu
from curator import report
from curator.retro.story import cut, lines, pieces
from curator.run.questions import why

BAD = "<script>alert(1)</script>"


def chancy(prefix, sample):
    draw = random.Random(prefix + str(sample))
    steps = [draw.choice(["x", "Wait y", "z"]) + str(i) for i in range(draw.randint(1, 3))]
    return "\n\n".join(["q", *steps]) + f"\n</think>\n\n\\boxed{{{draw.choice('778')}}}"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 300))
def test_the_accepted_rollouts_replayed_give_the_revised_trace(number):
    chance = random.Random(number)
    steps = [f"{chance.choice(['a', 'Wait b', 'But c'])}{i}" for i in range(chance.randint(2, 12))]
    (row,) = rows(table(trace_of(steps)), Replies(chancy), passes=1 + number % 3, rollouts=1 + number % 2)
    parts = pieces(row["trace"], row["rollouts"])
    assert "".join(p.text for p in parts) == row["trace_revised"]
    assert all(p.text for p in parts)
    kept, gone = cut(row["trace"], row["rollouts"])
    assert kept + gone == row["trace"]
    assert row["trace_revised"].startswith(kept)
    assert bool(gone) == row["changed"]
    assert len(list(lines(row))) == 1 + row["n_rollouts"]


def test_lines_of_rows_that_were_not_searched():
    (row,) = search(table("no thinking"), Replies(chancy)).table.to_pylist()
    assert list(lines(row)) == ["not searched: no_thinking"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("retro")
    given = [
        {
            "id": f"r{i}",
            "problem": f"What? {BAD}",
            "answer": "7",
            "trace": trace_of(["A", f"Wait B{BAD}", "C", "D", "But E"]),
        }
        for i in range(3)
    ]
    (base / "rows.jsonl").write_text("\n".join(map(json.dumps, given)))
    (base / "retro_said.py").write_text(
        "def say(messages, sample_idx, prefix):\n"
        "    if prefix.endswith('A\\n\\n'):\n"
        "        return 'N1 <b>\\n\\n'\n"
        "    if prefix.endswith('N1 <b>\\n\\n'):\n"
        "        return 'Hmm N2\\n</think>\\n\\n\\\\boxed{7}'\n"
        "    return 'x'\n"
    )
    import sys

    sys.path.insert(0, str(base))
    teacher = cu.engine("replay", alias="teacher", function="retro_said:say")
    (cu.read(path=str(base / "rows.jsonl")) | cu.retro_search(engine=teacher)).run(
        base / "run", progress=False, workers=0
    )
    sys.path.remove(str(base))
    return base / "run"


def test_why_shows_the_path(folder):
    told = [e["what"] for e in why(folder, "r1") if e["event"] == "told"]
    assert told[0].startswith("searched from thought 1: 1 rollouts, 1 right, 1 accepted; thoughts 3 -> 2, steps 5 -> 3")
    assert told[1] == (
        "rollout 1 after thought 1, correct, 2 steps instead of 4, accepted: N1 <b> Hmm N2 </think> \\boxed{7}"
    )
    assert len(told) == 2


def test_the_page_shows_what_was_cut_and_what_replaced_it(folder):
    page = report.html(folder, folder / "r.html").read_text("utf-8")
    assert "<h2>Revised traces</h2>" in page
    left, _, right = page.partition("cut from the original")[2].partition("put in its place by rollout 1")
    assert '<span class="cut">Wait B&lt;script&gt;' in left
    assert '<span class="new h0" title="rollout 1">N1 &lt;b&gt;\n\nHmm N2' in right
    assert "<script" not in page
    assert "thinking before: mean" in page


def test_other_runs_have_no_such_section(tmp_path):
    rows_ = pa.Table.from_pylist([{"row_id": "a", "problem": "p", "answer": "1"}])
    import pyarrow.parquet as pq

    pq.write_table(rows_, tmp_path / "x.parquet")
    cu.read(path=str(tmp_path / "x.parquet")).run(tmp_path / "run", progress=False, workers=0)
    assert "Revised traces" not in report.html(tmp_path / "run", tmp_path / "r.html").read_text("utf-8")
