"""Words of a text, with their places, in plain Python: what `kernels.words` does with the folding `nfkc`."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

HASHED = 2  # version of the hashes of `kernels.hashes`: what was kept of words under another cannot be compared

_WORD = re.compile(r"\w+")
_NOT_WORD = re.compile(r"\W")
_OPERATORS = re.compile(r"[+\-*/^=<>!%|−×÷·≤≥≠√±]|\w+")


class Words(NamedTuple):
    """Normalised words and the characters they came from, `text[starts[i]:ends[i]]`."""

    words: list[str]
    starts: list[int]
    ends: list[int]


def plain(word: str) -> str:
    """Return a word in NFKC and lower case, character by character: without what looks at neighbours (final sigma)."""
    if word.isascii():
        return word.lower()
    return "".join(_NOT_WORD.sub("", unicodedata.normalize("NFKC", c).lower()) for c in word)


def words(text: str) -> Words:
    """Split a text into words (`\\w+`, NFKC, lower case). Numbers are words like any other: never folded into one."""
    found = list(_WORD.finditer(text))
    return Words([plain(m[0]) for m in found], [m.start() for m in found], [m.end() for m in found])


def with_operators(text: str) -> list[str]:
    """Split a text into words and the operators between them: `72 * 3` and `72 + 3` differ."""
    return [plain(m[0]) or m[0] for m in _OPERATORS.finditer(text)]
