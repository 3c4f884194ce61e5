import duckdb
import pytest
from run_stand_ins import chain, step

from curator.errors import BudgetSpent
from curator.op import find
from curator.pipeline import Step
from curator.run.local import run
from curator.run.refill import stretches


def select(**settings):
    return Step("select", find("select"), settings)


def pipeline(n, count=300, engine=None, where="value % 3 = 0", **source):
    steps = (step("t_numbers", count=count, **source), step("t_ask", engine="teacher", n=2), step("t_double"))
    rest = (select(where=where, n=n), step("t_shorten", engine="teacher"), step("t_dump"))
    return chain(*steps, *rest, engines={"teacher": engine or {}}, seed=3)


def expected(n, count=300):
    """The first n accepted samples, problems in the order of hash(3, problem_id)."""
    numbers = duckdb.sql(f"select i, md5_number_lower('3:p-' || i) from range(0, {count}, 3) t(i)").fetchall()
    chance = dict(numbers)
    rows = [f"p-{i}/{k}" for i in sorted(chance, key=chance.get) for k in range(2)]
    return set(rows[:n])


def ids(done):
    return {r[0] for r in done.table(-1).project("row_id").fetchall()}


@pytest.mark.parametrize(("shard_rows", "source"), [(5000, {}), (3, {}), (7, {"reverse": True, "batch": 11})])
def test_exactly_n_and_no_more_asked_than_needed(tmp_path, engines, shard_rows, source):
    done = run(pipeline(16, **source), tmp_path / "r", store={}, workers=0, shard_rows=shard_rows)
    assert ids(done) == expected(16)
    receipts = {r["step"]: r for r in done.receipts}
    ask = receipts["ask"]
    assert ask["rows_in"] == 300
    assert ask["reasons"]["not_needed"] == ask["dropped"] > 200
    assert ask["rows_in"] + ask["made"] == ask["out"] + ask["dropped"]
    assert ask["counts"]["asked"] < 60
    assert receipts["double"]["rows_in"] == ask["out"]
    left = done.table("ask", dropped=True).to_arrow_table().to_pylist()
    assert {r["dropped_by"] for r in left} == {"ask"}
    assert all(r["problem"] for r in left)


def test_raising_n_asks_only_for_the_difference(tmp_path, engines):
    store = {}
    run(pipeline(8), tmp_path / "r", store=store, workers=0)
    first = len(store)
    done = run(pipeline(30), tmp_path / "r", store=store, workers=0)
    assert ids(done) == expected(30)
    assert engines[-1].asked == len(store) - first


def test_an_input_that_is_too_small_is_used_up(tmp_path, engines):
    done = run(pipeline(50, count=30), tmp_path / "r", store={}, workers=0)
    assert len(ids(done)) == 20
    assert "not_needed" not in done.receipts[1]["reasons"]
    assert {r["step"]: r["counts"] for r in done.receipts}["select"]["short_by"] == 30


def test_a_spent_budget_stops_it_resumable(tmp_path, engines):
    store = {}

    def fail(request):
        return BudgetSpent("engine 'teacher': spent") if len(store) >= 20 else None

    with pytest.raises(BudgetSpent, match="spent"):
        run(pipeline(16, engine={"fail": fail}), tmp_path / "r", store=store, workers=0)
    assert ids(run(pipeline(16), tmp_path / "r", store=store, workers=0)) == expected(16)


def test_only_steps_that_judge_problems_one_by_one_are_fed():
    ask, twice = step("t_ask", engine="e"), step("t_double")
    grade, dedup = Step("grade", find("grade"), {}), Step("dedup", find("dedup"), {})
    best = select(best="n_tokens", per="problem_id")
    assert stretches([step("t_numbers"), twice, ask, twice, select(n=5)]) == {2: 4}
    assert stretches([step("t_numbers"), ask, grade, best, select(n=5)]) == {1: 4}
    assert stretches([step("t_numbers"), ask, dedup, twice, select(n=5)]) == {}
    assert stretches([step("t_numbers"), ask, dedup, ask, select(n=5)]) == {3: 4}
    assert stretches([step("t_numbers"), ask, select(where="true")]) == {}


def test_an_operator_from_elsewhere_says_its_key_and_how_much_is_enough():
    ask, source = step("t_ask", engine="e"), step("t_numbers")
    apart, together = step("t_apart", by="problem_id"), step("t_apart", by="value")
    assert stretches([source, ask, apart, select(n=5)]) == {1: 3}
    assert stretches([source, ask, together, select(n=5)]) == {}
    assert stretches([source, ask, apart, step("t_some", rows=4)]) == {1: 3}
    assert stretches([source, ask, apart, step("t_some", rows=None)]) == {}


def test_a_table_operator_on_the_way(tmp_path, engines):
    steps = [
        step("t_numbers", count=200), step("t_ask", engine="teacher", n=2),
        Step("verdict", find("grade"), {"correct": "known"}), step("t_double"), select(where="n_ok = 2", n=6),
    ]  # fmt: skip
    steps.insert(1, step("t_known"))
    done = run(chain(*steps, engines={"teacher": {}}), tmp_path / "r", store={}, workers=0)
    assert len(ids(done)) == 6
    assert done.receipts[2]["counts"]["asked"] < 60
