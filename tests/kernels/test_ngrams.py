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


def runs_of(items: list[list[int]], n: int, alone: set[int]) -> tuple[ngrams.Runs, list[tuple[int, int]]]:
    """All runs of n tokens, and the whole of items that are shorter; (item, place) of each."""
    found = []
    for k, item in enumerate(items):
        if 0 < len(item) < n:
            found.append((int(ngrams.grams(flat([item]), len(item))[0]), -len(item) if k in alone else len(item), k, 0))
        found += [(int(g), n, k, i) for i, g in enumerate(ngrams.grams(flat([item]), n))]
    found.sort(key=lambda f: f[0])
    short = [i for k, i in enumerate(items) if 0 < len(i) < n and k not in alone]
    begin = lambda m: np.array([int(ngrams.grams(flat([i[:m]]), m)[0]) for i in short], np.uint64)  # noqa: E731
    keys, sizes = np.array([f[0] for f in found], np.uint64), np.array([f[1] for f in found], np.int64)
    return ngrams.runs(keys, sizes, n, begin), [(f[2], f[3]) for f in found]


@settings(deadline=None, max_examples=150)
@given(st.lists(tokens, min_size=1, max_size=5), st.lists(tokens, min_size=1, max_size=4), st.integers(1, 5), st.data())
def test_pairs_are_those_of_sets(rows, items, n, data):
    """Runs of n tokens, whole items shorter than that anywhere in a row, and, if alone, only as the whole row."""
    alone = data.draw(st.sets(st.integers(0, len(items) - 1)))
    known, places = runs_of(items, n, alone)
    expected = set()
    for r, row in enumerate(rows):
        for k, item in enumerate(items):
            expected |= {
                (r, i, k, j) for i, g in enumerate(grams(row, n)) for j, h in enumerate(grams(item, n)) if g == h
            }
            if 0 < len(item) < n and k in alone and item == row:
                expected.add((r, 0, k, 0))
            elif 0 < len(item) < n and k not in alone:
                expected |= {(r, i, k, 0) for i, g in enumerate(grams(row, len(item))) if g == tuple(item)}
    found = [(r, i, *places[at]) for r, i, at in ngrams.pairs(flat(rows), ends(rows), n, known).tolist()]
    assert set(found) == expected
    assert len(found) == len(expected)


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
    side = []
    for s in (row, item):
        flags = (flat([s]) > 3).astype(np.uint8)
        side.append((flat([s]), ends([s]), np.array(s, float), *shares.numbers_of(flat([s]), ends([s]), flags)))
    place, other = (np.array(side_, np.int64) for side_ in zip(*matches, strict=True))
    one, seen = np.zeros(1, np.int64), np.full(14, -1)
    scratch = np.empty((len(place), 3), np.int64)
    shares.measure(
        np.array([0, len(place)]), place, other, one, one, n, *side[0], *side[1], measured, runs, scratch, seen
    )
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
