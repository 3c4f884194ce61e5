"""Group pieces of a text into chunks that a student finds easy: move boundaries, keep what lowers its loss.

The loss of a grouping is the mean over its chunks of the mean loss a token: what chunk-wise training, which visits one
chunk an iteration, averages over its iterations. A token's loss under a causal model does not depend on where a chunk
ends, so one scoring of the text serves every grouping: sums and counts of the pieces are all that is needed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

import numpy as np

_EPSILON = 1e-12  # nats: a smaller gain is rounding


class Pieces(NamedTuple):
    """Sums of log-probabilities and numbers of tokens of pieces, as running totals from 0."""

    sums: list[float]
    counts: list[int]

    @classmethod
    def of(cls, sums: Sequence[float], counts: Sequence[int]) -> Pieces:
        """Return the running totals."""
        return cls(list(accumulate(sums, initial=0.0)), list(accumulate(counts, initial=0)))

    @property
    def n(self) -> int:
        """Number of pieces."""
        return len(self.counts) - 1

    def loss(self, edges: Sequence[int]) -> float:
        """Return the mean over the chunks between edges (0, ..., n) of their mean loss; inf where one has no token."""
        found = [(self.sums[a] - self.sums[b], self.counts[b] - self.counts[a]) for a, b in pairwise(edges)]
        return math.fsum(s / n for s, n in found) / len(found) if all(n for _, n in found) else math.inf


def average(n: int, parts: int) -> list[int]:
    """Return the edges of average chunking: as many pieces each, as `cuts.equal` cuts them."""
    parts = min(parts, n)
    return [i * n // parts for i in range(parts + 1)]


def smallest(n: int, parts: int, least: float) -> int:
    """Return how many pieces a chunk must have: a share of the average, at least one."""
    return max(1, math.floor(least * n / max(1, min(parts, n))))


def local(pieces: Pieces, parts: int, least: float = 0.5) -> list[int]:
    """Return the edges that a descent reaches: of all moves of a boundary by one piece the best, until none lowers.

    It can stick where another grouping is better still; so does the published search.
    """
    edges, small = average(pieces.n, parts), smallest(pieces.n, parts, least)
    held = pieces.loss(edges)
    while True:
        moved = [
            [*edges[:i], edges[i] + by, *edges[i + 1 :]]
            for i in range(1, len(edges) - 1)
            for by in (-1, 1)
            if edges[i] + by - edges[i - 1] >= small and edges[i + 1] - edges[i] - by >= small
        ]
        best = min(moved, key=pieces.loss, default=edges)
        if not pieces.loss(best) < held - _EPSILON:
            return edges
        edges, held = best, pieces.loss(best)


def best(pieces: Pieces, parts: int, least: float = 0.5) -> list[int]:
    """Return the edges of lowest loss of all groupings into as many chunks: exact, by dynamic programming."""
    n, small = pieces.n, smallest(pieces.n, parts, least)
    parts = min(parts, n)
    sums, counts = np.array(pieces.sums), np.array(pieces.counts, float)
    cost = np.full(n + 1, np.inf)
    cost[0] = 0.0
    came: list[list[int]] = []
    for _ in range(parts):
        following, back = np.full(n + 1, np.inf), [0] * (n + 1)
        for end in range(small, n + 1):
            begin = np.arange(end - small + 1)
            tokens = counts[end] - counts[begin]
            with np.errstate(divide="ignore", invalid="ignore"):
                whole = cost[begin] + np.where(tokens > 0, (sums[begin] - sums[end]) / tokens, np.inf)
            at = int(whole.argmin())
            following[end], back[end] = whole[at], at
        cost = following
        came.append(back)
    edges = [n]
    for back in reversed(came):
        edges.append(back[edges[-1]])
    found = edges[::-1]
    start = average(pieces.n, parts)
    return found if pieces.loss(found) < pieces.loss(start) - _EPSILON else start
