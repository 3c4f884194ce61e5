r"""Find the final answer in model text: the last `\boxed`, else the last final-answer phrase."""

from __future__ import annotations

import contextlib
import json
import re
from typing import NamedTuple

from curator.text import THINK_CLOSE, THINK_OPEN

MAX_CHARS = 4000  # an answer longer than this is not compared; the longest MATH gold has 159
_TAIL = 200_000  # phrases are looked for in the last characters only: linear work on a 50 MB trace
_PHRASE = re.compile(r"\b(?:answer|solution)\*{0,2}\s*(?:\([^)\n]{0,40}\)\s*)?(?:(?:is|are)\b|[:=])\s*:?\s*", re.I)
_HASHES = re.compile(r"^[ \t]*(?:####|A:)[ \t]*(\S.*?)[ \t]*$", re.M)  # GSM8K and its model solutions
_VALUE = re.compile(r"[-+$\\]?\s*[\d\\.]")
_JSON = re.compile(r'"(?:final[_ ])?answer"\s*:\s*("(?:\\.|[^"\\])*"|-?\d[\d.,]*)', re.I)
_MATH = re.compile(r"\$\$(.+?)\$\$|\$((?:\\.|[^$\n\\])+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.S)
_JOIN = re.compile(r"[\s$\\(),.;*\[\]]*(?:and|or|,|;)[\s$\\(),.;*\[\]]*|[\s$\\()]*")
_BARE_LINE = 120
_BRACES = re.compile(r"(?P<box>\\(?:boxed|fbox)(?![A-Za-z])\s*\{?)|\\.|[{}]", re.S)
_BARE = re.compile(r"[^\s$.,{}\\]{1,40}")


class Found(NamedTuple):
    """An answer found in text and how: `boxed`, `phrase`, `bare`; `text` None with how `none` or `truncated`."""

    text: str | None
    how: str


def boxes(text: str) -> list[tuple[int, int, str]]:
    r"""Return (start, end, content) of each closed `\boxed{...}` or `\fbox{...}`, outermost ones, in order.

    One pass; only the last 400,000 characters are read.
    """
    skipped = max(0, len(text) - 2 * _TAIL)
    first = text.find("box", skipped)
    if first < 0:
        return []
    base = max(skipped, first - 8)
    text = text[base:]
    found: list[tuple[int, int, str]] = []
    stack: list[tuple[int, int] | None] = []  # open braces; those of a box know where the box and its content start
    for m in _BRACES.finditer(text):
        token = m.group()
        if token == "}":
            opened = stack.pop() if stack else None
            if opened and m.start() - opened[1] <= 2 * MAX_CHARS:
                while found and found[-1][0] > opened[0]:
                    found.pop()
                found.append((opened[0], m.end(), text[opened[1] : m.start()].strip()))
        elif m["box"]:
            if token.endswith("{"):
                stack.append((m.start(), m.end()))
            elif bare := _BARE.match(text, m.end()):
                found.append((m.start(), bare.end(), bare.group()))
        elif token == "{":
            stack.append(None)
    return [(start + base, end + base, inner) for start, end, inner in found]


def last_box(text: str) -> str | None:
    r"""Return the content of the last box; boxes joined by "and", "or" or a comma count as one answer, `a, b`.

    Repeats of one box next to each other are one. Empty boxes are skipped.
    """
    found = [b for b in boxes(text) if b[2]]
    if not found:
        return None
    parts = [found[-1][2]]
    for before, after in zip(reversed(found[:-1]), reversed(found), strict=False):
        between = text[before[1] : after[0]]
        if len(between) > 30 or not _JOIN.fullmatch(between):
            break
        if before[2] != parts[-1]:
            parts.append(before[2])
    return ", ".join(reversed(parts))


def last_phrase(text: str) -> str | None:
    """Return what follows the last "final answer is", "ANSWER:", "#### ", `"answer":` and the like, or None."""
    text = text[-_TAIL:].rstrip()
    hashes = list(_HASHES.finditer(text))
    if hashes and hashes[-1].end() == len(text):  # elsewhere it is a Markdown heading
        return _trim(hashes[-1][1])
    if stated := _JSON.findall(text):
        return _from_json(stated[-1])
    for m in reversed(list(_PHRASE.finditer(text))):
        rest = text[m.end() :].lstrip(" \t*:\n")
        line = rest.split("\n", 1)[0]
        if rest.startswith(("\\[", "$$")):
            line = rest[: MAX_CHARS + 4]
        if not line.strip(" .*") or line.startswith("```"):
            continue
        return _from_line(line)
    return _trim(hashes[-1][1]) if hashes and _VALUE.match(hashes[-1][1]) else None


def _from_json(value: str) -> str | None:
    """The value of a JSON field; models often forget to escape LaTeX, then the raw text is the answer."""
    inner = value.strip('"')
    with contextlib.suppress(ValueError):
        if value.startswith('"') and not re.search(r"\\[a-zA-Z]", inner.replace("\\\\", "")):
            inner = str(json.loads(value))
    return _trim(inner) or None


def reference(text: str) -> str:
    """Return the short answer of a reference: itself, or what a whole solution in its place states at its end."""
    text = text.strip()
    if "\n" in text or "####" in text:
        return last_box(text) or last_phrase(text) or text
    return text


def _from_line(line: str) -> str:
    """The formula of a line when it has exactly one and little else, else the line up to its end."""
    math = _MATH.match(line.lstrip("* "))
    if math:
        return next(g for g in math.groups() if g is not None).strip()
    every = list(_MATH.finditer(line))
    if len(every) == 1:
        return next(g for g in every[0].groups() if g is not None).strip()
    return _trim(line)


def _trim(text: str) -> str:
    text = re.split(r"(?<=[\w)\]}%$])\.(?:\s|$)", text.strip(), maxsplit=1)[0]
    return text.strip().strip("*").strip().rstrip(".").strip()


def final_answer(trace: str, *, finish_reason: str | None = None, opened: bool = False) -> Found:
    r"""Find the final answer of a trace.

    Looked for in the text after the last `</think>` first, then in the thinking: a box, then a phrase; a text of one
    short line is its own answer. No number is picked out of running text: that makes false positives.

    Args:
        trace: assistant text, thinking included.
        finish_reason: `length` marks a cut trace.
        opened: the prompt ended with `<think>`, so a trace without a closing tag is an unfinished thought.

    Returns:
        `how` is `truncated` where nothing was found and the trace was cut or its thinking never closed.
    """
    thought, closed, response = trace.rpartition(THINK_CLOSE)
    unfinished = not closed and (opened or trace.lstrip().startswith(THINK_OPEN))
    for part in (response, thought):
        if box := last_box(part):
            return Found(box, "boxed")
    if not unfinished:
        if phrase := last_phrase(response):
            return Found(phrase, "phrase")
        lines = response.strip().splitlines()
        if len(lines) == 1 and len(lines[0]) <= _BARE_LINE and finish_reason != "length":
            return Found(_from_line(lines[0]), "bare")
    if unfinished or finish_reason == "length":
        return Found(None, "truncated")
    return Found(None, "none")
