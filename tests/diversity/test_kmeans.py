"""Spherical k-means: golden rules, against plain Lloyd, empty clusters, and the released algorithm by itself."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.diversity import kmeans

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"


def golden(group):
    if not GOLDEN.exists():
        return []
    (found,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == group]
    return found["cases"]


@pytest.mark.parametrize("case", golden("sparse_clusters"), ids=lambda c: str(c["sizes"]))
def test_sparse_clusters(case):
    sizes = np.array(case["sizes"])
    assert np.flatnonzero(kmeans.sparse(sizes, case["ratio"])).tolist() == case["ranked"]
    if case["legacy"] == "index out of range":
        with pytest.raises(IndexError):
            kmeans.sparse(sizes, case["ratio"], legacy=True)
    else:
        assert np.flatnonzero(kmeans.sparse(sizes, case["ratio"], legacy=True)).tolist() == case["legacy"]


def test_how_many_clusters():
    cases = [c for c in golden("row_rules") if c["rule"].startswith("cluster count")]
    for case in cases:
        n = case["input"]["n"]
        assert {"legacy": kmeans.count(n, legacy=True), "ours": kmeans.count(n)} == case["output"]
    assert [kmeans.sparse(np.ones(k), r).sum() for k, r in ((10, 0.3), (10, 0.31), (3, 0), (7, 1))] == [3, 4, 0, 7]


def unit(n, d, seed, groups=0):
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(n, d))
    if groups:
        x = chance.normal(size=(groups, d))[chance.integers(0, groups, n)] + 0.5 * x
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def released(x, k, iterations=20):
    """What the specification says of the released code: first k rows, zero vectors, labels before the last update."""
    centroids = x[:k].astype(np.float64)
    for _ in range(iterations):
        labels = (x.astype(np.float64) @ centroids.T).argmax(1)
        for j in range(k):
            total = x[labels == j].astype(np.float64).sum(0)
            length = np.linalg.norm(total)
            centroids[j] = total / length if length > 0 else 0
    return labels, centroids


@pytest.mark.parametrize(("n", "d", "k", "groups"), [(400, 16, 40, 0), (600, 8, 6, 6), (300, 4, 30, 10), (50, 3, 2, 0)])
def test_legacy_is_the_released_algorithm(n, d, k, groups):
    x = unit(n, d, n + k, groups)
    labels, centroids = released(x, k)
    found = kmeans.cluster(x, k, legacy=True)
    assert found.labels.tolist() == labels.tolist()
    np.testing.assert_allclose(found.centroids, centroids, atol=1e-5)


def test_legacy_keeps_zero_vectors_for_twins():
    x = unit(40, 5, 1)
    x[1] = x[0]
    found = kmeans.cluster(x, 4, legacy=True)
    assert found.sizes[1] == 0
    assert not found.centroids[1].any()
    ours = kmeans.cluster(x, 4)
    assert (ours.sizes > 0).all()


def plain(x, k, iterations):
    """Lloyd's iterations without a short cut, with our rule for empty clusters."""
    centroids = x[:k].astype(np.float64)
    labels = (x.astype(np.float64) @ centroids.T).argmax(1)
    for _ in range(iterations):
        values = np.einsum("ij,ij->i", x, centroids[labels])
        sizes = np.bincount(labels, minlength=k)
        empty = np.flatnonzero(sizes == 0).tolist()
        for row in np.argsort(values, kind="stable"):
            if empty and sizes[labels[row]] > 1 and values[row] <= 1 - kmeans.CLOSE:
                sizes[labels[row]] -= 1
                labels[row] = empty.pop(0)
        new = np.stack([x[labels == j].astype(np.float64).sum(0) for j in range(k)])
        length = np.linalg.norm(new, axis=1, keepdims=True)
        new = np.divide(new, length, out=np.zeros_like(new), where=length > 0)
        products = x.astype(np.float64) @ new.T
        products[:, length[:, 0] == 0] = -2
        same, labels, centroids = np.allclose(new, centroids), products.argmax(1), new
        if same:
            break
    return labels


@given(st.integers(20, 300), st.integers(2, 20), st.integers(2, 30), st.integers(0, 10**6), st.integers(1, 25))
@settings(max_examples=40, deadline=None, derandomize=True)  # a tie up to rounding may fall either way
def test_short_cuts_change_nothing(n, d, k, seed, iterations):
    x = unit(n, d, seed, groups=0 if seed % 2 else 8)
    k = min(k, n)
    assert kmeans.cluster(x, k, iterations=iterations).labels.tolist() == plain(x, k, iterations).tolist()


@given(st.integers(2, 120), st.integers(1, 12), st.integers(1, 60), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_what_is_returned_fits_together(n, d, k, seed):
    x = unit(n, d, seed, groups=3)
    x[: n // 3] = x[0]  # many twins: clusters run empty
    k = min(k, n)
    found = kmeans.cluster(x, k)
    assert found.sizes.sum() == n
    assert len(found.sizes) == len(found.centroids) == k
    assert (np.bincount(found.labels, minlength=k) == found.sizes).all()
    np.testing.assert_allclose(found.cosines, (x @ found.centroids.T)[np.arange(n), found.labels], atol=1e-5)
    best = (x @ found.centroids[found.sizes > 0].T).max(1)
    np.testing.assert_allclose(found.cosines, best, atol=2e-5)
    again, _ = kmeans.nearest(x, found.centroids, joinable=found.sizes > 0)
    assert np.isclose(found.cosines, (x * found.centroids[again]).sum(1), atol=2e-5).all()


def test_all_rows_alike():
    x = np.tile(unit(1, 6, 0), (20, 1))
    found = kmeans.cluster(x, 5)
    assert sorted(found.sizes.tolist()) == [0, 0, 0, 0, 20]
    np.testing.assert_allclose(found.cosines, 1, atol=1e-6)


def test_one_row_and_as_many_clusters_as_rows():
    assert kmeans.cluster(unit(1, 3, 0), 1).labels.tolist() == [0]
    found = kmeans.cluster(unit(12, 3, 0), 12)
    assert found.sizes.tolist() == [1] * 12
    assert math.isclose(found.cosines.min(), 1, abs_tol=1e-6)


def test_blocks_do_not_show(monkeypatch):
    x = unit(500, 12, 3)
    whole = kmeans.cluster(x, 50)
    monkeypatch.setattr(kmeans, "ROWS", 64)
    monkeypatch.setattr(kmeans, "COLUMNS", 16)
    parts = kmeans.cluster(x, 50)
    assert parts.labels.tolist() == whole.labels.tolist()
