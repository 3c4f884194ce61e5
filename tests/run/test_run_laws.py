"""Every law, broken once: the runner names the operator and the first offending ids."""

# ruff: noqa: E501 - one case a line

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given as given_values
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from run_stand_ins import chain, dropped, step

from curator.errors import OperatorError
from curator.op import REGISTRY, Result, Split, operator
from curator.run import laws
from curator.run.local import run

SEEN = {"broken": None}


@operator("table", effect="keeps", version=1, adds=("parent_id",), reasons={"why": "because"}, name="t_bad_table")
def bad_table(*, out: str, lost: str | None = None):
    return lambda _view: Split(out, lost)


def spec(effect, adds=None, reasons=("why",)):
    return laws.Spec("it", "it", "row", effect, lambda: None, {}, adds or {}, reasons)


def table(ids=("a", "b", "c"), text=("x", "y", None)):
    return pa.table({"row_id": pa.array(ids, pa.string()), "text": pa.array(text, pa.string())})


ROWS = table()
PARENT = {"parent_id": pa.string()}


def children(parents, ids, text):
    return table(ids, text).append_column("parent_id", pa.array(parents, pa.string()))


BROKEN = {
    "vanished": ("keeps", {}, table(("a", "b"), ("x", "y")), "rows vanished.*: c"),
    "twice": ("keeps", {}, table(("a", "a", "b", "c"), ("x", "x", "y", None)), "same row_id twice in its rows: a"),
    "null id": ("keeps", {}, table(("a", "b", None), ("x", "y", None)), "null row_id"),
    "new in keeps": ("keeps", {}, table(("a", "b", "c", "d"), ("x", "y", None, "z")), "keeps rows, but returned new ones: d"),
    "edited in keeps": ("keeps", {}, table(text=("x", "Y", None)), "changed column 'text' of: b"),
    "edited null": ("marks", {}, table(text=("x", "y", "")), "changed column 'text' of: c"),
    "order in marks": ("marks", {}, table(("b", "a", "c"), ("y", "x", None)), "another order"),
    "drops in marks": ("marks", {}, Result(table(("a", "b"), ("x", "y")), dropped([("c", "why", "{}")])), "dropped some|another order"),
    "both": ("keeps", {}, Result(ROWS, dropped([("a", "why", "{}")])), "both returned and dropped: a"),
    "dropped twice": ("keeps", {}, Result(table(("a", "b"), ("x", "y")), dropped([("c", "why", "{}")] * 2)), "dropped the same row twice: c"),
    "dropped stranger": ("keeps", {}, Result(ROWS, dropped([("z", "why", "{}")])), "not given: z"),
    "unknown reason": ("keeps", {}, Result(table(("a", "b"), ("x", "y")), dropped([("c", "mood", "{}")])), "mood, which it does not declare"),
    "orphan": ("makes", PARENT, children(("a", "b", "c", "z"), ("a/0", "b/0", "c/0", "z/0"), ("x", "y", None, "x")), "parent_id it was not given: z/0"),
    "edited in makes": ("makes", PARENT, children(("a", "b", "c"), ("a/0", "b/0", "c/0"), ("x", "y", "z")), "changed column 'text' of: c/0"),
    "child of dropped": ("makes", PARENT, Result(children(("a", "b", "c"), ("a/0", "b/0", "c/0"), ("x", "y", None)), dropped([("a", "why", "{}")])), "both returned and dropped: a"),
    "column lost": ("marks", {}, ROWS.select(["row_id"]), "lost text"),
    "column undeclared": ("marks", {}, ROWS.append_column("new", pa.array([1, 2, 3])), "undeclared new"),
    "wrong type": ("marks", {"n": pa.int32()}, ROWS.append_column("n", pa.array(["1", "2", "many"])), "column 'n' is string, declared int32"),
    "no table": ("marks", {}, None, "returned NoneType"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BROKEN))
def test_a_broken_law_is_named_with_the_offending_rows(case):
    effect, adds, returned, message = BROKEN[case]
    with pytest.raises(OperatorError, match=message) as e:
        laws.settle(spec(effect, adds), ROWS, returned, "shard 7")
    assert "step 'it', shard 7" in str(e.value)
    assert "\n" not in str(e.value)


@given_values(
    st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.one_of(st.none(), st.text(max_size=3))), max_size=12)
)
@hypothesis_settings(deadline=None)
def test_any_mix_of_kept_made_and_dropped_rows_is_conserved(fates):
    """fate: how many children a row gets, whether it stays itself; a row with neither is dropped."""
    given = table([f"r{i}" for i in range(len(fates))], [t for _, _, t in fates])
    kept = [i for i, (n, stays, _) in enumerate(fates) if stays]
    lost = [i for i, (n, stays, _) in enumerate(fates) if not stays and not n]
    made = [(i, k) for i, (n, _, _) in enumerate(fates) for k in range(n)]
    out = given.take(pa.array([*kept, *(i for i, _ in made)], pa.int64()))
    ids = [f"r{i}" for i in kept] + [f"r{i}/{k}" for i, k in made]
    parents = [None] * len(kept) + [f"r{i}" for i, _ in made]
    out = out.set_column(0, "row_id", pa.array(ids, pa.string())).append_column(
        "parent_id", pa.array(parents, pa.string())
    )
    result = Result(out, dropped([(f"r{i}", "why", "{}") for i in lost]))
    _, gone, numbers = laws.settle(spec("makes", PARENT), given, result, "shard 0")
    assert numbers["rows_in"] + numbers["made"] == numbers["out"] + numbers["dropped"]
    assert gone["text"].to_pylist() == [fates[i][2] for i in lost]


def test_nan_and_lists_count_as_unchanged():
    given = (
        table().append_column("x", pa.array([1.0, float("nan"), None])).append_column("l", pa.array([[1], [], None]))
    )
    out, _, _ = laws.settle(spec("marks"), given, given.slice(0), "shard 0")
    assert out.num_rows == 3
    with pytest.raises(OperatorError, match="'x' of: b"):
        laws.settle(spec("marks"), given, given.set_column(2, "x", pa.array([1.0, 2.0, None])), "shard 0")


DROP_ODD = "select row_id, 'why' as reason, '{}' as evidence from rows where value % 2 = 1"
EVEN = "select *, null::varchar as parent_id from rows where value % 2 = 0"
BROKEN_SQL = {
    "vanished": (EVEN, None, "rows vanished.*: p-1, p-3"),
    "edited": (EVEN.replace("*", "* replace ('!' as problem)"), DROP_ODD, "changed columns it does not declare of: p-0, p-2"),
    "both": ("select *, null::varchar as parent_id from rows", DROP_ODD, "both returned and dropped: p-[13]"),
    "twice": (f"{EVEN} union all by name {EVEN}", DROP_ODD, "same row_id twice.*: p-0, p-2, p-4"),
    "new": (EVEN.replace("*", "* replace (row_id || 'x' as row_id)"), DROP_ODD, "returned new ones: p-[024]x"),
    "stranger": (EVEN, DROP_ODD.replace("row_id,", "row_id || '?' as row_id,"), "dropped rows it was not given: p-[13]"),
    "reason": (EVEN, DROP_ODD.replace("why", "mood"), "mood, which it does not declare"),
    "undeclared": (EVEN.replace("*", "*, 1 as more"), DROP_ODD, "undeclared more"),
    "broken SQL": ("select nothing from rows", None, "nothing.*not found"),
}  # fmt: skip


@pytest.mark.parametrize("case", sorted(BROKEN_SQL))
def test_a_table_operator_is_held_to_the_same_laws(tmp_path, case):
    out, lost, message = BROKEN_SQL[case]
    pipeline = chain(step("t_numbers", count=5), step("t_bad_table", out=out, lost=lost))
    with pytest.raises(OperatorError, match=message):
        run(pipeline, tmp_path / "r", workers=0)
    assert not (tmp_path / "r/steps/02-bad_table/receipt.json").exists()


def test_a_lawful_table_operator_passes(tmp_path):
    done = run(
        chain(step("t_numbers", count=5), step("t_bad_table", out=EVEN, lost=DROP_ODD)), tmp_path / "r", workers=0
    )
    assert done.receipts[-1]["reasons"] == {"why": 2}
    assert done.table(-1).columns[-1] == "parent_id"


@operator("row", effect="makes", version=1, adds=("parent_id",), name="t_same_child")
def same_child():
    def make(t):
        out = t.slice(0, 1)
        parents = out["row_id"]
        out = out.set_column(0, "row_id", pa.array(["child"])).append_column("parent_id", parents)
        rest = t.slice(1).append_column("parent_id", pa.nulls(t.num_rows - 1, pa.string()))
        return pa.concat_tables([out, rest])

    return make


def test_ids_are_unique_over_all_shards(tmp_path):
    pipeline = chain(step("t_numbers", count=6), step("t_same_child"))
    with pytest.raises(OperatorError, match="same row_id twice in its rows: child"):
        run(pipeline, tmp_path / "r", workers=0, shard_rows=3)


def test_an_all_null_batch_does_not_change_a_columns_type(tmp_path):
    @operator("row", effect="marks", version=1, adds={"note": pa.string()}, name="t_note")
    def note():
        def mark(t):
            first = "p-0" in t["row_id"].to_pylist()
            return t.append_column("note", pa.nulls(t.num_rows) if first else pc.cast(t["value"], pa.string()))

        return mark

    done = run(chain(step("t_numbers", count=6), step("t_note")), tmp_path / "r", workers=0, shard_rows=2)
    assert done.table(-1).to_arrow_table()["note"].to_pylist() == [None, None, "2", "3", "4", "5"]
    assert REGISTRY["t_note"].kind({}) == "row"
