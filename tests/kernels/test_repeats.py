"""Frequent runs of a corpus against a plain count, and the split against `str.split`."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.kernels import repeats
from curator.kernels.repeats import Corpus, pieces, worst
from curator.kernels.words import text_buffers

SPACES = "".join(chr(c) for c in range(0x3001) if chr(c).isspace())


def hashed(rows: list[str]):
    return pieces(*text_buffers(pa.array(rows, pa.string())))


@settings(deadline=None, max_examples=200)
@given(st.lists(st.text(st.sampled_from("ab.é漢👍​\u180e" + SPACES), max_size=20), max_size=5))
def test_it_splits_where_python_does(rows):
    tokens, ends = hashed(rows)
    assert np.diff(ends).tolist() == [len(r.split()) for r in rows]
    flat = [p for r in rows for p in r.split()]
    same = {(a, b) for a, b in zip(flat, tokens.tolist(), strict=True)}
    assert len(same) == len(set(flat)) == len({h for _, h in same})


def test_every_space_there_is():
    assert len(SPACES) == 29
    for c in SPACES:
        assert np.diff(hashed([f"a{c}b"])[1]).tolist() == [2], hex(ord(c))


def by_hand(rows: list[str], n: int, limit: int) -> list[tuple[int, int]]:
    runs = [[tuple(r.split()[i : i + n]) for i in range(len(r.split()) - n + 1)] for r in rows]
    counts = Counter(run for row in runs for run in row)
    out = []
    for row in runs:
        times = [counts[run] if counts[run] > limit else 0 for run in row]
        most = max(times, default=0)
        out.append((most, times.index(most) if most else 0))
    return out


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text("ab ", max_size=12), max_size=8), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3),
       st.integers(0, 200))  # fmt: skip
def test_frequent_runs_against_a_plain_count(rows, n, limit, batch, tokens):
    corpus = Corpus(n, limit, tokens)
    parts = [hashed(rows[i : i + batch]) for i in range(0, len(rows), batch)]
    for part in parts:
        corpus.count(*part)
    for part in parts:
        corpus.recount(*part)
    found = corpus.frequent()
    expected = by_hand(rows, n, limit)
    if found is None:
        assert all(times == 0 for times, _ in expected)
        return
    got = [tuple(map(int, pair)) for part in parts for pair in zip(*worst(*part, n, *found), strict=True)]
    assert got == expected


@pytest.mark.parametrize("limit", [5, 300])
def test_crowded_counters_and_many_candidates(monkeypatch, limit):
    """Counters that different runs share, and candidates that are counted in several goes, change nothing."""
    monkeypatch.setattr(repeats, "_HELD", 10)
    rng = np.random.default_rng(0)
    rows = [" ".join(f"w{k}" for k in rng.integers(0, 12, 300)) for _ in range(40)] + ["x " * 2000]
    corpus = Corpus(2, limit, 0)
    corpus._counters = corpus._counters[:64]
    corpus.count(*hashed(rows))
    corpus.recount(*hashed(rows))
    found = corpus.frequent()
    assert list(zip(*(x.tolist() for x in worst(*hashed(rows), 2, *found)), strict=True)) == by_hand(rows, 2, limit)
