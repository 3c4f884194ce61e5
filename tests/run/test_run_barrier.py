"""A barrier as a step: it waits with exit code 9, goes on with a result of these rows, runs its command once."""

import json
import sys

import pyarrow.parquet as pq
import pytest
from run_stand_ins import chain, step

from curator.errors import CheckError, InputError, OperatorError, Waiting
from curator.op import find
from curator.pipeline import Step
from curator.run.local import run
from curator.run.plan import plan


def barrier(**given):
    return Step("barrier", find("barrier"), given)


def go(folder, count=3, **given):
    page = chain(step("t_numbers", count=count), barrier(**given), step("t_double"))
    return run(page, folder, workers=0, progress=False)


def rows(done):
    return [r for f in done.files() for r in pq.read_table(f).to_pylist()]


def test_it_waits_and_goes_on_with_the_result(tmp_path):
    with pytest.raises(Waiting, match="waits for .*result.json") as waiting:
        go(tmp_path / "r")
    assert waiting.value.exit_code == 9
    place = tmp_path / "r/barriers/barrier"
    assert [pq.read_metadata(f).num_rows for f in place.glob("rows/*.parquet")] == [3]
    (place / "result.json").write_text(json.dumps({"model_id": "mine@1", "loss": 0.5}))
    done = go(tmp_path / "r")
    assert [(r["row_id"], r["model_id"]) for r in rows(done)] == [(f"p-{i}", "mine@1") for i in range(3)]
    assert done.receipts[1]["result"]["loss"] == 0.5
    assert all(s["in"] + s["made"] == s["out"] + s["dropped"] for s in done.summary())
    with pytest.raises(InputError, match="made from other inputs"):
        go(tmp_path / "r", count=4)


@pytest.mark.parametrize(
    ("text", "said"), [('{"model": 1}', "must hold 'model_id'.*it holds model"), ("[1]", "no JSON")]
)
def test_a_result_that_says_nothing(tmp_path, text, said):
    with pytest.raises(Waiting):
        go(tmp_path / "r")
    (tmp_path / "r/barriers/barrier/result.json").write_text(text)
    with pytest.raises(InputError, match=said):
        go(tmp_path / "r")


def test_a_command_is_run_once_for_the_same_rows(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(
        "import json, pathlib, sys\n"
        f"log = pathlib.Path({str(tmp_path / 'log')!r})\n"
        "log.open('a').write('x')\n"
        "pathlib.Path(sys.argv[2]).write_text(json.dumps({'model_id': 'm' + log.read_text()}))\n"
    )
    command = f"{sys.executable} {script} {{rows}} {{result}}"
    for _ in range(2):
        assert {r["model_id"] for r in rows(go(tmp_path / "r", command=command))} == {"mx"}
    assert {r["model_id"] for r in rows(go(tmp_path / "r", command=command, count=5))} == {"mxx"}
    with pytest.raises(OperatorError, match="ended with code 1"):
        go(tmp_path / "other", command=f"{sys.executable} -c 'raise SystemExit(1)' {{rows}} {{result}}")


def test_settings_that_make_no_sense():
    with pytest.raises(CheckError, match=r"must name \{rows\} and \{result\}"):
        find("barrier").factory(command="train {rows}")
    with pytest.raises(CheckError, match="a plain name of its own"):
        find("barrier").factory(expects="row_id")


def test_a_plan_does_not_wait(tmp_path):
    page = chain(step("t_numbers", count=3), barrier(), step("t_double"))
    assert [s.rows_out for s in plan(page, tmp_path / "r").steps] == [3, 3, 3]
