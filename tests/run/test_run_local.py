import json

import pytest
from run_stand_ins import chain, step

from curator.run.local import run


def lines(folder, name="rows.jsonl"):
    return [json.loads(x) for x in (folder / "out" / name).read_text().splitlines()]


def whole(engine_settings=None, **source):
    return chain(
        step("t_numbers", **source),
        step("t_ask", engine="teacher", n=2),
        step("t_double"),
        step("t_atleast", value=4),
        step("t_total"),
        step("t_even"),
        step("t_shorten", engine="teacher"),
        step("t_dump"),
        engines={"teacher": engine_settings or {}},
    )


def test_a_run_goes_from_source_to_sink_and_accounts_for_every_row(tmp_path, engines):
    done = run(whole(count=20, broken=2), tmp_path / "r", workers=1, store={}, shard_rows=6)
    found = {r["step"]: r for r in done.receipts}
    assert [r["step"] for r in done.receipts] == [
        "numbers", "ask", "double", "atleast", "total", "even", "shorten", "dump",
    ]  # fmt: skip
    for r in done.receipts:
        assert r["rows_in"] + r["made"] == r["out"] + r["dropped"], r["step"]
    assert (found["numbers"]["out"], found["numbers"]["reasons"]) == (20, {"broken": 2})
    assert (found["ask"]["rows_in"], found["ask"]["made"], found["ask"]["out"]) == (20, 20, 40)
    assert found["atleast"]["reasons"] == {"low": 8}
    assert found["atleast"]["counts"] == {"seen": 40}
    assert found["even"]["reasons"] == {"odd": 16}
    assert found["total"]["reports"] == {"totals": [{"total": 32, "n": 32}]}
    assert found["ask"]["engines"]["teacher"]["requests"] == 40
    rows = lines(tmp_path / "r")
    assert [r["row_id"] for r in rows] == [f"p-{i}/{k}" for i in range(4, 20, 2) for k in range(2)]
    assert rows[0]["short"] == "answer 0 to shorten: answer 0 to think: 4 + 1 = ?"
    assert rows[0]["total"] == 32
    assert all(e.closed for e in engines)
    assert not (tmp_path / "r" / "lock").exists()


def test_dropped_rows_keep_their_columns(tmp_path):
    done = run(chain(step("t_numbers", count=9), step("t_even"), step("t_atleast", value=4)), tmp_path / "r", workers=0)
    odd = done.table("even", dropped=True).to_arrow_table().to_pylist()
    assert [(r["row_id"], r["value"], r["dropped_by"], r["reason"], r["evidence"]) for r in odd] == [
        (f"p-{i}", i, "even", "odd", '{"modulus": 2}') for i in (1, 3, 5, 7)
    ]
    low = done.table("atleast", dropped=True).to_arrow_table().to_pylist()
    assert sorted((r["row_id"], r["problem"], r["dropped_by"]) for r in low) == [
        ("p-0", "0 + 1 = ?", "atleast"),
        ("p-2", "2 + 1 = ?", "atleast"),
    ]


def test_a_second_run_asks_and_computes_nothing(tmp_path, engines):
    run(whole(count=20), tmp_path / "r", workers=0, store={})
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "r").rglob("*.parquet")}
    run(whole(count=20), tmp_path / "r", workers=0, store={})
    assert engines[-1].asked == 0
    assert before == {f: f.stat().st_mtime_ns for f in (tmp_path / "r").rglob("*.parquet")}


def test_a_changed_setting_recomputes_that_step_and_what_follows(tmp_path, engines):
    def pipeline(value):
        least = step("t_atleast", value=value)
        return chain(step("t_numbers", count=20), step("t_double"), least, step("t_even"), step("t_dump"))

    folder = tmp_path / "r"
    first = {r["step"]: r for r in run(pipeline(4), folder, workers=0).receipts}
    second = {r["step"]: r for r in run(pipeline(10), folder, workers=0).receipts}
    assert {s for s in first if first[s]["finished"] == second[s]["finished"]} == {"numbers", "double"}
    assert [r["value"] for r in lines(folder)] == [10, 12, 14, 16, 18]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("shard_rows", [100, 15, 1])
def test_the_output_does_not_depend_on_shards_or_workers(tmp_path, engines, workers, shard_rows):
    if shard_rows == 1 and workers != 1:
        pytest.skip("one combination of the smallest shards is enough")
    run(whole(count=40), tmp_path / "a", workers=0, store={})
    run(whole(count=40), tmp_path / "b", workers=workers, store={}, shard_rows=shard_rows)
    assert (tmp_path / "a/out/rows.jsonl").read_bytes() == (tmp_path / "b/out/rows.jsonl").read_bytes()


def test_the_output_does_not_depend_on_the_order_of_the_input(tmp_path, engines):
    run(whole(count=40), tmp_path / "a", workers=0, store={})
    run(whole(count=40, reverse=True, batch=7), tmp_path / "b", workers=0, store={}, shard_rows=9)
    assert (tmp_path / "a/out/rows.jsonl").read_bytes() == (tmp_path / "b/out/rows.jsonl").read_bytes()


@pytest.mark.parametrize("pattern", ["r?", "r*", "r[12]"])
def test_a_folder_that_looks_like_a_pattern_is_read_alone(tmp_path, engines, pattern):
    """DuckDB takes `*`, `?` and `[...]` in a path for a pattern, and reads the like files of every folder that fits."""
    for name, count in (("r1", 20), (pattern, 10)):
        done = run(whole(count=count), tmp_path / name, workers=1, store={}, shard_rows=3)
    assert [r["row_id"] for r in lines(tmp_path / pattern)] == [f"p-{i}/{k}" for i in range(4, 10, 2) for k in range(2)]
    assert len(done.table("numbers").to_arrow_table()) == 10


def test_a_folder_that_looks_like_a_partition_is_no_column(tmp_path, engines):
    """`seed=1` in a path: DuckDB and Arrow make a column `seed` of it where they are not told otherwise."""
    for _ in range(2):  # the second reads what the first has stored
        done = run(whole(count=8), tmp_path / "seed=1" / "r", workers=1, store={}, shard_rows=3)
        assert "seed" not in done.table("even").to_arrow_table().column_names
