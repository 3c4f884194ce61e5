"""Vendi scores: golden values, published values and closed forms, two routes that agree, invariances, merging."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.diversity.vendi import ORDERS, Moments, kernel_spectrum, spectrum, vendi

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="../shared is not here")


def golden(group: str) -> list[dict]:
    path = SHARED / "specs" / "golden.json"
    if not path.exists():
        return []
    (found,) = [g for g in json.loads(path.read_text())["groups"] if g["id"] == group]
    return found["cases"]


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def naive(x, q=1.0):
    """The definition, row by row: eigenvalues of the similarities over n."""
    x = unit(np.asarray(x, float))
    values = np.linalg.eigvalsh(x @ x.T / len(x))
    values = values[values > 1e-12]
    return math.exp(-sum(v * math.log(v) for v in values)) if q == 1 else vendi(values, q)


@needs_shared
@pytest.mark.parametrize("case", golden("g_vendi"), ids=lambda c: c["name"])
def test_golden_values_by_both_routes(case):
    x = np.array(case["rows"], float)
    assert Moments().add(x).vendi() == pytest.approx(case["g_vendi"], abs=1e-8)
    assert naive(x) == pytest.approx(case["g_vendi"], abs=1e-8)


@needs_shared
@pytest.mark.parametrize("case", golden("g_vendi_saturation"), ids=lambda c: str(c["n"]))
def test_it_saturates_with_n(case):
    x = np.random.default_rng(0).normal(size=(case["n"], case["d"]))
    assert vendi(spectrum(x)) == pytest.approx(case["g_vendi_approx"], abs=3)


def cases() -> list[dict]:
    path = SHARED / "data" / "vendi" / "vendi_cases.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def kernel_of(case: dict):
    if "K" in case:
        return np.array(case["K"])
    if "samples" in case:
        values = np.array(case["samples"], float)
        return np.exp(-abs(values[:, None] - values))
    if "group_sizes" in case:
        of = np.repeat(np.arange(len(case["group_sizes"])), case["group_sizes"])
        return (of[:, None] == of).astype(float)
    n = case["n"]
    rho = case.get("rho", {"identity": 0.0, "all ones": 1.0}.get(case["desc"]))
    return np.full((n, n), rho) + (1 - rho) * np.eye(n)


@needs_shared
@pytest.mark.parametrize("case", [c for c in cases() if "sentences" not in c], ids=lambda c: c["id"])
def test_published_values_and_closed_forms(case):
    found = vendi(kernel_spectrum(kernel_of(case)), math.inf if case["q"] == "inf" else case["q"])
    if "samples" in case:  # 2.99999999588 by the definition; its source prints 2.9999, cut, not rounded
        found = math.floor(found * 1e4) / 1e4
    assert found == pytest.approx(case["expected"], abs=case.get("tol", 1e-6))


@needs_shared
def test_published_ngram_value():
    import pyarrow as pa

    from curator.diversity.texts import ngram_vendi, texts

    (case,) = [c for c in cases() if "sentences" in c]
    spaced = [s.replace(",", " ,").replace(".", " .") for s in case["sentences"]]  # words of the original's tokenizer
    assert ngram_vendi(texts(pa.array(spaced))) == pytest.approx(case["expected"], abs=case["tol"])


rows = st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(0, 2**32 - 1)).map(
    lambda t: np.random.default_rng(t[2]).normal(size=t[:2]) * np.random.default_rng(t[2] + 1).random(t[1])
)


@given(rows)
@settings(max_examples=100, deadline=None)
def test_gram_and_covariance_agree(x):
    gram = kernel_spectrum(unit(x) @ unit(x).T)
    covariance = Moments().add(x).spectrum()
    for q in ORDERS:
        assert vendi(covariance, q) == pytest.approx(vendi(gram, q), rel=1e-9)
    assert vendi(covariance) == pytest.approx(naive(x), rel=1e-9)


@given(rows, st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_invariances(x, seed):
    chance = np.random.default_rng(seed)
    n, d = x.shape
    rotation, _ = np.linalg.qr(chance.normal(size=(d, d)))
    others = {
        "scale": x * chance.uniform(1e-3, 1e3, (n, 1)),
        "order": x[chance.permutation(n)],
        "sign": x * chance.choice([-1, 1], (n, 1)),
        "rotation": x @ rotation,
        "twice": np.concatenate([x, x]),
    }
    for q in ORDERS:
        base = Moments().add(x).vendi(q)
        assert 1 - 1e-9 <= base <= min(n, d) + 1e-9
        for name, other in others.items():
            assert Moments().add(other).vendi(q) == pytest.approx(base, rel=1e-8), (name, q)


@given(rows, st.lists(st.integers(0, 40), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_shards_merge_to_the_same_in_any_order(x, cuts, random):
    edges = sorted({0, len(x), *(c for c in cuts if c < len(x))})
    parts = [Moments().add(x[a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    random.shuffle(parts)
    left = Moments()
    for part in parts:
        left = left.merge(part)
    right = parts[-1]
    for part in reversed(parts[:-1]):
        right = part.merge(right)
    whole = Moments().add(x)
    assert left.n == right.n == whole.n == len(x)
    for q in ORDERS:
        assert left.vendi(q) == pytest.approx(whole.vendi(q), rel=1e-9)
        assert right.vendi(q) == pytest.approx(left.vendi(q), rel=1e-9)


def test_orders_fall_with_q():
    x = np.random.default_rng(0).normal(size=(50, 20)) * np.arange(1, 21)
    scores = [Moments().add(x).vendi(q) for q in ORDERS]
    assert scores == sorted(scores, reverse=True)


def test_zero_rows_are_counted_and_nothing_is_nan():
    x = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    found = Moments().add(x)
    assert (found.n, found.zero, found.vendi()) == (2, 1, pytest.approx(2.0))
    assert math.isnan(Moments().vendi())
    assert math.isnan(Moments().add(np.zeros((3, 2))).vendi())
    assert Moments().add(np.array([[3.0, 4.0]])).vendi() == pytest.approx(1.0)


def test_vectors_of_two_lengths_do_not_merge():
    with pytest.raises(ValueError, match="2 and of 3"):
        Moments().add(np.eye(2)).merge(Moments().add(np.eye(3)))
