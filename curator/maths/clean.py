r"""Normalise the notation of an answer, not its value: `\dfrac12` and `\frac{1}{2}` become one text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from curator.maths.extract import last_box
from curator.maths.notation import latex
from curator.maths.units import plain

_DROP = re.compile(
    r"\\(?:left|right|[bB]ig+[lrm]?|displaystyle|textstyle|limits)(?![A-Za-z])\.?|\\[!,;:>]|\\(?:quad|qquad)"
)
_FRAC = re.compile(r"\\[dtc]frac(?![A-Za-z])")
_MATHS_FONT = re.compile(r"\\(?:mathrm|mathbf|mathit|mathsf|boldsymbol|operatorname\*?|bm|mathnormal)\s*\{([^{}]*)\}")
_TEXT = re.compile(r"\\(?:text(?:bf|it|rm|sf|tt|normal|up)?|mbox|hbox|mathrm|textrm)\s*\{([^{}]*)\}")
_SHORT_FRAC = re.compile(r"\\frac\s*(\d|\{[^{}]*\}|[a-zA-Z](?![a-zA-Z])|\\pi)\s*(\d|\{[^{}]*\}|[a-zA-Z](?![a-zA-Z]))")
_SHORT_SQRT = re.compile(r"\\sqrt\s*(\d|[a-zA-Z](?![a-zA-Z]))")
_DEGREES = re.compile(r"\^\s*\{?\s*\\circ\s*\}?|\\degree\b|\\deg\b")
_TRIG = re.compile(r"\\?(?:sin|cos|tan|cot|sec|csc)")
_THOUSANDS = re.compile(r"(?<=\d)(?:\{,\}|,\s*\\!\s*|\\!\s*,\s*|\\,)\s*(?=\d{3}(?!\d))")
_SPACED = re.compile(r"(?<![\d.,\w])\d{1,3}(?: \d{3})+(?![\d\w]| \d)(?=\s*[.%]?\s*$|\.\d)")
_CURRENCY = re.compile(r"\\\$|(?:USD|EUR|GBP|Rs\.?)(?=\s*\d)|[€£¥₹]")
_PERCENT = re.compile(r"\s*(?:\\?%|\\text\{\s*(?:percent|per cent|pct)\s*\}|\bper\s?cent\b|\bpct\b)\.?\s*$", re.I)
# One-letter units (m, s, g, h) only inside \\text: `5g` may be five times a variable.
_UNIT_WORD = (
    r"(?:(?:square|cubic|sq\.?|cu\.?)\s*)?(?:units?|degrees?|deg|radians?|rad|inch(?:es)?|foot|feet|ft|yards?|yd|"
    r"miles?|mph|kilometers?|kilometres?|kms?|meters?|metres?|centimeters?|centimetres?|cms?|millimeters?|mm|seconds?|secs?|"
    r"minutes?|mins?|hours?|hrs?|days?|weeks?|months?|years?|dollars?|cents?|pounds?|lbs?|ounces?|oz|grams?|"
    r"kilograms?|kgs?|liters?|litres?|ml|gallons?|gal|km/h|m/s|ways?|people|students?|points?|integers?|solutions?|values?|numbers?|times|bits|bytes|rpm|"
    r"per\s+\w+)(?:\s*(?:\^\s*\{?[23]\}?|²|³))?"
)
_WORD_UNIT = re.compile(rf"(?<=[\d}})])\s*(?:{_UNIT_WORD})(?:\s*(?:/|per)\s*(?:{_UNIT_WORD}))?\s*\.?$")
_TEXT_UNIT = re.compile(
    r"(?<=\S)\s*\\(?:text(?:bf|it|rm|normal)?|mbox|hbox|mathrm|textrm)\s*\{([^{}]*)\}"
    r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?\s*\.?$"
)
# A number and what it counts: `18 eggs`, `12.5 gallons of milk`; no variables: each word has two letters or more.
_COUNTED = re.compile(
    r"((?:[-+]?\s*)(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:/\d+)?)(?:\s+|(?=/[a-z]{3}))/?"
    r"(?!(?:and|or|mod|times|is|are|to|if|for|sin|cos|tan|log|ln|pi|plus|minus|less|more|not|choose|over|by|than|"
    r"remainder|with)\b)[A-Za-z]{2,}(?:[ /-][A-Za-z]{2,}){0,3}\.?"
)
_ENDING = re.compile(
    r"(?<=\d)\s*(?:\^\s*\{?\s*)?\\(?:text|mathrm|mbox)\s*\{\s*(?:th|st|nd|rd)\s*\}\s*\}?\s*$|(?<=\d)(?:th|st|nd|rd)$"
)
_BASE = re.compile(r"([0-9A-Za-z]+)\s*_\s*(?:\{\s*(?:\\text\{)?\s*(\d+|[a-z]+)\s*\}?\s*\}|(\d|[a-z]))")
LETTER_BASE = -1  # of a number in a base that is a variable
# Words that end in a statement: `The area is $12$.`, `490 apples - 40 pears = 450 fruits`, `Anne is 8 years old.`
_STATED = re.compile(
    r".*(?:=|\b(?:is|are|was|were|equals|be)\b):? *"
    r"(?:\$([^$]+)\$|\\\((.+?)\\\)|([-+]? ?(?:\\?\$ ?)?\d[\d,]*(?:\.\d+)?(?:/\d+)?%?(?: ?/? ?[A-Za-z]{2,}){0,4}))[.!]?",
    re.S,
)
_WORDS = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{2,}(?![A-Za-z({])")
_SYNONYMS = {
    r"\leq": r"\le",
    r"\geq": r"\ge",
    r"\neq": r"\ne",
    r"\lt": "<",
    r"\gt": ">",
    r"\lvert": "|",
    r"\rvert": "|",
}
_SYNONYMS |= {r"\mid": "|", r"\vert": "|", r"\leqslant": r"\le", r"\geqslant": r"\ge", r"\varnothing": r"\emptyset"}
_SYNONYM = re.compile(r"\\(?:[lg]eq(?:slant)?|neq|[lg]t|[lr]?vert|mid|varnothing)(?![A-Za-z])")
_HEDGE = re.compile(
    r"^(?:(?:approximately|approx\.?|about|roughly|exactly|equals?|=|\\approx|\\sim|~)\s*)+(?=[-+]?[\d.\\$])", re.I
)
_UNDERSCORES = re.compile(r"__(?!_)(.+?)(?<!_)__")  # Markdown for bold
_INCHES = re.compile(r"^(\d+(?:\.\d+)?)\s*(?:\"|'')$")
_TO_TWENTY = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)  # fmt: skip
_NUMBER_WORDS = {word: str(n) for n, word in enumerate(_TO_TWENTY)}
_QUOTES = ('"', "`", "'")
_WRAPS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


class Clean(NamedTuple):
    """A normalised answer: `text`; was there a percent sign behind it; its base `n_{b}`; its unit in one form."""

    text: str
    percent: bool = False
    base: int | None = None
    unit: str = ""


@lru_cache(maxsize=8192)
def clean(answer: str) -> Clean:
    """Return `answer` in one notation; idempotent. The value is not touched; units are taken off and kept apart."""
    s = _unwrap(latex(answer).strip())
    if "\\boxed" in s or "\\fbox" in s:
        s = _unwrap(last_box(s) or s)
    s, dollars = _sentence(_HEDGE.sub("", s))
    if "matrix" not in s and "array" not in s:
        s = re.sub(r"\\\\(?=[a-zA-Z])", r"\\", s)
        s = re.sub(r"(?<!\\)(?:\$|\\[()\[\]])", " ", s)
    s = s.replace("\\\\", "\x03").replace("\\{", "\x01").replace("\\}", "\x02")
    s = _SPACED.sub(lambda m: m.group().replace(" ", ""), _THOUSANDS.sub(",", s))
    dollars = dollars or bool(_CURRENCY.search(s))
    s = _CURRENCY.sub("", s)
    s = _FRAC.sub(r"\\frac", _DROP.sub(" ", s).replace("\\ ", " ").replace("~", " "))
    s = _SYNONYM.sub(lambda m: _SYNONYMS[m.group()], s)
    if "\\text" in s or "\\mbox" in s or "\\mathrm" in s or "\\hbox" in s:
        s = re.sub(r"\\(?:text|mbox|mathrm)\s*\{\s*,?\s*(and|or)\s*\}", r" \1 ", s)
    s, percent = _take_percent(s.strip())
    s, unit = _units(s)
    s = _MATHS_FONT.sub(r"\1", s) if "\\text" not in s else s
    s, unit = _angles(s, unit)
    s = _braces(s)
    s = re.sub(r"\s+", " ", s).strip().rstrip(".").strip().strip("*").strip()
    s, base = _take_base(s)
    text = s.replace("\x01", "\\{").replace("\x02", "\\}").replace("\x03", "\\\\")
    return Clean(text, percent, base, plain(unit) or ("dollar" if dollars and unit == "" else ""))


def _sentence(s: str) -> tuple[str, bool]:
    """What a sentence states at its end, `The area is $12$.`; and was a `$` a currency sign?"""
    if len(s) <= 1000 and len(_WORDS.findall(s)) >= 3 and (m := _STATED.fullmatch(s)):
        s = next(g for g in m.groups() if g is not None)
    s = _NUMBER_WORDS.get(s.lower(), _INCHES.sub(r"\1 inches", s))
    return s, bool(re.match(r"[-+]?\s*\$\s*[\d.]", s) and s.count("$") == 1)


def _unwrap(s: str) -> str:
    for _ in range(4):
        s = s.strip().strip("*").strip()
        s = re.sub(r"(?<=[\w)}\]$])[.;]$", "", s)
        if m := _UNDERSCORES.fullmatch(s):
            s = m[1].strip()
        if len(s) > 2 and s[0] == s[-1] and s[0] in _QUOTES and s[0] not in s[1:-1]:
            s = s[1:-1]
            continue
        for head, tail in _WRAPS:
            inner = s[len(head) : -len(tail)]
            if s.startswith(head) and s.endswith(tail) and len(s) > len(head + tail) - 1 and head not in inner:
                s = inner
                break
        else:
            return s
    return s


def _take_percent(s: str) -> tuple[str, bool]:
    without = _PERCENT.sub("", s)
    return (without, True) if without != s and without.strip() else (s, False)


def _units(s: str) -> tuple[str, str]:
    """Take units and ordinal endings off the end, and `\\text` off what is left. Returns (rest, unit)."""
    s, unit = _ENDING.sub("", s), ""
    for _ in range(3):
        without = s
        m = _TEXT_UNIT.search(s)
        if (
            m
            and not re.search(r"[,\x01(\[]\s*$|\b(?:and|or)\s*$", s[: m.start()])
            and not re.fullmatch(r"\s*\(?[A-Z]\)?\s*", m[1])
            and not re.search(r"\d:\d\d\s*$", s[: m.start()])
        ):
            without = s[: m.start()]
        without = _WORD_UNIT.sub("", without)
        if m := _COUNTED.fullmatch(without):
            without = m[1]
        if without == s or not without.strip():
            break
        unit = s[len(without) :] + unit if s.startswith(without) else unit
        s = without.strip()
    return s.strip(), unit


def _angles(s: str, unit: str) -> tuple[str, str]:
    if "circ" not in s and "deg" not in s:
        return s, unit
    if _TRIG.search(s):
        return re.sub(r"(\d+(?:\.\d+)?)\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree\b)", r"(\1\\pi/180)", s), unit
    return _DEGREES.sub("", s), unit or "degree"


def _braces(s: str) -> str:
    for _ in range(4):
        t = _SHORT_FRAC.sub(lambda m: rf"\frac{{{m[1].strip('{}')}}}{{{m[2].strip('{}')}}}", s)
        if t == s:
            break
        s = t
    return _SHORT_SQRT.sub(r"\\sqrt{\1}", s)


def _take_base(s: str) -> tuple[str, int | None]:
    """`204_5` is (204, 5); `204_b` is (204, `LETTER_BASE`)."""
    m = _BASE.fullmatch(s)
    if not m or not re.fullmatch(r"[0-9A-F]+", m[1]):
        return s, None
    words = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
    named = m[2] or m[3]
    base = int(named) if named.isdigit() else words.get(named, LETTER_BASE if m[1].isdigit() else 0)
    return (m[1], base) if base == LETTER_BASE or 2 <= base <= 36 else (s, None)


def squeeze(text: str) -> str:
    """Return `text` without spaces, for string equality of normalised answers; spaces between words stay one."""
    return re.sub(r"(?<![A-Za-z])\s+|\s+(?![A-Za-z])", "", text)
