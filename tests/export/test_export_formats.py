"""Each trainer's schema, field by field (peers 7.5)."""

import pyarrow.parquet as pq
import pytest
import yaml
from export_stand import files, info, read, row, some, written

from curator.errors import CheckError
from curator.export import preference
from curator.export.formats import all_formats, find

INLINE = "<think>\n**Analysis** 0/0\n</think>\n\n\\boxed{1}"
FIELD = {"reasoning_content": "reasoning_content"}
USER = {"role": "user", "content": "What is 0+1?"}


def first(tmp_path, to, **settings):
    return read(written(tmp_path / "d", some(), to=to, **settings))[0]


def test_trl_messages(tmp_path):
    assert first(tmp_path, "trl") == {"messages": [USER, {"role": "assistant", "content": INLINE}], "row_id": "p-0/0"}


@pytest.mark.parametrize("key", ["thinking", "reasoning_content"])
def test_trl_thinking_in_a_field(tmp_path, key):
    found = first(tmp_path, "trl", thinking=key)["messages"]
    assert found == [{**USER, key: None}, {"role": "assistant", "content": "\\boxed{1}", key: "**Analysis** 0/0"}]


def test_trl_completion(tmp_path):
    found = first(tmp_path, "trl-completion", system="Be brief.")
    assert found["prompt"] == [{"role": "system", "content": "Be brief."}, USER]
    assert found["completion"] == [{"role": "assistant", "content": INLINE}]


def test_trl_grpo(tmp_path):
    assert first(tmp_path, "trl-grpo") == {"prompt": [USER], "solution": "1", "row_id": "p-0/0"}


def test_llama_factory_sharegpt_and_its_entry(tmp_path):
    out = written(tmp_path / "d", some(), to="llama-factory", system="Be brief.")
    turns = [{"from": "human", "value": "What is 0+1?"}, {"from": "gpt", "value": INLINE}]
    assert read(out)[0] == {"conversations": turns, "system": "Be brief.", "row_id": "p-0/0"}
    entry = info(out, "dataset_info.json")["small_train"]
    assert entry["formatting"] == "sharegpt"
    assert entry["columns"] == {"messages": "conversations", "system": "system"}
    assert entry["tags"] == {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}
    assert {p.suffix for p in (out / entry["file_name"]).iterdir()} == {".parquet"}


def test_llama_factory_reads_a_folder_as_one_split(tmp_path):
    out = written(
        tmp_path / "d", some(40), to=["trl", "llama-factory", "llama-factory-alpaca"], split={"train": 3, "test": 1}
    )
    entries = info(out, "dataset_info.json")
    assert set(entries) == {"small_train", "small_test", "small_alpaca_train", "small_alpaca_test"}
    for name, entry in entries.items():
        (file,) = (out / entry["file_name"]).iterdir()  # nothing of another split in it
        assert file.name.startswith(name.rpartition("_")[2])
    assert entries["small_alpaca_test"]["columns"]["response"] == "output"
    assert "formatting" in entries["small_alpaca_test"]


def test_llama_factory_alpaca(tmp_path):
    found = first(tmp_path, "llama-factory-alpaca")
    assert found == {"instruction": "What is 0+1?", "input": "", "output": INLINE, "system": "", "row_id": "p-0/0"}


@pytest.mark.parametrize(
    ("thinking", "extra"),
    [
        ("inline", {"split_thinking": True}),
        ("reasoning_content", {"message_property_mappings": {"role": "role", "content": "content"} | FIELD}),
        ("none", {}),
    ],
)  # fmt: skip
def test_axolotl_snippet_names_files_that_exist(tmp_path, thinking, extra):
    out = written(tmp_path / "d", some(), to="axolotl", thinking=thinking)
    (block,) = yaml.safe_load((out / "axolotl.yaml").read_text())["datasets"]
    assert block["type"] == "chat_template"
    assert block["field_messages"] == "messages"
    assert {k: block[k] for k in extra} == extra
    assert ("split_thinking" in block) == (thinking == "inline")
    assert all((out / block["path"] / name).is_file() for name in block["data_files"])


def test_verl_rl(tmp_path):
    out = written(tmp_path / "d", some(3), to="verl-rl")
    assert read(out)[1] == {
        "data_source": "made up", "prompt": [{"role": "user", "content": "What is 1+1?"}], "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": "2"},
        "extra_info": {"split": "train", "index": 1, "problem_id": "p-1"}, "row_id": "p-1/0",
    }  # fmt: skip
    assert len(read(out)) == 3  # one row a problem
    assert len(read(out, "metadata/*.parquet")) == 6
    assert first(tmp_path / "2", "verl-rl", verifier="math_dapo")["data_source"] == "math_dapo"


def test_open_instruct_rlvr(tmp_path):
    expected = {"messages": [USER], "ground_truth": "1", "dataset": "math", "row_id": "p-0/0"}
    assert first(tmp_path, "open-instruct-rlvr") == expected
    assert first(tmp_path / "2", "open-instruct-rlvr", verifier="gsm8k")["dataset"] == "gsm8k"


@pytest.mark.parametrize("to", ["verl", "open-instruct", "axolotl"])
def test_formats_of_messages(tmp_path, to):
    assert first(tmp_path, to)["messages"][1]["content"] == INLINE


def test_hf_keeps_thinking_in_a_column_of_its_own(tmp_path):
    stray = row(0, 0, verified=False, trace="<think>\na <think> b\n</think>\n\nc")
    found = read(written(tmp_path / "d", [stray, row(1, 0)], to="hf"))
    assert [found[0][k] for k in ("reasoning", "response", "trace_kind")] == ["a <think> b", "c", "long"]
    assert found[1]["trace_kind"] == "short"


def test_the_prompt_is_a_template_and_braces_in_problems_are_safe(tmp_path):
    out = written(
        tmp_path / "d", [row(0, 0, problem="x {problem} {0} \\frac{1}{2}")], prompt="{problem}\nPut it in \\boxed{}."
    )
    assert read(out)[0]["messages"][0]["content"] == "x {problem} {0} \\frac{1}{2}\nPut it in \\boxed{}."


def test_unknown_format_names_the_near_one():
    with pytest.raises(CheckError, match="did you mean 'llama-factory'"):
        find("llamafactory", "inline")


@pytest.mark.parametrize("name", ["llama-factory", "llama-factory-alpaca"])
def test_a_rendering_the_trainer_cannot_read_is_refused(name):
    with pytest.raises(CheckError, match="does not read thinking 'reasoning_content'; use one of: inline, none"):
        find(name, "reasoning_content")


def test_every_format_writes_the_schema_it_declares(tmp_path):
    pairs = {f.name for f in preference.FORMATS}  # they have rows and tests of their own
    names = [name for name in all_formats() if name not in pairs]
    out = written(tmp_path / "d", some(), to=names)
    for name, data in files(out).items():
        if name.startswith("data/"):
            assert pq.read_schema(out / name).names == ["messages", "row_id"]
        assert data
    for name in names[1:]:
        assert len(read(out, f"{name}/**/*.parquet")) == (6 if all_formats()[name].per_problem else 12), name
