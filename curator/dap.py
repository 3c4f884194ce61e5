r"""Difficulty-Aware Prompting: reading a rewrite, and the rule that accepts it. Pure text functions.

Levels and section names: `prompts.SECTIONS` (small-thoughts `utils/prompt.py`). That the level can be read off the
headings, the 0.9 and the required sections are unpublished, ours: see specs core 1.3 and 1.4.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import NamedTuple

from curator.maths.extract import last_box, last_phrase
from curator.prompts import SECTIONS
from curator.text import THINK_CLOSE, THINK_OPEN

SOLUTION = "solution"
# Pass-rate bins of a second opinion (ours, specs core 1.4): at or above -> level.
BINS = ((0.75, "easy"), (0.25, "medium"), (0.0, "hard"))
_LEVEL = re.compile(r"^[\s*#>]*DIFFICULTY\s*\**\s*:\s*[*\s]*(easy|medium|hard)\b[*.\s]*$", re.I | re.M)
_HEADING = re.compile(r"^[ \t]*(?:#{1,6}[ \t]+\**([^\n*#]+?)\**[ \t]*:?\**[ \t]*$|\*\*([^\n*]+?)\*\*[ \t]*:?)", re.M)
_TAGGED = re.compile(r"<\|?begin_of_solution\|?>(.*?)(?:<\|?end_of_solution\|?>|\Z)", re.S)
_TAGS = re.compile(r"</?think(?:ing)?>|<\|?(?:begin|end)_of_thought\|?>", re.I)


class Rewrite(NamedTuple):
    """A rewrite taken apart. `level` None where neither a DIFFICULTY line nor the headings say it."""

    level: str | None
    source: str | None  # teacher (the line), headings, or None
    headings: tuple[str, ...]
    short_cot: str
    short_solution: str
    answer: str | None
    tags: bool  # think tags left in the text

    @property
    def text(self) -> str:
        """Reasoning and solution, as they would be trained on."""
        return f"{self.short_cot}\n\n**Solution**\n{self.short_solution}"


def level_from_headings(headings: Iterable[str]) -> str | None:
    """Return the level whose skeleton the headings belong to, or None; names are compared whole."""
    names = {h.strip().lower() for h in headings}
    if names & {"problem decomposition", "integration"}:
        return "hard"
    if names & {"improvement", "initial approach"}:
        return "medium"
    return "easy" if "approach" in names else None


def level_from_pass_rate(rate: float | None) -> str | None:
    """Return the level of a pass rate: 0.75 and above easy, 0.25 and above medium, below hard; None for null, NaN."""
    if rate is None or math.isnan(rate):
        return None
    return next((level for low, level in BINS if rate >= low), None)


def headings(text: str) -> list[tuple[str, int, int]]:
    """Return (name, start, end) of the bold or `#` headings that stand at the start of a line."""
    found = []
    for m in _HEADING.finditer(text):
        name = re.sub(r"^(?:\d+[.)]|Step \d+[.:])\s*", "", (m[1] or m[2]).strip()).rstrip(":").strip()
        found.append((name, m.start(), m.end()))
    return found


def read_rewrite(text: str) -> Rewrite:
    """Take a completion apart: level line, sections, solution, final answer.

    A leading `<think>...</think>` block is the teacher's own thinking and is left out; tags anywhere else stay and
    are reported. The solution is what follows the **Solution** heading, else what stands in begin/end-of-solution tags.
    """
    body = text.lstrip()
    if body.startswith(THINK_OPEN):
        body = body.partition(THINK_CLOSE)[2]
    stated = _LEVEL.search(body)
    if stated:
        body = body[: stated.start()] + body[stated.end() :]
    found = headings(body)
    names = tuple(name for name, _, _ in found)
    first = next((at for name, at, _ in found if name.lower() != SOLUTION), 0)
    last = next(((at, end) for name, at, end in reversed(found) if name.lower() == SOLUTION), None)
    tagged = _TAGGED.search(body)
    if last:
        cot, solution = body[first : last[0]], body[last[1] :]
    elif tagged:
        cot, solution = body[first : tagged.start()], tagged[1]
    else:
        cot, solution = body[first:], ""
    solution = solution.lstrip(": \n").strip()
    level = stated[1].lower() if stated else level_from_headings(names)
    source = "teacher" if stated else "headings" if level else None
    answer = last_box(solution) or last_phrase(solution) or last_box(cot)
    return Rewrite(level, source, names, cot.strip(), solution, answer, bool(_TAGS.search(body)))


def sections_ok(rewrite: Rewrite, level: str) -> bool:
    """True where all sections of `level` and a solution are there, in any order."""
    names = {h.lower() for h in rewrite.headings}
    return all(name.lower() in names for name in SECTIONS[level]) and bool(rewrite.short_solution)
