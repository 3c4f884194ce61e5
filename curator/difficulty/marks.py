"""What speaks against a text by itself: its tags, its characters, its repetitions, a refusal."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from curator.difficulty.bands import Band
from curator.text import THINK_CLOSE, THINK_OPEN, split_think

Flags = dict[str, Any]  # flag -> the number or the text behind it

REPLACED = 0.01  # share of U+FFFD from which a text counts as broken (unpublished, ours: see specs core 2.4)
_HEAD = 400  # characters of a response in which it would refuse
_SPOKEN = frozenset("LMNPZ")  # letters, marks, digits, punctuation, spaces
_SIGNS = frozenset(("Sm", "Sc"))  # mathematics and money

# Our own list: the first sentences with which chat models decline.
_REFUSAL = re.compile(
    r"\b(?:I(?:'m| am)(?: really| very)? sorry,? but|I (?:can(?:no|')t|am (?:unable|not able) to|won't be able to|must "
    r"decline to) (?:help|assist|answer|provide|solve|comply|fulfil|do that|continue)|"
    r"as an? (?:AI|large language model)|I (?:do not|don't) have enough information to)",
    re.I,
)


def tags(trace: str, checks: Sequence[str], *, opened: bool = False) -> Flags:
    """Return what is wrong with the form of a trace.

    `think`: there is a thinking part. `response`: there is something after it. `tags`: at most one pair of think tags,
    opened before it is closed, and closed. `opened`: the prompt ended with the opening tag.
    """
    parts = split_think(THINK_OPEN + trace if opened and not trace.lstrip().startswith(THINK_OPEN) else trace)
    found: Flags = {}
    if "think" in checks and not (parts.think or "").strip():
        found["no_think"] = None
    if "response" in checks and not parts.response.strip():
        found["no_response"] = None
    if "tags" in checks:
        first, last = trace.find(THINK_OPEN), trace.find(THINK_CLOSE)
        counts = trace.count(THINK_OPEN) + opened, trace.count(THINK_CLOSE)
        if counts not in ((0, 0), (1, 1)) or (counts == (1, 1) and not opened and first > last):
            found["bad_tags"] = f"{counts[0]} opened, {counts[1]} closed"
    return found


def characters(text: str, scripts: Mapping[str, Band], odd: float | None) -> Flags:
    """Return scripts whose share of the letters lies outside its band, and an excess of odd characters.

    Odd are those outside letters, marks, digits, punctuation, spaces, mathematics and money: a plain "not ASCII" would
    delete Chinese and mathematics.
    """
    counts = Counter(text)
    found: Flags = {}
    letters = sum(k for c, k in counts.items() if c.isalpha())
    for name, band in scripts.items():
        share = sum(k for c, k in counts.items() if c.isalpha() and script(c) == name) / max(1, letters)
        if share not in band:
            found["script"] = {"script": name, "share": share}
    if odd is not None and text:
        strange = sum(k for c, k in counts.items() if _odd(c)) / len(text)
        if strange > odd or counts["\ufffd"] / len(text) > REPLACED:
            found["odd_characters"] = strange
    return found


@lru_cache(maxsize=1 << 16)
def script(letter: str) -> str:
    """Return the script of a letter: the first word of its Unicode name, small (latin, hangul, cjk, hiragana, ...)."""
    return unicodedata.name(letter, "unknown").split(" ", 1)[0].split("-", 1)[0].lower()


@lru_cache(maxsize=1 << 16)
def _odd(c: str) -> bool:
    kind = unicodedata.category(c)
    return c == "\ufffd" or not (kind[0] in _SPOKEN or kind in _SIGNS or c.isspace())


def refusal(trace: str) -> Flags:
    """Return the words with which a response declines, where it does at its beginning."""
    response = split_think(trace).response.lstrip()
    found = _REFUSAL.search(response[:_HEAD].replace("’", "'"))
    return {"refusal": found[0]} if found else {}


def repetition(text: str, n: int, more_than: int) -> Flags:
    """Return the run of `n` whitespace-separated pieces that comes most, where it comes more than so many times."""
    pieces = text.split()
    if len(pieces) < n + more_than:
        return {}
    counts = Counter(zip(*(pieces[k:] for k in range(n)), strict=False))
    run, times = counts.most_common(1)[0]
    return {"repetition": {"times": times, "run": " ".join(run)[:200]}} if times > more_than else {}


def turns(conversation: Any) -> Flags:
    """Return an odd number of turns (a system message apart), or what cannot be read as a conversation."""
    if isinstance(conversation, str):
        try:
            conversation = json.loads(conversation)
        except ValueError:
            return {"odd_turns": "not JSON"}
    if not isinstance(conversation, list) or not all(isinstance(turn, dict) for turn in conversation):
        return {"odd_turns": "not a list of turns"}
    count = sum((turn.get("role") or turn.get("from")) != "system" for turn in conversation)
    return {"odd_turns": count} if count % 2 or not count else {}
