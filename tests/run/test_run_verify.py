"""`verify` in real runs: each kind of step, engines that reply as told, the pocket model as a judge."""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

import pytest

import curator as cu
from curator.pocket import MODEL_DIR
from curator.run.refill import stretches

ANSWERS = """
from curator.engines.protocol import Completion

def answer(messages, sample_idx, prefix):
    asked = messages[-1].content
    if "Reply with one word" in asked:
        if "Given answer: fails" in asked or "Reference answer: fails" in asked:
            return Completion("", "error", error="503 of the judge")
        return "yes" if "as above" in asked else "no"
    n = int(asked.split("#")[1].split(" ")[0])
    return f"<think>x</think>So \\\\boxed{{{['7', 'as above', '8', 'fails'][(n + sample_idx) % 4]}}}"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "verify_answers.py").write_text(textwrap.dedent(ANSWERS))
    monkeypatch.syspath_prepend(str(tmp_path))
    lines = [{"problem_id": f"p{n}", "problem": f"#{n} What is 3 + 4?", "answer": "7"} for n in range(6)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path


def replay(**more):
    return cu.engine("replay", function="verify_answers:answer", max_error_share=1.0, **more)


def table(done, step=-1):
    return sorted(done.table(step).to_arrow_table().to_pylist(), key=lambda r: r["row_id"])


@pytest.mark.parametrize("workers", [0, 1])
def test_a_row_step_a_model_step_and_a_table_step_in_one_run(folder, workers):
    teacher = replay()
    pipeline = (
        cu.read("rows.jsonl")
        | cu.generate(engine=teacher, n=4)
        | cu.verify()
        | cu.verify(kind="consensus", majority="plurality")
        | cu.verify(kind=["math", "judge"], engine=teacher, both_orders=True)
        | cu.grade()
    )
    done = pipeline.run(folder / f"run-{workers}", workers=workers, progress=False)
    receipts = {r["step"]: r for r in done.receipts}
    assert [receipts[s]["kind"] for s in ("verify", "verify-2", "verify-3")] == ["row", "table", "model"]
    assert receipts["verify-2"]["counts"] == {"problems": 6, "with_consensus": 6}
    rows = table(done)
    assert len(rows) == 24
    by_answer = {r["predicted_answer"]: (r["verdict"], r["correct"], r["verdict_detail"]) for r in rows}
    assert by_answer["7"] == ("correct", True, None)
    assert by_answer["as above"][:2] == ("correct", True)
    assert by_answer["8"][:2] == ("incorrect", False)
    assert by_answer["fails"][:2] == ("error", None)
    assert "503 of the judge" in by_answer["fails"][2]
    assert {(r["n"], r["n_ok"], r["n_undecided"]) for r in rows} == {(3, 2, 1)}
    told = {
        (t["verifier"].split("/")[0], t["verdict"]): t["n"]
        for t in receipts["verify-3"]["reports"]["verdicts by verifier"]
    }
    assert told == {
        ("math", "correct"): 6, ("judge", "correct"): 6, ("judge", "incorrect"): 6, ("judge", "error"): 6,
    }  # fmt: skip


def test_workers_and_shards_change_nothing(folder):
    teacher = replay()
    pipeline = (
        cu.read("rows.jsonl") | cu.generate(engine=teacher, n=3) | cu.verify(kind="consensus")
        | cu.verify(kind=["math", "judge"], engine=teacher)
    )  # fmt: skip
    one = pipeline.run(folder / "one", workers=0, progress=False)
    many = pipeline.run(folder / "many", workers=1, progress=False, shard_rows=2)
    assert table(one) == table(many)


def test_an_opinion_is_paid_once(folder):
    pipeline = cu.read("rows.jsonl") | cu.generate(engine=replay(), n=4) | cu.verify(kind="judge", engine=replay())
    done = pipeline.run(folder / "a", workers=0, progress=False)
    asked = {r["step"]: r for r in done.receipts}["verify"]["engines"]["replay"]
    assert asked["cached"] == 0
    again = pipeline.run(folder / "b", workers=0, progress=False)
    use = {r["step"]: r for r in again.receipts}["verify"]["engines"]["replay"]
    assert use["requests"] == asked["requests"]
    assert use["cached"] == use["requests"] - use["errors"]
    assert table(done) == table(again)


def test_exactly_n_rows_may_be_chosen_after_a_vote(folder):
    pipeline = (
        cu.read("rows.jsonl") | cu.generate(engine=replay(), n=4) | cu.verify(kind="consensus", majority="plurality")
        | cu.select(where="correct", n=2)
    )  # fmt: skip
    assert stretches(pipeline.steps) == {1: 3}, "a vote decides about a problem by its own samples"
    done = pipeline.run(folder / "n", workers=0, progress=False)
    assert len(table(done)) == 2


@pytest.mark.skipif(not (MODEL_DIR / "model.safetensors").exists(), reason="the pocket model is not trained here")
def test_the_pocket_model_judges(folder):
    """Its opinion may be poor; its replies must come, be read, and be kept."""
    lines = [
        {"row_id": "same", "problem": "What is 3 + 4?", "answer": "7", "trace": r"So \boxed{7}"},
        {"row_id": "other", "problem": "What is 3 + 4?", "answer": "7", "trace": r"So \boxed{12}"},
        {"row_id": "none", "problem": "What is 3 + 4?", "answer": "7", "trace": "<think>cut"},
    ]
    (folder / "judged.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    judge = cu.engine("pocket")
    pipeline = cu.read("judged.jsonl") | cu.verify(kind="judge", engine=judge, both_orders=True, max_tokens=8)
    done = pipeline.run(folder / "pocket", workers=0, progress=False)
    rows = {r["row_id"]: r for r in table(done)}
    assert rows["none"]["verdict"] == "unparseable"
    assert all(rows[i]["verdict"] in ("correct", "incorrect", "unparseable") for i in ("same", "other"))
    assert rows["same"]["verifier"].startswith("judge/1:pocket@")
    use = {r["step"]: r for r in done.receipts}["verify"]["engines"]["pocket"]
    assert (use["requests"], use["errors"]) == (3, 0), "two orders of two rows, of which one prompt is both orders"


@pytest.mark.skipif(not (MODEL_DIR / "tokenizer.json").exists(), reason="the pocket's tokenizer is not there")
def test_a_reward_model_in_a_run(folder):
    pytest.importorskip("torch")
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "engines"))
    from reward_models import build_reward

    model = build_reward(folder / "model", heads=("correctness", "helpfulness"))
    reward = cu.engine("reward", model=str(model))
    settings = {"kind": "reward", "engine": reward, "heads": ["correctness", "helpfulness"]}
    pipeline = cu.read("rows.jsonl") | cu.generate(engine=replay(), n=2) | cu.verify(**settings)
    done = pipeline.run(folder / "scores", workers=0, progress=False)
    rows = table(done)
    assert {(r["verdict"], r["correct"], r["score_scale"]) for r in rows} == {("no_reference", None, "logit")}
    cut = sorted(r["score"] for r in rows)[6]
    judged = cu.read("rows.jsonl") | cu.generate(engine=replay(), n=2) | cu.verify(**settings, threshold=cut)
    again = judged.run(folder / "cut", workers=0, progress=False)
    assert [r["correct"] for r in table(again)] == [r["score"] >= cut for r in rows]
    use = {r["step"]: r for r in again.receipts}["verify"]["engines"]["reward"]
    assert (use["requests"], use["errors"]) == (12, 0)
    assert use["tokens_in"] > 0


def test_a_model_that_cannot_reward_is_refused_before_the_first_row(folder):
    pipeline = cu.read("rows.jsonl") | cu.generate(engine=replay(), n=1) | cu.verify(kind="reward", engine=replay())
    told = [str(p) for p in pipeline.check()]
    assert len(told) == 1
    assert "verify wants an engine with rewards (score a conversation with a reward head)" in told[0]
    assert "use an engine of kind reward or vllm_reward" in told[0]
