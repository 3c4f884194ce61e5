import pyarrow.parquet as pq
import pytest
from run_stand_ins import chain, step

from curator.errors import CheckError, OperatorError
from curator.run.local import run
from curator.run.questions import diff, why


@pytest.fixture
def done(tmp_path):
    return go(tmp_path / "a", 4)


def go(folder, value, modulus=2):
    steps = (step("t_numbers", count=9, broken=1), step("t_double"), step("t_twins"), step("t_atleast", value=value))
    return run(chain(*steps, step("t_even", modulus=modulus)), folder, workers=0, shard_rows=4)


def short(events):
    return [(e["step"], e["event"], e["row_id"]) for e in events]


def test_why_follows_a_row_from_its_ancestor_to_the_end(done):
    assert short(done.why("p-6/1")) == [
        ("numbers", "read", "p-6"),
        ("double", "changed", "p-6"),
        ("twins", "made", "p-6/1"),
        ("atleast", "kept", "p-6/1"),
        ("even", "kept", "p-6/1"),
        ("even", "final", "p-6/1"),
    ]
    assert done.why("p-6/1")[1]["what"] == "double: 12"


def test_why_of_a_problem_shows_its_children_and_their_end(done):
    events = done.why("p-5")
    assert short(events)[:4] == [
        ("numbers", "read", "p-5"),
        ("double", "changed", "p-5"),
        ("twins", "made", "p-5/0"),
        ("twins", "made", "p-5/1"),
    ]
    assert short(events)[-2:] == [("even", "dropped", "p-5/0"), ("even", "dropped", "p-5/1")]
    assert events[-1]["what"] == 'odd: {"modulus": 2}'


def test_why_of_a_broken_line_and_of_nothing(done):
    assert short(done.why("line-0")) == [("numbers", "dropped", "line-0")]
    with pytest.raises(CheckError, match="no row or problem 'p-99'; its rows are called p-0, p-1, p-2"):
        done.why("p-99")
    with pytest.raises(CheckError, match="holds no run"):
        why(done.folder / "steps", "p-1")


def test_why_answers_for_a_run_that_stopped(tmp_path):
    steps = (step("t_numbers", count=9), step("t_double"), step("t_die", at=8, how="raise"))
    with pytest.raises(OperatorError):
        run(chain(*steps), tmp_path / "r", workers=0, shard_rows=2)
    assert short(why(tmp_path / "r", "p-0")) == [
        ("numbers", "read", "p-0"), ("double", "changed", "p-0"), ("die", "kept", "p-0"),
    ]  # fmt: skip


def test_the_ledger_holds_the_fate_of_every_row(done):
    events = pq.read_table(done.folder / "ledger.parquet").to_pylist()
    found = {(e["row_id"], e["event"]): e for e in events}
    assert len(found) == len(events) == 9 + 1 + 18 + 8 + 4 + 6
    assert found["p-5/0", "dropped"]["reason"] == "odd"
    assert (found["p-5/0", "made"]["parent_id"], found["p-5/0", "made"]["position"]) == ("p-5", 3)
    started = {e["row_id"] for e in events if e["event"] in ("read", "made")}
    ended = {e["row_id"] for e in events if e["event"] in ("dropped", "final")}
    parents = {e["parent_id"] for e in events if e["event"] == "made"}
    assert started | {"line-0"} == ended | parents


def test_rows_a_sink_leaves_out_are_in_the_ledger_the_receipt_and_the_story(tmp_path):
    steps = (step("t_numbers", count=4), step("t_dump", refuse="p-2"))
    done = run(chain(*steps), tmp_path / "r", workers=0)
    (event,) = [e for e in pq.read_table(done.folder / "ledger.parquet").to_pylist() if e["event"] == "left_out"]
    assert event == {
        "row_id": "p-2", "problem_id": "p-2", "parent_id": None, "step": "dump", "position": 2, "round": None,
        "event": "left_out", "reason": "too_plain", "evidence": '{"why": "so"}',
    }  # fmt: skip
    assert done.receipts[-1]["left_out"] == {"too_plain": 1}
    assert short(done.why("p-2"))[1:] == [("dump", "left_out", "p-2"), ("numbers", "final", "p-2")]
    assert done.why("p-2")[1]["what"] == 'too_plain: {"why": "so"}'
    assert short(done.why("p-1"))[1:] == [("numbers", "final", "p-1")]


def test_diff_names_steps_settings_and_rows(done, tmp_path):
    go(tmp_path / "b", 5)
    found = diff(done.folder, tmp_path / "b")
    assert [(s["step"], s["difference"]) for s in found.steps] == [
        ("numbers", "same"),
        ("double", "same"),
        ("twins", "same"),
        ("atleast", "value: 4 -> 5"),
        ("even", "the same settings, after a step that differs"),
    ]
    assert found.counts == {"changed": 0, "only_a": 2, "only_b": 0}
    assert found.only_a == [
        {"row_id": "p-4/0", "fate": "dropped by atleast (low)"},
        {"row_id": "p-4/1", "fate": "dropped by atleast (low)"},
    ]
    assert "p-4/0: in b dropped by atleast (low)" in str(found)


def test_a_finished_run_tells_its_rows_receipts_and_report(done):
    assert done.table("twins").count("*").fetchall() == [(18,)]
    assert done.table().columns[:2] == ["row_id", "problem_id"]
    assert "odd 4" in done.report()
    assert done.dataset().num_rows == 6
    with pytest.raises(CheckError, match="no step 'verify' with rows; it has numbers, double"):
        done.table("verify")
