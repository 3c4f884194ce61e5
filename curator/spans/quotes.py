"""Boundaries that a model quotes: where each unit begins, in the words of the text, found again in the text.

A model that hands back the pieces themselves rewrites them; one that quotes their beginnings cannot. Every quote must
be found, in order, else nothing is believed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from curator.spans.cuts import Cut, whole
from curator.text import split_think

_BULLET = re.compile(r"^\s*(?:[-*\u2022]|\(?\d+[.):])?\s*")
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "`": "`", "\u00ab": "\u00bb"}
_DOTS = re.compile(r"\s*(?:\.\.\.|\u2026)\s*$")
_SHORTEST = 4  # characters without white space: less is found anywhere


def quoted(reply: str) -> list[str]:
    """Return the quotes of a reply, one a line, without bullets, quotation marks and final dots."""
    body = split_think(reply).response
    return [q for q in (_quote(line) for line in body.splitlines()) if q]


def _quote(line: str) -> str:
    line = line[len(m.group()) :].rstrip() if (m := _BULLET.match(line)) else line
    if line[:1] in _QUOTES and len(line) > 1 and line[-1] == _QUOTES[line[0]]:
        line = line[1:-1]
    return _DOTS.sub("", line).strip()


def align(text: str, quotes: list[str]) -> Cut:
    """Cut at the quotes: each begins a piece of kind `unit`. White space may differ, words may not.

    The first quote should be the beginning of the text; what stands before it is a piece of kind `start`. `ok` False
    (one piece) where there is no quote, a quote is not in the text after the one before it, or says too little.
    """
    starts = list(_places(text, quotes))
    if not starts or starts[-1] < 0:
        return whole(text, "unit", ok=False)
    head = not text[: starts[0]].strip()
    if head:
        starts[0] = 0
    else:
        starts.insert(0, 0)
    return Cut(starts, ["unit" if head else "start", *["unit"] * (len(starts) - 1)])


def _places(text: str, quotes: list[str]) -> Iterator[int]:
    """Yield where each quote begins, rising; -1 and nothing after it where one is not found."""
    at = 0
    for quote in quotes:
        words = quote.split()
        if sum(map(len, words)) < _SHORTEST:
            yield -1
            return
        m = re.compile(r"\s+".join(map(re.escape, words))).search(text, at)
        if m is None:
            yield -1
            return
        yield m.start()
        at = m.end()
