"""Whole texts compared: by a chain of normalisers, by edits, by vectors."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.contamination import vectors
from curator.contamination.edit import EditIndex
from curator.contamination.evidence import Item
from curator.contamination.exact import ExactIndex
from curator.errors import CheckError, InputError

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"
LONG = "A bakery sells 14 trays of 36 rolls before noon and 5 trays of 24 rolls later. How many rolls are sold in all?"


def items(*texts: str) -> list[Item]:
    return [Item("b", str(i), t) for i, t in enumerate(texts)]


def test_exact_needs_the_whole_text_after_the_chain():
    index = ExactIndex(items(LONG, "Find x."), ["nfkc", "latex", "lower", "whitespace"], 20)
    rows = [LONG.upper().replace(" ", "  "), LONG + " Why?", "Find x.", "", None]
    assert [(h.row, h.item) for h in index.hits(pa.array(rows))] == [(0, 0)]


def test_light_r1_strips_all_but_letters():
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    groups = json.loads(GOLDEN.read_text())["groups"]
    (group,) = [g for g in groups if g["id"] == "light_r1_strip_collision"]
    strip = ["symbols", "digits", "lower"]
    for case in group["cases"]:
        assert ExactIndex([], strip, 0).key(case["a"]) == case["cleaned_a"]
        if "b" in case:
            for least, collides in ((0, case["collide"]), (10, False)):
                assert bool(list(ExactIndex(items(case["a"]), strip, least).hits(pa.array([case["b"]])))) == collides


def test_unknown_normaliser():
    with pytest.raises(CheckError, match="did you mean 'digits'"):
        ExactIndex([], ["digit"], 0)


def test_edit_counts_numbers():
    index = EditIndex(items(LONG, "", "What is 72 * 3?"), 0.9, latex=True)
    rows = [LONG.replace("noon", "non"), LONG.replace("36", "37"), "What is 72 + 3?", "what is 72*3?", "", None]
    found = {(h.row, h.item): (h.convicted, h.facts.get("barred")) for h in index.hits(pa.array(rows), numbers=True)}
    assert found[0, 0] == (True, None)
    assert found[1, 0] == (False, "other numbers")
    assert found[2, 2] == (False, "another formula")
    assert found[3, 2] == (True, None)
    assert {row for row, _ in found} == {0, 1, 2, 3}
    assert all(h.convicted for h in index.hits(pa.array(rows), numbers=False))


letters = st.text(st.sampled_from("ab é東1 "), max_size=14)


@settings(deadline=None, max_examples=150)
@given(
    reference=st.lists(letters, min_size=1, max_size=5),
    rows=st.lists(letters, min_size=1, max_size=5),
    ratio=st.sampled_from([0.5, 0.8, 0.95, 1]),
)
@example(reference=["11"], rows=["111"], ratio=0.8)
def test_edit_misses_no_pair(reference, rows, ratio):
    """An independent oracle: the longest common subsequence of every pair."""

    def indel(a: str, b: str) -> float:
        last = [0] * (len(b) + 1)
        for x in a:
            now = [0]
            for k, y in enumerate(b):
                now.append(last[k] + 1 if x == y else max(now[-1], last[k + 1]))
            last = now
        return 2 * last[-1] / (len(a) + len(b)) if a or b else 1.0

    clean = [[" ".join(t.lower().split()) for t in side] for side in (reference, rows)]
    expected = {(r, i) for r, b in enumerate(clean[1]) for i, a in enumerate(clean[0]) if b and indel(a, b) >= ratio}
    found = EditIndex(items(*reference), ratio, latex=False).hits(pa.array(rows), numbers=False)
    assert {(h.row, h.item) for h in found} == expected


def test_nearest_is_the_largest_cosine():
    rng = np.random.default_rng(0)
    a, b = (vectors.matrix(pa.array(rng.normal(size=(n, 8)).tolist()), "x") for n in (40, 30))
    for row, near in vectors.nearest(a, b, 3):
        cosines = [round(float(x), 4) for x in b @ a[row]]
        assert [c for c, _ in near] == pytest.approx(sorted(cosines, reverse=True)[:3], abs=2e-4)
        assert [round(cosines[i], 3) for _, i in near] == pytest.approx([c for c, _ in near], abs=2e-3)


@pytest.mark.parametrize(("column", "told"), [
    (pa.array([[1.0, 2.0], [1.0]]), "vectors have 1, 2 numbers"),
    (pa.array([[1.0, 2.0], [1.0, float("nan")]]), "vector of row 1 holds NaN"),
    (pa.array([None, [1.0, None]]), "vector of row 1 holds NaN, null"),
    (pa.array(["text"]), "must be lists of numbers"),
    (pa.array([["a"]]), "must be lists of numbers"),
])  # fmt: skip
def test_bad_vectors(column, told):
    with pytest.raises(InputError) as caught:
        vectors.matrix(column, "column v")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_null_and_zero_vectors_are_like_nothing():
    found = vectors.matrix(pa.chunked_array([[[3.0, 4.0]], [None, [0.0, 0.0]]]), "x")
    assert found.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [0, 0], [0, 0]]
    assert vectors.matrix(pa.array([], pa.list_(pa.float32())), "x").shape[0] == 0


def test_a_model_that_is_not_there():
    pytest.importorskip("sentence_transformers")
    with pytest.raises(CheckError, match="cannot load the embedding model"):
        vectors.Encoder("/no/such/model")(["x"])


def test_a_small_local_model(tmp_path):
    pytest.importorskip("sentence_transformers")
    transformers = pytest.importorskip("transformers")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *sorted({w.strip("?.").lower() for w in LONG.split()})]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = transformers.BertTokenizerFast(str(tmp_path / "vocab.txt"))
    config = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    folder = tmp_path / "bert"
    transformers.BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    encoder = vectors.Encoder(str(folder))  # of a plain model it makes one with mean pooling
    texts = [LONG, LONG.upper(), " ".join(random.Random(0).sample(LONG.split(), 8)), ""]
    found = encoder(texts)
    assert found.shape == (4, 32)
    assert float(found[0] @ found[1]) == pytest.approx(1, abs=1e-5)
    assert not found[3].any()
