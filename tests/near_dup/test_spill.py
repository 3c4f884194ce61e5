"""What goes to disk comes back as it was, and decides nothing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.kernels.deal import deal
from curator.near_dup import bands, minhash
from curator.near_dup.spill import STEP, Keyed, Ragged

rows = st.lists(st.lists(st.lists(st.integers(0, 99), max_size=6), max_size=7), max_size=6)


@settings(deadline=None, max_examples=60)
@given(rows, st.sampled_from([0, 40, 1 << 20]), st.randoms(use_true_random=False))
def test_rows_of_any_length(tmp_path_factory, pieces, held, chance):
    store = Ragged(str(tmp_path_factory.mktemp("spill")), held)
    every = []
    for piece in pieces:
        ends = np.cumsum([0, *map(len, piece)])
        store.append(np.array([v for row in piece for v in row], np.uint32), ends)
        every += piece
    assert store.spilled == (4 * sum(map(len, every)) + 8 * len(every) > held)
    wanted = [chance.randrange(len(every)) for _ in range(9)] if every else []
    if store.spilled:
        wanted = sorted(set(wanted))
    flat, begins, ends = store.gather(np.array(wanted, np.int64))
    assert [flat[a:b].tolist() for a, b in zip(begins, ends, strict=True)] == [every[k] for k in wanted]


@pytest.mark.parametrize("held", [0, 1 << 30])
def test_far_rows_are_found_by_blocks(tmp_path, held):
    sizes = np.random.default_rng(0).integers(0, 5, 3 * STEP + 1)
    store = Ragged(str(tmp_path), held)
    store.append(np.arange(sizes.sum(), dtype=np.uint32), np.concatenate([[0], np.cumsum(sizes)]))
    flat, begins, ends = store.gather(np.arange(len(sizes)))
    assert np.concatenate([flat[a:b] for a, b in zip(begins, ends, strict=True)]).tolist() == list(range(sizes.sum()))
    last = np.array([0, STEP - 1, STEP, len(sizes) - 1])
    flat, begins, ends = store.gather(last)
    stops = np.cumsum(sizes)[last]
    assert [flat[a:b].tolist() for a, b in zip(begins, ends, strict=True)] == [
        list(range(b - n, b)) for b, n in zip(stops, sizes[last], strict=True)]  # fmt: skip


@pytest.mark.parametrize(("entries", "skipped"), [(7, 0), (7, 500), (300, 0), (300, 500), (10_000, 0), (10_000, 500)])
def test_all_entries_of_a_key_come_together(tmp_path, entries, skipped):
    """Also where files are dealt again, and where one key alone is more than a partition may hold."""
    chance = np.random.default_rng(1)
    store = Keyed(str(tmp_path), entries)
    skip = np.arange(999) < skipped
    told = []
    for _ in range(3):
        keys = chance.integers(0, 40, 300).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        made = (keys, chance.integers(0, 999, 300), keys + np.uint64(1))
        store.add(*made)
        told += [e for e in zip(*(c.tolist() for c in made), strict=True) if e[1] >= skipped]
    seen, parts = [], []
    for part in store.parts(skip if skipped else None):
        seen += list(zip(*(c.tolist() for c in part), strict=True))
        parts.append(set(part[0].tolist()))
    assert sorted(seen) == sorted(told)
    assert (len(parts) == 1) == (entries > 900)
    assert sum(map(len, parts)) == 40
    assert not any(tmp_path.iterdir()), "files without a name leave nothing behind"


def test_the_same_pairs_from_disk(tmp_path, monkeypatch):
    words = [f"w{a}{b}" for a in "abcdefgh" for b in "klmnop"]
    chance = np.random.default_rng(2)
    texts = [" ".join(chance.choice(words, 30)) for _ in range(300)]
    texts += [t.replace(t.split()[9], "other") for t in texts[:80]]

    def joined() -> list[int]:
        made = minhash.MinHash(minhash.Recipe("word", 3, False), bands.Bands(128, 25, 5, 0.6, "jaccard"), str(tmp_path))
        made.add(
            (pa.array(texts[at : at + 50]), np.zeros(len(texts[at : at + 50]), np.uint64)) for at in range(0, 380, 50)
        )
        parent = np.arange(made.total)
        for _ in made.edges(parent):
            pass
        while not np.array_equal(parent, parent[parent]):
            parent = parent[parent]
        return parent.tolist()

    plain = joined()
    assert 60 < len(texts) - len(set(plain)) <= 80
    monkeypatch.setattr(minhash, "GATHERED", 1000)
    monkeypatch.setattr(minhash.Ragged.__init__, "__defaults__", (100,))
    monkeypatch.setattr(minhash.Keyed.__init__, "__defaults__", (50,))
    assert joined() == plain


@pytest.mark.parametrize(("threshold", "permutations"), [(0.5, 128), (0.8, 128), (0.95, 256), (0.05, 16), (1.0, 64)])
def test_bands_follow_from_the_threshold(threshold, permutations):
    count, depth = bands.derive(threshold, permutations)
    assert count * depth <= permutations
    if depth > 1:
        assert bands.found(threshold, count, depth) >= 0.995
    if depth < 32 and permutations // (depth + 1):
        assert bands.found(threshold, permutations // (depth + 1), depth + 1) < 0.995


def test_order_is_kept_by_threads():
    assert list(minhash.in_order(lambda x: x * x, range(50), 3)) == [x * x for x in range(50)]


@settings(max_examples=40)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.sampled_from([0, 20, 40]), st.integers(1, 9))
def test_entries_are_dealt_by_their_bits_in_their_order(keys, shift, parts):
    entries = np.array([(key, place) for place, key in enumerate(keys)], np.uint64).reshape(-1, 2)
    entries.flags.writeable = False
    out, edges = np.empty(entries.shape, np.uint64), np.empty(parts + 1, np.int64)
    deal(entries, shift, parts, out, edges)
    wanted = [[[k, i] for i, k in enumerate(keys) if (k >> shift & 0xFFFFF) % parts == p] for p in range(parts)]
    assert [out[a:b].tolist() for a, b in zip(edges[:-1], edges[1:], strict=True)] == wanted
