"""Loops: rounds over a state, each with receipts; nothing vanishes, nothing is asked twice, more rounds go on."""

import dataclasses
import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from run_stand_ins import chain, step

from curator.errors import OperatorError
from curator.op import REGISTRY, Split, find, operator
from curator.ops._sql import with_columns
from curator.pipeline import Step
from curator.rows import put
from curator.run.local import run
from curator.run.plan import plan
from curator.run.preview import preview
from curator.run.progress import Progress


@operator("table", effect="marks", version=1, adds={"held": pa.int64(), "seed": pa.int64()}, name="t_beside")
def beside(*, against: str, seed: int | None = None):
    def run(view):
        held = f"(select count(*) from read_parquet('{against}'))"
        return Split(f"select {with_columns(view.schema, {'held': held, 'seed': f'{seed}::bigint'})} from rows")

    return run


@operator("row", effect="makes", version=1, adds=("row_id", "parent_id"), name="t_copies")
def copies(*, n: int = 2, seed: int | None = None):
    """Every row makes `n` new ones; like `draw`, each round gives them ids of its own."""

    def run(table):
        out = table.take(pa.array([i for i in range(table.num_rows) for _ in range(n)], pa.int64()))
        parents = out["row_id"]
        ids = [f"{p}/{seed}-{k % n}" for k, p in enumerate(parents.to_pylist())]
        return put(out, {"row_id": pa.array(ids, pa.string()), "parent_id": parents})

    return run


@operator("row", effect="marks", version=1, needs=("value",), adds=lambda s: {s["into"]: pa.int64()}, name="t_doubled")
def twice(*, into: str = "double"):
    return lambda table: put(table, {into: pc.multiply(table["value"], 2)})


LAST = "select * from rows where round = (select max(round) from rows)"


def last():
    return Step("sql", find("sql"), {"query": LAST})


def loop(*body, label="loop", **given):
    return Step(label, find("loop"), given, body=tuple(body))


def table(done, name=-1, *, dropped=False):
    files = done.files(name, dropped=dropped)
    return pa.concat_tables([pq.read_table(f) for f in files]).to_pylist() if files else []


def numbers(count=4):
    return step("t_numbers", count=count)


def go(folder, *steps, engines=None, **options):
    return run(chain(*steps, engines=engines), folder, workers=0, progress=False, store={}, **options)


def test_append_adds_the_rows_that_are_new_and_numbers_their_round(tmp_path):
    done = go(tmp_path / "r", numbers(3), loop(last(), step("t_copies", n=1), rounds=3), step("t_double"))
    rows = table(done)
    depth = {r["row_id"].count("/"): r["round"] for r in rows if r["row_id"].startswith("p-1")}
    assert depth == {0: 0, 1: 1, 2: 2, 3: 3}
    assert len(rows) == 12
    receipt = done.receipts[1]
    assert (receipt["rows_in"], receipt["made"], receipt["out"], receipt["dropped"]) == (3, 9, 12, 0)
    assert receipt["ended"] == "rounds"
    assert [(r["yielded"], r["known"], r["out"]) for r in receipt["rounds"]] == [(3, 0, 6), (3, 0, 9), (3, 0, 12)]


def test_rows_that_the_state_holds_already_stay_as_they_were(tmp_path):
    marked = Step("sql", find("sql"), {"query": "select * replace (value + 100 as value) from rows"})
    done = go(tmp_path / "r", numbers(3), loop(marked, rounds=3))
    assert [r["value"] for r in table(done)] == [0, 1, 2]
    assert done.receipts[1]["counts"] == {"known": 3, "rounds": 1}


def test_the_same_rows_made_again_are_told_with_the_way_out(tmp_path):
    with pytest.raises(OperatorError, match="loop, round 2: .*pick the rows to work on by their round"):
        go(tmp_path / "r", numbers(3), loop(step("t_copies", n=1, seed=7), rounds=2))


def test_replace_goes_on_with_what_was_yielded(tmp_path):
    body = (step("t_copies", n=2), step("t_even"))
    done = go(tmp_path / "r", numbers(4), loop(*body, rounds=2, mode="replace"))
    receipt = done.receipts[1]
    assert (receipt["rows_in"], receipt["made"], receipt["out"], receipt["dropped"]) == (4, 8, 8, 4)
    assert receipt["reasons"] == {"odd": 4}
    assert {r["round"] for r in table(done)} == {2}
    lost = table(done, "loop", dropped=True)
    assert {(r["dropped_by"], r["round"]) for r in lost} == {("loop.even", 1)}


def test_replace_leaves_the_round_of_rows_that_stay(tmp_path):
    done = go(tmp_path / "r", numbers(4), loop(step("t_doubled"), rounds=2, mode="replace"))
    assert [(r["round"], r["double"]) for r in table(done)] == [(0, 0), (0, 2), (0, 4), (0, 6)]


def test_rows_of_the_state_that_a_step_drops_go_on_in_append(tmp_path):
    done = go(tmp_path / "r", numbers(4), loop(step("t_even"), step("t_copies", n=1), rounds=2))
    receipt = done.receipts[1]
    assert (receipt["out"], receipt["dropped"]) == (10, 0)
    assert table(done, "loop", dropped=True) == []
    assert {e["event"] for e in done.why("p-1")} == {"read", "final"}
    new = next(r["row_id"] for r in table(done) if r["row_id"].count("/") == 2)
    told = [(e["step"], e["event"]) for e in done.why(new) if e["row_id"] == new]
    assert told == [("loop.copies", "made"), ("loop", "final")]


def test_until_is_asked_after_each_round(tmp_path):
    done = go(tmp_path / "r", numbers(3), loop(last(), step("t_copies", n=1), rounds=9, until="count(*) >= 8"))
    assert done.receipts[1]["ended"] == "until"
    assert done.receipts[1]["out"] == 9


def test_no_rounds_pass_the_rows_through(tmp_path):
    done = go(tmp_path / "r", numbers(3), loop(step("t_copies"), rounds=0))
    assert [(r["row_id"], r["round"]) for r in table(done)] == [("p-0", 0), ("p-1", 0), ("p-2", 0)]


class Notes(Progress):
    def __init__(self):
        self.said = []

    def note(self, text):
        self.said.append(text)


@pytest.mark.parametrize("mode", ["append", "replace"])
def test_a_round_that_yields_nothing_is_the_last_and_says_so(tmp_path, mode):
    notes = Notes()
    body = step("t_atleast", value=100) if mode == "replace" else step("t_doubled")
    done = run(chain(numbers(3), loop(body, rounds=5, mode=mode)), tmp_path / "r", workers=0, progress=notes)
    assert "loop: round 1 yielded nothing new; the loop ends; the 4 rounds after it are left out" in notes.said
    assert done.receipts[1]["ended"] == "nothing new"
    assert "rounds 1, ended by: nothing new" in done.report()
    assert done.receipts[1]["out"] == (3 if mode == "append" else 0)


def test_the_path_of_the_state_and_a_seed_for_every_round(tmp_path):
    body = (step("t_copies", n=1), step("t_beside", against="${state}"))
    done = go(tmp_path / "r", numbers(2), loop(last(), *body, rounds=3))
    made = [r for r in table(done) if r["round"]]
    assert {(r["round"], r["held"]) for r in made} == {(1, 2), (2, 4), (3, 6)}
    assert len({r["seed"] for r in made}) == 3
    inner = done.rounds()[1]
    assert inner.receipts[2]["settings"]["against"] == "${state}"
    assert inner.receipts[2]["inputs"] == {}


ENGINE = {"one": {}}


def asks(**given):
    return loop(last(), step("t_ask", engine="one", n=1), step("t_doubled"), **given)


def test_more_rounds_go_on_after_the_last(tmp_path, engines):
    go(tmp_path / "r", numbers(3), asks(rounds=1), engines=ENGINE)
    state = tmp_path / "r/steps/02-loop/round-1/state"
    first = {f.name: f.read_bytes() for f in state.iterdir()}
    assert engines[0].asked == 3
    done = go(tmp_path / "r", numbers(3), asks(rounds=2), engines=ENGINE)
    assert engines[1].asked == 3  # the first round is not run again: this run's store holds nothing of it
    assert done.receipts[1]["out"] == 9
    assert {f.name: f.read_bytes() for f in state.iterdir()} == first
    fewer = go(tmp_path / "r", numbers(3), asks(rounds=1), engines=ENGINE)
    assert engines[2].asked == 0
    assert fewer.receipts[1]["out"] == 6
    assert [r.folder.name for r in fewer.rounds()] == ["round-1"]


def test_an_edited_step_of_the_body_is_computed_again_with_what_follows(tmp_path, engines):
    go(tmp_path / "r", numbers(3), asks(rounds=1), engines=ENGINE)
    changed = loop(last(), step("t_ask", engine="one", n=1), step("t_doubled", into="twice"), rounds=1)
    done = go(tmp_path / "r", numbers(3), changed, engines=ENGINE)
    assert engines[1].asked == 0
    assert all(r["twice"] == 2 * r["value"] for r in table(done) if r["round"])
    go(tmp_path / "r", numbers(4), changed, engines=ENGINE)
    assert engines[2].asked == 4


def test_a_failure_names_the_round(tmp_path):
    body = (step("t_copies", n=1), step("t_die", how="raise", at=1))
    with pytest.raises(OperatorError, match="loop, round 1: step 'die'"):
        go(tmp_path / "r", numbers(3), loop(*body, rounds=2))


def ledger(done):
    return pq.read_table(done.folder / "ledger.parquet").to_pylist()


def accounted(done):
    """Every row that was read or made is dropped, is final, or became the parent of others."""
    events = ledger(done)
    came = {e["row_id"] for e in events if e["event"] in ("read", "made")}
    went = {e["row_id"] for e in events if e["event"] in ("dropped", "final")} | {e["parent_id"] for e in events}
    return came, went


BODIES = st.lists(
    st.sampled_from(["t_copies", "t_even", "t_doubled", "t_atleast", "t_beside"]), min_size=1, max_size=4
)  # fmt: skip


def body_of(names):
    # Two steps that make rows of the same rows would give them the same ids.
    names = [n for i, n in enumerate(names) if n != "t_copies" or "t_copies" not in names[:i]]
    given = {"t_beside": {"against": "${state}"}, "t_atleast": {"value": 2}, "t_even": {"modulus": 3}}
    return [step(n, f"{n}-{i}", **given.get(n, {})) for i, n in enumerate(names)]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=BODIES, rounds=st.integers(0, 3), mode=st.sampled_from(["append", "replace"]), count=st.integers(0, 6))
def test_rows_in_and_made_are_rows_out_and_dropped(tmp_path_factory, names, rounds, mode, count):
    folder = tmp_path_factory.mktemp("loop")
    steps = (numbers(count), loop(*body_of(names), rounds=rounds, mode=mode), step("t_known"))
    done = go(folder / "a", *steps)
    for one in [*done.summary(), *(s for r in done.rounds() for s in r.summary())]:
        assert one["in"] + one["made"] == one["out"] + one["dropped"], one
    assert len(table(done, "loop")) == done.receipts[1]["out"]
    assert len(table(done, "loop", dropped=True)) == done.receipts[1]["dropped"]
    came, went = accounted(done)
    assert came <= went
    other = go(folder / "b", *steps, shard_rows=2)
    assert sorted(map(str, table(other))) == sorted(map(str, table(done)))


def test_the_ledger_tells_the_round(tmp_path):
    done = go(tmp_path / "r", numbers(2), loop(step("t_copies", n=1), rounds=2))
    made = [e for e in ledger(done) if e["event"] == "made"]
    assert {(e["step"], e["round"], e["position"]) for e in made} == {("loop.copies", 1, 2), ("loop.copies", 2, 3)}


def test_two_loops_and_a_whole_round_done_twice_over(tmp_path):
    first, second = loop(step("t_copies", n=1), rounds=1), loop(step("t_copies", n=1), rounds=1, label="loop-2")
    done = go(tmp_path / "r", numbers(2), first, second, step("t_dump"))
    assert done.receipts[2]["out"] == 8
    again = go(tmp_path / "r", numbers(2), first, second, step("t_dump"))
    assert again.summary() == done.summary()
    facts = json.loads((tmp_path / "r/out/facts.json").read_text())
    assert "seconds" not in json.dumps(facts["receipts"])


def test_columns_of_the_first_round_reach_the_state(tmp_path):
    done = go(tmp_path / "r", numbers(2), loop(step("t_copies", n=1), step("t_doubled"), rounds=2))
    assert {(r["round"], r["double"] is None) for r in table(done)} == {(0, True), (1, False), (2, False)}


def test_plan_counts_the_requests_of_all_rounds(tmp_path, engines):
    pipeline = chain(numbers(3), asks(rounds=2), engines=ENGINE)
    told = {s.step: s for s in plan(pipeline, tmp_path / "r").steps}
    assert told["loop.ask"].requests == 3 + 3
    assert told["loop"].rows_out == 9
    assert sum(e.asked for e in engines) == 0


def test_a_plan_counts_rounds_that_a_rehearsal_would_leave_out(tmp_path, engines):
    body = (step("t_ask", engine="one", n=1), step("t_atleast", value=100))
    told = {s.step: s for s in plan(chain(numbers(3), loop(*body, rounds=4), engines=ENGINE), tmp_path / "r").steps}
    assert told["loop.ask"].requests == 12


def test_preview_runs_one_round(tmp_path, engines):
    shown = preview(chain(numbers(3), asks(rounds=4), engines=ENGINE), rows=2, folder=tmp_path / "r", store={})
    assert [s.step for s in shown.steps] == ["numbers", "loop.sql", "loop.ask", "loop.doubled", "loop"]
    assert len(shown.asked) == 2


def test_what_the_runner_needs_is_what_the_registry_says():
    assert find("loop") is REGISTRY["loop"]
    assert dataclasses.replace(loop(step("t_copies"), rounds=1)).bound["steps"] == ("copies",)
