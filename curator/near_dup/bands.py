"""How many bands of how many rows find the pairs above a threshold."""

from __future__ import annotations

from dataclasses import dataclass

MISSED = 0.005  # of the pairs exactly at the threshold, at most; ours: pairs above it are missed far less


@dataclass(frozen=True)
class Bands:
    """How candidates are found and judged: `verify` is `jaccard` or `signature`."""

    permutations: int
    bands: int
    rows: int
    threshold: float
    verify: str


def found(similarity: float, bands: int, rows: int) -> float:
    """Return the odds that a pair of this Jaccard similarity shares a band: 1 - (1 - s^r)^b (Leskovec et al., 3.4.2)."""  # noqa: E501
    return float(1 - (1 - similarity**rows) ** bands)


def derive(threshold: float, permutations: int) -> tuple[int, int]:
    """Return (bands, rows): the most rows with which at most `MISSED` of the pairs at the threshold are missed.

    More rows make fewer candidates; candidates are verified, so bands and rows decide about cost and recall only.
    """
    for rows in range(min(permutations, 32), 1, -1):
        bands = permutations // rows
        if found(threshold, bands, rows) >= 1 - MISSED:
            return bands, rows
    return permutations, 1
