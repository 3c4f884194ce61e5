"""Units behind a number: which are the same, and by which factor others differ."""

from __future__ import annotations

import re
from fractions import Fraction

# dimension -> {unit: factor}; plurals and long forms are folded before the look-up.
_TABLE: dict[str, dict[str, Fraction]] = {
    "length": {
        "mm": Fraction(1, 1000), "cm": Fraction(1, 100), "m": Fraction(1), "km": Fraction(1000),
        "in": Fraction(254, 10000), "ft": Fraction(3048, 10000), "yd": Fraction(9144, 10000),
        "mi": Fraction(1609344, 1000),
    },
    "time": {
        "sec": Fraction(1), "min": Fraction(60), "hour": Fraction(3600), "day": Fraction(86400),
        "week": Fraction(604800), "month": Fraction(0), "year": Fraction(0),
    },
    "mass": {
        "mg": Fraction(1, 1000), "g": Fraction(1), "kg": Fraction(1000), "oz": Fraction(28349523125, 10**9),
        "lb": Fraction(45359237, 10**5),
    },
    "volume": {"ml": Fraction(1, 1000), "l": Fraction(1), "gal": Fraction(3785411784, 10**9)},
    "money": {"cent": Fraction(1, 100), "dollar": Fraction(1)},
}  # fmt: skip
_LONG = {
    "millimeter": "mm", "centimeter": "cm", "meter": "m", "kilometer": "km", "millimetre": "mm", "centimetre": "cm",
    "metre": "m", "kilometre": "km", "inch": "in", "inche": "in", "foot": "ft", "feet": "ft", "yard": "yd",
    "mile": "mi", "second": "sec", "s": "sec", "minute": "min", "hr": "hour", "h": "hour", "gram": "g",
    "kilogram": "kg", "milligram": "mg", "ounce": "oz", "pound": "lb", "liter": "l", "litre": "l", "gallon": "gal",
    "milliliter": "ml", "millilitre": "ml",
}  # fmt: skip
_KNOWN = {unit: (dimension, factor) for dimension, t in _TABLE.items() for unit, factor in t.items()}
_POWERS = (("^2", re.compile(r"\bsq(?:uare|\b)|\^\s*2|²")), ("^3", re.compile(r"\bcu(?:bic|\b)|\^\s*3|³")))


def plain(unit: str) -> str:
    r"""A unit as written, in one form: `\text{ Inches}^2` is `in^2`, `square cm` is `cm^2`."""
    text = re.sub(r"\\(?:text(?:bf|it|rm|normal)?|mbox|hbox|mathrm|textrm)(?![A-Za-z])|[{}\\$]", " ", unit).lower()
    power = next((p for p, written in _POWERS if written.search(text)), "")
    words = re.sub(r"\b(?:square|sq|cubic|cu)\b\.?|\^\s*[23]|[²³.]", " ", text).split()
    folded = [_LONG.get(w, _LONG.get(w.removesuffix("s"), w.removesuffix("s") if len(w) > 2 else w)) for w in words]
    return " ".join(folded) + power if folded else ""


def factor(gold: str, pred: str) -> Fraction | None:
    """How many of the reference's unit one of the answer's is; 1 where nothing is known; None where they are unlike.

    Only simple units of length, time, mass, volume and money are known. Areas and volumes are not converted: a missing
    power is read as a slip of notation.
    """
    if not gold or not pred or gold == pred:
        return Fraction(1)
    a, b = _KNOWN.get(gold.split("^")[0]), _KNOWN.get(pred.split("^")[0])
    if a is None or b is None or "^" in gold + pred:
        return Fraction(1)
    if a[0] != b[0] or not a[1] or not b[1]:
        return None
    return b[1] / a[1]
