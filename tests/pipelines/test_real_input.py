"""The main job on 500 real R1-distill traces, with a rehearsed teacher: no row is unaccounted for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curator.check import load
from curator.run.local import run

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
TRACES = SHARED / "traces" / "saturn_math500_r1_distill_qwen_7b.parquet"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TRACES.exists(), reason="real data is not there (../shared/data)"),
]

PAGE = """
name: real-input
engines:
  teacher: {{kind: replay, function: "rehearsal:teacher"}}
steps:
  - read: {{path: "{traces}", columns: {{problem: problem, answer: gold, trace: output}}}}
  - dedup: {{on: problem}}
  - decontaminate: {{against: [{benchmarks}]}}
  - verify:
  - grade:
  - select: {{where: correct, best: n_tokens, per: problem_id}}
  - compress: {{engine: teacher, on_fail: drop}}
  - export: {{to: trl}}
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    sys.path.insert(0, str(Path(__file__).parent))
    folder = tmp_path_factory.mktemp("real")
    names = ("aime24_test", "aime25_test", "amc23_test", "olympiadbench_oe_to_maths_en_test")
    benchmarks = ", ".join(f'"{SHARED / "benchmarks" / n}.parquet"' for n in names)
    page = folder / "page.yaml"
    page.write_text(PAGE.format(traces=TRACES, benchmarks=benchmarks))
    yield run(load(page), folder / "run", workers=0)
    sys.path.remove(str(Path(__file__).parent))


def rows(result, step, *, dropped=False):
    return result.table(step, dropped=dropped).to_arrow_table().to_pylist()


def test_no_row_is_unaccounted_for(done):
    receipts = {r["op"]: r for r in done.receipts}
    assert list(receipts) == ["read", "dedup", "decontaminate", "verify", "grade", "select", "compress", "export"]
    for r in done.receipts:
        assert r["rows_in"] + r["made"] == r["out"] + r["dropped"], r["step"]
    ends = [r["row_id"] for r in rows(done, "compress")]
    for step in done.steps[:-1]:
        if receipts[step["op"]]["dropped"]:
            ends += [r["row_id"] for r in rows(done, step["label"], dropped=True)]
    assert sorted(ends) == sorted(pq.read_table(TRACES, columns=["id"])["id"].to_pylist())
    assert len(ends) == 500


def test_verdicts_agree_with_the_recorded_ones(done):
    recorded = {r["id"]: r["correct"] for r in pq.read_table(TRACES, columns=["id", "correct"]).to_pylist()}
    ours = rows(done, "verify")
    assert len(ours) > 400
    agree = sum(recorded[r["row_id"]] == (r["verdict"] == "correct") for r in ours)
    assert agree >= 0.98 * len(ours)


def test_every_fault_of_the_teacher_is_caught_by_its_name(done):
    lost, kept = rows(done, "compress", dropped=True), rows(done, "compress")
    assert {r["reason"] for r in lost} == {"answer_changed", "not_shorter", "sections_missing", "think_tags"}
    assert all(json.loads(r["evidence"])["attempts"] == 3 for r in lost)
    assert len(kept) >= 0.8 * (len(kept) + len(lost))
    for r in kept:
        assert r["verified"] is True
        assert r["tokens_short"] < 0.9 * r["tokens_long"]
        assert "987654321" not in r["final_answer_short"]


def test_reports_say_what_was_gained(done):
    reports = next(r["reports"] for r in done.receipts if r["op"] == "compress")
    assert {r["difficulty"] for r in reports["tokens by level"]} == {"easy", "medium", "hard"}
    assert reports["tokens before and after"][0]["ratio"] < 0.2
    judged = reports["judged level against pass rate"]
    assert sum(r["n"] for r in judged) == reports["accepted"][0]["accepted"]


def test_the_export_holds_what_was_kept(done):
    files = list((done.folder / "out" / "data").glob("*.parquet"))
    assert sum(pq.read_metadata(f).num_rows for f in files) == len(rows(done, "compress"))
