"""MinHash: from token hashes to n-gram hashes, signatures and band keys. Pure arrays in, arrays out.

Signature of a set S under permutation k: the least `a[k] * x + b[k]` modulo 2^32 over x in S, a odd; two sets agree
in a place with a probability near their Jaccard similarity (Broder 1997). Band key j: hash of the j-th run of places.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from curator.kernels.jit import kernel, part

_BASE = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.uint32(0xFFFFFFFF)


class Grams(NamedTuple):
    """n-grams of some rows.

    `hashes`: uint32[grams], in the order of the text, repeats included. `ends`: int64[rows + 1], each row's begin.
    `content`: uint64[rows], equal where two rows have the same n-grams as often; 0 where a row has none.
    """

    hashes: Any
    ends: Any
    content: Any


@part
def _print(gram: Any) -> Any:  # pragma: no cover - compiled
    x = (np.uint64(gram) + np.uint64(1)) * np.uint64(0x94D049BB133111EB)
    x = (x ^ (x >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return x ^ (x >> np.uint64(29))


@kernel
def _contents(hashes: Any, ends: Any, out: Any) -> None:  # pragma: no cover - compiled
    for row in range(ends.size - 1):
        total = np.uint64(0)
        for i in range(ends[row], ends[row + 1]):
            total += _print(hashes[i])
        out[row] = total | np.uint64(ends[row + 1] > ends[row])


@kernel
def gram_rows(tokens: Any, ends: Any, n: Any, base: Any, out: Any, gram_ends: Any, content: Any) -> Any:
    """Hash every run of `n` tokens of every row; a row with fewer tokens gives one gram of all of them, without, none.

    Args:
        tokens: uint64[tokens].
        ends: int64[rows + 1], where each row's tokens start.
        n: tokens in a gram.
        base: uint64, odd, of the rolling hash modulo 2^64.
        out: uint32[at least tokens + rows], written.
        gram_ends: int64[rows + 1], written.
        content: uint64[rows], written.

    Returns:
        The number of grams.
    """
    top = np.uint64(1)
    for _ in range(n - 1):
        top *= base
    count = np.int64(0)
    gram_ends[0] = 0
    for row in range(ends.size - 1):
        start, stop = ends[row], ends[row + 1]
        h, total = np.uint64(0), np.uint64(0)
        full = min(start + n - 1, stop)
        for i in range(start, full):
            h = h * base + tokens[i]
        if stop - start < n:
            if stop > start:
                h = (h + np.uint64(stop - start)) * np.uint64(0xBF58476D1CE4E5B9)
                h ^= h >> np.uint64(32)
                out[count] = np.uint32(h >> np.uint64(16))
                total = _print(out[count])
                count += 1
        else:
            for i in range(full, stop):
                h = h * base + tokens[i]
                x = (h ^ (h >> np.uint64(32))) * np.uint64(0xBF58476D1CE4E5B9)
                x ^= x >> np.uint64(29)
                out[count] = np.uint32(x >> np.uint64(16))
                total += _print(out[count])
                count += 1
                h -= tokens[i - n + 1] * top
        content[row] = total | np.uint64(stop > start)
        gram_ends[row + 1] = count
    return count


@kernel
def sign_rows(grams: Any, ends: Any, a: Any, b: Any, out: Any) -> None:
    """Write the signature of each row.

    Args:
        grams: uint32[grams].
        ends: int64[rows + 1].
        a: uint32[permutations], odd.
        b: uint32[permutations].
        out: uint32[rows, permutations], written; all ones where a row has no gram.
    """
    size = a.size
    for row in range(ends.size - 1):
        least = out[row]
        least[:] = _EMPTY
        i, stop = np.int64(ends[row]), np.int64(ends[row + 1])
        while i + 4 <= stop:  # four grams at a time: a quarter of the loads and stores
            x, y, z, w = grams[i], grams[i + 1], grams[i + 2], grams[i + 3]
            for k in range(size):
                first = min(np.uint32(a[k] * x + b[k]), np.uint32(a[k] * y + b[k]))
                other = min(np.uint32(a[k] * z + b[k]), np.uint32(a[k] * w + b[k]))
                least[k] = min(least[k], min(first, other))
            i += 4
        while i < stop:
            x = grams[i]
            for k in range(size):
                least[k] = min(least[k], np.uint32(a[k] * x + b[k]))
            i += 1


@kernel
def band_rows(signatures: Any, salt: Any, bands: Any, rows: Any, keys: Any, whole: Any) -> None:
    """Write the band keys of each row, and a hash of its whole signature.

    Args:
        signatures: uint32[rows, at least bands * rows].
        salt: uint64[rows]: only rows with the same salt can share a key.
        bands: bands.
        rows: places of the signature in a band.
        keys: uint64[rows, bands], written.
        whole: uint64[rows], written.
    """
    for row in range(signatures.shape[0]):
        all_of = salt[row] * np.uint64(0x9FB21C651E98DF25)
        for band in range(bands):
            h = salt[row] + np.uint64(band + 1) * np.uint64(0x9E3779B97F4A7C15)
            for k in range(band * rows, band * rows + rows):
                h = (h ^ np.uint64(signatures[row, k])) * np.uint64(0xD6E8FEB86659FD93)
                h ^= h >> np.uint64(32)
            keys[row, band] = h
            all_of = (all_of ^ h) * np.uint64(0xBF58476D1CE4E5B9)
            all_of ^= all_of >> np.uint64(31)
        for k in range(bands * rows, signatures.shape[1]):
            all_of = (all_of ^ np.uint64(signatures[row, k])) * np.uint64(0xBF58476D1CE4E5B9)
            all_of ^= all_of >> np.uint64(31)
        whole[row] = all_of


@lru_cache(maxsize=8)
def permutations(count: int) -> tuple[Any, Any]:
    """Return (a, b): uint32[count] each, the same in every process and version: splitmix64 from a fixed start."""
    values, state = [], 0x5D588B656C078965
    for _ in range(2 * count):
        state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        x = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        x = (x ^ x >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        values.append((x ^ x >> 31) & 0xFFFFFFFF)
    return np.array(values[:count], np.uint32) | np.uint32(1), np.array(values[count:], np.uint32)


def grams(tokens: Any, ends: Any, n: int) -> Grams:
    """Return the n-grams of rows of tokens: uint64[tokens], int64[rows + 1]."""
    out = np.empty(len(tokens) + len(ends), np.uint32)
    gram_ends, content = np.empty(len(ends), np.int64), np.empty(len(ends) - 1, np.uint64)
    count = gram_rows(tokens, ends, n, _BASE, out, gram_ends, content)
    return Grams(out[:count], gram_ends, content)


def signatures(hashes: Any, ends: Any, count: int) -> Any:
    """Return uint32[rows, count]: the signatures of rows of n-grams, uint32[grams] and int64[rows + 1]."""
    out = np.empty((len(ends) - 1, count), np.uint32)
    sign_rows(hashes, ends, *permutations(count), out)
    return out


def band_keys(signature: Any, salt: Any, bands: int, rows: int) -> tuple[Any, Any]:
    """Return (uint64[rows, bands] keys, uint64[rows] hash of the whole signature), both salted with uint64[rows]."""
    keys, whole = np.empty((len(signature), bands), np.uint64), np.empty(len(signature), np.uint64)
    band_rows(signature, salt, bands, rows, keys, whole)
    return keys, whole


def contents(hashes: Any, ends: Any) -> Any:
    """Return uint64[rows]: the content (see `Grams`) of rows of n-grams, uint32[grams] and int64[rows + 1]."""
    out = np.empty(len(ends) - 1, np.uint64)
    _contents(hashes, ends, out)
    return out
