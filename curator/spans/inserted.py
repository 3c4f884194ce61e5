"""Which parts of a text no model wrote: hints, outputs of programs, words of a template. Training must not learn them.

The column `inserted` holds them for `trace`: where each part stands, what kind it is, and its text, so that a trace
that was changed later is found out. An entry is an edit that changes nothing. Other columns are known by `edit_log`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from curator import prompts
from curator.spans.edits import Edit, part, put_in, shifted

OF_TRACE = ("trace", "think", "response")
READ = ("trace", "inserted", "edit_log")
# Edits of `splice`; words of a prefix; of `tool_loop` the output of a program, a note, a fence closed for the model;
# and text of which nobody knows any more which part was put in.
KINDS = ("keep", "cut", "insert", "replace", "mask", "prepend", "prefix", "output", "note", "fence", "unknown")
Row = Mapping[str, Any]


def fits(parts: Iterable[Edit], text: str) -> bool:
    """Return whether all parts stand in `text` where they say."""
    return all(text[p.start : p.end] == p.text for p in parts)


def within(parts: Iterable[Edit], start: int, end: int) -> list[Edit]:
    """Return the parts of a whole that lie in its piece `start..end`, counted in that piece."""
    inside = (p for p in parts if p.start < end and p.end > start)
    return [shifted(part(p, max(p.start, start), min(p.end, end)), -start) for p in inside]


def entries(value: Any) -> list[Edit]:
    """Return the entries of the column `inserted` or `edit_log`; none of a null."""
    return [Edit.of(e) for e in value or ()]


def known(row: Row, name: str) -> list[Edit] | None:
    """Return the parts of a row's column `name` that nobody generated; None where the row tells of some and not where.

    `inserted` speaks for the trace and what is a piece of it, `edit_log` for the text that it made.
    """
    text, trace, own = str(row[name]), row.get("trace"), entries(row.get("inserted"))
    if own and trace is not None and fits(own, trace):
        at = trace.rfind(text) if name == "response" else trace.find(text)
        if at >= 0:
            return within(own, at, at + len(text))
    made = put_in(entries(row.get("edit_log")))
    if fits(made, text):
        return made
    return [] if name in OF_TRACE and not own else None


def of_prefix(template: str, row: Row, names: Sequence[str]) -> list[Edit]:
    """Return the parts that nobody generated of a prefix: what the template says, and what is known of its columns.

    A column of which the row does not tell where its parts stand counts as a whole.
    """
    found: list[Edit] = []
    at = 0
    for name, text in prompts.pieces(template, {n: str(row[n]) for n in names}):
        inner = None if name is None else known(row, name)
        whole = [Edit(0, len(text), "prefix", text)] if text else []
        found += [shifted(p, at) for p in (whole if inner is None else inner)]
        at += len(text)
    return found
