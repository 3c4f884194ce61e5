"""The thought segmenter of Retro-Search (arXiv 2504.04383): steps between empty lines, thoughts at switch words.

The list of words is that of a third-party re-implementation (specs core 4.2). Where a word must stand is unpublished;
ours: the first words of a step after white space and Markdown, as written (capitalised), whole, the longest first, so
that a "but" inside a sentence switches nothing. `window` 20 is the re-implementation's rule: anywhere within the first
20 characters of the step, in either case.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from curator.spans.cuts import Cut, paragraph_starts

PAPER = (
    "But", "Wait", "Alternatively", "However", "Hmm", "Hmmm", "Not sure", "Going back", "Backtrack", "Trace back",
    "Another",
)  # fmt: skip
# White space, quotes of a chat, list bullets, headings, emphasis, the number of a list item.
_LEAD = r"[\s>#*_~`+\-\u2022]*(?:\d+[.)]\s+)?[*_~`]*"


class Words(NamedTuple):
    """Compiled switch words. `find(text, start)` tells which word, if any, opens the step at `start`."""

    words: tuple[str, ...]
    window: int
    lead: re.Pattern[str]
    pattern: re.Pattern[str]

    def find(self, text: str, start: int = 0) -> str | None:
        """Return the switch word, as the list spells it, that the step at `start` begins with, or None."""
        if not self.window:
            m = self.pattern.match(text, start)
            return m[1] if m else None
        lead = self.lead.match(text, start)
        start = lead.end() if lead else start
        m = self.pattern.search(text, start, start + self.window + 1)
        if m is None or m.end() > start + self.window:
            return None
        return next(w for w in self.words if w.casefold() == m[1].casefold())


@lru_cache(maxsize=64)
def compiled(words: tuple[str, ...] = PAPER, window: int = 0) -> Words:
    """Return switch words ready to be looked for."""
    # Whole words; `_` is emphasis here.
    ordered = tuple(sorted(dict.fromkeys(words), key=len, reverse=True))
    alternatives = "|".join(map(re.escape, ordered))
    if window:
        pattern = re.compile(rf"(?<![^\W_])({alternatives})(?![^\W_])", re.I)
    else:
        pattern = re.compile(rf"{_LEAD}({alternatives})(?![^\W_])")
    return Words(ordered, window, re.compile(_LEAD), pattern)


def thoughts(text: str, words: Words) -> Cut:
    """Cut a text into thoughts. A thought that a switch word opens is of that kind, the first one else `start`."""
    if not text:
        return Cut([], [])
    starts, kinds = [0], [words.find(text) or "start"]
    for start in paragraph_starts(text)[1:]:
        word = words.find(text, start)
        if word is not None:
            starts.append(start)
            kinds.append(word)
    return Cut(starts, kinds)


def count_steps(text: str) -> int:
    """Return how many steps a text has: parts between empty lines with something in them."""
    return len(paragraph_starts(text)) if text.strip() else 0


class Outline(NamedTuple):
    """Steps and thoughts of a text.

    `steps`: start of each step; `thoughts`: number of the step each thought opens with; `length`: of the text.
    """

    steps: list[int]
    thoughts: list[int]
    length: int

    def end(self, thought: int) -> int:
        """Return where thought number `thought` (from 0) ends, white space after it included."""
        if thought + 1 == len(self.thoughts):
            return self.length
        return self.steps[self.thoughts[thought + 1]]

    def steps_through(self, thought: int) -> int:
        """Return how many steps there are up to the end of a thought."""
        return len(self.steps) if thought + 1 == len(self.thoughts) else self.thoughts[thought + 1]


def outline(text: str, words: Words) -> Outline:
    """Return where steps and thoughts of a text lie; a text of white space has none."""
    if not text.strip():
        return Outline([], [], len(text))
    steps = paragraph_starts(text)
    return Outline(steps, [0, *(i for i, s in enumerate(steps) if i and words.find(text, s))], len(text))
