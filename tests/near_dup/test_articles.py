"""A thousand real news articles with ten planted copies, and the exact Jaccard similarity of every pair above .05."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import zstandard

from curator.near_dup import bands, minhash

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "dedup"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="no ../shared/data/dedup")


def lines(name: str) -> list[dict]:
    raw = (DATA / name).read_bytes()
    if name.endswith(".zst"):
        raw = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(raw)).read()
    return [json.loads(line) for line in raw.decode().splitlines() if line]


def articles() -> tuple[list[str], list[str]]:
    docs = lines("articles_1000_docs.jsonl.zst")
    return [d["doc_id"] for d in docs], [d["text"] for d in docs]


def matched(n: int, threshold: float, how: tuple[int, int], names: list[str], texts: list[str]) -> dict:
    recipe, judged = minhash.Recipe("word", n, numbers=False), bands.Bands(128, *how, threshold, "jaccard")
    made = minhash.MinHash(recipe, judged, "")
    made.add([(pa.array(texts), np.zeros(len(texts), np.uint64))])
    found: dict[tuple[str, str], float] = {}
    for pairs, values in made.edges():
        for (a, b), value in zip(pairs.tolist(), values.tolist(), strict=True):
            found[tuple(sorted((names[a], names[b])))] = value
    return found


def test_all_planted_copies_and_nothing_else():
    found = matched(5, 0.8, bands.derive(0.8, 128), *articles())
    truth = {tuple(sorted((d["a"], d["b"]))) for d in lines("articles_1000_duplicate_pairs.jsonl")}
    assert len(truth) == 10
    assert set(found) == truth


def test_the_list_of_exact_similarities():
    """Every pair of the list at .05 or above, with the value that was published; 128 bands of one row miss few."""
    names, texts = articles()
    # The list counts what white space separates, in lower case, as words: each of them becomes one word of ours.
    codes: dict[str, int] = {}
    spelled = [" ".join(f"t{codes.setdefault(w, len(codes))}" for w in t.lower().split()) for t in texts]
    found = matched(3, 0.05, (128, 1), names, spelled)
    listed = {
        tuple(sorted((d["a"], d["b"]))): d["jaccard_word3"]
        for d in lines("articles_1000_all_pairs_word3_jaccard_ge_0.05.jsonl")
    }
    assert all(found[p] == pytest.approx(j, abs=2e-6) for p, j in listed.items() if p in found)
    assert not set(found) - set(listed)
    assert len(set(found) & set(listed)) >= 0.99 * len(listed)
