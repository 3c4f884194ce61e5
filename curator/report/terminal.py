"""The report as text for a terminal."""

from __future__ import annotations

import io
import os
import sys
from typing import Any

from curator.report.gather import Story


def render(story: Story, *, width: int = 120, color: bool | None = None) -> str:
    """Return the report as text, with ANSI colours where `color` says so (None: where stdout is a terminal)."""
    from rich.console import Console

    if color is None:
        color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    out = io.StringIO()
    console = Console(
        file=out, width=width, force_terminal=color, color_system="standard" if color else None, highlight=False,
        markup=False, emoji=False,
    )  # fmt: skip
    head = ("step", "in", "made", "out", "dropped", "seconds", "why dropped")
    _print(console, "Rows", head, _steps(story))
    for receipt in story.receipts:
        for title, rows in (receipt.get("reports") or {}).items():
            if rows:
                _print(console, f"{receipt['step']}: {title}", tuple(rows[0]), [tuple(row.values()) for row in rows])
    if story.engines:
        _print(console, "Models", ENGINES, [_engine(a, u) for a, u in story.engines.items()])
    if story.missing:
        console.print(f"Not finished: {', '.join(story.missing)}. Run the same command again to go on.")
    return "\n".join(line.rstrip() for line in out.getvalue().rstrip().splitlines()) + "\n"


ENGINES = ("engine", "requests", "from store", "prompt tokens", "completion tokens", "errors", "too long", "cost")


def _steps(story: Story) -> list[tuple[Any, ...]]:
    keys = ("rows_in", "made", "out", "dropped")
    return [
        (
            r["step"], *(r.get(k, 0) for k in keys), float(r.get("seconds") or 0),
            ", ".join(f"{reason} {n:,}" for reason, n in (r.get("reasons") or {}).items()),
        )
        for r in story.receipts
    ]  # fmt: skip


def _engine(alias: str, use: dict[str, float]) -> tuple[Any, ...]:
    counts = [int(use.get(k, 0)) for k in ("requests", "cached", "tokens_in", "tokens_out", "errors", "too_long")]
    return (alias, *counts, money(use["cost"]) if "cost" in use else "no price")


def money(dollars: float) -> str:
    """Return dollars with as many digits as they deserve: cents, or less where there is less."""
    return f"${dollars:,.2f}" if dollars == 0 or dollars >= 1 else f"${dollars:.4f}"


def _print(console: Any, title: str, head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    numbers = [all(isinstance(row[i], int | float) for row in rows) for i in range(len(head))]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name, number in zip(head, numbers, strict=True):
        table.add_column(Text(str(name)), justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(show(value)) for value in row))
    console.print(Text(show(title), style="bold"), table)


def show(value: Any) -> str:
    """Return a value as people read it: thousands separated, three digits of a fraction, controls made visible."""
    if isinstance(value, bool) or value is None:
        return "-" if value is None else str(value).lower()
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(value))
