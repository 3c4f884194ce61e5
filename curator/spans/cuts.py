"""Where to cut a text. A cut is a list of starts, so that the pieces cover the text whatever finds the starts.

Piece i runs from `starts[i]` to the next start, the last one to the end of the text. Starts rise strictly from 0; the
empty text has no pieces. White space between two pieces belongs to the one before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Literal, NamedTuple

from curator.text import THINK_CLOSE, THINK_OPEN

Side = Literal["left", "right", "alone"]
BREAK = re.compile(r"\n[ \t\r]*\n\s*")
"""What stands between two paragraphs: an empty line, with the white space around it."""
_CLOSERS = "\"'\u201d\u2019)\\]*_"
_SENTENCE = re.compile(rf"(?:[.!?]+[{_CLOSERS}]*(?=\s)|[\u3002\uff01\uff1f]+[{_CLOSERS}]*)\s*|{BREAK.pattern}")
_ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|cf|Dr|Mr|Mrs|Ms|St|vs|No|Fig|Eq|Prof|[A-Z])|^\s*\d+)\.\Z", re.M)
_LONGEST = 12  # characters before a full stop that decide whether it ends an abbreviation


class Cut(NamedTuple):
    """Starts and kinds of the pieces. `ok` False: what should have been found was not, and the text is one piece."""

    starts: list[int]
    kinds: list[str]
    ok: bool = True

    def pieces(self, text: str) -> list[str]:
        """Return the pieces; joined they are `text`."""
        return [text[a:b] for a, b in pairwise([*self.starts, len(text)])]


def whole(text: str, kind: str, *, ok: bool = True) -> Cut:
    """Return the cut into one piece, or none of an empty text."""
    return Cut([0], [kind], ok) if text else Cut([], [], ok)


def of_starts(text: str, starts: Iterable[int], kind: str) -> Cut:
    """Return the cut at rising `starts`, all of one kind; 0 need not be among them."""
    if not text:
        return Cut([], [])
    found = [0, *(s for s in starts if 0 < s < len(text))]
    return Cut(found, [kind] * len(found))


def paragraphs(text: str) -> Cut:
    """Cut after empty lines. White space before the first paragraph belongs to it."""
    return of_starts(text, paragraph_starts(text)[1:], "paragraph")


def paragraph_starts(text: str) -> list[int]:
    """Return where paragraphs start, 0 first; each has something in it but white space, unless there is nothing."""
    ends = [m.end() for m in BREAK.finditer(text)]
    if ends and ends[-1] == len(text):
        ends.pop()
    if ends and not text[: ends[0]].strip():
        ends.pop(0)
    return [0, *ends]


def sentences(text: str) -> Cut:
    """Cut after . ! ? followed by white space, after their Chinese and Japanese forms, and after empty lines.

    Common abbreviations, initials and the numbers of lists do not end a sentence. Unpublished, ours.
    """
    starts = []
    for m in _SENTENCE.finditer(text):
        mark = m.group()[:1]
        if mark == "." and _ABBREVIATION.search(text[max(0, m.start() - _LONGEST) : m.start() + 1]):
            continue
        starts.append(m.end())
    return of_starts(text, starts, "sentence")


def numbered(text: str, word: str = "Step") -> Cut:
    """Cut before lines that begin `Step 3:` (or . or the end of a heading), also in bold or as a heading."""
    head = re.compile(rf"^[ \t]*(?:#+[ \t]+)?[*_]*{re.escape(word)}[ \t]+\d+\b[ \t]*(?:[:.)*_-]|$)", re.M)
    found = whole(text, "text")
    for m in head.finditer(text):
        _add(found, m.start(), "step")
    return found


def by_regex(text: str, pattern: re.Pattern[str], keep: Side) -> Cut:
    """Cut at the matches: a match begins the piece after it (right), ends the one before (left), or stands alone.

    Matches of nothing are none.
    """
    found = whole(text, "text")
    for m in pattern.finditer(text):
        if m.start() == m.end():
            continue
        if keep != "left":
            _add(found, m.start(), "match")
        if keep != "right" and m.end() < len(text):
            _add(found, m.end(), "text")
    return found


def by_words(text: str, words: tuple[str, ...], keep: Side) -> Cut:
    """Cut at whole words anywhere in the text, as written; the longest wins. A piece a word begins is of that kind."""
    alternatives = "|".join(re.escape(w) for w in sorted(words, key=len, reverse=True))
    found = whole(text, "start")
    for m in re.finditer(rf"(?<!\w)(?:{alternatives})(?!\w)", text):
        if keep != "left":
            _add(found, m.start(), m.group())
        if keep != "right" and m.end() < len(text):
            _add(found, m.end(), "text" if keep == "alone" else m.group())
    return found


def _add(found: Cut, start: int, kind: str) -> None:
    """Begin a piece; one that begins where the last did takes its place."""
    if start == found.starts[-1]:
        found.kinds[-1] = kind
    else:
        found.starts.append(start)
        found.kinds.append(kind)


def equal(text: str, parts: int, unit: str = "characters") -> Cut:
    """Cut into `parts` pieces of as many characters, sentences or paragraphs each; sizes differ by one at most.

    A text of fewer units gives fewer pieces, never empty ones.
    """
    if unit == "characters":
        n, starts = len(text), None
    else:
        starts = (sentences(text) if unit == "sentences" else paragraphs(text)).starts
        n = len(starts)
    ends = {i * n // parts for i in range(1, parts)}
    return of_starts(text, sorted(ends if starts is None else {starts[e] for e in ends if e < n}), "part")


def by_tokens(text: str, size: int, count: Callable[[str], int] | None) -> Cut:
    """Cut into pieces of at most `size` tokens, as long as they can be; the last is what is left.

    Args:
        text: what to cut.
        size: tokens.
        count: counts the tokens of a text; None takes 4 characters a token.
    """
    if count is None:
        return of_starts(text, range(0, len(text), 4 * size), "tokens")
    starts, at = [], 0
    while at < len(text):
        starts.append(at)
        at += _fitting(text, at, size, count)
    return of_starts(text, starts, "tokens")


def _fitting(text: str, at: int, size: int, count: Callable[[str], int]) -> int:
    """Return how many characters from `at` on are `size` tokens: doubling, then halving; at least one."""
    low, high, left = 1, 4 * size, len(text) - at
    while high < left and count(text[at : at + high]) <= size:
        low, high = high, 2 * high
    if high >= left:
        if count(text[at:]) <= size:
            return left
        high = left
    while high - low > 1:
        middle = (low + high) // 2
        if count(text[at : at + middle]) <= size:
            low = middle
        else:
            high = middle
    return low


class Frame(NamedTuple):
    """Where the thinking of a trace lies, tags left out. `closed` False: there is no closing tag."""

    start: int
    end: int
    closed: bool


def frame(trace: str) -> Frame | None:
    """Return where the thinking lies; None where there is neither an opening nor a closing tag. See `split_think`.

    Line breaks beside the tags belong to the tags. Tags inside the thinking are text of it.
    """
    end = trace.rfind(THINK_CLOSE)
    closed = end >= 0
    end = end if closed else len(trace)
    start = len(trace) - len(trace.lstrip())
    if trace.startswith(THINK_OPEN, start) and start < end:
        start += len(THINK_OPEN)
    elif closed:
        start = 0
    else:
        return None
    while start < end and trace[start] in "\r\n":
        start += 1
    if closed:
        while end > start and trace[end - 1] in "\r\n":
            end -= 1
    return Frame(start, end, closed)


def inside(text: str, at: Frame | None, cut: Callable[[str], Cut]) -> Cut:
    """Cut the thinking of a trace only; the rest is pieces of kind `outside`. `at` None: all of it is outside."""
    if at is None or at.start == at.end:
        return whole(text, "outside")
    found = cut(text[at.start : at.end])
    starts, kinds = [s + at.start for s in found.starts], list(found.kinds)
    if at.start > 0:
        starts, kinds = [0, *starts], ["outside", *kinds]
    if at.end < len(text):
        starts, kinds = [*starts, at.end], [*kinds, "outside"]
    return Cut(starts, kinds, found.ok)
