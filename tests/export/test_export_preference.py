"""Pairs, labels and steps in the trainers' schemas, from `pair` to what `datasets` and a chat template make of it."""

import pyarrow as pa
import pytest
from export_stand import ArrowView, info, read, row, table, written

from curator.errors import InputError
from curator.export import thinking_survives
from curator.ops.pair import pair

THOUGHT = "First thought about {p}, sample {s}.\n\nWait, check: {p}+1."


def rows_of(rule, found) -> pa.Table:
    """What the operator makes of the rows."""
    view = ArrowView(table(found))
    split = pair(**rule)(view)
    return view.con.sql(split.out).to_arrow_table()


def samples(n=4):
    """Two samples a problem, the second wrong."""
    for p in range(n):
        yield row(p, 0, verified=False)
        wrong = f"<think>\n{THOUGHT.format(p=p, s=1)}\n</think>\n\nThe answer is \\boxed{{-1}}."
        yield row(p, 1, verified=False, correct=False, verdict="incorrect", trace=wrong)


@pytest.fixture
def pairs():
    return rows_of({}, list(samples()))


def said(p, s, answer):
    return f"<think>\n{THOUGHT.format(p=p, s=s)}\n</think>\n\nThe answer is \\boxed{{{answer}}}."


def test_trl_dpo(tmp_path, pairs):
    found = read(written(tmp_path / "d", pairs, to="trl-dpo"))
    assert len(found) == 4
    assert found[2] == {
        "prompt": [{"role": "user", "content": "What is 2+1?"}],
        "chosen": [{"role": "assistant", "content": said(2, 0, 3)}],
        "rejected": [{"role": "assistant", "content": said(2, 1, -1)}],
        "row_id": "p-2/0",
    }


def test_trl_dpo_with_thinking_in_a_field(tmp_path, pairs):
    found = read(written(tmp_path / "d", pairs, to="trl-dpo", thinking="reasoning_content"))[0]
    for side, s, answer in (("chosen", 0, 1), ("rejected", 1, -1)):
        (message,) = found[side]
        assert message["reasoning_content"] == THOUGHT.format(p=0, s=s)
        assert message["content"] == f"The answer is \\boxed{{{answer}}}."


def test_trl_kto(tmp_path):
    found = read(written(tmp_path / "d", rows_of({"kind": "kto"}, list(samples())), to="trl-kto"))
    assert [r["label"] for r in found] == [True, False] * 4
    assert found[1]["completion"] == [{"role": "assistant", "content": said(0, 1, -1)}]


def test_llama_factory_ranking_and_its_entry(tmp_path, pairs):
    out = written(tmp_path / "d", pairs, to="llama-factory-dpo", system="Be brief.")
    assert read(out)[0] == {
        "conversations": [{"from": "human", "value": "What is 0+1?"}],
        "chosen": {"from": "gpt", "value": said(0, 0, 1)},
        "rejected": {"from": "gpt", "value": said(0, 1, -1)},
        "system": "Be brief.",
        "row_id": "p-0/0",
    }
    entry = info(out, "dataset_info.json")["small_ranking_train"]
    assert (entry["ranking"], entry["formatting"]) == (True, "sharegpt")
    assert entry["columns"] == {
        "messages": "conversations", "chosen": "chosen", "rejected": "rejected", "system": "system",
    }  # fmt: skip
    assert {f.suffix for f in (out / entry["file_name"]).iterdir()} == {".parquet"}


def test_llama_factory_kto_tag(tmp_path):
    out = written(tmp_path / "d", rows_of({"kind": "kto"}, list(samples())), to="llama-factory-kto")
    found = read(out)
    assert [r["kto_tag"] for r in found] == [True, False] * 4
    assert [t["from"] for t in found[0]["conversations"]] == ["human", "gpt"]
    assert info(out, "dataset_info.json")["small_kto_train"]["columns"]["kto_tag"] == "kto_tag"


def test_trl_steps(tmp_path):
    made = table([row(0, 0), row(1, 0)])
    steps = [["a", "b"], ["c"]]
    made = made.append_column("step_texts", pa.array(steps)).append_column("step_labels", pa.array([[True, False], []]))
    found = read(written(tmp_path / "d", made, to="trl-prm"))
    assert found == [{"prompt": "What is 0+1?", "completions": ["a", "b"], "labels": [True, False], "row_id": "p-0/0"}]
    (left,) = read(tmp_path / "d", "left_out/*.parquet")
    assert (left["row_id"], left["reason"]) == ("p-1/0", "no_label")


def test_a_rejected_side_that_was_cut_off_stays_out_and_is_named(tmp_path):
    cut = row(0, 1, verified=False, correct=False, trace="<think>\nand so on", finish_reason="length")
    found = [row(0, 0, verified=False), cut, *list(samples(3))[2:]]
    out = written(tmp_path / "d", rows_of({}, found), to="trl-dpo")
    assert len(read(out)) == 2
    (left,) = read(out, "left_out/*.parquet")
    assert (left["row_id"], left["reason"]) == ("p-0/0", "unfinished")
    assert left["evidence"].startswith("rejected side")


def test_positives_and_pairs_in_one_folder(tmp_path):
    found = [*samples(3), row(9, 0, verified=False)]
    out = written(tmp_path / "d", rows_of({"alone": "keep"}, found), to=["trl", "trl-dpo"])
    assert len(read(out)) == 4
    assert [r["row_id"] for r in read(out, "trl-dpo/*.parquet")] == ["p-0/0", "p-1/0", "p-2/0"]
    (left,) = read(out, "left_out/*.parquet")
    assert (left["row_id"], left["config"], left["reason"]) == ("p-9/0", "trl-dpo", "no_pair")


def test_rows_without_a_rejected_side_are_told(tmp_path):
    with pytest.raises(InputError, match="none of 8 rows can be written as 'trl-dpo'"):
        written(tmp_path / "d", list(samples()), to="trl-dpo")


@pytest.mark.parametrize("to", ["trl-dpo", "llama-factory-dpo"])
def test_round_trip_keeps_the_thinking_of_both_sides(tmp_path, pairs, to, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs the extra [hub]")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    out = written(tmp_path / "d", pairs, to=to)
    found = list(datasets.load_dataset(str(out), split="train", cache_dir=str(tmp_path / "cache")))
    assert len(found) == 4
    render = lambda messages: "".join(f"<{m['role']}>{m['content']}" for m in messages)  # noqa: E731
    for s, side in enumerate(("chosen", "rejected")):
        turned = [{**r, "chosen": r[side]} for r in found]
        assert thinking_survives(turned, render) == []
        blind = lambda messages: "".join(m["content"].split("</think>")[-1] for m in messages)  # noqa: E731
        lost = thinking_survives(turned, blind)
        assert [(loss.part, loss.text) for loss in lost] == [
            ("thinking", THOUGHT.format(p=p, s=s)) for p in range(4)
        ]  # the check can fail
