"""Seeded draws without replacement: each a function of the seed, its number and the pool, and of no order of rows."""

from __future__ import annotations

import hashlib
import random
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np

from curator import fold

NORMAL = fold.chain(["nfkc", "lower", "whitespace"])
TRIES = 64  # of one item, before the rest of a draw is made by ranks: a heavy item would else be drawn for ever
BUCKETS = 512  # of the character trigrams that likeness is measured by


@dataclass
class Item:
    """One thing that can be drawn: its text, the rows that hold it (their number decides `count`), its weight."""

    text: str
    row_id: str
    weight: float = 0.0
    count: int = 0
    lists: set[int] = field(default_factory=set)


def pool_of(given: Iterator[tuple[str, Any, float | None]]) -> tuple[list[Item], int]:
    """Return the items of (row_id, text or list of texts, weight), in the order of their normalised texts.

    Texts that are equal when normalised are one item (Instruct-SkillMix's released list holds 11 doubles), known by the
    smallest row_id that holds it and the spelling it has there. Also returned: how many were merged.
    """
    found: dict[str, Item] = {}
    merged = 0
    for number, (row_id, value, weight) in enumerate(sorted(given, key=lambda g: g[0])):
        own = set()
        for text in value if isinstance(value, list) else [value]:
            name = fold.normalise(text, NORMAL) if text is not None else ""
            if not name or name in own:
                continue
            own.add(name)
            held = found.setdefault(name, Item(text.strip(), row_id))
            merged += held.count > 0 and not isinstance(value, list)
            held.weight += weight or 0.0
            held.count += 1
            held.lists.add(number)
    return [found[name] for name in sorted(found)], merged


def _chance(*parts: object) -> random.Random:
    text = "\x00".join(map(str, parts))
    return random.Random(int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big"))


def independent(weights: Sequence[float], k: int, seed: int, draw: int) -> list[int]:
    """Return the places of k different items, one after the other with chances proportional to their weights.

    An item that was drawn already is drawn again: that is the same as drawing from the rest.
    """
    chance = _chance(seed, draw)
    sums = list(accumulate(weights))
    chosen: dict[int, None] = {}
    for _ in range(k * TRIES):
        if len(chosen) == k:
            break
        chosen.setdefault(min(bisect_right(sums, chance.random() * sums[-1]), len(sums) - 1))
    rest = [i for i, w in enumerate(weights) if i not in chosen and w > 0]
    keys = {i: -np.log(1.0 - chance.random()) / weights[i] for i in rest} if len(chosen) < k else {}
    return [*chosen, *sorted(keys, key=lambda i: keys[i])[: k - len(chosen)]]


class Linked:
    """PromptCoT's sampler: the first item by frequency, each next by softmax((co-occurrence + likeness) / T), no reuse.

    Both scores are held by the item's own number, never by a rank: the released sampler adds likeness in the order of
    ranks to co-occurrence in the order of ids, and lets used items come again (specs synthesis 3.1, traps i and ii).
    Co-occurrence is with the item before; likeness is the cosine of character trigrams, ours in the place of an
    embedding model's.
    """

    def __init__(self, items: Sequence[Item], temperature: float) -> None:
        self.items, self.temperature = items, temperature
        self.counts = [float(item.count) for item in items]
        self.vectors = np.stack([_trigrams(item.text) for item in items]) if items else np.zeros((0, BUCKETS))
        self.holders: dict[int, list[int]] = {}
        for place, item in enumerate(items):
            for number in item.lists:
                self.holders.setdefault(number, []).append(place)

    def scores(self, last: int) -> np.ndarray[Any, Any]:
        """Return co-occurrence plus likeness of every item with item `last`."""
        together = Counter(p for number in self.items[last].lists for p in self.holders[number])
        found: np.ndarray[Any, Any] = self.vectors @ self.vectors[last]
        for place, n in together.items():
            found[place] += n
        return found

    def draw(self, k: int, seed: int, number: int) -> list[int]:
        """Return the places of up to k different items."""
        chance = _chance(seed, number, "linked")
        chosen = independent(self.counts, 1, seed, number)
        while len(chosen) < min(k, len(self.items)):
            scores = self.scores(chosen[-1]) / self.temperature
            scores[chosen] = -np.inf  # out of the draw: a score of 0 would leave it in
            shares = np.cumsum(np.exp(scores - scores.max()))
            at = int(np.searchsorted(shares, chance.random() * shares[-1], side="right"))
            chosen.append(min(at, len(self.items) - 1))
        return chosen


def _trigrams(text: str) -> np.ndarray[Any, Any]:
    name = f" {fold.normalise(text, NORMAL)} "
    found = np.zeros(BUCKETS)
    for i in range(max(1, len(name) - 2)):
        digest = hashlib.blake2b(name[i : i + 3].encode("utf-8", "surrogatepass"), digest_size=4).digest()
        found[int.from_bytes(digest, "big") % BUCKETS] += 1.0
    return found / np.linalg.norm(found)


def balanced(values: Sequence[str], n: int, seed: int, name: str) -> list[str]:
    """Return n of the values, each as often as any other (give or take one), in an order by hash."""
    places = sorted(range(n), key=lambda i: hashlib.blake2b(f"{seed}\0{name}\0{i}".encode(), digest_size=8).digest())
    out = [""] * n
    for rank, place in enumerate(places):
        out[place] = values[rank % len(values)]
    return out


def identity(seed: int, number: int, ids: Sequence[str], more: Mapping[str, str]) -> str:
    """Return the row_id of a draw: a hash of all that made it."""
    text = "\x00".join([str(seed), str(number), *ids, *(f"{k}={v}" for k, v in sorted(more.items()))])
    return "d-" + hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()
