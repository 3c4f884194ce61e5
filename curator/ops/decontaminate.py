"""`decontaminate`: find rows that contain benchmark items."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curator.contamination.evidence import Hit, tell
from curator.engines.protocol import GENERATE, Engine
from curator.op import DROPPED, Kind, ModelFn, Names, Result, RowFn, operator
from curator.ops._benchmarks import local_files, references
from curator.ops._decontaminate import Finder, check, lift, methods_of
from curator.rows import put

STRIP = ("nfkc", "latex", "lower", "whitespace")
Found = dict[int, list[tuple[Hit, str]]]


def _columns(on: str | list[str]) -> Names:
    return (on,) if isinstance(on, str) else tuple(on)


def _kind(settings: Mapping[str, Any]) -> Kind:
    return "model" if "judge" in methods_of(settings.get("method")) else "row"


def _needs(settings: Mapping[str, Any]) -> Names:
    vectors = (settings["vectors"],) if settings["vectors"] else ()
    return tuple(dict.fromkeys(("row_id", *_columns(settings["on"]), *vectors)))


def inputs(settings: Mapping[str, Any]) -> list[str]:
    """Return the local files of the reference sets, for the step's key."""
    return local_files(references(settings["against"]))


@operator(
    _kind,
    effect="keeps",
    version=3,
    needs=_needs,
    adds=("contaminated", "contamination"),
    wants=lambda s: frozenset({GENERATE}) if _kind(s) == "model" else frozenset(),
    reasons={"contaminated": "the text contains a benchmark item, by the rule of the step"},
)
def decontaminate(
    *,
    against: str | list[Any],
    on: str | list[str] = "problem",
    method: str | list[str] = "recommended",
    n: int = 8,
    tokens: str = "word",
    latex: bool = True,
    min_coverage: float = 0.3,
    numbers: bool = True,
    strip: list[str] | tuple[str, ...] = STRIP,
    min_length: int = 20,
    ratio: float = 0.9,
    cosine: float = 0.9,
    vectors: str | None = None,
    model: str | None = None,
    engine: Engine | None = None,
    k: int = 3,
    floor: float = 0.2,
    both_orders: bool = True,
    max_tokens: int = 2048,
    action: str = "drop",
) -> RowFn | ModelFn:
    """Drop or mark rows that contain an item of a benchmark, with the matched text on both sides as evidence.

    Methods, tried in this order; a row that one convicts is not shown to the next:

    - `exact`: the whole text is an item after the chain `strip`, and `min_length` characters are left.
    - `ngram`: row and item share a run of `n` tokens; an item shorter than n is a hit where all of it, operators
      included, stands in the row and no formula goes on around it. Shares are weighted by the rarity of tokens among
      the items, so that contest boilerplate does not convict. A hit convicts when the shared runs cover
      `min_coverage` of the item and all its numbers stand in the row where the item would lie; or half of the row,
      and all the row's numbers stand in the item; or half of either, where neither has numbers.
    - `paraphrase`: rare words in any order and the same numbers, names left aside: finds items in other words.
    - `edit`: normalised Indel ratio of at least `ratio`, with the same numbers and operators.
    - `embedding`: cosine of at least `cosine`, of `vectors` or of a `model`.
    - `judge`: the `k` most similar items (by vectors where given, else by rare words) are shown to `engine`, which says
      whether they are the same problem; yes in `both_orders` convicts, yes in one is kept for review.

    `recommended` is `[ngram, paraphrase]`. The plain rule of Open-R1 and s1 (any shared 8-gram) is
    `{method: ngram, min_coverage: 0, numbers: false}`, Light-R1's is `{method: [exact, ngram], n: 32, strip: [lower,
    symbols, digits]}`. Weights, number rule and thresholds are unpublished, ours: docs/decontamination.md has
    what they find and spare.

    All hits are kept, best first, five at most: in `contamination` of rows that stay (a list to review) and in the
    evidence of dropped ones. `curator review RUN` shows them side by side.

    Args:
        against: names from `benchmarks.yaml`, paths, `builtin:pocket-eval`, `hf:` ids, or
            `{path: ..., name: ..., columns: {problem: ...}, vectors: ...}`; one or a list.
        on: text column, or several; a row is judged by its worst.
        method: one or a list of the methods above, or `recommended`.
        n: tokens in a run.
        tokens: `word` (`\\w+`, NFKC, lower case), `whitespace` (lower case), or `char` (without white space).
        latex: leave out commands that only lay formulas out, and read `\\dfrac` as `\\frac` and the like.
        min_coverage: least weighted share of the item that convicts by `ngram`, 0 to 1.
        numbers: demand that numbers agree; another number is another problem.
        strip: normalisers of `exact`: nfkc, latex, lower, punctuation, whitespace, symbols, digits.
        min_length: least characters that `strip` leaves.
        ratio: least similarity by `edit`, 0 to 1; OpenThoughts uses 0.95.
        cosine: least similarity by `embedding`; AM-Thinking uses 0.9 with bge-m3.
        vectors: column of the rows with vectors; the reference sets need one of that name, or say theirs.
        model: sentence-transformers id or path, in place of `vectors`.
        engine: which engine judges.
        k: neighbours shown to the judge; OpenMathReasoning shows 3, DeepMath 5.
        floor: least similarity of a neighbour, so that no question is spent on rows like nothing; ours.
        both_orders: ask the judge twice, with either text first.
        max_tokens: longest answer of the judge, thinking included.
        action: `drop`, or `mark` to keep the rows with `contaminated` true.

    Raises:
        CheckError: a setting out of range, a benchmark that is not known, a method without what it needs.
        InputError: a reference set that cannot be read, vectors of several dimensions or with NaN.
    """
    settings = {
        "method": method, "n": n, "tokens": tokens, "latex": latex, "min_coverage": min_coverage, "numbers": numbers,
        "strip": strip, "min_length": min_length, "ratio": ratio, "cosine": cosine, "vectors": vectors, "model": model,
        "engine": engine, "k": k, "floor": floor, "max_tokens": max_tokens, "action": action,
    }  # fmt: skip
    check(settings)
    finder = Finder(references(against), settings)
    methods = methods_of(method)

    def plain(table: pa.Table) -> Found:
        return _plain(finder, [m for m in methods if m != "judge"], table, _columns(on))

    def run(table: pa.Table) -> Result:
        return _result(finder, table, plain(table), action)

    async def ask(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        from curator.ops._same import judge

        found = await asyncio.to_thread(plain, table)
        for column in _columns(on):
            rows, array = _left(table, column, found)
            near = await asyncio.to_thread(finder.neighbours, array, table, rows)
            texts = {row: str(text) for row, text in enumerate(array.to_pylist()) if row in near}
            keys = table.column("row_id").take(pa.array(rows)).to_pylist()
            hits = await judge(
                engine, texts, near, finder.items, keys, both_orders=both_orders, max_tokens=max_tokens  # type: ignore[arg-type]
            )  # fmt: skip
            _add(found, lift(hits, rows), column)
        return _result(finder, table, found, action)

    return ask if "judge" in methods else run


def _left(table: pa.Table, column: str, found: Found) -> tuple[Any, Any]:
    """Return int64: the rows that nothing has convicted yet, and their texts."""
    import numpy as np

    from curator.fold import strings

    guilty = [row for row, hits in found.items() if any(h.convicted for h, _ in hits)]
    array, rows = strings(table.column(column)), np.arange(len(table))
    if not guilty:
        return rows, array
    rows = np.delete(rows, guilty)
    return rows, array.take(pa.array(rows))


def _plain(finder: Finder, methods: list[str], table: pa.Table, columns: Names) -> Found:
    found: Found = {}
    for method in methods:
        for column in columns:
            rows, array = _left(table, column, found)
            _add(found, lift(finder.hits(method, array, table, rows), rows), column)
    return found


def _add(found: Found, hits: list[Hit], column: str) -> None:
    for hit in hits:
        found.setdefault(hit.row, []).append((hit, column))


def _result(finder: Finder, table: pa.Table, found: Found, action: str) -> Result:
    guilty = [False] * len(table)
    told: list[str | None] = [None] * len(table)
    counts = {"contaminated": 0.0, "to_review": 0.0}
    for row, hits in found.items():
        guilty[row] = any(hit.convicted for hit, _ in hits)
        told[row] = tell(hits, finder.items)
        counts["contaminated" if guilty[row] else "to_review"] += 1
        errors = sum(said == "error" for hit, _ in hits for said in hit.facts.get("answers", ()))
        if errors:
            counts["judge_errors"] = counts.get("judge_errors", 0.0) + errors
    marked = _marked(table, guilty, told)
    return Result(marked, None, counts) if action == "mark" else _drop(marked, guilty, told, counts)


def _drop(marked: pa.Table, guilty: list[bool], told: list[str | None], counts: Mapping[str, float]) -> Result:
    ids = marked.column("row_id").to_pylist()
    gone = [i for i, g in enumerate(guilty) if g]
    drops = [[ids[i] for i in gone], ["contaminated"] * len(gone), [told[i] for i in gone]]
    dropped = pa.table([pa.array(column, pa.string()) for column in drops], schema=DROPPED)
    return Result(marked.filter(pa.array([not g for g in guilty], pa.bool_())), dropped, counts)


def _marked(table: pa.Table, guilty: list[bool], told: list[str | None]) -> pa.Table:
    return put(table, {"contaminated": pa.array(guilty, pa.bool_()), "contamination": pa.array(told, pa.string())})
