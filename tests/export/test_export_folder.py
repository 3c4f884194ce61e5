"""The folder: same rows, same bytes; no row vanishes; nothing outside it; splits and shards."""

import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from export_stand import HOSTILE, SCHEMA, files, read, row, some, table, written
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.errors import InputError, OutputError
from curator.export import shards
from curator.export.folder import inside, split_of

ALL = ["trl", "llama-factory", "verl-rl"]


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(24)), st.integers(1, 24))
def test_bytes_depend_on_the_rows_alone(tmp_path_factory, order, batch):
    found = [*some(11), row(3, 7, trace=None, verified=False), row(3, 8, finish_reason="length", verified=False)]
    shuffled = table([found[i] for i in order])
    cut = pa.Table.from_batches(shuffled.to_batches(max_chunksize=batch))
    base = tmp_path_factory.mktemp("d")
    parts = {"train": 0.7, "test": 0.3}
    assert files(written(base / "a", found, to=ALL, split=parts)) == files(
        written(base / "b", cut, to=ALL, split=parts)
    )


def test_bytes_do_not_depend_on_the_input_metadata(tmp_path):
    plain = table(some())
    note = {"written": "today by me"}
    fields = [f.with_metadata(note) for f in plain.schema]
    noted = pa.Table.from_arrays(plain.columns, schema=pa.schema(fields, metadata=note))
    assert files(written(tmp_path / "a", plain)) == files(written(tmp_path / "b", noted))
    assert b"by me" not in b"".join(files(tmp_path / "b").values())


def test_rows_lie_in_natural_order(tmp_path):
    out = written(tmp_path / "d", random.Random(1).sample(some(12), 24), metadata=False)
    assert [r["row_id"] for r in read(out)] == [f"p-{p}/{s}" for p in range(12) for s in range(2)]


def test_every_row_is_in_a_config_or_left_out_with_its_reason(tmp_path):
    found = [
        row(0, 0), row(1, 0, trace=None, verified=False), row(2, 0, problem=" "), row(3, 0, answer=None),
        row(4, 0, verified=False, trace="<think>\na</think>b</think>\n\nc"),
        row(5, 0, finish_reason="length", verified=False),
    ]  # fmt: skip
    out = written(tmp_path / "d", found, to=["trl", "verl-rl"])
    left = {(r["config"], r["row_id"]): r["reason"] for r in read(out, "left_out/*.parquet")}
    assert left == {
        ("default", "p-1/0"): "no_trace", ("default", "p-2/0"): "no_problem", ("default", "p-4/0"): "stray_tag",
        ("default", "p-5/0"): "unfinished", ("verl-rl", "p-2/0"): "no_problem", ("verl-rl", "p-3/0"): "no_answer",
    }  # fmt: skip
    for config, pattern in (("default", "data"), ("verl-rl", "verl-rl")):
        kept = {r["row_id"] for r in read(out, f"{pattern}/*.parquet")}
        gone = {r for c, r in left if c == config}
        assert kept | gone == {r["row_id"] for r in found}
        assert not kept & gone
    assert len(read(out, "metadata/*.parquet")) == len(found)
    assert "stray\\_tag" in (out / "README.md").read_text()


def test_a_problem_whose_first_sample_is_refused_is_taken_from_the_next(tmp_path):
    out = written(tmp_path / "d", [row(0, 0, answer=None), row(0, 1), row(0, 2)], to="verl-rl")
    assert [r["row_id"] for r in read(out)] == ["p-0/1"]
    assert "1 further samples" in (out / "README.md").read_text()


def test_without_rows_there_is_an_error_and_not_an_empty_dataset(tmp_path):
    with pytest.raises(InputError, match="no row reached"):
        written(tmp_path / "a", [])
    with pytest.raises(InputError, match=r"none of 1 rows can be written as 'trl' \(no_trace 1\)"):
        written(tmp_path / "b", [row(0, 0, trace=None, verified=False)])


def test_metadata_has_every_column_unchanged(tmp_path):
    extra = table(some()).append_column("own", pa.array([[1.5], [], None] * 4, pa.list_(pa.float32())))
    out = written(tmp_path / "d", extra)
    assert pq.read_schema(out / "metadata/train-00000-of-00001.parquet").names == [*SCHEMA.names, "own"]
    assert read(out, "metadata/*.parquet") == sorted(
        extra.to_pylist(), key=lambda r: (r["problem_id"], r["sample_idx"])
    )
    assert not (written(tmp_path / "e", some(), metadata=False) / "metadata").exists()


def test_samples_of_a_problem_share_a_split(tmp_path):
    out = written(tmp_path / "d", some(200), split={"train": 0.9, "test": 0.1})
    parts = {s: {r["row_id"].split("/")[0] for r in read(out, f"data/{s}-*.parquet")} for s in ("train", "test")}
    assert not parts["train"] & parts["test"]
    assert len(parts["train"] | parts["test"]) == 200
    assert 8 <= len(parts["test"]) <= 35
    assert {f.suffix for f in (out / "data").iterdir()} == {".parquet"}  # all splits of a config share one file format


@given(st.text(), st.integers(), st.dictionaries(st.sampled_from("abcd"), st.floats(0.01, 9), min_size=1))
def test_a_split_is_always_one_of_those_named(key, seed, shares):
    assert split_of(key, shares, seed) in shares
    assert split_of(key, shares, seed) == split_of(key, shares, seed)


def test_the_seed_moves_the_split():
    shares = {"train": 0.5, "test": 0.5}
    assert len({tuple(split_of(f"p{i}", shares, seed) for i in range(30)) for seed in range(5)}) == 5


def test_shards_are_numbered_and_cut_by_size(tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "GROUP_ROWS", 10)
    out = written(tmp_path / "d", some(50), shard_size="4KB", metadata=False)
    names = sorted(p.name for p in (out / "data").iterdir())
    assert names == [f"train-{i:05d}-of-{len(names):05d}.parquet" for i in range(len(names))]
    assert len(names) > 2
    sizes = [pq.ParquetFile(out / "data" / n).metadata for n in names]
    assert {m.row_group(g).num_rows for m in sizes for g in range(m.num_row_groups)} == {10}
    assert [r["row_id"] for r in read(out)] == [f"p-{p}/{s}" for p in range(50) for s in range(2)]


@given(st.lists(st.integers(0, 60), min_size=1, max_size=80), st.integers(1, 20), st.integers(1, 20))
def test_chunks_do_not_depend_on_the_stream(widths, one, other):
    found = pa.table({"t": ["x" * w for w in widths]})
    limits = shards.GROUP_ROWS, shards.GROUP_BYTES
    shards.GROUP_ROWS, shards.GROUP_BYTES = 7, 100
    try:
        cuts = [[t.to_pylist() for t in shards.chunks(found.to_batches(max_chunksize=n))] for n in (one, other)]
    finally:
        shards.GROUP_ROWS, shards.GROUP_BYTES = limits
    assert cuts[0] == cuts[1]
    assert [r for c in cuts[0] for r in c] == found.to_pylist()
    assert all(len(c) <= 7 and (len(c) == 1 or sum(len(r["t"]) for r in c) <= 100) for c in cuts[0])


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "", "a\\..\\x"])
def test_names_cannot_leave_the_folder(tmp_path, name):
    with pytest.raises(OutputError, match="leave the dataset folder"):
        inside(tmp_path, name)


def test_paths_from_data_stay_text(tmp_path):
    bad = "../../../escape"
    changed = {"row_id": bad, "problem_id": bad, "source": bad, "domain": bad, "license": bad, "problem": HOSTILE}
    out = written(tmp_path / "in" / "d", [row(0, 0, **changed)], to=["trl", "verl-rl", "llama-factory"])
    assert [p.name for p in tmp_path.iterdir()] == ["in"]
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["d"]
    assert read(out)[0]["messages"][0]["content"] == HOSTILE
