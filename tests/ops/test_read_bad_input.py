"""What a person can get wrong with input: one clear line, or a quarantined row; nothing is lost."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.errors import CheckError, InputError
from curator.ops import read as module
from curator.ops.read import REASONS, read


def run(path, **settings) -> tuple[list[dict], list[dict]]:
    results = list(read(path=str(path), **settings)())
    found = [r for result in results for r in result.table.to_pylist()]
    dropped = [r for result in results if result.dropped for r in result.dropped.to_pylist()]
    for row in dropped:
        assert row["reason"] in REASONS
        row["evidence"] = json.loads(row["evidence"])
    return found, dropped


def fails(path, *parts: str, error: type[Exception] = InputError, **settings) -> str:
    with pytest.raises(error) as caught:
        run(path, **settings)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


def put(folder: Path, name: str, *lines: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(b"".join((x.encode() if isinstance(x, str) else x) + b"\n" for x in lines))
    return path


def test_missing_file_names_the_sibling(tmp_path):
    put(tmp_path, "problems.jsonl", '{"problem": "p"}')
    fails(tmp_path / "problem.jsonl", "no such file", "did you mean 'problems.jsonl'")
    fails(f"{tmp_path}/*.parquet", "no file matches")
    fails(tmp_path / "sub" / "x.jsonl", "no such file")


def test_format_that_is_not_known(tmp_path):
    fails(put(tmp_path, "x.xlsx", "?"), "cannot tell the format", ".jsonl")
    (tmp_path / "sub").mkdir()
    fails(tmp_path / "sub", "holds no file")


def test_wrong_column_lists_those_there(tmp_path):
    path = put(tmp_path, "x.jsonl", '{"question": "q", "answr": 1}')
    fails(path, "no column 'answer'", "did you mean 'answr'", "question", columns={"answer": "answer"})
    fails(path, "keep names 'z'", keep=["z"])
    with pytest.raises(InputError, match="no column 'x'"):
        module.columns({**defaults(), "path": str(path), "columns": {"problem": "x"}})


def defaults() -> dict:
    from curator.op import find

    return {s.name: s.default for s in find("read").settings}


def test_repeated_ids_name_three_and_the_way_out(tmp_path):
    lines = [json.dumps({"id": i, "problem": f"p{n}"}) for n, i in enumerate("aabbccdde")]
    path = put(tmp_path, "x.jsonl", *lines)
    message = fails(path, "'a'", "x.jsonl:1", "x.jsonl:2", "'b'", "'c'", "id: content", "column 'id'")
    assert "'d'" not in message
    found, _ = run(path, id="content")
    assert len({r["row_id"] for r in found}) == 9


def test_empty_input(tmp_path):
    fails(put(tmp_path, "x.jsonl"), "no rows")
    pq.write_table(pa.table({"problem": pa.array([], pa.string())}), tmp_path / "x.parquet")
    fails(tmp_path / "x.parquet", "no rows")
    (tmp_path / "x.csv").write_text("problem,answer\n")
    fails(tmp_path / "x.csv", "no rows")


def test_null_and_blank_problems_are_dropped_with_their_id(tmp_path):
    path = put(
        tmp_path, "x.jsonl", '{"id": 1, "problem": null}', '{"id": 2, "problem": "  "}', '{"id": 3, "problem": "p"}'
    )
    found, dropped = run(path)
    assert [r["row_id"] for r in found] == ["3"]
    assert [(r["row_id"], r["reason"]) for r in dropped] == [("1", "null_problem"), ("2", "null_problem")]
    assert dropped[0]["evidence"]["at"].endswith("x.jsonl:1")


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "json", "csv", "messages"])
def test_a_row_of_50_mb_is_quarantined(tmp_path, kind):
    big = "x" * 50_000_000
    if kind == "jsonl":
        path = put(tmp_path, "x.jsonl", '{"problem": "' + big + '"}', '{"problem": "p"}')
    elif kind == "json":
        path = put(tmp_path, "x.json", json.dumps([{"problem": big}, {"problem": "p"}]))
    elif kind == "csv":
        path = put(tmp_path, "x.csv", "problem,answer", f"{big},1", "p,2")
    else:
        path = tmp_path / "x.parquet"
        turns = [[{"role": "user", "content": t}] for t in (big, "p")]
        pq.write_table(pa.table({"messages": turns} if kind == "messages" else {"problem": [big, "p"]}), path)
    found, dropped = run(path)
    assert [r["problem"] for r in found] == ["p"]
    (row,) = dropped
    assert row["reason"] == "row_too_large"
    assert "max_row_bytes is 16777216" in row["evidence"]["why"]
    assert len(row["evidence"]["start"]) <= 200


def test_invalid_utf8_lines_are_quarantined(tmp_path):
    path = put(tmp_path, "x.jsonl", b'{"problem": "\xff\xfe"}', '{"problem": "p"}')
    found, (row,) = run(path)
    assert len(found) == 1
    assert (row["reason"], row["row_id"]) == ("bad_line", f"{path}:1")
    assert "UTF-8" in row["evidence"]["why"]
    (tmp_path / "x.csv").write_bytes(b"problem,answer\n\xff,1\np,2\n")
    found, (row,) = run(tmp_path / "x.csv")
    assert [r["problem"] for r in found] == ["p"]
    assert "UTF-8" in row["evidence"]["why"]


def test_invalid_utf8_in_parquet_is_quarantined(tmp_path):
    raw = pa.array([b"fine", b"\xff\xfe", b"good"])
    text = pa.Array.from_buffers(pa.string(), 3, raw.buffers())
    pq.write_table(pa.table({"problem": text}), tmp_path / "x.parquet")
    found, (row,) = run(tmp_path / "x.parquet")
    assert [r["problem"] for r in found] == ["fine", "good"]
    assert row["reason"] == "invalid_utf8"
    assert "problem" in row["evidence"]["why"]


def test_nan_is_null_in_shared_columns(tmp_path):
    path = put(tmp_path, "x.jsonl", '{"problem": "p", "score": NaN, "answer": NaN, "mine": NaN}', '{"problem": NaN}')
    found, dropped = run(path)
    assert (found[0]["score"], found[0]["answer"]) == (None, None)
    assert math.isnan(found[0]["mine"])
    assert [r["reason"] for r in dropped] == ["null_problem"]
    nan = float("nan")
    pq.write_table(pa.table({"problem": ["p"], "answer": [nan], "n_tokens": [nan]}), tmp_path / "x.parquet")
    found, _ = run(tmp_path / "x.parquet")
    assert (found[0]["answer"], found[0]["n_tokens"]) == (None, None)


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_parquet_file_cut_off(tmp_path, share):
    whole = tmp_path / "whole.parquet"
    pq.write_table(pa.table({"problem": [str(i) for i in range(5000)]}), whole)
    raw = whole.read_bytes()
    (tmp_path / "x.parquet").write_bytes(raw[: int(len(raw) * share)])
    fails(tmp_path / "x.parquet", "x.parquet", "cut off")


def test_a_parquet_file_damaged_in_the_middle(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"problem": [str(i) * 9 for i in range(5000)]}), path, compression="zstd")
    raw = bytearray(path.read_bytes())
    raw[100:4000] = bytes(3900)
    path.write_bytes(raw)
    fails(path, "x.parquet", "cannot be read")


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_a_compressed_file_cut_off(tmp_path, ending):
    import gzip

    import zstandard

    raw = b"".join(json.dumps({"problem": str(i**7)}).encode() + b"\n" for i in range(9000))
    packed = gzip.compress(raw) if ending == "gz" else zstandard.compress(raw)
    path = tmp_path / f"x.jsonl.{ending}"
    path.write_bytes(packed[: len(packed) // 2])
    fails(path, "cut off")


def test_shards_with_different_schemas(tmp_path):
    pq.write_table(pa.table({"problem": ["p"], "answer": [1], "x": pa.array([1], pa.int32())}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"problem": ["q"], "answer": ["two"], "x": [0.5], "y": ["new"]}), tmp_path / "b.parquet")
    found, _ = run(tmp_path)
    assert [(r["answer"], r["x"], r["y"]) for r in found] == [("1", 1.0, None), ("two", 0.5, "new")]
    pq.write_table(pa.table({"problem": ["r"], "x": ["text"]}), tmp_path / "c.parquet")
    fails(tmp_path, "c.parquet", "'x'", "string", "double")


def test_a_broken_line_is_quarantined_with_its_place(tmp_path):
    path = put(tmp_path, "x.jsonl", '{"problem": "p"}', '{"problem": "q', "[1]", '"text"', "", '{"problem": "r"}')
    found, dropped = run(path)
    assert [r["problem"] for r in found] == ["p", "r"]
    assert [r["evidence"]["at"] for r in dropped] == [f"{path}:{i}" for i in (2, 3, 4)]
    assert {r["reason"] for r in dropped} == {"bad_line"}
    assert dropped[0]["evidence"]["start"].startswith('{"problem": "q')
    assert "on_bad" in fails(path, "x.jsonl:2", on_bad="fail")


def test_a_broken_csv_row_is_quarantined(tmp_path):
    found, (row,) = run(put(tmp_path, "x.csv", "problem,answer", "p,1", "q,2,3", "r,4"))
    assert [r["problem"] for r in found] == ["p", "r"]
    assert "3 fields, the header has 2" in row["evidence"]["why"]


def test_a_value_of_the_wrong_type_is_quarantined(tmp_path):
    path = put(tmp_path, "x.jsonl", '{"problem": "p", "n_tokens": "many"}', '{"problem": "q", "n_tokens": "7"}')
    found, (row,) = run(path)
    assert [(r["problem"], r["n_tokens"]) for r in found] == [("q", 7)]
    assert row["reason"] == "bad_value"
    assert "n_tokens" in row["evidence"]["why"]
    fails(path, "n_tokens", "'many'", on_bad="fail")


def test_a_list_where_a_number_is_needed(tmp_path):
    path = put(tmp_path, "x.jsonl", '{"problem": "p", "correct": [true, false]}')
    fails(path, "'correct'", "list", "rename")
    assert run(path, columns={"marks": "correct"})[0][0]["marks"] == [True, False]


def test_vectors_of_any_list_type(tmp_path):
    """A column of vectors need not have the list type that we write."""
    path = tmp_path / "x.parquet"
    fixed = pa.array([[1.0, 2.0], [3.0, 4.0]], pa.list_(pa.float64(), 2))
    pq.write_table(pa.table({"problem": ["a", "b"], "grad": fixed}), path)
    assert [r["grad"] for r in run(path)[0]] == [[1.0, 2.0], [3.0, 4.0]]


def test_settings_that_cannot_be():
    fails("x.jsonl", "on_bad", error=CheckError, on_bad="ignore")
    fails("x.jsonl", "max_row_bytes", error=CheckError, max_row_bytes=0)
    fails("builtin:pockt", "did you mean 'pocket'", error=CheckError)


def test_n_counts_quarantined_rows_and_stops(tmp_path):
    path = put(tmp_path, "x.jsonl", '{"problem": "p"}', "broken", '{"problem": "q"}', "broken too")
    found, dropped = run(path, n=3)
    assert ([r["problem"] for r in found], len(dropped)) == (["p", "q"], 1)
