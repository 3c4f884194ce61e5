"""The pages made of segment, splice and retro_search, with recorded answers: what comes out of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curator import prompts
from curator.check import load
from curator.pipeline import EngineSpec
from curator.sandbox.judge import refusal

ROOT = Path(__file__).resolve().parents[2]
REPLAY = {"function": "pages_answers:answer", "score": "pages_answers:score"}


isolated = pytest.mark.skipif(refusal() is not None, reason=f"no isolation here: {refusal()}")


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def run(name, tmp_path, limit=8):
    pipeline = load(f"pipelines/{name}.yaml")
    engines = {a: EngineSpec(a, "replay", REPLAY) for a in pipeline.engines}
    return dataclasses.replace(pipeline, engines=engines).run(
        tmp_path / "run", workers=0, progress=False, limit=limit, store=tmp_path / "store"
    )


def rows(done, step=-1):
    return done.table(step).to_arrow_table().to_pylist()


def written(done):
    return done.receipts[-1]["out"]


@pytest.mark.parametrize("name", ["retro-search", "retro-search-weak-to-strong", "revise-then-compress"])
def test_every_trace_comes_out_shorter_and_right(name, tmp_path):
    done = run(name, tmp_path)
    searched = rows(done, "retro_search")
    assert searched
    for r in searched:
        assert r["changed"]
        assert r["tokens_after"] < r["tokens_before"]
        assert r["n_thoughts_after"] < r["n_thoughts_before"] == 3
        assert r["n_steps_after"] < r["n_steps_before"] == 9
    for r in rows(done, "verify-2"):
        assert r["correct"]
        assert r["trace"] == r["trace_revised"]
        assert "Let me see" in r["think"]
        assert r["trace"].endswith(r["response"])
    assert written(done) > 0


def test_weak_to_strong_starts_anywhere(tmp_path):
    starts = {r["start_thought"] for r in rows(run("retro-search-weak-to-strong", tmp_path, 24), "retro_search")}
    assert starts == {1, 2}


def test_the_chain_compresses_the_revised_trace(tmp_path):
    for r in rows(run("revise-then-compress", tmp_path), "compress"):
        assert r["verified"]
        assert r["tokens_long"] == r["tokens_after"] or r["tokens_long"] > r["tokens_short"]


def test_mind_turns_join_to_the_thinking(tmp_path):
    found = rows(run("mind", tmp_path))
    assert found
    for r in found:
        assert len(r["turns"]) == 3
        assert "".join(t["think"] for t in r["turns"]) == r["think"]
        assert [t["verdict"] for t in r["turns"]] == ["correct"] * 3
        assert all(t["answer"] for t in r["turns"])


def test_thinkdial_has_three_modes(tmp_path):
    found = rows(run("thinkdial", tmp_path))
    by = {m: [len(r["think"]) for r in found if r["mode"] == m] for m in ("high", "medium", "low")}
    assert len(by["high"]) == len(by["medium"]) == len(by["low"]) > 0
    assert min(by["high"]) > max(by["medium"]) >= max(by["low"])


def test_skip_thinking_leaves_one_chunk_out(tmp_path):
    done = run("skip-thinking", tmp_path)
    for r in rows(done, "chunk"):
        assert r["n_spans"] == 4
        assert r["chunk_loss"] < r["chunk_loss_average"]
        assert [s["end"] for s in r["spans"][:-1]] == [s["start"] for s in r["spans"][1:]]
    for r in rows(done):
        (edit,) = r["edit_log"]
        assert edit["text"] == ""
        assert r["skipped"] in r["trace"]
        assert r["correct"]


def test_long_short_values_thoughts(tmp_path):
    for r in rows(run("long-short", tmp_path), "sql-2"):
        assert [t["prefix_value"] for t in r["thoughts"]] == [1.0] * 3
        assert [t["value"] for t in r["thoughts"]] == [0.0] * 3
        assert "".join(t["thought"] for t in r["thoughts"]) == r["long_think"]
        assert r["marked"].count("[shorten] ") == 3


def parts(row, *kinds):
    return [p["text"] for p in row["inserted"] if p["kind"] in kinds]


def not_trained(done):
    """What training with axolotl does not learn, by row."""
    found = {}
    for r in pq.read_table(done.folder / "out/data").to_pylist():
        message = r["messages"][-1]
        kept = [(d["begin_offset"], d["end_offset"] + 1) for d in message["train_detail"] if not d["train"]]
        found[r["row_id"]] = [message["content"][a:b] for a, b in kept]
    return found


@isolated
def test_start_runs_the_code_behind_its_hints(tmp_path):
    done = run("start", tmp_path, 24)
    looped, found = rows(done, "tool_loop"), rows(done)
    assert {r["budget"] for r in looped} == {0, 1, 2, 3}
    for r in looped:  # a budget of 0 loses no row
        assert (r["exit_reason"] == "no_budget") == (r["budget"] == 0)
    assert found
    masked = not_trained(done)
    for r in found:
        (hint,) = parts(r, "keep")
        assert hint.endswith("```python\n")
        assert r["trace"].startswith(r["hinted"])
        assert "print(x)\n```\n```output\n2\n```\n" in r["trace"]
        assert r["n_calls"] == 1
        told = [prompts.NO_MORE_RUNS] if r["budget"] == 1 else []
        assert masked[r["row_id"]] == [hint, "```output\n2\n```\n", *told]


@isolated
def test_cort_hints_where_it_calculates_by_hand_or_doubts_a_result(tmp_path):
    done = run("cort", tmp_path)
    looped = rows(done, "tool_loop-2")
    late = [r for r in looped if "tedious" in r["hint"]]
    doubting = [r for r in looped if "no need" in r["hint"]]
    assert len(late) == len(doubting) == 8
    for r in late:
        assert r["hinted"].endswith("3 + 3 = 6.\n\n" + r["hint"] + "\n") or "3 + 3 = 6." in r["hinted"]
        assert parts(r, "output") == ["```output\n2\n```\n"]
    for r in doubting:
        assert "Is it so? 1 + 2 = 3.\n\n" + r["hint"] in r["trace"]
        assert parts(r, "output") == ["```output\n3\n```\n"]  # of the first loop, known through segment and splice
    masked = not_trained(done)
    for r in rows(done):
        text = "".join(masked[r["row_id"]])
        assert "I will solve this with several short Python programs." in text
        assert r["hint"] in text
        assert all(p in text for p in parts(r, "output"))


def test_deepcritic_finds_the_first_wrong_step(tmp_path):
    done = run("deepcritic", tmp_path)
    labels = rows(done, "sql-2")
    for r in labels:
        assert r["first_wrong"] == (-1 if "-12345" not in r["written"] else 2)
        assert r["rollouts_right"] == [4, 0]
    assert len({r["problem_id"] for r in labels}) > 5
    assert {r["first_wrong"] for r in labels} == {-1, 2}
    assert written(done) == len(labels)
