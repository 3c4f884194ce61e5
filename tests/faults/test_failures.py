"""Operators that break, workers that die, engines that give up: named, and what was done is kept."""

import pytest
from run_stand_ins import chain, step

from curator.errors import BudgetSpent, EngineError, OperatorError
from curator.run.local import run


def test_a_worker_that_dies_once_is_replaced(tmp_path):
    die = step("t_die", at=3, marker=str(tmp_path / "died"))
    done = run(chain(step("t_numbers", count=9), step("t_double"), die), tmp_path / "r", workers=1, shard_rows=2)
    assert (tmp_path / "died").exists()
    assert done.receipts[-1]["out"] == 9


@pytest.mark.parametrize(("how", "told"), [("kill", "was killed by SIGKILL"), ("exit", "exited with code 3")])
def test_a_worker_that_keeps_dying_is_told_with_step_and_shard(tmp_path, how, told):
    die = step("t_die", at=3, how=how)
    pipeline = chain(step("t_numbers", count=9), step("t_double"), die)
    with pytest.raises(OperatorError, match=rf"step 'die' \(t_die\), shard 1: its worker process {told}, twice"):
        run(pipeline, tmp_path / "r", workers=1, shard_rows=2)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_operator_that_raises_is_told_in_one_line(tmp_path, workers):
    pipeline = chain(step("t_numbers", count=9), step("t_die", at=3, how="raise"))
    with pytest.raises(OperatorError) as e:
        run(pipeline, tmp_path / "r", workers=workers, shard_rows=2)
    assert str(e.value).startswith("step 'die' (t_die), shard 1: ValueError: row 3 is not to my liking [")


@pytest.mark.parametrize("kind", [BudgetSpent, EngineError])
def test_an_engine_that_gives_up_stops_the_run_and_a_second_run_goes_on(tmp_path, engines, kind):
    def fail(request):
        return kind("engine 'teacher': that is all") if ": 11 + 1" in request.messages[-1].content else None

    def pipeline(**settings):
        return chain(
            step("t_numbers", count=20), step("t_ask", engine="teacher"), step("t_double"),
            engines={"teacher": settings},
        )  # fmt: skip

    store: dict = {}
    options = {"store": store, "workers": 0, "shard_rows": 2}
    with pytest.raises(kind, match=r"that is all \[\d+ of 10 shards up to 'double' are done and kept\]"):
        run(pipeline(fail=fail), tmp_path / "r", **options)
    assert not list((tmp_path / "r").glob("steps/02*/receipt.json"))
    first = len(store)
    assert 0 < first < 20
    done = run(pipeline(), tmp_path / "r", **options)
    assert engines[-1].asked == 20 - first
    assert done.receipts[-1]["out"] == 20
    assert done.receipts[1]["engines"]["teacher"]["requests"] == 20


def test_finished_shards_are_not_computed_again(tmp_path, monkeypatch):
    log = tmp_path / "log"
    monkeypatch.setenv("STAND_IN_LOG", str(log))

    def pipeline(at):
        return chain(step("t_numbers", count=10), step("t_double"), step("t_die", at=at, how="raise"))

    with pytest.raises(OperatorError):
        run(pipeline(9), tmp_path / "r", workers=0, shard_rows=2)
    assert log.read_text().split() == ["built", "2", "2", "2", "2", "2"]
    run(pipeline(99), tmp_path / "r", workers=0, shard_rows=2)
    assert log.read_text().split()[6:] == ["built", "2"]  # the shard that failed on its way, and no other


def test_shards_of_an_older_setting_are_not_taken_for_new_ones(tmp_path):
    def pipeline(modulus, at):
        return chain(step("t_numbers", count=12), step("t_even", modulus=modulus), step("t_die", at=at, how="raise"))

    with pytest.raises(OperatorError):
        run(pipeline(2, 10), tmp_path / "r", workers=0, shard_rows=2)
    done = run(pipeline(3, 99), tmp_path / "r", workers=0, shard_rows=2)
    assert sorted(r[0] for r in done.table(-1).project("value").fetchall()) == [0, 3, 6, 9]
