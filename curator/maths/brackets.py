"""Brackets and separators of LaTeX text."""

from __future__ import annotations

import re
from collections.abc import Iterator

MAX_DEPTH = 12
MAX_ITEMS = 64

OPEN = {
    "(": ")",
    "[": "]",
    "\\{": "\\}",
    "{": "}",
    "\\langle": "\\rangle",
    "\\lfloor": "\\rfloor",
    "\\lceil": "\\rceil",
}
CLOSE = {*OPEN.values()}
_TOKEN = re.compile(r"\\begin\s*\{\w+\*?\}|\\end\s*\{\w+\*?\}|\\[A-Za-z]+|\\.|<=|>=|!=|==|.", re.S)


class TooDeep(ValueError):
    """The answer is nested deeper than `MAX_DEPTH` or has more than `MAX_ITEMS` items on a level."""


def tokens(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield (token, position, depth before it) of LaTeX text."""
    depth = 0
    for m in _TOKEN.finditer(text):
        t = m.group()
        if t in CLOSE or t.startswith("\\end"):
            depth -= 1
        yield t, m.start(), depth
        if t in OPEN or t.startswith("\\begin"):
            depth += 1


def split(text: str, separators: frozenset[str]) -> tuple[list[str], list[str]]:
    """Split at the separators outside all brackets; return the parts and the separators between them."""
    parts, found, start = [], [], 0
    for t, at, depth in tokens(text):
        if depth <= 0 and t in separators:
            parts.append(text[start:at].strip())
            found.append(t)
            start = at + len(t)
    return [*parts, text[start:].strip()], found


def bound(n: int) -> None:
    """Raises TooDeep for more than `MAX_ITEMS` items."""
    if n > MAX_ITEMS:
        msg = f"answer has {n} items, more than {MAX_ITEMS}"
        raise TooDeep(msg)
