"""Where the values of a JSON text lie that a path names: `$.steps[*].text`.

A small part of RFC 9535: names (`.name`, `['name']`), numbers (`[0]`, `[-1]`), all (`[*]`, `.*`). A library would give
the values, and we need their places in the text.
"""

from __future__ import annotations

import json
import re
from json.decoder import scanstring  # type: ignore[attr-defined]
from typing import Any

from curator.spans.cuts import Cut, whole

Path = tuple[str | int | None, ...]  # a name, a number, or None for all
_PART = re.compile(r"\.([A-Za-z_]\w*)|\.(\*)|\[(\*)\]|\[(-?\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_SPACE = re.compile(r"[ \t\r\n]*")
_SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null")
_DEEP = 200  # of nesting; more is refused, not recursed into


def parse(path: str) -> Path:
    """Return the parts of a path. Raises ValueError where it is none of ours."""
    at, parts = 1, []
    while path.startswith("$") and at < len(path):
        m = _PART.match(path, at)
        if m is None:
            break
        name, star, every, number, one, two = m.groups()
        parts.append(None if star or every else int(number) if number else next(n for n in (name, one, two) if n))
        at = m.end()
    if not parts or at < len(path):
        msg = f"'{path}' is no path of names, numbers and [*], such as $.steps[*].text (stopped at '{path[at:]}')"
        raise ValueError(msg)
    return tuple(parts)


def by_path(text: str, path: Path) -> Cut:
    """Cut at the values that `path` names, strings without their quotes: kind `value`, between them `text`.

    `ok` False where the text is not JSON or has no such value.
    """
    scan = _Scan(text, path)
    try:
        end = scan.space(scan.value(scan.space(0), 0, 0))
    except (ValueError, IndexError, RecursionError):
        return whole(text, "text", ok=False)
    if end != len(text) or not scan.found:
        return whole(text, "text", ok=False)
    starts, kinds = [0], ["text"]
    for a, b in sorted(scan.found):
        if a == starts[-1]:
            kinds[-1] = "value"
        else:
            starts.append(a)
            kinds.append("value")
        if b < len(text):
            starts.append(b)
            kinds.append("text")
    return Cut(starts, kinds)


class _Scan:
    """One walk over a JSON text. `found`: (start, end) of the values that the path names, empty strings left out."""

    def __init__(self, text: str, path: Path) -> None:
        self.text, self.path = text, path
        self.found: list[tuple[int, int]] = []

    def space(self, at: int) -> int:
        m = _SPACE.match(self.text, at)
        return m.end() if m else at

    def value(self, at: int, deep: int, on: int | None) -> int:
        """Read the value at `at` and return its end. `on`: parts of the path that lead here; None off the path."""
        if deep > _DEEP:
            raise ValueError("nested too deeply")
        mark = self.text[at]
        if mark == "{":
            end = self._object(at, deep, on)
        elif mark == "[":
            end = self._array(at, deep, on)
        elif mark == '"':
            end = scanstring(self.text, at + 1, True)[1]  # noqa: FBT003 - its own signature
        else:
            m = _SCALAR.match(self.text, at)
            if m is None:
                raise ValueError("not JSON")
            end = m.end()
        if on == len(self.path):
            a, b = (at + 1, end - 1) if mark == '"' else (at, end)
            if a < b:
                self.found.append((a, b))
        return end

    def _next(self, on: int | None, fits: Any) -> int | None:
        return on + 1 if on is not None and on < len(self.path) and fits(self.path[on]) else None

    def _object(self, at: int, deep: int, on: int | None) -> int:
        at = self.space(at + 1)
        while self.text[at] != "}":
            key, at = scanstring(self.text, at + 1, True)  # noqa: FBT003
            at = self.space(at)
            if self.text[at] != ":":
                raise ValueError("no colon")
            nearer = self._next(on, lambda part, key=key: part is None or part == key)
            at = self._more(self.value(self.space(at + 1), deep + 1, nearer), "}")
        return at + 1

    def _array(self, at: int, deep: int, on: int | None) -> int:
        wanted = self.path[on] if on is not None and on < len(self.path) else ""
        length = self._count(at, deep) if isinstance(wanted, int) and wanted < 0 else 0
        at, i = self.space(at + 1), 0
        while self.text[at] != "]":
            nearer = self._next(on, lambda part, i=i: part is None or part in (i, i - length if length else i))
            at, i = self._more(self.value(at, deep + 1, nearer), "]"), i + 1
        return at + 1

    def _count(self, at: int, deep: int) -> int:
        at, n = self.space(at + 1), 0
        while self.text[at] != "]":
            at, n = self._more(self.value(at, deep + 1, None), "]"), n + 1
        return n

    def _more(self, at: int, close: str) -> int:
        """Step over a comma, if there is one; what follows is the next member or the end."""
        at = self.space(at)
        if self.text[at] == ",":
            at = self.space(at + 1)
            if self.text[at] == close:
                raise ValueError("a comma before the end")
        elif self.text[at] != close:
            raise ValueError("no comma")
        return at


def decoded(piece: str) -> str:
    """Return a piece of kind `value` as the text it stands for: a JSON string is unescaped, the rest stays."""
    try:
        found = json.loads(f'"{piece}"')
    except ValueError:
        return piece
    return str(found)
