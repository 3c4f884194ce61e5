"""Ratings by criteria, read strictly, and what they come to: PromptCoT's judgement (specs synthesis 3.1)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

RATINGS = ("perfect", "acceptable", "bad")
ENOUGH = 2  # of the other criteria must be perfect


def read(text: str, criteria: Sequence[str]) -> dict[str, str] | None:
    """Return criterion -> rating of a reply with a line `criterion: rating` for each; None where one has no such line.

    The rating is the only word of its line after the colon: "imperfect" and "not perfect" are none. (The released
    parser takes any text that contains "perfect", and counts rating words where the last line is missing.) Of several
    lines the last counts.
    """
    found: dict[str, str] = {}
    names = {_plain(name): name for name in criteria}
    for line in text.splitlines():
        head, colon, tail = line.partition(":")
        name, said = names.get(_plain(head)), _plain(tail)
        if colon and name is not None:
            found.pop(name, None)
            if said in RATINGS:
                found[name] = said
    return found if len(found) == len(names) else None


def one(text: str) -> str | None:
    """Return the rating that a text is, or None."""
    return said if (said := _plain(text)) in RATINGS else None


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9]+", " ", text.casefold()).split())


def verdict(ratings: Mapping[str, str], must: Sequence[str]) -> str:
    """Return `perfect`: all of `must` are, two of the others are, nothing is bad; `bad`: something is; `acceptable`.

    PromptCoT 1.0: factual accuracy and solvability must be perfect.
    """
    if "bad" in ratings.values():
        return "bad"
    others = sum(r == "perfect" for name, r in ratings.items() if name not in must)
    good = all(ratings[name] == "perfect" for name in must) and others >= ENOUGH
    return "perfect" if good else "acceptable"
