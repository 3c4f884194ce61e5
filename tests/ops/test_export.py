"""The operator `export` through its contract: what it needs, what it refuses before the first row, what it writes."""

import json

import pyarrow as pa
import pytest
from tableview import ArrowView

from curator.errors import CheckError
from curator.export.formats import all_formats
from curator.export.rerun import FolderSink
from curator.op import find
from curator.ops.export import export

ROWS = pa.table(
    {
        "row_id": ["b/0", "a/0"],
        "problem_id": ["b", "a"],
        "sample_idx": pa.array([0, 0], pa.int32()),
        "problem": ["2+2?", "1+1?"],
        "trace": ["<think>\nfour\n</think>\n\n4", "2"],
    }
)


def needs(**settings):
    op = find("export")
    return set(op.needs({**{s.name: s.default for s in op.settings}, **settings}))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, {"row_id", "problem", "trace"}),
        ({"use": "short"}, {"row_id", "problem", "short_solution"}),
        ({"to": "verl-rl"}, {"row_id", "problem", "answer", "problem_id", "source"}),
        ({"to": "verl-rl", "verifier": "math"}, {"row_id", "problem", "answer", "problem_id"}),
        ({"to": ["trl", "open-instruct-rlvr"]}, {"row_id", "problem", "trace", "answer", "domain"}),
        ({"columns": ("difficulty",)}, {"row_id", "problem", "trace", "difficulty"}),
        ({"to": "no-such-format"}, {"row_id"}),
    ],
)
def test_needs_follow_the_settings(settings, expected):
    assert needs(**settings) == expected


def test_every_format_is_named_in_the_docstring():
    doc = find("export").doc
    assert [name for name in all_formats() if name not in doc] == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"to": "tlr"}, "no format 'tlr'; did you mean 'trl'"),
        ({"to": []}, "name at least one format"),
        ({"thinking": "loud"}, "none of inline, reasoning_content"),
        ({"use": "best"}, "none of auto, short, long"),
        ({"to": "llama-factory", "thinking": "thinking"}, "does not read thinking"),
        ({"prompt": "Solve."}, "does not contain {problem}"),
        ({"columns": ("messages",)}, "writes a column 'messages' itself"),
        ({"split": "../train"}, "not a name of letters"),
        ({"split": {}}, "`split` is empty"),
        ({"split": {"train": 0.9, "test": 0.0}}, "shares are above 0"),
        ({"split": {"train": float("nan")}}, "shares are above 0"),
        ({"shard_size": "big"}, "not a size"),
        ({"shard_size": "0MB"}, "not a size"),
        ({"license": "mitt"}, "did you mean 'mit'"),
        ({"push": "no-owner"}, "owner/name"),
    ],
)
def test_wrong_settings_are_told_before_the_first_row(settings, message, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "x")
    with pytest.raises(CheckError) as error:
        export(**settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_it_writes_a_dataset_from_the_fewest_columns(tmp_path):
    facts = {"pipeline": "", "name": "few", "seed": 0, "receipts": [], "engines": {}}
    export()(ArrowView(ROWS), FolderSink(tmp_path, facts))
    assert {p.name for p in tmp_path.iterdir()} == {"data", "metadata", "README.md"}
    import pyarrow.parquet as pq

    found = pq.read_table(tmp_path / "data/train-00000-of-00001.parquet").to_pylist()
    assert [r["row_id"] for r in found] == ["a/0", "b/0"]
    assert found[1]["messages"][1] == {"role": "assistant", "content": "<think>\nfour\n</think>\n\n4"}
    assert json.dumps(found)
