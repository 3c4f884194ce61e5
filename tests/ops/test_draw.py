"""`draw`: new rows of k items each, a function of seed, number and pool; PromptCoT's and SkillMix's traps avoided."""

import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import ArrowView

from curator.errors import CheckError, InputError
from curator.op import find
from curator.ops import _draw


def drawn(table, **given):
    view = ArrowView(table)
    split = find("draw").factory(**{"seed": 0, **given})(view)
    out = view.con.sql(split.out).to_arrow_table().to_pylist()
    lost = view.con.sql(split.dropped).to_arrow_table()["row_id"].to_pylist()
    return out, sorted(lost), split.counts


def problems(n, **more):
    return pa.table({"row_id": [f"p-{i}" for i in range(n)], "problem": [f"problem {i}" for i in range(n)], **more})


def lists(*values):
    concepts = pa.array(values, pa.list_(pa.string()))
    return pa.table({"row_id": [f"r-{i}" for i in range(len(values))], "concepts": concepts})


def test_draws_name_their_parents_and_the_others_are_dropped():
    out, lost, counts = drawn(problems(10), n=2, k=3)
    used = {i for r in out for i in r["parent_ids"]}
    for r in out:
        assert r["examples"] == [f"problem {i.removeprefix('p-')}" for i in r["parent_ids"]]
        assert len(set(r["parent_ids"])) == 3
        assert r["parent_id"] == r["parent_ids"][0]
        assert r["problem_id"] == r["row_id"]
    assert lost == sorted({f"p-{i}" for i in range(10)} - used)
    assert counts == {"pool": 10, "merged": 0, "short": 0}


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 12), st.integers(0, 8), st.integers(1, 5), st.randoms(), st.sampled_from(["independent", "linked"])
)  # fmt: skip
def test_a_draw_depends_on_no_order(rows, n, k, chance, how):
    table = problems(rows)
    order = list(range(rows))
    chance.shuffle(order)
    assert drawn(table, n=n, k=k, how=how) == drawn(table.take(pa.array(order, pa.int64())), n=n, k=k, how=how)
    few, many = drawn(table, n=n, k=k, how=how)[0], drawn(table, n=n + 3, k=k, how=how)[0]
    assert many[:n] == few
    for r in few:
        assert len(set(r["examples"])) == len(r["examples"]) == min(k, rows)


def test_a_small_pool_gives_what_it_has():
    out, _, counts = drawn(problems(2), n=3, k=5)
    assert [len(r["examples"]) for r in out] == [2, 2, 2]
    assert counts["short"] == 3
    assert drawn(problems(0), n=3)[0] == []


def test_weights_are_chances():
    table = problems(3, level=[1.0, 3.0, 0.0])
    first = Counter(r["examples"][0] for r in drawn(table, n=4000, k=1, weights="level")[0])
    assert first["problem 2"] == 0
    assert first["problem 1"] / 4000 == pytest.approx(0.75, abs=0.03)
    pairs = {tuple(r["examples"]) for r in drawn(table, n=50, k=3, weights="level")[0]}
    assert pairs == {("problem 0", "problem 1"), ("problem 1", "problem 0")}


def test_one_heavy_item_does_not_hold_up_a_draw():
    assert sorted(_draw.independent([1e12, 1.0, 1.0], 3, 0, 0)) == [0, 1, 2]


@pytest.mark.parametrize("weight", [-1.0, float("nan"), float("inf")])
def test_weights_that_are_none_are_refused(weight):
    with pytest.raises(InputError, match="level of row p-0"):
        drawn(problems(1, level=[weight]), n=1, weights="level")


def test_items_of_lists_are_distinct_after_normalising():
    """Instruct-SkillMix's released list of 1,143 skills has 11 doubles."""
    table = lists(["Algebra", "number  theory"], ["algebra", "Number Theory "], ["sets"])
    out, _, counts = drawn(table, n=20, k=3, of="concepts")
    assert counts["pool"] == 3
    for r in out:
        assert sorted(r["examples"]) == ["Algebra", "number  theory", "sets"]
    assert drawn(lists(["a", None, " "], None), n=1, k=2, of="concepts")[0][0]["examples"] == ["a"]


def test_count_weighs_by_rows():
    table = lists(*[["often"]] * 9, ["rare"])
    first = Counter(r["examples"][0] for r in drawn(table, n=2000, k=1, of="concepts", weights="count")[0])
    assert first["often"] / 2000 == pytest.approx(0.9, abs=0.03)


def test_linked_scores_belong_to_the_item_and_not_to_its_rank():
    """PromptCoT's FastConceptSampler adds likeness in the order of ranks to co-occurrence in the order of ids."""
    values = [["circle area", "circles"], ["circle area", "primes"], ["primes", "divisors"], ["sets"]]
    items, _ = _draw.pool_of((f"r-{i}", v, None) for i, v in enumerate(values))
    linked = _draw.Linked(items, 0.2)
    names = [i.text for i in items]
    scores = dict(zip(names, linked.scores(names.index("circle area")), strict=True))
    vectors = dict(zip(names, linked.vectors, strict=True))
    for name, together in {"circles": 1, "primes": 1, "divisors": 0, "sets": 0}.items():
        assert scores[name] == pytest.approx(together + float(vectors[name] @ vectors["circle area"]))
    assert scores["circles"] > scores["primes"] > scores["divisors"]
    order = np.random.default_rng(0).permutation(len(items))
    turned = _draw.Linked([items[i] for i in order], 0.2)
    found = turned.scores(list(order).index(names.index("circle area")))
    again = dict(zip([names[i] for i in order], found, strict=True))
    assert again == pytest.approx(scores)


def test_linked_concepts_stay_together_and_never_repeat():
    table = lists(*[["a1", "a2", "a3"]] * 5, *[["b1", "b2", "b3"]] * 5)
    for r in drawn(table, n=50, k=3, of="concepts", how="linked")[0]:
        assert len(set(r["examples"])) == 3
        assert len({name[0] for name in r["examples"]}) == 1


def test_balanced_columns_are_even_and_not_in_order():
    out, _, _ = drawn(problems(4), n=10, k=1, balance={"level": ["easy", "mid", "hard"]})
    assert sorted(Counter(r["level"] for r in out).values()) == [3, 3, 4]
    assert [r["level"] for r in out] != ["easy", "mid", "hard"] * 3 + ["easy"]


def test_where_keeps_rows_out_of_the_pool():
    out, lost, _ = drawn(problems(6, ok=[True, False] * 3), n=9, k=3, where="ok")
    assert {i for r in out for i in r["parent_ids"]} == {"p-0", "p-2", "p-4"}
    assert lost == ["p-1", "p-3", "p-5"]


@pytest.mark.parametrize(
    ("given", "said"),
    [({"n": -1}, "n is -1"), ({"n": 1, "k": 0}, "k 0"), ({"n": 1, "temperature": 0.0}, "above 0"),
     ({"n": 1, "how": "linked", "weights": "level"}, "leave weights out"),
     ({"n": 1, "balance": {"level": []}}, "its values"),
     ({"n": 1, "balance": {"row_id": ["a"]}}, "a column of its own")],
)  # fmt: skip
def test_settings_that_make_no_sense(given, said):
    with pytest.raises(CheckError, match=said):
        find("draw").factory(**given)


def test_ids_differ_by_seed_and_by_what_was_drawn():
    one, two = drawn(problems(5), n=3, k=2, seed=1)[0], drawn(problems(5), n=3, k=2, seed=2)[0]
    assert not {r["row_id"] for r in one} & {r["row_id"] for r in two}
    assert random.Random(0).random() == 0.8444218515250481  # the draws rest on this generator staying as it is
