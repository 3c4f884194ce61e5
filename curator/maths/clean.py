r"""Normalise the notation of an answer, not its value: `\dfrac12` and `\frac{1}{2}` become one text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from curator.maths.extract import last_box

_UNICODE = str.maketrans({
    "−": "-", "–": "-", "—": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ",
    "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ", "∈": r"\in ", "±": r"\pm ", "°": r"^\circ ",
    "²": "^2", "³": "^3", "⁴": "^4", "½": r"\frac{1}{2}", "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "∅": r"\emptyset ",
    "θ": r"\theta ", "α": r"\alpha ", "β": r"\beta ", "\u00a0": " ", "，": ",", "（": "(", "）": ")", "’": "'",
    "ℝ": r"\mathbb{R}", "\u2009": " ", "\u202f": " ", "％": "%", "∘": r"\circ ",
})  # fmt: skip
_FUNCTION = re.compile(
    r"(?<![\\A-Za-z{])(sqrt|arcsin|arccos|arctan|sin|cos|tan|cot|sec|csc|log|ln|exp|pi|infty)(?![A-Za-z])"
)
_SQRT = re.compile(r"√\s*(?:\(([^()]*)\)|\{([^{}]*)\}|(\w+))")
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
_CURRENCY = re.compile(r"\\\$|(?:USD|EUR|GBP|Rs\.?)(?=\s*\d)|[€£¥₹]")
_PERCENT = re.compile(r"\s*(?:\\?%|\\text\{\s*(?:percent|per cent|pct)\s*\}|\bper\s?cent\b|\bpct\b)\.?\s*$", re.I)
# One-letter units (m, s, g, h) only inside \\text: `5g` may be five times a variable.
_UNIT_WORD = (
    r"(?:(?:square|cubic|sq\.?|cu\.?)\s*)?(?:units?|degrees?|deg|radians?|rad|inch(?:es)?|foot|feet|ft|yards?|yd|"
    r"miles?|mph|kilometers?|kilometres?|km|meters?|metres?|centimeters?|centimetres?|cm|millimeters?|mm|seconds?|sec|"
    r"minutes?|min|hours?|hrs?|days?|weeks?|months?|years?|dollars?|cents?|pounds?|lbs?|ounces?|oz|grams?|"
    r"kilograms?|kg|liters?|litres?|ml|gallons?|gal|km/h|m/s|ways?|people|students?|points?|integers?|solutions?|values?|numbers?|times|bits|bytes|rpm|"
    r"per\s+\w+)(?:\s*(?:\^\s*\{?[23]\}?|²|³))?"
)
_WORD_UNIT = re.compile(rf"(?<=[\d}})])\s*(?:{_UNIT_WORD})(?:\s*(?:/|per)\s*(?:{_UNIT_WORD}))?\s*\.?$")
_TEXT_UNIT = re.compile(
    r"(?<=\S)\s*\\(?:text(?:bf|it|rm|normal)?|mbox|hbox|mathrm|textrm)\s*\{([^{}]*)\}"
    r"(?:\s*\^\s*\{?\s*-?\d\s*\}?)?\s*\.?$"
)
_ENDING = re.compile(
    r"(?<=\d)\s*(?:\^\s*\{?\s*)?\\(?:text|mathrm|mbox)\s*\{\s*(?:th|st|nd|rd)\s*\}\s*\}?\s*$|(?<=\d)(?:th|st|nd|rd)$"
)
_BASE = re.compile(r"([0-9A-Za-z]+)\s*_\s*(?:\{\s*(?:\\text\{)?\s*(\d+|[a-z]+)\s*\}?\s*\}|(\d))")
_WRAPS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


class Clean(NamedTuple):
    """A normalised answer: `text`, whether a percent sign stood behind it, and the base `n_{b}` it is written in."""

    text: str
    percent: bool = False
    base: int | None = None


@lru_cache(maxsize=8192)
def clean(answer: str) -> Clean:
    """Return `answer` in one notation; idempotent. The value is not touched, except that units are taken off."""
    s = answer.translate(_UNICODE).strip()
    s = _unwrap(s)
    if "\\boxed" in s or "\\fbox" in s:
        s = _unwrap(last_box(s) or s)
    if "matrix" not in s and "array" not in s:
        s = re.sub(r"\\\\(?=[a-zA-Z])", r"\\", s)
    s = _named(s)
    s = _SQRT.sub(lambda m: r"\sqrt{" + next(g for g in m.groups() if g is not None) + "}", s)
    s = s.replace("\\\\", "\x03").replace("\\{", "\x01").replace("\\}", "\x02")
    s = _THOUSANDS.sub(",", s)
    s = _CURRENCY.sub("", s)
    s = _FRAC.sub(r"\\frac", _DROP.sub(" ", s).replace("\\ ", " ").replace("~", " "))
    s = (
        s.replace(r"\leq", r"\le")
        .replace(r"\geq", r"\ge")
        .replace(r"\neq", r"\ne")
        .replace(r"\lt", "<")
        .replace(r"\gt", ">")
    )
    s = re.sub(r"\\[lr]vert(?![A-Za-z])|\\[lr]?mid(?![A-Za-z])", "|", s)
    if "\\text" in s or "\\mbox" in s or "\\mathrm" in s or "\\hbox" in s:
        s = re.sub(r"\\(?:text|mbox|mathrm)\s*\{\s*,?\s*(and|or)\s*\}", r" \1 ", s)
    s, percent = _take_percent(s.strip())
    s = _units(s)
    s = _MATHS_FONT.sub(r"\1", s) if "\\text" not in s else s
    s = _angles(s)
    s = _braces(s)
    s = re.sub(r"\s+", " ", s).strip().rstrip(".").strip().strip("*").strip()
    s, base = _take_base(s)
    return Clean(s.replace("\x01", "\\{").replace("\x02", "\\}").replace("\x03", "\\\\"), percent, base)


def _named(s: str) -> str:
    """Give `sqrt(2)`, `sin x`, `pi` of plain notation their backslash, and `sqrt` its braces."""
    s = _FUNCTION.sub(r"\\\1", s)
    at = s.find("\\sqrt(")
    while at >= 0:
        depth = 0
        for k in range(at + 5, len(s)):
            depth += (s[k] == "(") - (s[k] == ")")
            if depth == 0:
                s = s[: at + 5] + "{" + s[at + 6 : k] + "}" + s[k + 1 :]
                break
        at = s.find("\\sqrt(", at + 1)
    return s


def _unwrap(s: str) -> str:
    for _ in range(3):
        s = s.strip().strip("*").strip()
        s = re.sub(r"(?<=[\w)}\]$])[.;]$", "", s)
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


def _units(s: str) -> str:
    """Take units and ordinal endings off the end, and `\\text` off what is left."""
    s = _ENDING.sub("", s)
    for _ in range(3):
        without = s
        m = _TEXT_UNIT.search(s)
        if (
            m
            and not re.search(r"[,\x01(\[]\s*$|\b(?:and|or)\s*$", s[: m.start()])
            and not re.fullmatch(r"\s*\(?[A-Z]\)?\s*", m[1])
        ):
            without = s[: m.start()]
        without = _WORD_UNIT.sub("", without)
        if without == s or not without.strip():
            break
        s = without.strip()
    return s.strip()


def _angles(s: str) -> str:
    if "circ" not in s and "deg" not in s:
        return s
    if _TRIG.search(s):
        return re.sub(r"(\d+(?:\.\d+)?)\s*(?:\^\s*\{?\s*\\circ\s*\}?|\\degree\b)", r"(\1\\pi/180)", s)
    return _DEGREES.sub("", s)


def _braces(s: str) -> str:
    for _ in range(4):
        t = _SHORT_FRAC.sub(lambda m: rf"\frac{{{m[1].strip('{}')}}}{{{m[2].strip('{}')}}}", s)
        if t == s:
            break
        s = t
    return _SHORT_SQRT.sub(r"\\sqrt{\1}", s)


def _take_base(s: str) -> tuple[str, int | None]:
    m = _BASE.fullmatch(s)
    if not m or not re.fullmatch(r"[0-9A-F]+", m[1]):
        return s, None
    words = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
    base = int(m[2] or m[3]) if (m[2] or m[3]).isdigit() else words.get(m[2])
    return (m[1], base) if base and 2 <= base <= 36 else (s, None)


def squeeze(text: str) -> str:
    """Return `text` without spaces, for string equality of normalised answers; spaces between words stay one."""
    return re.sub(r"(?<![A-Za-z])\s+|\s+(?![A-Za-z])", "", text)
