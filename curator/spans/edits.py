"""Edits of a text as a log: each entry replaces a range by a text; replayed in order they give the edited text.

The range counts in the text as the entries before it have left it. Edits of one step are logged from the end of the
text to its beginning, so their ranges are those of the unedited text too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from curator.text import seed_of

Range = tuple[int, int]


class Edit(NamedTuple):
    """Replace `start..end` (characters) by `text`. `kind`: keep, cut, insert, replace, drop, mask or prepend."""

    start: int
    end: int
    kind: str
    text: str

    @classmethod
    def of(cls, entry: Mapping[str, Any]) -> Edit:
        """Return an entry of the column `edit_log`."""
        return cls(entry["start"], entry["end"], entry["kind"], entry["text"])


def replay(text: str, log: Iterable[Edit]) -> str:
    """Return the text that a log makes of `text`."""
    for e in log:
        text = text[: e.start] + e.text + text[e.end :]
    return text


def put_in(log: Iterable[Edit]) -> list[Edit]:
    """Return the parts of the edited text that a log put in, in order: where they stand in it, and their text."""
    held: list[Edit] = []
    for e in log:
        moved = len(e.text) - (e.end - e.start)
        before = [part(p, p.start, min(p.end, e.start)) for p in held if p.start < e.start]
        after = [part(p, max(p.start, e.end), p.end) for p in held if p.end > e.end]
        held = [*before, *(shifted(p, moved) for p in after)]
        held += [Edit(e.start, e.start + len(e.text), e.kind, e.text)] if e.text else []
    return sorted(held)


def part(put: Edit, start: int, end: int) -> Edit:
    """Return the piece of a part that lies in `start..end` of its text."""
    return Edit(start, end, put.kind, put.text[start - put.start : end - put.start])


def shifted(put: Edit, by: int) -> Edit:
    """Return a part that stands `by` characters further on."""
    return put._replace(start=put.start + by, end=put.end + by)


def inserted(log: Iterable[Edit]) -> list[Range]:
    """Return the ranges of the edited text that a log put in. In order, not touching."""
    return _joined([(p.start, p.end) for p in put_in(log)])


def _joined(ranges: list[Range]) -> list[Range]:
    out: list[Range] = []
    for a, b in sorted(ranges):
        if out and a <= out[-1][1]:
            out[-1] = (out[-1][0], max(b, out[-1][1]))
        else:
            out.append((a, b))
    return out


class Plan(NamedTuple):
    """What one `splice` step does to every text; fields as its settings. `kinds` None: all but `outside`."""

    edit: str
    at: int | list[int] | str
    side: str
    fraction: tuple[float, ...]
    between: tuple[float, float]
    share: float
    kinds: frozenset[str] | None
    trim: bool = False


def counted(spans: Sequence[Mapping[str, Any]], kinds: frozenset[str] | None) -> list[Range]:
    """Return the ranges of the spans that count."""
    return [(s["start"], s["end"]) for s in spans if (s["kind"] != "outside" if kinds is None else s["kind"] in kinds)]


def positions(plan: Plan, n: int, draw: str) -> list[int]:
    """Return the numbers of the spans that are edited, of `n` that count; none where `at` names none of them.

    `draw`: what chance hangs on.
    """
    if plan.edit == "prepend":
        return [0]
    if plan.at == "random":
        low, high = (max(1, int(n * plan.between[0])), int(n * plan.between[1]))
        return [low - 1 + seed_of(draw, "at") % (high - low + 1)] if n and low <= high else []
    if plan.at == "all":
        return list(range(n))
    if plan.at == "inner":
        return list(range(1, n - 1))
    wanted = [plan.at] if isinstance(plan.at, int) else plan.at
    assert not isinstance(wanted, str)
    return sorted({i if i >= 0 else n + i for i in wanted if -n <= i < n})


def cut_span(spans: list[Range], fraction: float) -> int:
    """Return the number of the last span that ends within a fraction of what the spans hold; at least the first."""
    total, at = sum(b - a for a, b in spans) * fraction, 0.0
    for i, (a, b) in enumerate(spans):
        at += b - a
        if at > total:
            return max(0, i - 1)
    return len(spans) - 1


def edits(
    plan: Plan, body: str, spans: list[Range], chosen: Sequence[int], text: Callable[[int], str], draw: str
) -> list[Edit]:
    """Return the log of one edit of the text `body` at the spans `chosen`, last span first.

    `text(i)`: what is put in for span number i. For keep, -1 keeps only what stands before the first span.
    """
    if plan.edit == "prepend":
        return [Edit(0, 0, plan.edit, text(0))]
    if plan.edit in ("keep", "cut"):
        last = max(chosen)
        start, end = spans[max(last, 0)]
        end = start if last < 0 else end
        if plan.trim and last >= 0:
            end = start + len(body[start:end].rstrip())
        return [Edit(end, len(body), plan.edit, text(last))]
    out = []
    for i in sorted(chosen, reverse=True):
        a, b = spans[i]
        if plan.edit == "insert":
            a = b = a if plan.side == "before" else b
        if plan.edit == "mask" and seed_of(draw, "mask", i) >= plan.share * 2**31:
            continue
        out.append(Edit(a, b, plan.edit, "" if plan.edit == "drop" else text(i)))
    return out
