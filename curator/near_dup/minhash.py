"""Pairs of similar texts by MinHash: signatures stream, band keys and n-grams spill, candidates are verified."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

from curator.kernels import chars, figures, minhash, pairs, words
from curator.near_dup.bands import Bands
from curator.near_dup.spill import Keyed, Ragged

WINDOW = 64  # neighbours a row is compared with in one run of equal keys; ours: bounds a run of k rows by 128 k pairs
CHUNK = 1 << 19  # candidate pairs at once
GATHERED = 64 << 20  # bytes of n-grams at once, where they lie on disk
T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Recipe:
    """What a text is turned into. Two rows can be compared where their recipes agree."""

    unit: str
    n: int
    numbers: bool


def make(texts: Any, recipe: Recipe) -> tuple[minhash.Grams, Any]:
    """Return (n-grams, salt) of a text column. Salt, uint64[rows]: the print of the figures; 0 where they do not count."""  # noqa: E501
    data, offsets = words.text_buffers(texts)
    tokens = words.words(data, offsets, "nfkc") if recipe.unit == "word" else chars.characters(data, offsets)
    grams = minhash.grams(tokens.hashes, tokens.ends, recipe.n)
    salt = figures.figures(data, offsets) if recipe.numbers else np.zeros(len(offsets) - 1, np.uint64)
    return grams, salt


def in_order(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Yield function(item) in order; kernels release the GIL, so threads share the work. Few items are held at once."""
    if threads < 2:
        yield from map(function, items)
        return
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class MinHash:
    """All rows of one deduplication: `add` them (the data first, then the index), then ask for `edges`.

    Args:
        recipe: what texts are turned into.
        how: how candidates are found and judged.
        folder: where to spill.
        threads: that may share the kernels' work.
    """

    def __init__(self, recipe: Recipe, how: Bands, folder: str, threads: int = 1) -> None:
        self.recipe, self.how, self.threads = recipe, how, threads
        self.inner = self.total = 0
        self._whole = Keyed(folder)
        self._keys = Keyed(folder)
        self._rows = Ragged(folder)

    def add(self, columns: Iterable[tuple[Any, Any]], *, outside: bool = False) -> None:
        """Take (text column, uint64 block of each row) pieces; `outside`: they are the index."""
        for grams, salt, signatures in in_order(self._signed, columns, self.threads):
            self._store(grams, salt, signatures, outside=outside)

    def _signed(self, piece: tuple[Any, Any]) -> tuple[minhash.Grams, Any, Any]:
        grams, salt = make(piece[0], self.recipe)
        salt = salt + piece[1] * np.uint64(0x9E3779B97F4A7C15)
        return grams, salt, minhash.signatures(grams.hashes, grams.ends, self.how.permutations)

    def add_kept(self, hashes: Any, ends: Any, salt: Any) -> None:
        """Take rows of an index that kept its n-grams: uint32[grams], int64[rows + 1], and uint64[rows] salts."""
        grams = minhash.Grams(hashes, ends, minhash.contents(hashes, ends))
        self._store(grams, salt, minhash.signatures(hashes, ends, self.how.permutations), outside=True)

    def _store(self, grams: minhash.Grams, salt: Any, signatures: Any, *, outside: bool) -> None:
        count = len(salt)
        if self.how.verify == "signature":
            size = self.how.permutations
            self._rows.append(signatures.reshape(-1), np.arange(0, count * size + 1, size))
        else:
            self._rows.append(grams.hashes, grams.ends)
        keys, whole = minhash.band_keys(signatures, salt, self.how.bands, self.how.rows)
        there = np.flatnonzero(grams.content)  # a row without a word is like no other
        rows, content = there + self.total, grams.content[there]
        self._whole.add(whole[there], rows, content)
        bands = self.how.bands
        self._keys.add(keys[there].reshape(-1), np.repeat(rows, bands), np.repeat(content, bands))
        self.total += count
        self.inner += 0 if outside else count

    def edges(self, parent: Any = None) -> Iterator[tuple[Any, Any]]:
        """Yield (int64[k, 2] pairs, float64[k] similarities) at the threshold or above, smaller row first.

        parent: union-find, int32[total]; then only pairs that join two components are given, and they are joined.
        Rows with one signature are linked to one of them, which alone meets the others: a million copies are cheap.
        """
        if parent is None:
            stood_for = self.groups() != np.arange(self.total, dtype=np.int32)
        else:
            stood_for = np.zeros(self.total, bool)
            for keys, rows, content in map(_repeated, self._whole.parts()):
                pairs.least_first(keys, rows, content)
                stood_for[rows[1:][keys[1:] == keys[:-1]]] = True
                yield from self._judged(_pairs(keys, rows, 1, self.inner, parent), parent)
        for keys, rows, content in map(_repeated, self._keys.parts(stood_for)):
            _order_long_runs(keys, rows, content)
            yield from self._judged(_pairs(keys, rows, WINDOW, self.inner, parent), parent)

    def groups(self) -> Any:
        """Return int32[total]: a row with the same n-grams as often, and the same salt; the first by number."""
        first = np.arange(self.total, dtype=np.int32)
        for keys, rows, content in map(_repeated, self._whole.parts()):
            order = np.lexsort((rows, content, keys))
            keys, rows, content = keys[order], rows[order], content[order]
            new = np.concatenate([[True], (keys[1:] != keys[:-1]) | (content[1:] != content[:-1])])
            first[rows] = rows[np.maximum.accumulate(np.where(new, np.arange(len(rows)), 0))]
        return first

    def _judged(self, candidates: Iterable[Any], parent: Any) -> Iterator[tuple[Any, Any]]:
        for found in candidates:
            values = self._values(found, parent)
            good = values >= self.how.threshold
            yield found[good], values[good]

    def similarity(self, found: Any) -> Any:
        """Return float64[k]: the similarity of each pair of rows, int64[k, 2]."""
        return self._values(found, None)

    def _values(self, found: Any, parent: Any) -> Any:
        out = np.empty(len(found))
        signed = self.how.verify == "signature"
        joined = np.zeros(0, np.int32) if parent is None else parent
        for part in self._parts(found):
            some = np.ascontiguousarray(found[part])
            rows, place = np.unique(some, return_inverse=True) if self._rows.spilled else (some.reshape(-1), None)
            flat, begins, ends = self._rows.gather(rows)
            at = place.reshape(-1, 2) if place is not None else np.arange(len(rows)).reshape(-1, 2)
            pairs.similarities(flat, begins[at], ends[at], some, signed, joined, self.how.threshold, out[part])
        return out

    def _parts(self, found: Any) -> Iterator[slice]:
        """Cut pairs so that the rows of one part, read from disk, fit in `GATHERED`."""
        if not self._rows.spilled or not len(found):
            yield slice(0, len(found))
            return
        rows, place = np.unique(found, return_inverse=True)
        begins, ends = self._rows.bounds(rows)
        sizes = 4 * (ends - begins)[place.reshape(-1, 2)].sum(1)
        part = np.cumsum(sizes) // GATHERED
        edges = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(found)]
        for start, stop in pairwise(edges):
            yield slice(start, stop)


def _repeated(entries: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    """Return the entries (keys, rows, content) whose key occurs again (and a few others), equal keys side by side."""
    keys, rows, content = entries
    size = 1 << max(10, int(len(keys) // 8).bit_length())
    again = np.empty(len(keys), bool)
    pairs.mark_repeated(keys, np.zeros(size, np.uint64), np.zeros(size, np.uint64), again)
    keys, rows, content = keys[again], rows[again], content[again]
    order = np.argsort(keys)
    return keys[order], rows[order], content[order]


def _order_long_runs(keys: Any, rows: Any, content: Any) -> None:
    """Order runs longer than the window by content, so that what it sees depends on no order and no name of rows."""
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1], [True]])) if len(keys) else np.zeros(1, int)
    for k in np.flatnonzero(np.diff(starts) > WINDOW).tolist():
        run = slice(starts[k], starts[k + 1])
        inside = np.lexsort((rows[run], content[run]))
        rows[run], content[run] = rows[run][inside], content[run][inside]


def _pairs(keys: Any, rows: Any, window: int, inner: int, parent: Any) -> Iterator[Any]:
    """Yield int64[k, 2], each pair once within a piece: rows that share a key and are not joined in `parent` yet."""
    state, out = np.zeros(3, np.int64), np.empty((CHUNK, 2), np.int64)
    joined = np.zeros(0, np.int32) if parent is None else parent
    while count := pairs.pair_runs(keys, rows, window, inner, joined, state, out):
        code = np.sort(out[:count, 0] << 32 | out[:count, 1])
        code = code[np.concatenate([[True], code[1:] != code[:-1]])]
        yield np.stack([code >> 32, code & 0xFFFFFFFF], axis=1)
        if count < CHUNK:
            return
