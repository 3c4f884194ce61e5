"""`chunk`: group the pieces of a text into chunks, by their number or by what a student finds easy."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import pyarrow as pa

from curator import rows
from curator.bounds import Ge, Gt, Le
from curator.op import RowFn, operator
from curator.spans import chunks

ADDS = ("spans", "n_spans", "chunk_loss", "chunk_loss_average")
REPORTS = {
    "chunks": "SELECT count(*) AS rows, count(*) FILTER (chunk_loss < chunk_loss_average) AS moved, "
    "avg(chunk_loss_average) AS mean_average_chunking, avg(chunk_loss) AS mean_searched FROM rows "
    "WHERE chunk_loss IS NOT NULL",
}
Span = Mapping[str, Any]


def _named(settings: Mapping[str, Any]) -> tuple[str, str]:
    head = f"{settings['name']}_" if settings["name"] else ""
    return f"{head}span_logprob_sum", f"{head}span_n_scored"


def _needs(settings: Mapping[str, Any]) -> tuple[str, ...]:
    return ("row_id", "spans", *_named(settings)) if settings["search"] != "none" else ("row_id", "spans")


@operator("row", effect="marks", version=1, needs=_needs, adds=ADDS, reports=REPORTS)
def chunk(
    *,
    parts: Annotated[int, Ge(1)],
    search: Literal["local", "best", "none"] = "local",
    name: str = "",
    least: Annotated[float, Gt(0), Le(1)] = 0.5,
) -> RowFn:
    """Group neighbouring spans into `parts` chunks: the search-based chunking of Skip-Thinking (EMNLP 2025).

    It starts from average chunking (as many spans each) and moves boundaries, keeping what lowers the student's loss.
    Before it stand `segment`, whose spans are where a boundary may lie, and `score` with `spans: spans`, which tells
    each span's loss. The loss of a chunking is the mean over its chunks of their mean loss a token: what training that
    visits one chunk an iteration averages over its iterations. How the paper weighs chunks, how many there are and how
    long it searches is unpublished; this is ours. A token's loss does not depend on where its chunk ends, so the text
    is scored once and every grouping follows from sums.

    `spans` are the chunks afterwards (kind `part`), still covering the text; spans of kind `outside` stay as they are.
    `chunk_loss` is the loss of the chunks, `chunk_loss_average` that of average chunking, in nats; null where some span
    was not scored (a text that was cut off): such a row has average chunks.

    Args:
        parts: how many chunks; fewer where there are fewer spans. Unpublished.
        search: `local` moves one boundary by one span at a time, always the best move, until none lowers the loss, and
            can stick as the published one can; `best` is the lowest loss there is, exactly; `none` is average chunking.
        name: of the `score` step: `name: student` reads `student_span_logprob_sum`.
        least: no chunk gets smaller than this share of the average number of spans; without it the lowest loss is one
            long chunk and a few of one easy line each.
    """
    of_sums, of_counts = _named({"name": name})

    def grouped(row: Mapping[str, Any]) -> tuple[list[Span] | None, float | None, float | None]:
        spans: list[Span] | None = row["spans"]
        if not spans:
            return spans, None, None
        inner = [i for i, s in enumerate(spans) if s["kind"] != "outside"]
        if not inner:
            return spans, None, None
        start = chunks.average(len(inner), parts)
        sums, counts = row.get(of_sums) or [], row.get(of_counts) or []
        if search == "none" or not _told(sums, counts, inner, len(spans)):
            return _joined(spans, inner, start), None, None
        pieces = chunks.Pieces.of([sums[i] for i in inner], [counts[i] for i in inner])
        edges = (chunks.local if search == "local" else chunks.best)(pieces, parts, least)
        after, before = (x if math.isfinite(x) else None for x in (pieces.loss(edges), pieces.loss(start)))
        return _joined(spans, inner, edges), after, before

    def run(table: pa.Table) -> pa.Table:
        wanted = [n for n in ("spans", of_sums, of_counts) if n in table.column_names]
        found = [grouped(row) for row in table.select(wanted).to_pylist()]
        values = ([f[0] for f in found], [None if f[0] is None else len(f[0]) for f in found],
                  [f[1] for f in found], [f[2] for f in found])  # fmt: skip
        return rows.put(table, {n: pa.array(v, t) for (n, t), v in zip(rows.types(ADDS).items(), values, strict=True)})

    return run


def _told(sums: list[float | None], counts: list[int], inner: list[int], n: int) -> bool:
    """Whether there is a score for each of the spans that count."""
    return len(sums) == len(counts) == n and all(sums[i] is not None for i in inner)


def _joined(spans: list[Span], inner: list[int], edges: list[int]) -> list[Span]:
    """Return the spans with the inner ones joined between edges. They are neighbours: what is outside stands around."""
    made = [
        {"start": spans[inner[a]]["start"], "end": spans[inner[b - 1]]["end"], "kind": "part"}
        for a, b in zip(edges, edges[1:], strict=False)
    ]
    return [*spans[: inner[0]], *made, *spans[inner[-1] + 1 :]]
