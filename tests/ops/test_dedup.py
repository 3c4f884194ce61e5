"""`dedup`: equal after normalising, one kept, whatever the order."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import ids, step

from curator import fold
from curator.errors import CheckError
from curator.op import find
from curator.ops.dedup import dedup


def table(problems, **more) -> pa.Table:
    rows = pa.array([f"r{i}" for i in range(len(problems))], pa.string())
    return pa.table({"row_id": rows, "problem": pa.array(problems, pa.string()), **more})


def test_the_kept_row_has_the_lowest_id_and_the_others_name_it():
    out, dropped, _ = step(dedup(), table(["Find  x.", "find x.", "Find\nx. ", "Find y."]))
    assert [(r["row_id"], r["cluster_id"], r["cluster_size"]) for r in out] == [("r0", "r0", 3), ("r3", "r3", 1)]
    assert [(r["row_id"], r["reason"], r["evidence"]["dup_of"]) for r in dropped] == [
        ("r1", "exact_duplicate", "r0"), ("r2", "exact_duplicate", "r0")]  # fmt: skip
    assert dropped[0]["evidence"]["normalise"] == ["nfkc", "lower", "whitespace"]


def test_numbers_and_operators_keep_problems_apart():
    texts = ["Compute 12 + 3.", "compute 45*6", "Compute 12 - 3.", "Compute 1 2 + 3."]
    assert len(step(dedup(), table(texts))[0]) == 4


def test_keep_is_an_expression():
    whole = table(["x", "x", "x"], n_tokens=pa.array([5, None, 9]))
    assert ids(step(dedup(keep="n_tokens desc"), whole)[0]) == ["r2"]
    assert ids(step(dedup(keep="n_tokens"), whole)[0]) == ["r0"]
    assert find("dedup").needs({"on": "problem", "keep": "n_tokens * score desc"}) == (
        "row_id", "problem", "n_tokens", "score")  # fmt: skip


def test_several_columns_must_all_agree():
    whole = table(["x", "x", "x"], answer=pa.array([1, 2, 1]))
    assert ids(step(dedup(on=["problem", "answer"]), whole)[0]) == ["r0", "r1"]
    swapped = pa.table({"row_id": ["a", "b"], "problem": ["u", "v"], "answer": ["v", "u"]})
    assert len(step(dedup(on=["problem", "answer"]), swapped)[0]) == 2


def test_null_is_no_duplicate_of_null():
    assert len(step(dedup(), table([None, None, ""]))[0]) == 3
    half = table(["x", "x"], answer=pa.array([None, None], pa.string()))
    assert len(step(dedup(on=["problem", "answer"]), half)[0]) == 1


def test_normalisers_are_named_and_checked():
    same = table([r"Find $\dfrac{1}{2}$!", r"find $\frac{1}{2}$"])
    assert len(step(dedup(), same)[0]) == 2
    assert len(step(dedup(normalise=["whitespace", "lower", "latex", "punctuation"]), same)[0]) == 1
    assert len(step(dedup(normalise=[]), table(["a", "A"]))[0]) == 2
    with pytest.raises(CheckError, match="did you mean 'lower'"):
        dedup(normalise=["lowr"])


def test_a_second_dedup_replaces_the_cluster_columns():
    out, _, _ = step(dedup(), table(["x", "x", "y"]))
    again, dropped, _ = step(dedup(), pa.Table.from_pylist(out))
    assert [r["cluster_size"] for r in again] == [1, 1]
    assert dropped == []


def test_a_method_that_is_not_there():
    with pytest.raises(CheckError, match="did you mean 'exact'"):
        dedup(method="exactt")


texts = st.text(st.sampled_from("aAbB xX²２\u00a0\t\n.!é＋"), max_size=6)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.one_of(st.none(), texts), max_size=12), st.randoms(use_true_random=False))
def test_agrees_with_a_dictionary_in_any_order(problems, random):
    names = fold.chain(["nfkc", "lower", "whitespace"])
    first: dict[str, str] = {}
    for i, text in enumerate(problems):
        if text is not None:
            first.setdefault(fold.normalise(text, names), f"r{i:02}")
    expected = sorted([*first.values(), *(f"r{i:02}" for i, t in enumerate(problems) if t is None)])
    whole = table(problems).set_column(0, "row_id", pa.array([f"r{i:02}" for i in range(len(problems))], pa.string()))
    order = list(range(len(problems)))
    random.shuffle(order)
    out, _, _ = step(dedup(), whole.take(pa.array(order, pa.int64())))
    assert ids(out) == expected


@settings(deadline=None, max_examples=60)
@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=20), max_size=8),
       st.sets(st.sampled_from(["nfkc", "lower", "whitespace", "punctuation"])))  # fmt: skip
def test_the_kernel_normalises_like_python(found, chosen):
    names = fold.chain(chosen)
    mixed = found + [t.encode("ascii", "ignore").decode() for t in found]
    hashes = [tuple(h) for h in fold.hashes(pa.array(mixed, pa.string()), names).tolist()]
    plain = [fold.normalise(t, names) for t in mixed]
    for i in range(len(mixed)):
        for j in range(i):
            assert (hashes[i] == hashes[j]) == (plain[i] == plain[j])


def test_hashing_a_slice_and_a_chunked_column():
    whole = pa.chunked_array([["a", "b"], ["A ", None, "é"]])
    hashes = fold.hashes(whole, fold.chain(["lower", "whitespace"]))
    assert (hashes[0] == hashes[2]).all()
    assert (hashes[3] == 0).all()
    assert (fold.hashes(whole.slice(2), fold.chain(["lower", "whitespace"])) == hashes[2:]).all()


def test_ties_of_keep_go_to_the_smallest_row_id():
    whole = table(["x"] * 40, n_tokens=pa.array([7] * 40))
    for order in (list(range(40))[::-1], [(i * 7) % 40 for i in range(40)]):
        assert ids(step(dedup(keep="n_tokens"), whole.take(order))[0]) == ["r0"]
