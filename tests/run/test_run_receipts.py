import asyncio
import json
import os
import subprocess
import sys

import pyarrow as pa
import pytest
from run_stand_ins import chain, step

from curator.errors import CheckError, InputError
from curator.op import Result, Split, operator
from curator.run import receipts
from curator.run.local import run
from curator.run.progress import Lines, Live, Progress, choose


@operator("table", effect="marks", version=1, adds={"luck": pa.int64()}, name="t_luck")
def luck(*, seed: int | None = None):
    return lambda _view: Split(f"select *, {seed} as luck from rows")


@operator("source", effect="shapes", version=1, name="t_twice")
def twice(*, times: int = 2):
    return lambda: iter([Result(pa.table({"row_id": ["a", "b"]})) for _ in range(times)])


def stamps(done):
    return {r["step"]: r["finished"] for r in done.receipts}


def changed(one, other):
    return [s for s in one if one[s] != other[s]]


def test_the_input_counts_by_content_not_by_date(tmp_path):
    data = tmp_path / "data.txt"

    def go():
        return stamps(
            run(chain(step("t_numbers", count=3, path=str(data)), step("t_double")), tmp_path / "r", workers=0)
        )

    data.write_text("one")
    first = go()
    os.utime(data, (1, 1))
    assert changed(first, go()) == []
    data.write_text("two")
    assert changed(first, go()) == ["numbers", "double"]


def test_only_steps_that_use_the_seed_depend_on_it(tmp_path):
    def go(whole, **settings):
        steps = (step("t_numbers", count=3), step("t_double"), step("t_luck", **settings), step("t_even"))
        return run(chain(*steps, seed=whole), tmp_path / "r", workers=0)

    first = stamps(go(0))
    assert changed(first, stamps(go(1))) == ["luck", "even"]
    done = go(1)
    assert done.table(-1).project("luck").fetchall()[0] == (1,)
    assert done.receipts[2]["settings"]["seed"] == 1
    assert changed(stamps(done), stamps(go(2, seed=1))) == []


def test_a_step_whose_shards_are_gone_is_computed_again(tmp_path):
    page = chain(step("t_numbers", count=9), step("t_double"), step("t_even"), step("t_dump"))
    done = run(page, tmp_path / "r", workers=0, shard_rows=4)
    before, rows = stamps(done), (tmp_path / "r/out/rows.jsonl").read_bytes()
    done.files("double")[1].unlink()
    (tmp_path / "r/out/rows.jsonl").unlink()
    (tmp_path / "r/out/facts.json").unlink()
    (tmp_path / "r/out").rmdir()
    assert changed(before, stamps(run(page, tmp_path / "r", workers=0, shard_rows=4))) == ["double", "dump"]
    assert (tmp_path / "r/out/rows.jsonl").read_bytes() == rows


def test_another_model_is_another_answer(tmp_path, engines):
    def go(**settings):
        steps = (step("t_numbers", count=3), step("t_ask", engine="teacher"))
        return run(chain(*steps, engines={"teacher": settings}), tmp_path / "r", store={}, workers=0)

    first = stamps(go(model="small"))
    assert changed(first, stamps(go(model="small", delay=0.001))) == []
    assert changed(first, stamps(go(model="large"))) == ["ask"]


def test_a_step_that_left_the_pipeline_leaves_the_folder(tmp_path):
    run(chain(step("t_numbers"), step("t_double"), step("t_even")), tmp_path / "r", workers=0)
    run(chain(step("t_numbers"), step("t_even")), tmp_path / "r", workers=0)
    assert sorted(p.name for p in (tmp_path / "r/steps").iterdir()) == ["01-numbers", "02-even"]


def test_a_limit_is_part_of_what_was_read(tmp_path):
    page = chain(step("t_numbers", count=9, batch=2), step("t_double"))
    assert run(page, tmp_path / "r", workers=0, limit=3).receipts[-1]["out"] == 3
    assert run(page, tmp_path / "r", workers=0).receipts[-1]["out"] == 9


def test_duplicate_ids_of_the_input_are_named(tmp_path):
    with pytest.raises(InputError, match=r"step 'twice' \(t_twice\): the same row_id twice in its rows: a, b"):
        run(chain(step("t_twice")), tmp_path / "r", workers=0)


def test_an_empty_input_goes_through_everything(tmp_path, engines):
    steps = [step(n) for n in ("t_double", "t_even", "t_twins", "t_atleast", "t_total")]
    steps += [step("t_ask", engine="teacher"), step("t_dump")]
    done = run(chain(step("t_numbers", count=0), *steps, engines={"teacher": {}}), tmp_path / "r", store={}, workers=0)
    assert [r["out"] for r in done.receipts] == [0] * 8
    assert (tmp_path / "r/out/rows.jsonl").read_bytes() == b""


def test_a_pipeline_must_begin_with_a_source(tmp_path):
    with pytest.raises(CheckError, match="no steps"):
        run(chain(), tmp_path / "r")
    with pytest.raises(CheckError, match=r"step 1 \(double\) must be a source"):
        run(chain(step("t_double")), tmp_path / "r")
    with pytest.raises(CheckError, match=r"step 2 \(numbers\) is a source"):
        run(chain(step("t_numbers", label="first"), step("t_numbers")), tmp_path / "r")


def test_it_runs_inside_a_running_loop(tmp_path):
    async def notebook():
        return run(chain(step("t_numbers", count=3), step("t_double")), tmp_path / "r", workers=0)

    assert asyncio.run(notebook()).receipts[-1]["out"] == 3


SCRIPT = """
import sys
sys.path[:0] = {path!r}
from curator.op import operator
import pyarrow as pa
from run_stand_ins import chain, step
from curator.run.local import run

@operator("row", effect="marks", version=1, adds={{"mine": pa.int64()}}, name="mine")
def mine():
    return lambda t: t.append_column("mine", t["value"])

print(run(chain(step("t_numbers", count=3), step("mine")), {folder!r}, workers=2).receipts[-1]["out"])
"""


def test_a_script_without_a_main_guard_may_define_its_own_operator(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(path=sys.path, folder=str(tmp_path / "r")))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("3", 0), done.stderr


def test_seconds_under_way_together_count_once():
    spans = [[0.0, 2.0], [1.0, 3.0], [5.0, 6.0], [5.5, 5.6]]
    assert receipts.busy(spans) == pytest.approx(4.0)
    assert receipts.add_up([{"span": s} for s in spans])["seconds"] == pytest.approx(4.0)


def test_progress_is_silent_without_a_terminal_and_live_with_one(monkeypatch):
    assert type(choose(None)) is Progress
    assert type(choose(False)) is Progress
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert type(choose(None)) is Live
    assert type(choose(False)) is Progress
    assert type(choose("lines")) is Lines


def test_lines_for_a_log_say_when_a_step_begins_ends_and_how_far_it_is(tmp_path, engines, capsys, monkeypatch):
    steps = (step("t_numbers", count=30), step("t_ask", engine="teacher", n=2), step("t_even"), step("t_dump"))
    page = chain(*steps, engines={"teacher": {"price": (1.0, 2.0)}})
    run(page, tmp_path / "r", store={}, workers=0, progress="lines")
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    lines = [line.split(" ", 1)[1] for line in err.splitlines()]
    assert [line.split(",")[0] for line in lines] == [
        "numbers: begins", "numbers: done", "ask: begins", "even: begins", "ask: done", "even: done",
        "dump: begins", "dump: done",
    ]  # fmt: skip
    assert lines[2] == "ask: begins, 30 rows"
    assert lines[4].startswith("ask: done, 30 rows in, 60 out, ")
    assert lines[5].startswith("even: done, 60 rows in, 30 out, 30 dropped, ")

    monkeypatch.setattr(Lines, "EVERY_S", 0.0)
    run(page, tmp_path / "other", store={}, workers=0, progress="lines")
    between = [line for line in capsys.readouterr().err.splitlines() if "requests" in line]
    assert len(between) >= 30
    assert "ask: 0 of 30 rows; teacher 2 requests, 0 from store" in between[0]
    assert "$" in between[0]
    run(page, tmp_path / "r", store={}, workers=0, progress="lines")
    assert [line.split(" ", 1)[1] for line in capsys.readouterr().err.splitlines()][:1] == ["numbers: reused, 30 rows"]


def test_the_live_display_follows_a_run(tmp_path, engines, capsys):
    steps = (step("t_numbers", count=30), step("t_ask", engine="teacher", n=2), step("t_dump"))
    page = chain(*steps, engines={"teacher": {"price": (1.0, 2.0)}})
    run(page, tmp_path / "r", store={}, workers=0, progress=Live())
    shown = capsys.readouterr().err
    assert "30/30" in shown
    assert "60 requests, 0 from store" in shown
    assert "$" in shown
    run(page, tmp_path / "r", store={}, workers=0, progress=Live())
    assert "reused" in capsys.readouterr().err
    assert json.loads((tmp_path / "r/run.json").read_text())["name"] == "test"
