"""`curator diversity`: scores, groups, comparison at equal n, JSON, and what it says to bad input."""

from __future__ import annotations

import json
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.cli import main
from curator.diversity import measure as measuring
from curator.diversity.vendi import Moments

WORDS = [f"{a}{b}" for a in "bcdfghklmn" for b in ("al", "er", "in", "on", "us")]


def call(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["diversity", *map(str, arguments)])
    return ended.value.code


def unit(n, d=12, seed=0, groups=6):
    chance = np.random.default_rng(seed)
    weights = 1 / np.arange(1, groups + 1)
    centres = np.random.default_rng(99).normal(size=(groups, d))
    x = centres[chance.choice(groups, n, p=weights / weights.sum())] + 0.3 * chance.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def table(x, seed=0, proxy="pocket", words=50, **more) -> pa.Table:
    n, d = x.shape
    chance = np.random.default_rng(seed)
    texts = [" ".join(WORDS[k] for k in chance.integers(0, words, 20)) for _ in range(n)]
    return pa.table({
        "row_id": [f"{seed}-{i:05}" for i in range(n)], "problem": texts,
        "grad": pa.array(x.tolist(), pa.list_(pa.float32())),
        "grad_proxy": [proxy] * n, "grad_projection": [f"countsketch:{d}:0"] * n, **more,
    })  # fmt: skip


def written(tmp_path, name, rows) -> str:
    path = tmp_path / name
    pq.write_table(rows, path)
    return str(path)


def told(capsys, *arguments) -> dict:
    assert call(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_one_set(tmp_path, capsys):
    x = unit(300)
    path = written(tmp_path, "a.parquet", table(x))
    found = told(capsys, path)
    (data,) = found["datasets"]
    grad = data["vectors"]["grad"]
    assert (grad["n"], grad["d"], grad["proxy"]) == (300, 12, "pocket")
    assert grad["vendi"] == pytest.approx(Moments().add(x).vendi(), rel=1e-6)
    assert grad["vendi_low"] < grad["vendi"] < grad["vendi_high"]
    assert grad["vendi_q0.5"] > grad["vendi"] > grad["vendi_q2"] > grad["vendi_qinf"]
    assert {"distinct_1", "ngram_vendi", "compression", "length_classes"} <= set(found["equal"]["measures"])
    assert call(path) == 0
    said = capsys.readouterr().out
    assert re.search(r"G-Vendi, order 1 +\d", said)
    assert re.search(r"rows with grad +300", said)


def test_two_sets_at_equal_n(tmp_path, capsys):
    wide, narrow = unit(600, seed=1, groups=12), unit(200, seed=2, groups=2)
    paths = (
        written(tmp_path, "narrow.parquet", table(narrow, 2, words=5)),
        written(tmp_path, "wide.parquet", table(wide, 1)),
    )
    found = told(capsys, *paths)["equal"]
    assert found["n"] == 100
    vendi = found["measures"]["grad_vendi"]["differences"]["wide.parquet"]
    assert 0 < vendi["low"] < vendi["value"] < vendi["high"]
    assert found["measures"]["distinct_2"]["differences"]["wide.parquet"]["low"] > 0
    assert call(*paths, "--draws", 2) == 0
    said = capsys.readouterr().out
    assert "at equal n: 100 rows each" in said
    assert "wide.parquet - narrow.parquet" in said
    same = told(capsys, paths[1], paths[1], "--text", "none")["equal"]["measures"]["grad_vendi"]["differences"]
    assert all(d["low"] <= 0 <= d["high"] for d in same.values())


def same(one, other) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            same(one[key], other[key])
    elif isinstance(one, list):
        for a, b in zip(one, other, strict=True):
            same(a, b)
    else:
        assert one == (pytest.approx(other, rel=1e-9) if isinstance(one, float) else other)


def test_order_files_and_batches_do_not_count(tmp_path, capsys, monkeypatch):
    rows = table(unit(250), source=[f"s{i % 3}" for i in range(250)])
    whole = written(tmp_path, "a.parquet", rows)
    folder = tmp_path / "parts"
    folder.mkdir()
    order = np.random.default_rng(0).permutation(250)
    for part in range(5):
        pq.write_table(rows.take(pa.array(order[part::5])), folder / f"{part}.parquet")
    one, other = told(capsys, whole, "--by", "source"), told(capsys, folder, "--by", "source")
    same(json.loads(json.dumps(one).replace("a.parquet", "parts")), other)
    monkeypatch.setattr(measuring, "SAMPLE", 60)  # more rows than are held: streamed
    streamed = told(capsys, whole, "--by", "source")["datasets"][0]["vectors"]["grad"]
    held = one["datasets"][0]["vectors"]["grad"]
    assert streamed["vendi"] == pytest.approx(held["vendi"], rel=1e-9)
    assert streamed["vendi_high"] - streamed["vendi_low"] == pytest.approx(
        held["vendi_high"] - held["vendi_low"], rel=0.6
    )
    for a, b in zip(streamed["groups"], held["groups"], strict=True):
        assert (a["name"], a["n"], a["gain"]) == (b["name"], b["n"], pytest.approx(b["gain"], abs=1e-9))


def test_groups(tmp_path, capsys):
    x = np.concatenate([unit(200, groups=1), np.eye(12, dtype=np.float32)])
    path = written(tmp_path, "a.parquet", table(x, source=["common"] * 200 + ["rare"] * 10 + [None] * 2))
    groups = told(capsys, path, "--by", "source")["datasets"][0]["vectors"]["grad"]["groups"]
    assert {g["name"]: g["n"] for g in groups} == {"common": 200, "rare": 10, "other": 2}
    assert {g["name"]: g["gain"] > 0 for g in groups} == {"common": False, "rare": True, "other": True}
    assert call(path, "--by", "source") == 0
    assert "G-Vendi by group" in capsys.readouterr().out


def test_texts_only_and_vectors_only(tmp_path, capsys):
    words = pa.table({"question": ["one two three four five", "one two six seven eight", None]})
    found = told(capsys, written(tmp_path, "a.parquet", words))
    assert found["datasets"][0]["vectors"] == {}
    assert found["equal"]["n"] == 2
    assert found["equal"]["measures"]["distinct_1"]["values"]["a.parquet"] == pytest.approx(0.8)
    lists = pa.table({"v": [[1.0, 0.0], [0.0, 1.0]]})
    found = told(capsys, written(tmp_path, "b.parquet", lists), "--on", "v")
    assert found["datasets"][0]["vectors"]["v"]["vendi"] == pytest.approx(2)


def test_one_row_zero_rows_and_nulls(tmp_path, capsys):
    one = told(capsys, written(tmp_path, "one.parquet", table(unit(1))))["datasets"][0]["vectors"]["grad"]
    assert (one["n"], one["vendi"], one["vendi_low"]) == (1, pytest.approx(1), None)
    none = told(capsys, written(tmp_path, "none.parquet", table(unit(1)).slice(0, 0)))["datasets"][0]
    assert (none["rows"], none["vectors"]["grad"]["n"], none["vectors"]["grad"]["vendi"]) == (0, 0, None)
    x = unit(5)
    x[0] = 0
    rows = table(x)
    lists = pa.array([None if i == 1 else row.tolist() for i, row in enumerate(x)], pa.list_(pa.float32()))
    found = told(capsys, written(tmp_path, "some.parquet", rows.set_column(2, "grad", lists)))["datasets"][0]
    grad = found["vectors"]["grad"]
    assert (grad["n"], grad["zero"], grad["missing"]) == (3, 1, 1)
    assert call(str(tmp_path / "none.parquet"), str(tmp_path / "one.parquet")) == 0


def fails(capsys, *arguments) -> str:
    code = call(*arguments)
    said = capsys.readouterr().err
    assert code in (2, 3), said
    assert said.count("\n") == 1
    assert "Traceback" not in said
    return said


def test_what_it_says_to_bad_input(tmp_path, capsys):
    a = written(tmp_path, "a.parquet", table(unit(40)))
    b = written(tmp_path, "b.parquet", table(unit(40), 1, proxy="qwen"))
    assert "features of pocket with countsketch:12:0 and of qwen" in fails(capsys, a, b)
    short = written(tmp_path, "c.parquet", table(unit(40, d=8), 1).drop_columns(["grad_proxy", "grad_projection"]))
    assert "vectors of 12 (a.parquet) and 8 (c.parquet)" in fails(capsys, a, short)
    assert "has no column 'grads'; did you mean 'grad'?" in fails(capsys, a, "--on", "grads")
    assert "no column 'sourc'" in fails(capsys, a, "--by", "sourc")
    said = fails(capsys, a, "--on", "problem")
    assert "'problem' of a.parquet is string, not a list of numbers; there is grad" in said
    assert "did you mean 'a.parquet'?" in fails(capsys, tmp_path / "a.parqet")
    (tmp_path / "empty").mkdir()
    assert "holds no Parquet file" in fails(capsys, tmp_path / "empty")
    (tmp_path / "broken.parquet").write_bytes(b"no")
    assert "not a whole Parquet file" in fails(capsys, tmp_path / "broken.parquet")
    x = unit(4)
    x[3, 3] = np.nan
    assert "row 0-00003 holds NaN" in fails(capsys, written(tmp_path, "n.parquet", table(x)))
    mixed = pa.concat_tables([table(unit(4)), table(unit(4), 3, proxy="qwen")])
    assert "of pocket with" in fails(capsys, written(tmp_path, "m.parquet", mixed))
    uneven = pa.table({"v": [[1.0, 2.0], [1.0]]})
    assert "has 1 numbers" in fails(capsys, written(tmp_path, "u.parquet", uneven), "--on", "v")
    assert "lower --at" in fails(capsys, a, a, "--at", "41")
    assert "no vectors" in fails(capsys, written(tmp_path, "o.parquet", pa.table({"x": [1]})))


def test_a_run_is_a_source(tmp_path, capsys):
    import curator as cu

    path = written(tmp_path, "a.parquet", table(unit(60)))
    (cu.read(path=path) | cu.diversify(n=30)).run(tmp_path / "mine", progress=False)
    assert told(capsys, tmp_path / "mine")["datasets"][0]["vectors"]["grad"]["n"] == 30
