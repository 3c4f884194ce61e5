"""`splice`: edit a text at its spans - keep, cut, insert, replace, drop, mask, prepend - with a log of every edit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa

from curator import prompts, rows
from curator.errors import CheckError
from curator.op import DROPPED, Result, RowFn, operator
from curator.spans import inserted
from curator.spans.column import fits
from curator.spans.edits import Edit, Plan, Range, counted, cut_span, edits, positions, replay
from curator.text import fields, seed_of

MASK = "[MASK]"
REASONS = {
    "null_text": "the column is null",
    "spans_do_not_fit": "the spans are null or are not those of this text: segment it first",
    "no_span": "the text has no span at the place asked for",
    "no_cut": "the text has one span or none, so it has no proper prefix",
    "null_field": "a column that the text names is null in this row",
}
Row = Mapping[str, Any]
Lost = tuple[str, str, str]
Edits = Literal["keep", "cut", "insert", "replace", "drop", "mask", "prepend"]
WANT_TEXT = ("insert", "replace", "prepend")


def _adds(settings: Mapping[str, Any]) -> Mapping[str, pa.DataType]:
    made = settings["each"] or isinstance(settings["fraction"], list)
    names = (*(("row_id", "parent_id") if made else ()), "edit_log", "cut_idx", "n_cuts")
    return {settings["into"]: pa.string(), **rows.types(names)}


def _named(settings: Mapping[str, Any]) -> tuple[str, ...]:
    pool = [settings["text"]] if isinstance(settings["text"], str) else settings["text"] or []
    return tuple(dict.fromkeys(name for text in pool for name in fields(text)))


def _needs(settings: Mapping[str, Any]) -> tuple[str, ...]:
    spans = () if settings["edit"] == "prepend" else ("spans",)
    return tuple(dict.fromkeys(("row_id", settings["on"], *spans, *_named(settings))))


@operator("row", effect="makes", version=2, needs=_needs, adds=_adds, reasons=REASONS)
def splice(
    *,
    edit: Edits,
    on: str = "trace",
    into: str = "edited",
    at: int | list[int] | Literal["all", "inner", "random"] = -1,
    kinds: list[str] | None = None,
    text: str | list[str] | None = None,
    side: Literal["before", "after"] = "after",
    fraction: float | list[float] = 0.5,
    trim: bool = False,
    between: tuple[float, float] = (0.0, 1.0),
    share: float = 1.0,
    each: bool = False,
    ends: bool = False,
    seed: int | None = None,
) -> RowFn:
    """Edit a text at the spans that `segment` marked, into a new column; with `each` one row for each place.

    | edit | what becomes of the text |
    |---|---|
    | keep | the spans up to and with `at`, then `text`; each: one row a proper prefix (m spans give m - 1) |
    | cut | the spans that lie within `fraction` of the whole, at least one, then `text`; a list: one row each |
    | insert | `text` put before or after the spans `at` (`side`) |
    | replace | the spans `at` replaced by `text` |
    | drop | without the spans `at` |
    | mask | each of the spans `at` replaced by `text` with chance `share` (Masked Thought) |
    | prepend | `text` put before everything; needs no spans |

    Spans of kind `outside` (think tags, the response) are no places to edit: they are not counted in `at`, and a prefix
    that is kept has the opening tag in front of it. `edit_log` holds each edit (start, end, kind, text): replace
    characters start..end by text, in order, and the same text comes out (`curator.spans.edits.replay`). So it tells
    which characters were put in: a later `generate` that continues the text marks them in `inserted`, and `export`
    keeps training off them. What was put into `on` before is in the log too, as edits that change nothing. A step whose
    `on` is its `into` adds to the log. Afterwards `spans` are still those of `on`; segment the new text to edit it
    again.

    With `each` the new rows have `row_id` "<row_id>/<i>" and `parent_id`; `cut_idx` is the number of the edited span
    (from 0), `n_cuts` how many rows its parent gives. Cutting after a number of tokens is `segment: {how: tokens}` and
    then keep.

    Args:
        edit: what to do.
        on: column with the text, the one that was segmented.
        into: column for the edited text; `on` itself where that is a column this operator made.
        at: spans, counted from 0, negative from the end: one, several, `all`, `inner` (all but the first and the last),
            or `random` (one, by hash of seed and row).
        kinds: only spans of these kinds count; default all but `outside`.
        text: what is put in: a text or several to choose from by hash; `{column}` fields are filled. For keep and cut
            what follows the kept part, e.g. a closing think tag; for mask [MASK] by default.
        side: insert: before or after the span.
        fraction: cut: part of the characters of the spans, over 0 and at most 1; several for one row each.
        trim: keep and cut: without the white space at the end of what is kept.
        between: random: the number of spans kept or counted up to there, as parts of all of them (STILL-3-Tool cuts
            between a third and the whole).
        share: mask: chance of each span.
        each: one row for each place.
        ends: keep with each: also the prefix without any span (`cut_idx` -1) and the whole text (prefix values).
        seed: None is the run's seed.

    Raises:
        CheckError: settings that do not fit together.
    """
    _accept(locals())
    several = tuple(fraction) if isinstance(fraction, list) else (fraction,)
    plan = Plan(edit, at, side, several, between, share, frozenset(kinds) if kinds is not None else None, trim)
    pool = [text] if isinstance(text, str) else list(text or [MASK if edit == "mask" else ""])
    named = _named({"text": text})

    def edited(row: Row) -> tuple[str, list[tuple[int, list[Edit]]]]:
        """Return ("", (span, log) of each row to make), or the reason why there is none."""
        draw = f"{seed or 0}\0{row['row_id']}"
        if row[on] is None:
            return "null_text", []
        if any(row[name] is None for name in named):
            return "null_field", []
        if edit != "prepend" and not fits(row["spans"], row[on]):
            return "spans_do_not_fit", []
        places = counted(row["spans"], plan.kinds) if edit != "prepend" else [(0, 0)]
        why, groups = _groups(plan, places, draw, each=each, ends=ends)
        values = {name: str(row[name]) for name in named}

        def put(i: int) -> str:
            return prompts.fill(pool[seed_of(draw, "text", i) % len(pool)], **values)

        return why, [(g[0], edits(plan, row[on], places, g, put, draw)) for g in groups]

    def run(table: pa.Table) -> Result:
        wanted = dict.fromkeys(("row_id", on, "spans", *inserted.READ, *named))
        given = table.select([n for n in wanted if n in table.column_names]).to_pylist()
        source: list[int] = []
        made: list[dict[str, Any]] = []
        lost: list[Lost] = []
        for i, row in enumerate(given):
            why, found = edited(row)
            if why:
                lost.append((row["row_id"], why, json.dumps({"spans": len(row.get("spans") or ()), "at": at})))
            before = _before(row, on, into) if found else []
            for number, (span, log) in enumerate(found):
                source.append(i)
                made.append(_made(row, row[on], number, span, before, log, len(found)))
        types = _adds({"into": into, "each": each, "fraction": fraction})
        return _result(table.take(pa.array(source, pa.int64())), into, types, made, lost)

    return run


def _result(
    out: pa.Table, into: str, types: Mapping[str, pa.DataType], made: list[dict[str, Any]], lost: list[Lost]
) -> Result:
    """Set the new columns of the rows that were made; `""` is the edited text."""
    out = rows.put(out, {n: pa.array([m[n if n != into else ""] for m in made], t) for n, t in types.items()})
    return Result(out, pa.table({f.name: [r[k] for r in lost] for k, f in enumerate(DROPPED)}, DROPPED))


def _groups(plan: Plan, places: list[Range], draw: str, *, each: bool, ends: bool) -> tuple[str, list[list[int]]]:
    """Return the spans to edit, one list a row to make, or the reason why there are none."""
    n = len(places)
    if plan.edit == "keep" and each:
        found = [[i] for i in (range(-1, n) if ends and n else range(n - 1))]
        return ("", found) if found else ("no_cut", [])
    if plan.edit == "cut":
        return ("", [[cut_span(places, f)] for f in plan.fraction]) if places else ("no_span", [])
    chosen = positions(plan, len(places), draw)
    if not chosen:
        return "no_span", []
    return "", [[i] for i in chosen] if each else [chosen]


def _before(row: Row, on: str, into: str) -> list[Edit]:
    """Return the log that this one goes on from: that of the same column, else what nobody generated of `on`."""
    if on == into:
        return inserted.entries(row.get("edit_log"))
    parts = inserted.known(row, on)
    return [Edit(0, len(row[on]), "unknown", row[on])] if parts is None else parts


def _made(row: Row, text: str, number: int, span: int, before: list[Edit], log: list[Edit], n: int) -> dict[str, Any]:
    return {
        "": replay(text, log),
        "row_id": f"{row['row_id']}/{number}",
        "parent_id": row["row_id"],
        "edit_log": [e._asdict() for e in (*before, *log)],
        "cut_idx": span,
        "n_cuts": n,
    }


def _accept(s: Mapping[str, Any]) -> None:
    """Judge settings that types alone let pass."""
    edit: str = s["edit"]
    low, high = s["between"]
    if edit in WANT_TEXT and not s["text"]:
        msg = f"splice: {edit} puts a text in and none is given; add text: ..."
        raise CheckError(msg)
    if edit == "drop" and s["text"]:
        raise CheckError("splice: drop puts nothing in; use edit: replace, or leave text out")
    if isinstance(s["text"], list) and not all(s["text"]):
        raise CheckError("splice: text has an empty text among several; leave it out, or set share below 1 for mask")
    several = s["fraction"] if isinstance(s["fraction"], list) else [s["fraction"]]
    if not several or not all(0 < f <= 1 for f in several) or not 0 <= s["share"] <= 1 or not 0 <= low <= high <= 1:
        msg = f"splice: fraction {s['fraction']}, share {s['share']}, between {low, high}; all are parts of 1, rising"
        raise CheckError(msg)
    if s["each"] and edit in ("cut", "prepend"):
        msg = f"splice: {edit} has one place in a text; leave each out, or use edit: keep"
        raise CheckError(msg)
    if s["each"] and s["at"] == -1 and edit != "keep":
        msg = f"splice: each wants several places and at is -1, the last span; set at: all, inner or a list, for {edit}"
        raise CheckError(msg)
    if s["ends"] and not (s["each"] and edit == "keep"):
        raise CheckError("splice: ends belongs to edit: keep with each: true")
    if isinstance(s["at"], list) and not s["at"]:
        raise CheckError("splice: at is an empty list; name spans, or all")
    if s["into"] in ("row_id", "parent_id", "spans", "problem_id", "problem", "trace", "think", "response"):
        msg = f"splice: into '{s['into']}' would overwrite what the row came with; name a column of its own"
        raise CheckError(msg)
