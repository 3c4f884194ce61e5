"""`dedup` by MinHash, edits and vectors: what is merged, what is kept apart, whatever the order, and bad input."""

from __future__ import annotations

import json
import random
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import ids, step

from curator.errors import CheckError, InputError
from curator.op import find
from curator.ops.dedup import dedup, inputs

WORDS = [f"{a}{b}" for a in "bcdfghklmnprst" for b in ("al", "er", "in", "on", "us")]


def table(problems, **more) -> pa.Table:
    names = [f"r{i:03}" for i in range(len(problems))]
    return pa.table({"row_id": names, "problem": pa.array(problems, pa.string()), **more})


def sentence(seed: int, size: int = 40) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=size))


def grams(text: str, n: int = 5) -> set[tuple[str, ...]]:
    words = [w.lower() for w in re.findall(r"\w+", text)]
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


def jaccard(a: str, b: str, n: int = 5) -> float:
    x, y = grams(a, n), grams(b, n)
    return len(x & y) / len(x | y) if x | y else 0.0


def near(text: str, at: int = 20, word: str = "changed") -> str:
    words = text.split()
    words[at] = word
    return " ".join(words)


BASE = sentence(1)
SAME_WORDS = "Dina has 3 red boxes and 12 green ones in the old house; how many boxes has she got in all her rooms?"


@pytest.mark.parametrize("method", ["minhash", "edit"])
def test_a_near_copy_is_dropped_and_says_why(method):
    threshold = {"minhash": 0.7, "edit": 0.9}[method]
    out, dropped, _ = step(dedup(method=method, threshold=threshold), table([BASE, near(BASE), sentence(2)]))
    assert [(r["row_id"], r["cluster_id"], r["cluster_size"], r["dup_of"]) for r in out] == [
        ("r000", "r000", 2, None), ("r002", "r002", 1, None)]  # fmt: skip
    (lost,) = dropped
    assert (lost["row_id"], lost["reason"]) == ("r001", f"{method}_duplicate")
    evidence = lost["evidence"]
    assert (evidence["dup_of"], evidence["method"], evidence["threshold"]) == ("r000", method, threshold)
    assert evidence["similarity"] < 1
    if method == "minhash":
        assert evidence["similarity"] == pytest.approx(jaccard(BASE, near(BASE)), abs=1e-6)


@pytest.mark.parametrize("method", ["minhash", "edit"])
@pytest.mark.parametrize("other", ["Dina has 4 red", "Dina has -3 red", "Dina has 3,000 red"])
def test_other_figures_are_another_problem_unless_told_so(method, other):
    rows = table([SAME_WORDS, SAME_WORDS.replace("Dina has 3 red", other), SAME_WORDS.upper()])
    plan = {"method": method, "threshold": 0.6}
    assert ids(step(dedup(**plan), rows)[0]) == ["r000", "r001"]
    assert ids(step(dedup(numbers=False, **plan), rows)[0]) == ["r000"]


def test_keep_lists_orders_and_the_kept_row_gains_the_cluster():
    rows = table([BASE, BASE + " ", BASE.upper(), BASE], verified=[False, True, True, True], cost=[1, 5, 5, 9])
    for method in ("minhash", "exact", "edit"):
        out, dropped, _ = step(dedup(method=method, keep="verified desc, length(problem), cost"), rows)
        assert [(r["row_id"], r["cluster_size"]) for r in out] == [("r002", 4)]
        assert {r["evidence"]["dup_of"] for r in dropped} == {"r002"}
    assert find("dedup").needs({"on": "problem", "keep": "verified desc, length(trace), cost"}) == (
        "row_id", "problem", "verified", "trace", "cost")  # fmt: skip


@pytest.mark.parametrize("keep", ["", "row_id limit 1", "nonsense(", "random()", "(select 1 from other)"])
def test_keep_that_is_no_order(keep):
    with pytest.raises(CheckError):
        dedup(keep=keep)


def chain() -> list[str]:
    """Three texts, each like the next, the ends unlike: A ~ B ~ C."""
    return ["m" * 100, "m" * 96 + "wxyz", "abcd" + "m" * 92 + "wxyz"]


def test_greedy_keeps_what_pairwise_and_linked_drop():
    """Golden case of OpenThoughts' deduplicate.py: ratios AB 96, BC 96, AC 92 at 95."""
    plan = {"method": "edit", "normalise": [], "threshold": 0.95, "numbers": False}
    assert ids(step(dedup(**plan), table(chain()))[0]) == ["r000", "r002"]
    for cluster in ("pairwise", "linked"):
        out, dropped, _ = step(dedup(cluster=cluster, **plan), table(chain()))
        assert [(r["row_id"], r["cluster_size"]) for r in out] == [("r000", 3)]
        assert [r["evidence"]["cluster_id"] for r in dropped] == ["r000", "r000"]
    told = {r["row_id"]: r["evidence"] for r in step(dedup(cluster="pairwise", **plan), table(chain()))[1]}
    assert (told["r002"]["dup_of"], told["r002"]["similarity"]) == ("r001", 0.96)


def test_the_threshold_of_edits_is_inclusive():
    a, b = "x" * 95 + "abcde", "x" * 95 + "fghij"
    plan = {"method": "edit", "normalise": [], "numbers": False}
    assert len(step(dedup(threshold=0.95, **plan), table([a, b]))[0]) == 1
    assert len(step(dedup(threshold=0.951, **plan), table([a, b]))[0]) == 2


def openthoughts(texts: list[str]) -> list[int]:
    """Which rows stay when the later row of every pair at 95 or above goes."""
    from rapidfuzz import fuzz

    gone = {j for i, a in enumerate(texts) for j, b in enumerate(texts) if i < j and fuzz.ratio(a, b) >= 95}
    return [i for i in range(len(texts)) if i not in gone]


def greedy(texts: list[str]) -> list[int]:
    from rapidfuzz import fuzz

    kept: list[int] = []
    for j, b in enumerate(texts):
        if not any(fuzz.ratio(texts[i], b) >= 95 for i in kept):
            kept.append(j)
    return kept


edits = st.lists(st.tuples(st.integers(0, 3), st.lists(st.tuples(st.integers(0, 59), st.sampled_from("qzé3")), max_size=4)),  # noqa: E501
                 min_size=1, max_size=9)  # fmt: skip


@settings(deadline=None, max_examples=25)
@given(edits, st.sampled_from(["greedy", "pairwise"]))
def test_edit_finds_what_all_pairs_find(found, cluster):
    texts = []
    for seed, changes in found:
        letters = list(sentence(seed, 12)[:60].ljust(60, "s"))
        for at, letter in changes:
            letters[at] = letter
        texts.append("".join(letters))
    run = dedup(method="edit", normalise=[], numbers=False, cluster=cluster)
    wanted = (greedy if cluster == "greedy" else openthoughts)(texts)
    assert ids(step(run, table(texts))[0]) == [f"r{i:03}" for i in wanted]


problems = st.lists(
    st.one_of(st.none(), st.just(""), st.just("one"),
              st.builds(lambda s, at, w: near(sentence(s, 30), at, w), st.integers(0, 4), st.integers(0, 29),
                        st.sampled_from(["alpha", "beta", "7", "8"]))), min_size=1, max_size=14)  # fmt: skip


@settings(deadline=None, max_examples=25)
@given(problems, st.randoms(use_true_random=False), st.sampled_from(["minhash", "edit", "semantic"]),
       st.sampled_from(["linked", "greedy", "pairwise"]), st.integers(1, 9))  # fmt: skip
def test_the_same_whatever_the_order_and_the_batches(texts, chance, method, cluster, batch):
    vectors = [None if t is None else [len(t) % 7 + 1.0, t.count("a") + 0.5, t.count("7")] for t in texts]
    whole = table(texts, v=pa.array(vectors, pa.list_(pa.float32())), cost=pa.array([len(t or "") % 3 for t in texts]))
    plan = {"method": method, "cluster": cluster, "keep": "cost desc", "threshold": 0.7}
    run = dedup(**plan, **({"vectors": "v", "numbers": False} if method == "semantic" else {}))
    order = list(range(len(texts)))
    chance.shuffle(order)
    assert step(run, whole) == step(run, whole.take(pa.array(order, pa.int64())), batch)


@settings(deadline=None, max_examples=25)
@given(problems)
def test_minhash_links_what_all_pairs_link(texts):
    """Against connected components of all pairs by plain Python; 40 words and J of .6 leave nothing to luck at 64 x 2."""  # noqa: E501
    run = dedup(method="minhash", threshold=0.6, numbers=False, bands=64, rows_per_band=2)
    group = list(range(len(texts)))
    for j, b in enumerate(texts):
        for i, a in enumerate(texts[:j]):
            if jaccard(a or "", b or "") >= 0.6 and group[i] != group[j]:
                group = [group[i] if g == group[j] else g for g in group]
    first = {g: i for i, g in reversed(list(enumerate(group)))}
    assert ids(step(run, table(texts))[0]) == sorted(f"r{i:03}" for i in first.values())


def test_mark_keeps_all_rows():
    out, dropped, _ = step(
        dedup(method="minhash", threshold=0.7, action="mark"), table([BASE, near(BASE), sentence(3)])
    )
    assert dropped == []
    assert [(r["dup_of"], r["cluster_id"], r["cluster_size"]) for r in out] == [
        (None, "r000", 2), ("r000", "r000", 2), (None, "r002", 1)]  # fmt: skip
    assert out[1]["similarity"] == pytest.approx(jaccard(BASE, near(BASE)))


def test_blocks_are_compared_within():
    rows = table([BASE, BASE, BASE], category=["a", "b", "a"], v=[[1.0, 0]] * 3)
    for plan in ({"method": "minhash"}, {"method": "edit"}, {"method": "semantic", "vectors": "v"}):
        assert ids(step(dedup(block_by="category", **plan), rows)[0]) == ["r000", "r001"]


def test_characters_find_what_words_miss():
    spelled = BASE.replace("al ", "all ")
    rows = table([BASE, spelled])
    assert len(step(dedup(method="minhash", threshold=0.5), rows)[0]) == 2
    assert len(step(dedup(method="minhash", threshold=0.5, unit="char", n=5), rows)[0]) == 1


def test_signatures_may_decide():
    rows = table([BASE, near(BASE), sentence(5)])
    out, dropped, _ = step(dedup(method="minhash", threshold=0.6, verify="signature"), rows)
    assert ids(out) == ["r000", "r002"]
    assert dropped[0]["evidence"]["similarity"] * 128 == pytest.approx(
        round(dropped[0]["evidence"]["similarity"] * 128), abs=1e-3
    )


# vectors


def cloud(n: int, d: int, seed: int = 0) -> np.ndarray:
    v = np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)
    return v / np.linalg.norm(v, axis=1, keepdims=True)


def test_every_similar_pair_of_vectors_is_found():
    v = cloud(2600, 48)
    v[2300:] = v[:300] + np.linspace(0, 0.15, 300, dtype=np.float32)[:, None] * cloud(300, 48, 1)
    close = (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float64)
    wanted = {f"r{j:04}" for i, j in zip(*np.nonzero(np.triu(close @ close.T, 1) >= 0.995), strict=True)}
    assert 20 < len(wanted) < 290
    rows = pa.table({"row_id": [f"r{i:04}" for i in range(len(v))], "problem": ["x"] * len(v), "v": list(v)})
    _, dropped, _ = step(dedup(method="semantic", vectors="v", threshold=0.995), rows, 700)
    assert set(ids(dropped)) == wanted
    assert all(r["evidence"]["similarity"] >= 0.995 for r in dropped)


def test_an_inverted_file_above_the_size():
    pytest.importorskip("faiss")
    v = cloud(3000, 32)
    v[2900:] = v[:100] + 0.02 * cloud(100, 32, 1)
    rows = pa.table({"row_id": [f"r{i:04}" for i in range(3000)], "problem": ["x"] * 3000, "v": list(v)})
    order = np.random.default_rng(0).permutation(3000)
    first = step(dedup(method="semantic", vectors="v", exact_up_to=500), rows, 512)
    assert len(first[1]) >= 99
    assert step(dedup(method="semantic", vectors="v", exact_up_to=500), rows.take(order), 300) == first


def test_vectors_of_problems_with_other_numbers_stay_apart():
    v = [[1.0, 0.1], [1.0, 0.11], [1.0, 0.1], [1.0, 0.12]]
    rows = table(["3 cats, 5 dogs", "5 dogs and 3 cats", "3 cats, 6 dogs", "no number"], v=v)
    assert ids(step(dedup(method="semantic", vectors="v"), rows)[0]) == ["r000", "r002", "r003"]
    assert len(step(dedup(method="semantic", vectors="v", numbers=False), rows)[0]) == 1


@pytest.mark.parametrize(("column", "said"), [
    (pa.array([[1.0, 2], [1, 2, 3], [1, 2]]), "'v' of row r001 has 3 numbers, of row r000 2"),
    (pa.array([[1.0, 2], [1, float("nan")], [1, 2]]), "row r001 holds NaN"),
    (pa.array([[1.0, 2], [1, 2], [1, float("inf")]]), "row r002 holds NaN or infinity"),
    (pa.array([[1.0, None], [1, 2], [1, 2]]), "row r000 holds NaN"),
    (pa.array(["a", "b", "c"]), "is string; a vector column is a list of numbers"),
    (pa.array([["a"], ["b"], ["c"]]), "a vector column is a list of numbers"),
])  # fmt: skip
def test_vectors_that_cannot_be_compared(column, said):
    for batch in (1, 3):
        with pytest.raises(InputError, match=re.escape(said) if batch == 3 else "vector|numbers|NaN"):
            step(dedup(method="semantic", vectors="v"), table(["a", "b", "c"], v=column), batch)


def test_a_row_without_vector_or_with_zeros_is_like_no_other():
    rows = table(["x"] * 4, v=pa.array([None, None, [0.0, 0], [0.0, 0]]))
    for batch in (1, 4):  # the first batches may hold no vector at all
        assert len(step(dedup(method="semantic", vectors="v"), rows, batch)[0]) == 4


# bad and odd input


@pytest.mark.parametrize("plan", [{"method": "minhash"}, {"method": "edit"}, {"method": "minhash", "unit": "char"}])
def test_texts_with_nothing_in_them_are_no_duplicates(plan):
    assert len(step(dedup(**plan), table([None, None, "", "", "  ", " \n"]))[0]) == 6
    assert step(dedup(**plan), table([])) == ([], [], {})


@pytest.mark.parametrize(
    "plan", [{"method": "minhash"}, {"method": "edit"}, {"method": "minhash", "cluster": "greedy"}]
)
def test_one_word_rows(plan):
    assert ids(step(dedup(**plan), table(["yes", "no", "Yes!" if plan["method"] == "minhash" else "YES", "yes no"]))[0]) == [  # noqa: E501
        "r000", "r001", "r003"]  # fmt: skip


@pytest.mark.parametrize("cluster", ["linked", "greedy", "pairwise"])
@pytest.mark.parametrize("method", ["exact", "minhash", "edit", "semantic"])
def test_all_rows_identical(method, cluster):
    """A quadratic method would take minutes here."""
    rows = table([BASE] * 20_000, v=[[1.0, 2.0]] * 20_000)
    if method == "exact" and cluster != "linked":
        pytest.skip("exact has no cluster")
    plan = {"exact": {}, "semantic": {"vectors": "v", "cluster": cluster}}.get(method, {"cluster": cluster})
    out, dropped, _ = step(dedup(method=method, **plan), rows, 4096)
    assert [(r["row_id"], r["cluster_size"]) for r in out] == [("r000", 20_000)]
    assert {r["evidence"]["similarity"] for r in dropped} == {1.0}


def test_thousands_of_near_copies_are_one_cluster():
    words = sentence(9, 60).split()
    texts = [" ".join([*words, WORDS[i % 70], WORDS[i // 70 % 70]]) for i in range(4900)]
    out, _, _ = step(
        dedup(method="minhash"), pa.table({"row_id": [f"r{i:05}" for i in range(4900)], "problem": texts}), 2048
    )
    assert [(r["row_id"], r["cluster_size"]) for r in out] == [("r00000", 4900)]


def test_a_row_of_a_hundred_megabytes():
    huge = BASE * (100_000_000 // len(BASE))
    whole = pa.table(
        {"row_id": ["a", "b", "c"], "problem": pa.array([huge, sentence(2), huge + " end"], pa.large_string())}
    )
    assert ids(step(dedup(method="minhash"), whole)[0]) == ["a", "b"]


@pytest.mark.parametrize("method", ["exact", "edit"])
def test_a_huge_row_among_others(method):
    huge = BASE * (100_000_000 // len(BASE))
    other = huge.upper() if method == "exact" else huge[:100]
    rows = pa.table({"row_id": ["a", "b", "c"], "problem": pa.array([huge, other, BASE], pa.large_string())})
    assert ids(step(dedup(method=method), rows)[0]) == (["a", "c"] if method == "exact" else ["a", "b", "c"])


@pytest.mark.parametrize("method", ["exact", "minhash", "edit"])
def test_columns_that_are_not_text(method):
    numbers = table([None] * 3).set_column(1, "problem", pa.array([12, 12, 13]))
    assert ids(step(dedup(method=method), numbers)[0]) == ["r000", "r002"]
    nested = table([None] * 2).set_column(1, "problem", pa.array([[{"role": "user", "content": BASE}]] * 2))
    assert len(step(dedup(method=method), nested)[0]) == 1


def test_several_columns_are_one_text():
    rows = table([BASE, BASE, BASE], answer=["one", sentence(7, 60), "one"])
    assert ids(step(dedup(method="minhash", on=["problem", "answer"]), rows)[0]) == ["r000", "r001"]


@pytest.mark.parametrize(("plan", "said"), [
    ({"method": "minhash", "threshold": 95}, "0.95, not 95"),
    ({"method": "minhash", "bands": 16}, "together"),
    ({"method": "minhash", "bands": 16, "rows_per_band": 9}, "bands x rows_per_band is 144"),
    ({"method": "minhash", "permutations": 0}, "1 to 4096"),
    ({"method": "minhash", "n": 0}, "n is 0"),
    ({"method": "minhash", "unit": "words"}, "did you mean 'word'"),
    ({"method": "minhash", "verify": "jacard"}, "did you mean 'jaccard'"),
    ({"method": "edit", "cluster": "greed"}, "did you mean 'greedy'"),
    ({"method": "exact", "threshold": 0.9}, "other methods"),
    ({"method": "semantic"}, "either model"),
    ({"method": "semantic", "model": "m", "vectors": "v"}, "either model"),
    ({"method": "minhash", "vectors": "v"}, "of semantic"),
    ({"method": "edit", "index": True}, "its own index"),
    ({"action": "delete"}, "drop or mark"),
    ({"on": []}, "on is empty"),
])  # fmt: skip
def test_settings_that_cannot_be(plan, said):
    with pytest.raises(CheckError, match=said) as e:
        dedup(**plan)
    assert "\n" not in str(e.value)


def test_a_missing_library_is_told_with_its_pip_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(CheckError, match="pip install"):
        dedup(method="semantic", model="some/model")
    with pytest.raises(CheckError, match="pip install rapidfuzz"):
        dedup(method="edit")
    dedup(method="semantic", vectors="v")


# an index


def kept(tmp_path, texts, plan, name="old.parquet", **more):
    """An earlier dataset, made by dedup itself."""
    ids_ = [f"old{i}" for i in range(len(texts))]
    out, _, _ = step(dedup(**plan), pa.table({"row_id": ids_, "problem": texts, **more}))
    path = tmp_path / name
    pq.write_table(pa.Table.from_pylist(out), path)
    return str(path)


@pytest.mark.parametrize("plan", [{"method": "exact"}, {"method": "minhash", "threshold": 0.7},
                                  {"method": "minhash", "threshold": 0.7, "cluster": "greedy"},
                                  {"method": "edit", "threshold": 0.9}])  # fmt: skip
@pytest.mark.parametrize("index", [True, False])
def test_rows_that_an_earlier_dataset_holds_are_dropped(tmp_path, plan, index):
    if plan["method"] == "edit" and index:
        pytest.skip("edit compares texts; there is nothing to keep")
    path = kept(tmp_path, [BASE, sentence(2)], {**plan, "index": index})
    assert inputs({"against": path}) == [path]
    new = table([BASE.upper() if plan["method"] == "exact" else near(BASE), sentence(5), sentence(5)], cost=[0, 2, 1])
    out, dropped, _ = step(dedup(**plan, against=path, keep="cost"), new)
    assert [(r["row_id"], r["cluster_size"]) for r in out] == [("r002", 2)]
    assert [(r["row_id"], r["reason"], r["evidence"]["dup_of"]) for r in dropped] == [
        ("r000", "index_duplicate", "old0"), ("r001", f"{plan['method']}_duplicate", "r002")]  # fmt: skip


def test_the_kept_n_grams_are_what_texts_would_have_given(tmp_path):
    texts = [sentence(i, 5 + 3 * i) + f" {i} + 1" for i in range(8)] + ["one", "", None]
    plan = {"method": "minhash", "threshold": 0.7}
    new = table([near(t, 3) if t and len(t) > 30 else t for t in texts] + [texts[1]])
    told = [
        step(dedup(**plan, against=kept(tmp_path, texts, {**plan, "index": i}, f"{i}.parquet")), new)
        for i in (True, False)
    ]
    assert told[0] == told[1]
    assert told[0][1]


def test_an_index_of_vectors(tmp_path):
    v = cloud(3, 8)
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"row_id": ["a", "b"], "problem": ["x", "x"], "v": list(v[:2])}), path)
    _, dropped, _ = step(dedup(method="semantic", vectors="v", against=str(path)), table(["x", "x"], v=list(v[1:])))
    assert [(r["row_id"], r["evidence"]["dup_of"]) for r in dropped] == [("r000", "b")]
    pq.write_table(pa.table({"row_id": ["a"], "problem": ["x"], "v": [[1.0, 2, 3]]}), path)
    with pytest.raises(InputError, match="vectors of 3 and of 8 numbers"):
        step(dedup(method="semantic", vectors="v", against=str(path)), table(["x", "x"], v=list(v[1:])))


@pytest.mark.parametrize(("other", "said"), [
    ({"n": 4}, "n is 5, here 4"), ({"unit": "char"}, "unit is 'word', here 'char'"), ({"numbers": False}, "numbers is True, here False"),  # noqa: E501
    ({"method": "exact"}, "method is 'minhash', here 'exact'"),
    ({"block_by": "problem"}, "block_by is .*, here ..problem"),
])  # fmt: skip
def test_an_index_with_other_settings_is_refused(tmp_path, other, said):
    path = kept(tmp_path, [BASE], {"method": "minhash", "index": True})
    with pytest.raises(InputError, match=said):
        step(dedup(**{"method": "minhash", "against": path, **other}), table([BASE]))


@pytest.mark.parametrize("held", [None, 1])
def test_an_index_of_words_hashed_otherwise_is_refused(tmp_path, held):
    """That of an earlier version: its n-grams would be like no other, in silence."""
    path = kept(tmp_path, [BASE], {"method": "minhash", "index": True})
    table_ = pq.read_table(path)
    made = {k: v for k, v in json.loads(table_["dedup_settings"][0].as_py()).items() if k != "words_hashed"}
    made |= {"words_hashed": held} if held else {}
    at = table_.schema.get_field_index("dedup_settings")
    pq.write_table(table_.set_column(at, "dedup_settings", [[json.dumps(made)]]), path)
    with pytest.raises(
        InputError, match=r"old\.parquet was built by another version of dedup, which hashes words otherwise; build"
    ) as e:  # noqa: E501
        step(dedup(method="minhash", against=path), table([BASE]))
    assert "\n" not in str(e.value)


def test_an_index_of_characters_does_not_ask_how_words_are_hashed(tmp_path):
    path = kept(tmp_path, [BASE], {"method": "minhash", "unit": "char", "index": True})
    assert "words_hashed" not in json.loads(pq.read_table(path)["dedup_settings"][0].as_py())


def test_an_exact_index_with_other_normalisers_is_refused(tmp_path):
    path = kept(tmp_path, [BASE], {"method": "exact", "index": True})
    with pytest.raises(InputError, match="normalise is .*'nfkc', 'lower', 'whitespace'.*, here .'lower'"):
        step(dedup(method="exact", against=path, normalise=["lower"]), table([BASE]))


@settings(deadline=None, max_examples=15)
@given(problems, problems, st.randoms(use_true_random=False), st.sampled_from(["exact", "minhash", "edit", "semantic"]),
       st.sampled_from(["linked", "greedy", "pairwise"]), st.booleans(), st.integers(1, 9))  # fmt: skip
def test_an_index_decides_the_same_whatever_the_order_and_the_files(
    tmp_path_factory, old, texts, chance, method, cluster, index, batch
):
    index = index and method in ("exact", "minhash")
    plan = {"method": method, "keep": "cost desc", "index": index}
    plan |= {} if method == "exact" else {"cluster": cluster, "threshold": 0.7}
    plan |= {"vectors": "v", "numbers": False} if method == "semantic" else {}

    def rows(found, prefix):
        v = [None if t is None else [len(t) % 7 + 1.0, t.count("a") + 0.5, t.count("7")] for t in found]
        made = table(found, v=pa.array(v, pa.list_(pa.float32())), cost=[len(t or "") % 3 for t in found])
        return made.set_column(0, "row_id", [[prefix + name for name in made.column(0).to_pylist()]])

    earlier = pa.Table.from_pylist(step(dedup(**plan), rows(old, "old"))[0]) if index else rows(old, "old")
    folder = tmp_path_factory.mktemp("index")
    new, told = rows(texts, "new"), []
    for turn, size in enumerate((batch, 100)):
        order = [chance.sample(range(t.num_rows), t.num_rows) for t in (earlier, new)]
        shuffled = earlier.take(pa.array(order[0], pa.int64()))
        paths = [str(folder / f"{turn}-{at}.parquet") for at in range(0, len(old) or 1, size)]
        for k, path in enumerate(paths):
            pq.write_table(shuffled.slice(k * size, size), path)
        told.append(step(dedup(**plan, against=paths), new.take(pa.array(order[1], pa.int64())), size))
    assert told[0] == told[1]


def test_an_index_that_cannot_be_read(tmp_path):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 nothing")
    with pytest.raises(InputError, match="cannot read the index"):
        step(dedup(against=str(broken)), table([BASE]))
    with pytest.raises(InputError):
        step(dedup(against=str(tmp_path / "absent.parquet")), table([BASE]))
    lines = tmp_path / "old.jsonl"
    lines.write_text(json.dumps({"row_id": "a", "problem": BASE}) + "\n")
    with pytest.raises(InputError, match="kept as Parquet"):
        step(dedup(against=str(lines)), table([BASE]))
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table({"row_id": ["a"], "question": [BASE]}), other)
    with pytest.raises(InputError, match="no column problem"):
        step(dedup(against=str(other)), table([BASE]))
