"""Every named composition runs end to end on the embedded model, small: real samples, real verdicts, real likelihoods.

`SMALL` says what is set for the test and what must come out; the pages themselves run with more in under two minutes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curator.check import load
from curator.errors import InputError
from curator.run.local import run

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow
Rows = list[dict[str, Any]]


def rows(done: Any, step: str, *, dropped: bool = False) -> Rows:
    return done.table(step, dropped=dropped).to_arrow_table().to_pylist()


def data(done: Any, pattern: str = "data/*.parquet") -> Rows:
    return [r for f in sorted((done.folder / "out").glob(pattern)) for r in pq.read_table(f).to_pylist()]


def redi(done):
    kept = rows(done, "pair")
    pairs = [r for r in kept if r["rejected_id"]]
    assert pairs
    assert len(data(done)) == len(kept) >= len(data(done, "trl-dpo/*.parquet")) > 0
    for r in pairs:
        assert r["correct"] is True
        assert r["rejected_trace"] != r["trace"]
        assert r["rejected_id"].rpartition("/")[0] == r["row_id"].rpartition("/")[0]


def light_r1(done):
    assert all(r["student_pass_rate"] < 0.75 for r in rows(done, "select"))
    for r in rows(done, "pair"):
        assert (r["engine"], r["correct"]) == ("teacher", True)
        assert r["rejected_engine"] in (None, "student")


def open_r1(done):
    assert {r["correct"] for r in rows(done, "select")} == {True}
    assert data(done, "verl-rl/*.parquet")


def limo(done):
    kept = rows(done, "select-5")
    assert all(r["small_n_ok"] == 0 and 1 <= r["strong_n_ok"] <= 7 for r in kept)
    assert len({r["problem_id"] for r in kept}) == len(kept)


def not_all_correct(done):
    found = rows(done, "sql")
    teachers = {"am-thinking", "qwen3", "r1"}
    by = {}
    for r in found:
        by.setdefault(r["problem_id"], set()).add(r["engine"])
    assert found
    assert all(held == teachers for held in by.values())
    assert len(found) == 3 * len(by)
    assert all(r["perplexity"] <= 20 for r in found)


def deepdistill(done):
    for r in rows(done, "select-3"):
        assert (r["engine"], r["passed"], r["decision"]) == ("r1", True, "cv_high")
        assert 0 < r["pass_rate"] < 1
    graded = rows(done, "grade")
    judged = {r["problem_id"] for r in graded if r["engine"] == "r1"}  # the others lost all answers of R1 before
    assert all((r["decision"] is None) == (r["problem_id"] not in judged) for r in graded)
    decisions = {r["decision"] for r in graded if r["problem_id"] in judged}
    assert decisions <= {"max_below_threshold", "none_above_threshold", "cv_low", "cv_high"}


def ded(done):
    kept = rows(done, "select-3")
    assert all(r["student_pass_rate"] <= 0.75 and r["correct"] for r in kept)
    counts = {}
    for r in kept:
        counts[r["problem_id"]] = counts.get(r["problem_id"], 0) + 1
    assert max(counts.values()) <= 4


def grape(done):
    offered, kept = {}, rows(done, "select-2")
    for r in rows(done, "score"):
        offered.setdefault(r["problem_id"], []).append(r["student_logprob_mean"])
    assert {r["problem_id"] for r in kept} == set(offered)
    for r in kept:
        assert r["student_logprob_mean"] == max(offered[r["problem_id"]])


def provenance(done):
    for r in rows(done, "provenance"):
        assert len(r["span_labels"]) == r["n_spans"] == len(r["teacher_span_logprob_sum"])
    kept = rows(done, "select-2")
    assert len({r["problem_id"] for r in kept}) == len(kept)


def dasd(done):
    kept = rows(done, "select-3")
    assert {r["temperature"] for r in kept} == {0.6, 1.0}
    assert len({(r["problem_id"], r["temperature"]) for r in kept}) == len(kept)
    assert {r["temperature"] for r in data(done)} == {0.6, 1.0}


def s1k(done):
    failed = rows(done, "select-2")
    assert all(r["small_n_ok"] == r["large_n_ok"] == 0 for r in failed)
    assert len(rows(done, "select-3")) == min(3, len(failed))


def prismatic(done):
    new = [r for r in rows(done, "loop") if r["round"]]
    assert new
    assert all(r["cluster_sparse"] and r["correct"] and r["grad"] for r in new)
    for r in new:
        assert r["consensus_votes"] >= 2
        assert len(r["parent_ids"]) == 3
    assert len({r["problem"] for r in rows(done, "loop")}) == len(rows(done, "loop"))
    (loop,) = [r for r in done.receipts if r["step"] == "loop"]
    assert [len(r.receipts) for r in done.rounds()] == [10] * len(loop["rounds"])
    assert sum(r["yielded"] for r in loop["rounds"]) == len(new)


def saturn(done):
    found = rows(done, "verify")
    assert len({r["problem_id"] for r in found}) == 4
    assert {r["verifier"] for r in found} == {"sat/1"}
    for r in rows(done, "sql"):
        assert r["n_solutions"] == r["guess_rate"] * 32
        assert r["above_chance"] <= r["accuracy"]
        assert (r["above_chance"] < 0) == (r["above_guess"] < 0)


def promptcot_em(done):
    scored = {}
    for r in rows(done, "score"):
        scored.setdefault(r["problem_id"], []).append(r["logprob_sum"])
    kept = rows(done, "barrier")
    assert {r["problem_id"] for r in kept} == set(scored)
    for r in kept:
        assert r["logprob_sum"] == max(scored[r["problem_id"]])
        assert r["reward_spread"] == max(scored[r["problem_id"]]) - min(scored[r["problem_id"]])
        assert r["model_id"] == "student@1"


TRAINED = "import json, sys; json.dump(dict(model_id='student@1'), open(sys.argv[2], 'w'))"
COMMAND = f'{sys.executable} -c "{TRAINED}" {{rows}} {{result}}'
TRAIN = "steps.barrier.command=" + json.dumps(COMMAND)

# The model is nearly of one mind at the pages' temperatures: few problems would show no spread.
HOT = ["steps.generate.temperature=1.5", "steps.generate.top_p=1", "steps.generate.max_tokens=320"]
SMALL: dict[str, tuple[list[str], Callable[[Any], None]]] = {
    "redi": (["steps.sample.n=10", *HOT], redi),
    "light-r1": (["steps.sample.n=40", "steps.grade.n=4"], light_r1),
    "open-r1": (["steps.sample.n=10"], open_r1),
    "limo": (["steps.sample.n=40", "steps.grade-2.n=4", "steps.generate.n=2"], limo),
    "not-all-correct": (["steps.sample.n=4", "steps.generate.n=2"], not_all_correct),
    "deepdistill": (["steps.sample.n=3", *HOT], deepdistill),
    "ded": (["steps.sample.n=6", "steps.grade.n=4", "steps.generate.n=4"], ded),
    "grape": (["steps.sample.n=4"], grape),
    "provenance": (["steps.sample.n=4"], provenance),
    "dasd": (["steps.sample.n=4"], dasd),
    "prismatic": (["steps.read.n=90", "steps.loop.draw.n=8", "steps.loop.rounds=2"], prismatic),
    "promptcot-em": (["steps.read.n=4", "steps.generate-2.n=2", TRAIN], promptcot_em),
    "saturn": (["steps.construct.n=1", "steps.generate.n=2"], saturn),
    "s1k": (["steps.sample.n=20", "steps.select-3.n=3"], s1k),
}


@pytest.mark.parametrize("name", SMALL)
def test_a_page_runs_on_the_pocket_model(name, tmp_path, monkeypatch):
    pytest.importorskip("tokenizers", reason="the pocket model needs the extra [pocket]")
    monkeypatch.chdir(ROOT)
    overrides, look = SMALL[name]
    page = load(f"pipelines/{name}.yaml", overrides)
    done = run(page, tmp_path / "run", workers=0, progress=False)
    for step in done.summary():
        assert step["in"] + step["made"] == step["out"] + step["dropped"], step
    assert [s["step"] for s in done.summary()] == [s.label for s in page.steps]
    assert data(done)
    look(done)


def test_an_empty_outcome_is_told_and_not_written(tmp_path, monkeypatch):
    """One problem that the model always solves: nothing for the band, and one line that says so."""
    pytest.importorskip("tokenizers", reason="the pocket model needs the extra [pocket]")
    monkeypatch.chdir(ROOT)
    page = load("pipelines/limo.yaml", ["steps.sample.n=1", "steps.select.where=small_n_ok > 1"])
    with pytest.raises(InputError, match="no row reached this step"):
        run(page, tmp_path / "run", workers=0, progress=False)
