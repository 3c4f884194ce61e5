"""Runs of tokens are looked up and measured as plain Python does it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.kernels import ngrams, shares

tokens = st.lists(st.integers(1, 6), max_size=14)


def ends(rows: list[list[int]]) -> np.ndarray:
    return np.cumsum([0, *map(len, rows)]).astype(np.int64)


def flat(rows: list[list[int]]) -> np.ndarray:
    return np.array([t for row in rows for t in row], np.uint64)


def grams(row: list[int], n: int) -> list[tuple[int, ...]]:
    return [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]


@settings(deadline=None, max_examples=100)
@given(st.lists(tokens, min_size=1, max_size=5), tokens, st.integers(1, 4))
def test_rows_and_pairs_are_those_of_sets(rows, item, n):
    keys = np.sort(ngrams.grams(flat([item]), n))
    table = ngrams.table_of(keys)
    hit = np.zeros(len(rows), bool)
    ngrams.mark_rows(flat(rows), ends(rows), n, table, hit)
    assert hit.tolist() == [bool(set(grams(row, n)) & set(grams(item, n))) for row in rows]
    expected = [
        (r, i)
        for r, row in enumerate(rows)
        for i, g in enumerate(grams(row, n))
        for _ in range(grams(item, n).count(g))
    ]
    assert [(r, i) for r, i, _ in ngrams.pairs(flat(rows), ends(rows), n, table, keys).tolist()] == expected


def test_a_table_finds_its_keys_and_no_others():
    rng = np.random.default_rng(0)
    keys = np.unique(rng.integers(1, 1 << 63, 5000, dtype=np.uint64))
    table = ngrams.table_of(keys)
    for k, key in enumerate(keys[:500]):
        slot = ngrams.look_up(key, table.bits, table.slots)
        assert table.first[slot] == k
    others = [k for k in rng.integers(1, 1 << 63, 500, dtype=np.uint64) if k not in keys]
    assert all(ngrams.look_up(k, table.bits, table.slots) == -1 for k in others)
    assert ngrams.look_up(np.uint64(7), *ngrams.table_of(np.empty(0, np.uint64))[:2]) == -1


@settings(deadline=None, max_examples=150)
@given(tokens, tokens, st.integers(1, 3))
def test_shares_of_one_pair(row, item, n):
    """Numbers are the tokens above 3, weights the tokens themselves."""
    matches = sorted(
        ((i, j) for i, g in enumerate(grams(row, n)) for j, h in enumerate(grams(item, n)) if g == h),
        key=lambda p: (p[1] - p[0], p[0]),
    )
    if not matches:
        return
    measured, runs = np.empty((1, 4)), np.empty((1, shares.TOP, 3), np.int64)
    side = [(flat([s]), ends([s]), (flat([s]) > 3).astype(np.uint8), np.cumsum([0.0, *s])) for s in (row, item)]
    place, other = (np.array(side_, np.int64) for side_ in zip(*matches, strict=True))
    one = np.zeros(1, np.int64)
    shares.measure(np.array([0, len(place)]), place, other, one, one, n, *side[0], *side[1], measured, runs)
    in_row = {i + t for i, _ in matches for t in range(n)}
    in_item = {j + t for _, j in matches for t in range(n)}
    assert measured[0, 0] == pytest.approx(sum(item[k] for k in in_item) / sum(item))
    assert measured[0, 1] == pytest.approx(sum(row[k] for k in in_row) / sum(row))
    slack = round(shares.SLACK * len(item))
    low = min(in_row) - min(in_item) - slack
    high = max(in_row) + len(item) - max(in_item) + slack
    numbers = Counter(t for t in item if t > 3)
    here = Counter(t for k, t in enumerate(row) if t > 3 and low <= k < high)
    theirs = Counter(t for t in row if t > 3)
    for found, inner, outer in ((measured[0, 2], numbers, here), (measured[0, 3], theirs, numbers)):
        assert math.isnan(found) if not inner else found == pytest.approx((inner & outer).total() / inner.total())
    longest = [m for _, _, m in runs[0].tolist() if m]
    assert longest == sorted(longest, reverse=True)
    for i, j, m in runs[0].tolist():
        assert row[i : i + m] == item[j : j + m]
