"""`decontaminate`: find rows that contain benchmark items."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator.errors import CheckError
from curator.op import DROPPED, Names, Result, RowFn, operator
from curator.ops._benchmarks import Item, items, local_files, references

if TYPE_CHECKING:
    from curator.ops._overlap import Hit, Index

PART = 0.5  # of a row that is part of an item, or of texts without numbers; ours, see docs/decisions.md
TOLD = 5


def _columns(on: str | list[str]) -> Names:
    return (on,) if isinstance(on, str) else tuple(on)


def inputs(settings: Mapping[str, Any]) -> list[str]:
    """Return the local files of the reference sets, for the step's key."""
    return local_files(references(settings["against"]))


@operator(
    "row",
    effect="keeps",
    version=1,
    needs=lambda s: ("row_id", *_columns(s["on"])),
    adds=("contaminated", "contamination"),
    reasons={"contaminated": "the text contains a benchmark item, by the rule of the step"},
)
def decontaminate(
    *,
    against: str | list[Any],
    on: str | list[str] = "problem",
    method: str = "ngram",
    n: int = 8,
    min_coverage: float = 0.3,
    numbers: bool = True,
    action: str = "drop",
) -> RowFn:
    """Drop or mark rows that contain an item of a benchmark, with the matched text on both sides as evidence.

    A row and an item that share a run of `n` words are a hit; an item shorter than n words is a hit where all of it,
    operators included, stands in the row and no formula goes on around it. Words are `\\w+` in lower case; numbers
    are words and are never folded. Shares are weighted by the rarity of words among the items (log of items / items
    that hold the word), so that contest boilerplate does not convict. A hit convicts when the shared runs cover

    - `min_coverage` of the item, and all its numbers stand in the row where the item would lie, or
    - 0.5 of the row, and all the row's numbers stand in the item (the row is a part of it), or
    - 0.5 of either, where neither has numbers,

    because the same text with another number is another problem. With `numbers: false` it is `min_coverage` of
    either; the plain rule of Open-R1 and s1 (any shared 8-gram) is `{min_coverage: 0, numbers: false}`. Weights, number
    rule and thresholds are unpublished, ours: see docs/decisions.md for what they find and spare.

    All hits are kept, best first, five at most: in `contamination` of rows that stay (a list to review) and in the
    evidence of dropped ones.

    Args:
        against: names from `benchmarks.yaml`, paths, `builtin:pocket-eval`, `hf:` ids, or
            `{path: ..., name: ..., columns: {problem: ...}}`; one or a list.
        on: text column, or several; a row is judged by its worst.
        method: `ngram`; the other methods are not in this version.
        n: words in a run.
        min_coverage: least weighted share of the item that convicts, 0 to 1.
        numbers: demand that numbers agree.
        action: `drop`, or `mark` to keep the rows with `contaminated` true.

    Raises:
        CheckError: a setting out of range, or a benchmark that is not known.
        InputError: a reference set that cannot be read.
    """
    if method != "ngram":
        msg = f"decontaminate: method '{method}' is not available in this version, use ngram"
        raise CheckError(msg)
    if action not in ("drop", "mark"):
        msg = f"decontaminate: action is '{action}', it must be drop or mark"
        raise CheckError(msg)
    if n < 2 or not 0 <= min_coverage <= 1:
        msg = f"decontaminate: n is {n} and min_coverage {min_coverage}; n must be at least 2, min_coverage 0 to 1"
        raise CheckError(msg)
    found = references(against)

    @cache
    def index() -> Index:
        from curator.ops._overlap import Index

        return Index(items(found), n)

    convicts = partial(_convicts, min_coverage=min_coverage, numbers=numbers)

    def run(table: pa.Table) -> Result:
        guilty = [False] * len(table)
        told: list[str | None] = [None] * len(table)
        for row, judged in _judged(index(), table, _columns(on), convicts).items():
            guilty[row] = judged[0]["convicted"]
            told[row] = json.dumps(judged, ensure_ascii=False)
        marked = _marked(table, guilty, told)
        review = sum(t is not None and not g for t, g in zip(told, guilty, strict=True))
        counts = {"contaminated": float(sum(guilty)), "to_review": float(review)}
        return Result(marked, None, counts) if action == "mark" else _drop(marked, guilty, told, counts)

    return run


def _convicts(hit: Hit, *, min_coverage: float, numbers: bool) -> bool:
    if hit.method == "whole_item":
        return True
    if not numbers:
        return hit.score >= min_coverage
    if hit.item_numbers is None and hit.row_numbers is None:
        return hit.score >= max(min_coverage, PART)
    of_item = max(min_coverage, PART) if hit.item_numbers is None else min_coverage
    holds_item = hit.item_share >= of_item and hit.item_numbers in (None, 1)
    return holds_item or (hit.row_share >= max(min_coverage, PART) and hit.row_numbers == 1)


def _judged(
    index: Index, table: pa.Table, columns: Names, convicts: Callable[[Hit], bool]
) -> dict[int, list[dict[str, Any]]]:
    """Return row -> evidence of its hits, the convicting ones first, then by score; five at most."""
    found: dict[int, list[tuple[bool, Hit, str, str]]] = {}
    for column in columns:
        array = table.column(column)
        rows = index.candidates(array).nonzero()[0].tolist()
        for row, text in zip(rows, array.take(pa.array(rows, pa.int64())).to_pylist(), strict=True):
            hits = [(convicts(h), h, column, str(text)) for h in index.hits(str(text))]
            if hits:
                found.setdefault(row, []).extend(hits)
    return {row: _evidence(index, hits) for row, hits in found.items()}


def _evidence(index: Index, hits: list[tuple[bool, Hit, str, str]]) -> list[dict[str, Any]]:
    def order(entry: tuple[bool, Hit, str, str]) -> tuple[bool, float, Item, str]:
        return not entry[0], -entry[1].score, index.items[entry[1].item], entry[2]

    told = []
    for convicted, hit, column, text in sorted(hits, key=order)[:TOLD]:
        item = index.items[hit.item]
        spans = [{"row": here, "item": there} for here, there in index.spans(text, hit)]
        told.append({
            "benchmark": item.benchmark, "item": item.item, "method": hit.method, "convicted": convicted,
            "score": round(hit.score, 4), "item_share": round(hit.item_share, 4), "row_share": round(hit.row_share, 4),
            "item_numbers": hit.item_numbers, "row_numbers": hit.row_numbers, "column": column, "matched": spans,
        })  # fmt: skip
    return told


def _drop(marked: pa.Table, guilty: list[bool], told: list[str | None], counts: Mapping[str, float]) -> Result:
    ids = marked.column("row_id").to_pylist()
    gone = [i for i, g in enumerate(guilty) if g]
    drops = [[ids[i] for i in gone], ["contaminated"] * len(gone), [told[i] for i in gone]]
    dropped = pa.table([pa.array(column, pa.string()) for column in drops], schema=DROPPED)
    return Result(marked.filter(pa.array([not g for g in guilty], pa.bool_())), dropped, counts)


def _marked(table: pa.Table, guilty: list[bool], told: list[str | None]) -> pa.Table:
    for name, array in (("contaminated", pa.array(guilty, pa.bool_())), ("contamination", pa.array(told, pa.string()))):
        at = table.schema.get_field_index(name)
        table = table.append_column(name, array) if at < 0 else table.set_column(at, name, array)
    return table
