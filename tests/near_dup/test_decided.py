"""Decisions lie in a file in the order of the rows, and are read beside them: each must meet its own row."""

from __future__ import annotations

import json
import random

import pyarrow as pa
import pytest

from curator import table
from curator.near_dup import clusters
from curator.ops.dedup import dedup


def texts(count: int) -> list[str]:
    chance = random.Random(5)
    words = [f"{a}{b}" for a in "bcdfghkl" for b in "aeiou"]
    made = [" ".join(chance.choices(words, k=30)) for _ in range(count)]
    for i in range(0, count, 7):  # one in seven says what an earlier or later row says
        made[i] = made[chance.randrange(count)]
    return made


@pytest.fixture
def shards(tmp_path):
    """Files of many row groups and of uneven length, one of them empty; rows in no order of their ids."""
    found, files = texts(6000), []
    ids = [f"r{i * 7919 % 6000:05d}" for i in range(6000)]
    for k, (start, stop) in enumerate([(0, 2500), (2500, 2501), (2501, 2501), (2501, 6000)]):
        files.append(tmp_path / f"part-{k:05d}.parquet")
        problems = pa.array(found[start:stop], pa.string())
        table.write_table(pa.table({"row_id": pa.array(ids[start:stop], pa.string()), "problem": problems}), files[-1])
    return files, dict(zip(ids, found, strict=True))


@pytest.mark.parametrize("cluster", ["linked", "greedy"])
@pytest.mark.parametrize(("threads", "block"), [(1, 1 << 17), (4, 700)])
def test_each_decision_meets_its_row(shards, tmp_path, monkeypatch, cluster, threads, block):
    monkeypatch.setattr(clusters, "BATCH", block)
    files, problem = shards
    groups: dict[str, list[str]] = {}
    for row, text in problem.items():
        groups.setdefault(text, []).append(row)
    view = table.TableView(files, tmp_path / "spill", threads=threads)
    split = dedup(method="minhash", cluster=cluster)(view)
    out = view.con.sql(split.out).to_arrow_table().to_pylist()
    dropped = view.con.sql(split.dropped).to_arrow_table().to_pylist()
    view.close()
    assert {r["row_id"]: (r["problem"], r["cluster_id"], r["cluster_size"], r["dup_of"]) for r in out} == {
        min(rows): (text, min(rows), len(rows), None) for text, rows in groups.items()}  # fmt: skip
    assert {r["row_id"]: json.loads(r["evidence"])["dup_of"] for r in dropped} == {
        row: min(rows) for rows in groups.values() for row in rows if row != min(rows)}  # fmt: skip


def test_marks_meet_their_rows(shards, tmp_path):
    files, problem = shards
    view = table.TableView(files, tmp_path / "dup_of=1", threads=4)  # DuckDB would make a column of that name
    marked = view.con.sql(dedup(method="minhash", action="mark")(view).out).to_arrow_table().to_pylist()
    view.close()
    assert {r["row_id"] for r in marked} == set(problem)
    for row in marked:
        assert problem[row["cluster_id"]] == row["problem"] == problem[row["row_id"]]
        assert row["dup_of"] == (None if row["cluster_id"] == row["row_id"] else row["cluster_id"])


def test_an_empty_table(tmp_path):
    none = pa.array([], pa.string())
    table.write_table(pa.table({"row_id": none, "problem": none}), tmp_path / "a")
    view = table.TableView([tmp_path / "a"], tmp_path / "spill")
    assert view.con.sql(dedup(method="minhash")(view).out).fetchall() == []
    view.close()
