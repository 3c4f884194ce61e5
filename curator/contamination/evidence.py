"""Items, hits, and how a hit is told: benchmark, item, spans on both sides, score, method."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TOLD = 5  # hits of a row
CLIP = 600  # characters of a span; a whole trace in every evidence would be as large as the data


class Item(NamedTuple):
    """One benchmark item: the benchmark's name, the item's id in it, its question."""

    benchmark: str
    item: str
    text: str


class Hit(NamedTuple):
    """What one text and one item have in common, as one method saw it.

    `row`: of the column. `item`: of the reference set. `score`: 0 to 1, on the method's own scale. `convicted`: whether
    that is enough. `facts`: further numbers for the reader. `spans`: (text of the row, text of the item).
    """

    row: int
    item: int
    method: str
    score: float
    convicted: bool
    facts: Mapping[str, Any]
    spans: Sequence[tuple[str, str]]


def clip(text: str, limit: int = CLIP) -> str:
    """Return a text of at most `limit` characters, the middle left out."""
    return text if len(text) <= limit else f"{text[: limit // 2]} ... {text[-limit // 2 :]}"


def tell(hits: Sequence[tuple[Hit, str]], items: Sequence[Item]) -> str:
    """Return the evidence of a row as JSON: convicting hits first, then by score; one an item and column, five in all.

    Args:
        hits: each with the column it was found in, in the order of the methods.
        items: of the reference set.
    """
    best: dict[tuple[int, str], Hit] = {}
    for hit, column in hits:
        known = best.get((hit.item, column))
        if known is None or (hit.convicted and not known.convicted):
            best[hit.item, column] = hit
    order = sorted(best.items(), key=lambda e: (not e[1].convicted, -e[1].score, items[e[0][0]], e[0][1]))
    told = [_told(hit, column, items[hit.item]) for (_, column), hit in order[:TOLD]]
    return json.dumps(told, ensure_ascii=False)


def _told(hit: Hit, column: str, item: Item) -> dict[str, Any]:
    matched = [{"row": clip(here), "item": clip(there)} for here, there in hit.spans]
    return {
        "benchmark": item.benchmark, "item": item.item, "method": hit.method, "convicted": hit.convicted,
        "score": round(hit.score, 4), **hit.facts, "column": column, "matched": matched,
    }  # fmt: skip
