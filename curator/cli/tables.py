"""What commands print: a rich table on a terminal, plain columns elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

NUMBERS = str.maketrans("", "", "0123456789.,-+%$~ sMkGB")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print rows under a head; columns of numbers stand to the right."""
    text = [[_cell(v) for v in row] for row in rows]
    right = [bool(text) and all(not row[i].translate(NUMBERS) for row in text) for i in range(len(head))]
    if not sys.stdout.isatty():
        _plain(title, head, text, right)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    out = Table(title=title or None, title_justify="left", header_style="bold")
    for name, is_right in zip(head, right, strict=True):
        out.add_column(name, justify="right" if is_right else "left", overflow="fold")
    for row in text:
        out.add_row(*(Text(v) for v in row))  # Text: values of rows are not mark-up
    Console().print(out)


def _plain(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[bool]) -> None:
    if title:
        line(title)
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, *rows]:
        cells = [c.rjust(w) if r else c.ljust(w) for c, w, r in zip(row, widths, right, strict=True)]
        line("  ".join(cells).rstrip())


def line(text: str) -> None:
    """Print one line; control characters of model text cannot reach the terminal."""
    sys.stdout.write("".join(c if c.isprintable() or c in "\n\t" else "?" for c in text) + "\n")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.3g}"
    if isinstance(value, int):
        return f"{value:,}"
    return "".join(c if c.isprintable() else " " for c in str(value))
