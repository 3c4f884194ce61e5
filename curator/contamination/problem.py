"""A problem as an order-free bag: its numbers, the stems of its words, its names, its formulas."""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache
from typing import NamedTuple

STEM = 5  # letters; "consumes" and "consumption" are one, ours because no stemmer of any language is needed
_ONES = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SAME = {
    "2": "twice double doubled doubles doubling",
    "3": "triple tripled triples tripling thrice",
    "4": "quadruple quadrupled quadruples",
    "12": "dozen dozens",
    "1/2": "half halved halves",
    "1/4": "quarter quarters",
    "1/3": "thirds",
    "1/5": "fifths",
    "100": "hundred hundreds",
    "1000": "thousand thousands",
    "1000000": "million millions",
}
NUMBER_WORDS: dict[str, str] = {
    **{w: str(i) for i, w in enumerate(_ONES.split())},
    **{w: str(10 * (i + 2)) for i, w in enumerate(_TENS.split())},
    **{w: value for value, words in _SAME.items() for w in words.split()},
}
NO_NUMBER = frozenset({"one", "zero"})  # "one of them", "one another": number words that mostly count nothing

# Words of nearly every problem. They weigh little even where the reference set is too small to show that.
COMMON_WORDS = (
    "a an and are as at be been before after by can could did do does each every find for from get gets give "
    "given gave had has have having he her him his how i if in into is it its let many more most much must my no "
    "not of on one only or other our out over she so some such take than that the their them then there these "
    "they this those to total up was we were what when where which who whose why will with would you your number "
    "value answer compute determine express solve simplify evaluate calculate problem question all any same per "
    "day days year years time times hour hours left also between still make makes made buy buys sell cost costs "
    "people money point points positive real integer integers suppose following"
)
COMMON_NUMBERS = (*map(str, range(13)), "100", "1/2")

_PART = re.compile(r"(\d+)\s*/\s*(\d+)|\d{1,3}(?:,\d{3})+(?!\d)|\d+(?:\.\d+)?|[^\W\d_]+")
_NAME = re.compile(r"(?<![.!?:]\s)(?<![.!?:]\s\s)(?<!^)(?<![\"“])\b[A-Z][a-z]+\b")
_CAPITALS = re.compile(r"\b[A-Z]{2,}\b")
_HEAD = re.compile(r"\s*(?:question|problem|q)\s*:\s*", re.IGNORECASE)
_TAIL = re.compile(r"\n[ \t]*(?:answer|solution|response|a)[ \t]*:|####", re.IGNORECASE)
_FORMULA = re.compile(r"\\[a-zA-Z]{2,}|[=^]|\d\s*[+*×]\s*\d")
_SIGN = re.compile(r"\\[a-zA-Z]+|[+*^=<>!|×÷·≤≥≠√±]|-(?=\s?[\d\\a-z(]\b)|/(?=\s?\d)")
_MATHS = re.compile(r"\$[^$]*\$|\\\[.*?\\\]|\\\(.*?\\\)", re.DOTALL)
_VARIABLE = re.compile(r"(?<![\\a-zA-Z])[a-zA-Z]{1,4}(?![a-zA-Z])")
SPACING = (
    "left right displaystyle textstyle quad qquad text mathrm mathbf textbf operatorname begin end align aligned "
    "cases array limits dots ldots cdots"
)
_SPACING = frozenset(SPACING.split())
_ALIKE = {"\\dfrac": "\\frac", "\\tfrac": "\\frac", "\\leq": "\\le", "\\geq": "\\ge"}


class Signs(NamedTuple):
    """What tells two problems of nearly the same words apart.

    `capitals`: words in capitals. `formula`: operators, commands and variables. `formal`: whether there is a formula.
    """

    capitals: frozenset[str]
    formula: Counter[str]
    formal: bool


class Problem(NamedTuple):
    """What two wordings of one problem have in common.

    `digits`: values written in digits. `spelled`: values written in words ("twice" is 2). `sequence`: all, in order.
    `stems`: first letters of the other words. `names`: stems seen only as capitalised words within sentences.
    """

    digits: frozenset[str]
    spelled: frozenset[str]
    sequence: tuple[str, ...]
    stems: frozenset[str]
    names: frozenset[str]
    signs: Signs

    @property
    def features(self) -> frozenset[str]:
        """All values, as `#value`, and all stems."""
        return self.stems | {f"#{v}" for v in self.digits | self.spelled}


def body(text: str) -> str:
    """Return the question of a text: without `Question:` before it, and without the answer after it."""
    head = _HEAD.match(text)
    text = text[head.end() :] if head else text
    for tail in _TAIL.finditer(text):
        if text[: tail.start()].strip():
            return text[: tail.start()]
    return text


@lru_cache(maxsize=4096)
def read(text: str) -> Problem:
    """Take a problem apart."""
    digits, spelled, sequence, stems, lower = set(), set(), [], set(), set()
    for m in _PART.finditer(text):
        part = m[0]
        if m[1]:
            digits.add(f"{_plain(m[1])}/{_plain(m[2])}")
            sequence.append(f"{_plain(m[1])}/{_plain(m[2])}")
        elif part[0].isdigit():
            digits.add(_plain(part))
            sequence.append(_plain(part))
        else:
            word = part.lower()
            if word == part:
                lower.add(word[:STEM])
            if word in NUMBER_WORDS:
                if word not in NO_NUMBER:
                    spelled.add(NUMBER_WORDS[word])
                    sequence.append(NUMBER_WORDS[word])
            elif len(word) > 1:
                stems.add(word[:STEM])
    names = {name.lower()[:STEM] for name in _NAME.findall(text)} - lower
    return Problem(
        frozenset(digits), frozenset(spelled), tuple(sequence), frozenset(stems), frozenset(names), signs(text)
    )  # fmt: skip


def signs(text: str) -> Signs:
    """Return the labels and the formulas of a problem."""
    formal = bool(_FORMULA.search(text))
    return Signs(frozenset(_CAPITALS.findall(text)), _formula(text, formal=formal), formal)


def contradiction(item: Signs, row: Signs) -> str | None:
    """Return why two problems of nearly the same words are not one, or None: each has a label or sign too many."""
    if item.capitals - row.capitals and row.capitals - item.capitals:
        return "other labels"
    if (item.formal or row.formal) and item.formula - row.formula and row.formula - item.formula:
        return "another formula"
    return None


def _plain(number: str) -> str:
    number = number.replace(",", "")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return number.lstrip("0") or "0"


def _formula(text: str, *, formal: bool) -> Counter[str]:
    found = Counter(_ALIKE.get(sign, sign) for sign in _SIGN.findall(text) if sign[1:] not in _SPACING)
    if formal:
        for maths in _MATHS.findall(text):
            found.update(_VARIABLE.findall(maths))
    return found
