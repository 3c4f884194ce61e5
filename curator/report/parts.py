"""Pieces of the page: escaped text, tables, sections."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from curator.report.terminal import show


def text(value: Any) -> str:
    """Return a value as escaped text."""
    return escape(show(value).replace("\0", "\ufffd"), quote=True)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return an HTML table; columns of numbers are set right."""
    lines = [list(row) for row in rows]
    right = [
        bool(lines) and all(isinstance(r[i], int | float) and not isinstance(r[i], bool) for r in lines)
        for i in range(len(head))
    ]
    mark = [' class="n"' if r else "" for r in right]
    top = "".join(f"<th{m}>{text(name)}</th>" for name, m in zip(head, mark, strict=True))
    body = "\n".join(
        "<tr>" + "".join(f"<td{m}>{text(v)}</td>" for v, m in zip(row, mark, strict=True)) + "</tr>" for row in lines
    )
    return f'<div class="wide"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


def section(title: str, body: str) -> str:
    """Return a titled section, nothing where the body is empty."""
    return f"<section>\n<h2>{text(title)}</h2>\n{body}\n</section>" if body else ""
