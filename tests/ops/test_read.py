"""What `read` makes of good input: formats, columns, ids."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import rows
from curator.ops import read as module
from curator.ops.read import read
from curator.reading.shape import Seen, key64

DATA = Path(__file__).parents[2].parent / "shared" / "data"
ROWS = [{"id": "a", "question": "1+1?", "answer": 2}, {"id": "b", "question": "2+2?", "answer": "four", "tag": [1, 2]}]


def table(path, **settings) -> list[dict]:
    results = list(read(path=str(path) if isinstance(path, Path) else path, **settings)())
    return pa.concat_tables([r.table for r in results]).to_pylist()


def lines(records) -> bytes:
    return b"".join(json.dumps(r).encode() + b"\n" for r in records)


def write(folder: Path, name: str, records=ROWS) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist([{**r, "answer": str(r.get("answer"))} for r in records]), path)
    elif name.endswith(".json"):
        path.write_text(json.dumps({"data": records}))
    elif name.endswith(".csv"):
        path.write_text("id,question,answer\na,1+1?,2\nb,2+2?,four\n")
    elif name.endswith(".gz"):
        path.write_bytes(gzip.compress(lines(records)))
    elif name.endswith(".zst"):
        path.write_bytes(zstandard.compress(lines(records)))
    else:
        path.write_bytes(lines(records))
    return path


@pytest.mark.parametrize("name", ["x.parquet", "x.jsonl", "x.jsonl.gz", "x.jsonl.zst", "x.ndjson", "x.json", "x.csv"])
def test_every_format_gives_the_same_rows(tmp_path, name):
    found = table(write(tmp_path, name))
    assert [(r["row_id"], r["problem_id"], r["parent_id"], r["problem"], r["answer"]) for r in found] == [
        ("a", "a", None, "1+1?", "2"),
        ("b", "b", None, "2+2?", "four"),
    ]


def test_lists_stay_lists_and_a_late_column_is_not_lost(tmp_path):
    many = [{"id": str(i), "question": "q"} for i in range(3000)] + [{"id": "x", "question": "q", "tag": [1, 2]}]
    found = table(write(tmp_path, "x.jsonl", many))
    assert found[-1]["tag"] == [1, 2]
    assert found[0]["tag"] is None


def test_folders_globs_and_lists_of_paths(tmp_path):
    write(tmp_path, "a.jsonl", [{"id": "a", "problem": "p"}])
    write(tmp_path, "b.parquet", [{"id": "b", "problem": "p", "answer": "1"}])
    (tmp_path / "notes.txt").write_text("no data")
    assert {r["row_id"] for r in table(tmp_path)} == {"a", "b"}
    assert {r["row_id"] for r in table(f"{tmp_path}/*.jsonl")} == {"a"}
    assert {r["row_id"] for r in table([f"{tmp_path}/b.parquet", f"{tmp_path}/a.jsonl"])} == {"a", "b"}


def test_a_folder_saved_by_datasets(tmp_path):
    datasets = pytest.importorskip("datasets")
    one = datasets.Dataset.from_list([{"question": "1+1?", "answer": "2"}])
    datasets.DatasetDict({"train": one, "test": one.map(lambda r: {"answer": "3"})}).save_to_disk(tmp_path / "d")
    assert [r["answer"] for r in table(tmp_path / "d")] == ["2"]
    assert [r["answer"] for r in table(tmp_path / "d", split="test")] == ["3"]
    assert [r["answer"] for r in table(tmp_path / "d" / "test")] == ["3"]


def test_builtin_problems():
    found = table("builtin:pocket", n=5)
    assert len(found) == 5
    assert found[0].keys() >= {"row_id", "problem", "answer", "n_ops"}
    assert table("builtin:pocket", n=5, seed=1) != found


def test_exact_names_win_over_aliases_and_columns_over_both(tmp_path):
    path = write(tmp_path, "x.jsonl", [{"problem": "exact", "question": "alias", "mine": "chosen"}])
    (found,) = table(path)
    assert (found["problem"], found["question"], found["mine"]) == ("exact", "alias", "chosen")
    (found,) = table(path, columns={"problem": "mine"})
    assert (found["problem"], found["question"]) == ("chosen", "alias")
    assert "mine" not in found


def test_a_column_can_be_moved_out_of_the_way(tmp_path):
    path = write(tmp_path, "x.jsonl", [{"problem": "p", "correct": True}])
    (found,) = table(path, columns={"recorded": "correct"})
    assert found["recorded"] is True
    assert "correct" not in found


def test_keep_names_what_is_wanted_beside_ids_problem_and_trace(tmp_path):
    path = write(tmp_path, "x.jsonl", [{"problem": "p", "answer": "1", "a": 1, "b": 2}])
    assert set(table(path, keep=["a"])[0]) == {"row_id", "parent_id", "problem_id", "problem", "a"}


@pytest.mark.parametrize(("role", "content", "user", "assistant"), [
    ("role", "content", "user", "assistant"), ("from", "value", "human", "gpt")])  # fmt: skip
@pytest.mark.parametrize("name", ["x.jsonl", "x.parquet"])
def test_turns_become_problem_and_trace(tmp_path, role, content, user, assistant, name):
    turns = [
        (user, "hi"),
        (assistant, "hello"),
        (user, "1+1?"),
        (assistant, "<think>\nsum\n</think>\n\n2"),
        (user, "ta"),
    ]
    record = {"messages": [{role: r, content: c} for r, c in turns]}
    path = tmp_path / name
    if name == "x.jsonl":
        path.write_bytes(lines([record]))
    else:
        pq.write_table(pa.Table.from_pylist([record]), path)
    (found,) = table(path)
    assert (found["problem"], found["think"], found["response"]) == ("1+1?", "sum", "2")
    assert "messages" not in found


def test_reasoning_content_is_folded_into_the_trace(tmp_path):
    turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "2", "reasoning_content": "sum"}]
    (found,) = table(write(tmp_path, "x.jsonl", [{"messages": turns}]))
    assert found["trace"] == "<think>\nsum\n</think>\n\n2"
    assert (found["think"], found["response"]) == ("sum", "2")


def test_a_prompt_that_opens_the_thinking_is_not_forgotten(tmp_path):
    records = [
        {"problem": "p", "prompt": "p<think>\n", "output": "cut off while"},
        {"problem": "p", "prompt": "p", "output": "plain"},
        {"problem": "p", "prompt": "p<think>", "output": "<think>\nhere\n</think>\n2"},
    ]
    found = {r["trace"]: r for r in table(write(tmp_path, "x.jsonl", records))}
    assert found["<think>\ncut off while"]["response"] == ""
    assert found["plain"]["think"] is None
    assert found["<think>\nhere\n</think>\n2"]["think"] == "here"


def test_samples_of_one_problem_share_its_id(tmp_path):
    records = [{"problem": p, "output": t} for p, t in [("P 1", "x"), ("p  1", "y"), ("q", "z"), ("p 1", "w")]]
    found = table(write(tmp_path, "x.jsonl", records))
    assert len({r["problem_id"] for r in found}) == 2
    group = [r for r in found if r["problem"].lower().startswith("p")]
    assert sorted(r["sample_idx"] for r in group) == [0, 1, 2]
    again = table(write(tmp_path, "y.jsonl", records[::-1]))
    key = lambda r: r["trace"]  # noqa: E731
    assert sorted(found, key=key) == sorted(again, key=key)


def test_problem_id_may_be_a_column(tmp_path):
    records = [{"problem": "p", "qid": 7, "output": str(i)} for i in range(3)]
    found = table(write(tmp_path, "x.jsonl", records), columns={"problem_id": "qid"})
    assert {r["problem_id"] for r in found} == {"7"}


def test_shared_columns_have_their_types(tmp_path):
    records = [{"problem": "p", "answer": 3, "score": "0.5", "n_tokens": 7.0, "correct": 1, "source": {"a": 1}}]
    result = next(iter(read(path=str(write(tmp_path, "x.jsonl", records)))()))
    for field in result.table.schema:
        assert field.type == rows.COLUMNS[field.name].type
    (found,) = result.table.to_pylist()
    assert (found["answer"], found["score"], found["n_tokens"], found["correct"]) == ("3", 0.5, 7, True)
    assert json.loads(found["source"]) == {"a": 1}


def test_columns_are_known_without_reading(tmp_path):
    path = write(tmp_path, "x.jsonl", [{"question": "q", "output": "t", "extra": 1}])
    defaults = {
        s.name: s.default for s in module.operator and __import__("curator.op", fromlist=["find"]).find("read").settings
    }
    names = module.columns({**defaults, "path": str(path)})
    assert list(names) == list(table(path)[0])
    assert "problem" in module.columns({**defaults, "path": "builtin:pocket"})
    assert module.columns({**defaults, "path": "hf:owner/name"}) is None
    assert module.inputs({**defaults, "path": str(path)}) == [str(path)]


values = st.one_of(st.none(), st.integers(-5, 5), st.sampled_from(["x", "y", ""]))
records = st.lists(st.fixed_dictionaries({"problem": st.sampled_from(["p", "q"]), "output": values, "note": values}))


@settings(deadline=None, max_examples=40)
@given(records.filter(bool), st.randoms(use_true_random=False), st.integers(1, 3))
def test_ids_do_not_depend_on_row_order_or_files(tmp_path_factory, found, random, files):
    folder = tmp_path_factory.mktemp("r")
    one = table(write(folder, "one.jsonl", found))
    shuffled = found[:]
    random.shuffle(shuffled)
    (folder / "many").mkdir()
    for i in range(files):
        write(folder / "many", f"{i}.jsonl", shuffled[i::files])
    many = table(folder / "many")
    by_id = lambda r: r["row_id"]  # noqa: E731
    same = [{k: v for k, v in r.items() if k != "note"} for r in sorted(one, key=by_id)]
    assert same == [{k: v for k, v in r.items() if k != "note"} for r in sorted(many, key=by_id)]
    assert len({r["row_id"] for r in one}) == len(found)


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), max_size=8))
def test_seen_counts_like_a_dictionary(batches):
    seen, plain = Seen(), {}
    for batch in batches:
        expected = []
        for key in batch:
            expected.append(plain.get(key, 0))
            plain[key] = plain.get(key, 0) + 1
        assert seen.count(key64(batch)).tolist() == expected


def test_real_traces_keep_every_row():
    path = DATA / "traces" / "saturn_math500_r1_distill_qwen_7b.parquet"
    if not path.exists():
        pytest.skip("the shared data is not here")
    found = table(path, columns={"recorded": "correct"})
    assert len(found) == 500
    assert all(r["think"] is not None for r in found)  # their prompts end with <think>
    assert sum(r["response"] == "" for r in found) == 11  # never closed it
    assert {type(r["recorded"]) for r in found} == {bool}
