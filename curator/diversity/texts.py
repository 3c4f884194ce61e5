"""Diversity of texts without a model: repeated n-grams, compressibility, lengths, and the Vendi score of n-grams.

`distinct_n` is distinct n-grams over all (Li et al. 2016), `ngram_diversity` the sum of distinct_1 to distinct_4
(Padmakumar and He 2024), `compression` the size over the compressed size, more is more repetitive (Shaib et al. 2024).
All of them fall or rise with the amount of text, so sets are compared at as many texts and, for n-grams, as many words.
`ngram_vendi` is the Vendi score of the mean cosine of counts of words and of pairs of words (Friedman and Dieng 2023),
counts folded into `BUCKETS` signed buckets, which leaves cosines right on average. `length_classes` is ours: the
effective number, exp of the entropy, of half-octave classes of length in words.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from curator.diversity.vendi import kernel_spectrum, vendi

BUCKETS = 4096
VENDI_ROWS = 500  # of `ngram_vendi`: it holds their similarities
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Texts:
    """Texts as an Arrow array and their words, pieces between white space: uint64 hashes, and where a row's begin."""

    array: Any
    words: Any
    ends: Any

    def __len__(self) -> int:
        return len(self.array)

    def take(self, rows: Any) -> Texts:
        """Return some of them, in this order."""
        sizes = np.diff(self.ends)[rows]
        ends = np.concatenate([[0], np.cumsum(sizes)])
        at = np.repeat(self.ends[:-1][rows] - ends[:-1], sizes) + np.arange(ends[-1])
        return Texts(self.array.take(rows), self.words[at], ends)


def texts(array: Any) -> Texts:
    """Return the texts of an Arrow column, nulls left out."""
    from curator.fold import strings
    from curator.kernels.repeats import pieces
    from curator.kernels.words import text_buffers

    held = strings(array).drop_null()
    words, ends = pieces(*text_buffers(held))
    return Texts(held, words.copy(), ends)


def grams(some: Texts, n: int) -> tuple[Any, Any]:
    """Return uint64[grams], a hash of every run of n words within a text, and int64[grams], the text it is of."""
    count = len(some.words) - n + 1
    if count <= 0:
        return np.zeros(0, np.uint64), np.zeros(0, np.int64)
    row = np.repeat(np.arange(len(some)), np.diff(some.ends))
    found = some.words[:count].copy()
    for k in range(1, n):
        found = found * _BASE + some.words[k : k + count]
    whole = row[:count] == row[n - 1 :]
    found = found[whole]
    return found ^ (found >> np.uint64(29)), row[:count][whole]


def measures(some: Texts, words: int | None = None) -> dict[str, float]:
    """Return every measure of these texts by name; NaN where there is too little text.

    Args:
        some: the texts.
        words: n-grams are counted in the first so many words; all of them if not given.
    """
    first = some if words is None else _head(some, words)
    found: dict[str, float] = {}
    for n in (1, 2, 3, 4):
        hashes, _ = grams(first, n)
        found[f"distinct_{n}"] = len(np.unique(hashes)) / len(hashes) if len(hashes) else math.nan
    found["ngram_diversity"] = sum(found.values())
    found["ngram_vendi"] = ngram_vendi(some)
    raw = " ".join(some.array.to_pylist()).encode("utf-8", "surrogatepass")
    found["compression"] = len(raw) / len(zlib.compress(raw, 6)) if raw else math.nan
    return found | lengths(np.diff(some.ends))


def lengths(sizes: Any) -> dict[str, float]:
    """Return the mean length, and the effective number of half-octave classes of length."""
    there = sizes[sizes > 0]
    if not len(there):
        return {"length_mean": math.nan, "length_classes": math.nan}
    _, counts = np.unique(np.floor(2 * np.log2(there)), return_counts=True)
    share = counts / counts.sum()
    return {"length_mean": float(np.mean(sizes)), "length_classes": math.exp(float(-(share * np.log(share)).sum()))}


def ngram_vendi(some: Texts, ns: tuple[int, ...] = (1, 2)) -> float:
    """Return the Vendi score, order 1, of the first `VENDI_ROWS` texts by the mean cosine of their n-gram counts."""
    some = some if len(some) <= VENDI_ROWS else some.take(np.arange(VENDI_ROWS))
    if not len(some.words):
        return math.nan
    kernel = np.zeros((len(some), len(some)))
    for n in ns:
        hashes, rows = grams(some, n)
        place = (hashes & np.uint64(BUCKETS - 1)).astype(np.int64) + rows * BUCKETS
        sign = np.where(hashes >> np.uint64(63), 1.0, -1.0)
        counts = np.bincount(place, sign, len(some) * BUCKETS).reshape(len(some), BUCKETS).astype(np.float32)
        products = (counts @ counts.T).astype(np.float64)
        length = np.sqrt(products.diagonal())
        length = np.where(length > 0, length, 1)
        kernel += products / (length * length[:, None])
    there = np.flatnonzero(kernel.diagonal() > 0)  # a text of one word has no pair of them, one without words nothing
    length = np.sqrt(kernel.diagonal()[there])
    return vendi(kernel_spectrum(kernel[np.ix_(there, there)] / (length * length[:, None])))


def _head(some: Texts, words: int) -> Texts:
    """Return the texts cut after so many words in all."""
    return Texts(some.array, some.words[:words], np.minimum(some.ends, words))
