"""n-grams, characters, signatures, bands and pairs against plain Python."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.kernels import bags, chars, minhash, pairs
from curator.kernels.words import text_buffers, words

M64, M32 = (1 << 64) - 1, (1 << 32) - 1
BASE = 0x9E3779B97F4A7C15


def gram_oracle(tokens: list[int], n: int) -> list[int]:
    """The 32-bit hash of each run of n tokens; of all of them where there are fewer."""

    def poly(run):
        h = 0
        for t in run:
            h = (h * BASE + t) & M64
        return h

    if not tokens:
        return []
    if len(tokens) < n:
        h = (poly(tokens) + len(tokens)) * 0xBF58476D1CE4E5B9 & M64
        return [(h ^ h >> 32) >> 16 & M32]
    out = []
    for i in range(len(tokens) - n + 1):
        h = poly(tokens[i : i + n])
        x = (h ^ h >> 32) * 0xBF58476D1CE4E5B9 & M64
        out.append((x ^ x >> 29) >> 16 & M32)
    return out


texts = st.lists(
    st.sampled_from(["a", "b", "Ab", "éa", "中", " ", "  ", "\n", "3", ".", "\\frac{1}{2}", "\u0301"]), max_size=14
).map("".join)


@settings(deadline=None, max_examples=120)
@given(st.lists(texts, max_size=5), st.integers(1, 6))
def test_grams_and_signatures(rows, n):
    found = words(*text_buffers(pa.array(rows, pa.string())))
    grams = minhash.grams(found.hashes, found.ends, n)
    split = [grams.hashes[a:b].tolist() for a, b in zip(grams.ends[:-1], grams.ends[1:], strict=True)]
    tokens = [found.hashes[a:b].tolist() for a, b in zip(found.ends[:-1], found.ends[1:], strict=True)]
    assert split == [gram_oracle(t, n) for t in tokens]
    assert (grams.content == minhash.contents(grams.hashes, grams.ends)).all()
    for i, x in enumerate(split):
        assert (grams.content[i] == 0) == (not x)
        for j in range(i):
            assert (grams.content[i] == grams.content[j]) == (sorted(x) == sorted(split[j]))
    a, b = minhash.permutations(9)
    signed = minhash.signatures(grams.hashes, grams.ends, 9)
    for row, x in enumerate(split):
        wanted = [min([(int(p) * g + int(q)) & M32 for g in x], default=M32) for p, q in zip(a, b, strict=True)]
        assert signed[row].tolist() == wanted


@settings(deadline=None, max_examples=120)
@given(st.lists(texts, max_size=5))
def test_characters(rows):
    found = chars.characters(*text_buffers(pa.array(rows, pa.string())))
    split = [found.hashes[a:b].tolist() for a, b in zip(found.ends[:-1], found.ends[1:], strict=True)]
    plain = ["".join(c.lower() if re.match(r"\w", c) else c for c in " ".join(t.split())) for t in rows]
    assert [len(s) for s in split] == [len(p) for p in plain]
    names = dict(zip("".join(plain), [h for s in split for h in s], strict=True))
    assert len(set(names.values())) == len(names)
    assert [[names[c] for c in p] for p in plain] == split


def test_permutations_are_the_same_for_ever():
    a, b = minhash.permutations(4)
    assert (a.tolist(), b.tolist()) == (PERMUTATIONS[0], PERMUTATIONS[1])


PERMUTATIONS = ([2379110373, 488965663, 1324039737, 2855296137], [395750251, 1167443444, 665393376, 483528930])


def test_bands_agree_where_their_rows_and_salts_do():
    signed = np.arange(24, dtype=np.uint32).reshape(2, 12).copy()
    signed[1] = signed[0]
    signed[1, 5] += 1
    keys, whole = minhash.band_keys(signed, np.zeros(2, np.uint64), 4, 3)
    assert (keys[0] == keys[1]).tolist() == [True, False, True, True]
    assert whole[0] != whole[1]
    assert len(set(keys[0].tolist())) == 4
    salted, _ = minhash.band_keys(signed, np.array([0, 7], np.uint64), 4, 3)
    assert not (salted[0] == salted[1]).any()
    signed[1, 5] -= 1
    signed[1, 11] += 1  # beyond the three bands: the whole signature still differs
    keys, whole = minhash.band_keys(signed, np.zeros(2, np.uint64), 3, 3)
    assert (keys[0] == keys[1]).all()
    assert whole[0] != whole[1]


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 30), max_size=40), st.lists(st.integers(0, 30), max_size=40))
def test_jaccard_of_sets(a, b):
    x, y = np.array(a, np.uint32), np.array(b, np.uint32)
    table, tags = np.empty(256, np.uint32), np.empty(256, np.uint8)
    wanted = len({*a} & {*b}) / len({*a} | {*b}) if a or b else 0.0
    assert pairs.jaccard(x, y, table, tags) == wanted


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 4), st.integers(0, 30), st.integers(1, 5))
def test_pairs_of_runs_in_pieces(found, window, inner, capacity):
    keys = np.sort(np.array(found, np.uint64))
    rows = np.random.default_rng(len(found)).permutation(len(found)).astype(np.int64)
    state, out, got = np.zeros(3, np.int64), np.empty((capacity, 2), np.int64), []
    while count := pairs.pair_runs(keys, rows, window, inner, np.zeros(0, np.int32), state, out):
        got += [tuple(p) for p in out[:count].tolist()]
        if count < capacity:
            break
    wanted = set()
    for key in set(found):
        run = rows[keys == key].tolist()
        wanted |= {(min(x, y), max(x, y)) for i, x in enumerate(run) for j, y in enumerate(run)
                   if i < j and (j - i <= window or i < window)}  # fmt: skip
    assert sorted(got) == sorted(p for p in wanted if p[0] < inner)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 40), max_size=60))
def test_repeated_keys_are_all_marked(found):
    keys, out = np.array(found, np.uint64), np.empty(len(found), bool)
    pairs.mark_repeated(keys, np.zeros(1024, np.uint64), np.zeros(1024, np.uint64), out)
    assert all(out[i] for i, k in enumerate(found) if found.count(k) > 1)
    assert out.sum() <= sum(found.count(k) > 1 for k in found) + 2


@settings(deadline=None, max_examples=100)
@given(st.lists(st.text("abcé中 😀", max_size=12), min_size=1, max_size=8), st.sampled_from([0.05, 0.3, 0.6]))
def test_no_near_bag_is_left_out(rows, share):
    from rapidfuzz.distance import Indel

    counts, sizes = np.zeros((len(rows), bags.BINS), np.uint8), np.empty(len(rows), np.int64)
    bags.count_chars(*text_buffers(pa.array(rows, pa.string())), counts, sizes)
    assert sizes.tolist() == [len(t) for t in rows]
    order = np.argsort(sizes, kind="stable")
    state, out = np.zeros(2, np.int64), np.empty((100, 2), np.int64)
    blocks = np.zeros(len(rows), np.uint64)
    count = bags.near_bags(counts[order], sizes[order], blocks, order, len(rows), share, state, out)
    got = {tuple(p) for p in out[:count].tolist()}
    for i in range(len(rows)):
        for j in range(i + 1, len(rows)):
            if Indel.normalized_similarity(rows[i], rows[j]) >= 1 - share:
                assert (i, j) in got


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11)), max_size=14))
def test_components_of_a_union_find(edges):
    parent, several = np.arange(12, dtype=np.int32), np.empty(12, bool)
    pairs.unite(parent, np.array(edges, np.int64).reshape(-1, 2))
    pairs.components(parent, several)
    group = list(range(12))
    for a, b in edges:
        group = [min(group[a], group[b]) if g in (group[a], group[b]) else g for g in group]
    assert parent.tolist() == group
    assert several.tolist() == [group.count(g) > 1 for g in group]
