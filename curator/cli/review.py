"""`curator review`: what a run found of the benchmarks, with the texts side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from curator.cli.tables import line
from curator.errors import CheckError

FACTS = (
    "item_share",
    "row_share",
    "item_numbers",
    "row_numbers",
    "needed",
    "shared",
    "answers",
    "similarity",
    "barred",
)


ALIKE = 0.7  # of the words of both; from there on what differs is marked, below what is shared


class Hit(NamedTuple):
    """One hit of one row: the evidence of `decontaminate`, the row's id, and whether the row was dropped."""

    row_id: str
    dropped: bool
    evidence: dict[str, Any]


def review(folder: Path, benchmark: str | None, limit: int, *, convicted: bool) -> None:
    """Print the hits of all `decontaminate` steps of a run, by benchmark, the convicting ones and the best first.

    Args:
        folder: of the run.
        benchmark: only hits of this one.
        limit: hits shown a benchmark; all are counted.
        convicted: only hits that convicted their row.

    Raises:
        CheckError: the folder holds no run, the run has no step with evidence, or knows no such benchmark.
    """
    by: dict[str, list[Hit]] = {}
    for hit in hits(folder):
        by.setdefault(str(hit.evidence.get("benchmark")), []).append(hit)
    if benchmark is not None and benchmark not in by:
        from curator.near import hint

        told = ", ".join(sorted(by)) or "none"
        msg = f"{folder}: no hit of benchmark '{benchmark}'{hint(benchmark, by)}; hits are of {told}"
        raise CheckError(msg)
    for name in sorted(by) if benchmark is None else [benchmark]:
        _benchmark(name, by[name], limit, convicted=convicted)
    if not by:
        line("no hits: no row shares anything with the benchmarks")


def hits(folder: Path) -> Iterator[Hit]:
    """Yield the hits of a run's `decontaminate` steps, those in loops too, of dropped rows and of rows that stayed.

    Raises:
        CheckError: the folder holds no run, or no finished step of that kind.
    """
    from curator.run.result import Run

    run = Run(folder)
    steps = [s for s in run.walk() if s["op"] == "decontaminate"]
    if not steps:
        msg = f"{folder}: no step decontaminate, so there is nothing to review"
        raise CheckError(msg)
    for step in steps:
        for dropped in (True, False):
            if not (files := run.finished(step, dropped=dropped)):
                continue
            column = "evidence" if dropped else "contamination"
            found = run.rows(files)
            for row_id, told in found.filter(f"{column} is not null").project(f"row_id, {column}").fetchall():
                yield from (Hit(row_id, dropped, evidence) for evidence in _list(told))


def _list(told: str) -> list[dict[str, Any]]:
    found = json.loads(told)
    return [e for e in found if isinstance(e, dict) and "benchmark" in e] if isinstance(found, list) else []


def _benchmark(name: str, found: Sequence[Hit], limit: int, *, convicted: bool) -> None:
    rows = len({h.row_id for h in found if h.evidence.get("convicted")})
    others = len({h.row_id for h in found}) - rows
    line(f"{name}: {_count(len(found), 'hit')}, {_count(rows, 'row')} convicted, {_count(others, 'row')} to review")
    shown = [h for h in found if h.evidence.get("convicted") or not convicted]
    shown.sort(key=lambda h: (not h.evidence.get("convicted"), -float(h.evidence.get("score") or 0), h.row_id))
    for hit in shown[:limit]:
        _show(hit)
    if len(shown) > limit:
        line(f"... and {len(shown) - limit:,} more; --limit shows them")


def _show(hit: Hit) -> None:
    e = hit.evidence
    state = "dropped" if hit.dropped else "marked" if e.get("convicted") else "kept, to review"
    facts = ", ".join(f"{k} {_fact(e[k])}" for k in FACTS if e.get(k) is not None)
    line(f"\nrow {hit.row_id} ({state})   item {e.get('item')}   {e.get('method')} {e.get('score')}   {facts}")
    spans = [(str(m.get("row", "")), str(m.get("item", ""))) for m in e.get("matched") or ()]
    if not sys.stdout.isatty():
        for here, there in spans:
            line(f"  row   {' '.join(here.split())}\n  item  {' '.join(there.split())}")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("row", "item", show_lines=True, expand=True, header_style="bold")
    for here, there in spans:
        table.add_row(*_marked(here, there))
    Console().print(table)


def _fact(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _marked(here: str, there: str) -> tuple[Any, Any]:
    """Return both texts with what the eye should find: of copies the words that differ, else the words they share.

    Text, because values of rows are not mark-up. Words of nearly every problem are not marked as shared.
    """
    import re

    from rich.text import Text

    from curator.contamination.problem import COMMON_WORDS

    mine, theirs = ({w.lower() for w in re.findall(r"\w+", text)} for text in (here, there))
    both = mine & theirs
    copies = len(both) >= ALIKE * len(mine | theirs)
    shared = both - set(COMMON_WORDS.split())
    texts = []
    for text in (here, there):
        shown = Text()
        for part in re.findall(r"\w+|\W+", "".join(c if c.isprintable() else " " for c in text)):
            word = part.lower()
            differs = copies and part[0].isalnum() and word not in both
            shown.append(part, "bold red" if differs else "bold" if not copies and word in shared else "")
        texts.append(shown)
    return texts[0], texts[1]
