r"""Exact rationals written as plain text: integers, decimals, fractions, mixed numbers. No sympy."""

from __future__ import annotations

import re
from fractions import Fraction

_MAX = 400  # digits; longer literals go to the worker, where memory and time are bounded
_INT = r"\d+"
_GROUPED = r"\d{1,3}(?:,\d{3})+"
_DECIMAL = rf"(?:(?:{_GROUPED}|{_INT})(?:\.\d*)?|\.\d+)"
_NUMBER = re.compile(rf"([+-]*)({_DECIMAL})")
_FRAC = re.compile(rf"([+-]*)(?:({_INT})\+?)?\\frac\{{([+-]?{_DECIMAL})\}}\{{([+-]?{_DECIMAL})\}}")
_SLASH = re.compile(rf"([+-]*)\(?({_DECIMAL})\)?/\(?({_DECIMAL})\)?")
_REPEATING = re.compile(r"([+-]*)(\d*)\.(\d*)\\(?:overline|bar|dot)\{(\d+)\}")
_MIXED_SLASH = re.compile(rf"([+-]*)({_INT})\s+({_INT})/({_INT})")
_SCIENTIFIC = re.compile(rf"([+-]*)({_DECIMAL})(?:\\times|\\cdot|\*)10\^\{{?([+-]?\d{{1,3}})\}}?")


def _sign(text: str) -> int:
    return -1 if text.count("-") % 2 else 1


def _value(text: str) -> Fraction:
    return Fraction(text.replace(",", "").rstrip(".") or "0") if text != "." else Fraction(0)


def rational(text: str) -> Fraction | None:
    r"""Return the exact value of a plain rational literal, or None if `text` is anything else.

    Reads `-3`, `1,234`, `.5`, `2.`, `3/4`, `\frac{3}{4}`, `1\frac{1}{2}`, `1 1/2`, `7.8\times10^{2}`.
    """
    if len(text) > _MAX or not text:
        return None
    if m := _MIXED_SLASH.fullmatch(text.strip()):
        whole, top, bottom = (Fraction(g) for g in m.groups()[1:])
        return _sign(m[1]) * (whole + top / bottom) if bottom else None
    text = re.sub(r"\s+", "", text)
    if m := _NUMBER.fullmatch(text):
        return _sign(m[1]) * _value(m[2])
    if m := _FRAC.fullmatch(text):
        bottom = _signed(m[4])
        if not bottom:
            return None
        return _sign(m[1]) * ((Fraction(m[2]) if m[2] else 0) + _signed(m[3]) / bottom)
    if m := _SLASH.fullmatch(text):
        bottom = _value(m[3])
        return _sign(m[1]) * _value(m[2]) / bottom if bottom else None
    if m := _REPEATING.fullmatch(text):
        cut = Fraction(int((m[2] + m[3]) or "0"), 10 ** len(m[3]))
        return _sign(m[1]) * (cut + Fraction(int(m[4]), (10 ** len(m[4]) - 1) * 10 ** len(m[3])))
    if m := _SCIENTIFIC.fullmatch(text):
        return _sign(m[1]) * _value(m[2]) * Fraction(10) ** int(m[3])
    return None


def _signed(text: str) -> Fraction:
    return -_value(text[1:]) if text.startswith("-") else _value(text.lstrip("+"))


def digits_after_point(text: str) -> int | None:
    """Decimals of a plain decimal literal with at least 6 significant digits; None for every other text."""
    m = re.fullmatch(r"[+-]?(\d*)\.(\d+)", re.sub(r"[\s,]", "", text))
    if not m or len((m[1] + m[2]).lstrip("0")) < 6:
        return None
    return len(m[2])
