"""Bands of a number, ends open or closed as written: `(0.1, 0.9)`, `[0.25, 0.625]`, `[5, inf)`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_END = r"\s*([-+]?(?:\d+\.?\d*(?:e[-+]?\d+)?|\.\d+|inf)|\d+\s*/\s*\d+)\s*"
_BAND = re.compile(rf"\s*([\[(]){_END},{_END}([\])])\s*", re.I)


@dataclass(frozen=True)
class Band:
    """An interval and its name. `closed_low`, `closed_high`: whether the end itself belongs to it."""

    name: str
    low: float
    high: float
    closed_low: bool
    closed_high: bool

    def __contains__(self, value: float) -> bool:
        above = value >= self.low if self.closed_low else value > self.low
        return above and (value <= self.high if self.closed_high else value < self.high)

    @property
    def condition(self) -> str:
        """SQL with `{}` for the number."""
        low = "" if self.low == -math.inf else f"{{0}} {'>=' if self.closed_low else '>'} {self.low!r}"
        high = "" if self.high == math.inf else f"{{0}} {'<=' if self.closed_high else '<'} {self.high!r}"
        return " and ".join(filter(None, (low, high))) or "{0} is not null"


def parse(name: str, text: str) -> Band:
    """Read a band. An end may be a fraction (`1/3`) or `inf`.

    Raises:
        ValueError: it is no interval, or an empty one.
    """
    found = _BAND.fullmatch(text)
    if not found:
        msg = f"band {name} is '{text}'; write an interval such as [0.25, 0.75) or (0.9, 1]"
        raise ValueError(msg)
    low, high = (_number(found[i]) for i in (2, 3))
    band = Band(name, low, high, found[1] == "[", found[4] == "]")
    if low > high or (low == high and not (band.closed_low and band.closed_high)):
        msg = f"band {name} is '{text}', which nothing lies in"
        raise ValueError(msg)
    return band


def _number(text: str) -> float:
    top, _, bottom = text.partition("/")
    return float(top) / float(bottom) if bottom else float(top)


def table(written: Mapping[str, str]) -> tuple[Band, ...]:
    """Return the bands of a table name -> interval, in ascending order.

    Raises:
        ValueError: one cannot be read, or two overlap.
    """
    bands = sorted((parse(n, t) for n, t in written.items()), key=lambda b: (b.low, b.high))
    for one, other in zip(bands, bands[1:], strict=False):
        if other.low < one.high or (other.low == one.high and one.closed_high and other.closed_low):
            msg = f"bands {one.name} '{written[one.name]}' and {other.name} '{written[other.name]}' overlap"
            raise ValueError(msg)
    return tuple(bands)


def name_of(value: float | None, bands: tuple[Band, ...]) -> str | None:
    """Return the name of the band that `value` lies in, None where in none."""
    return None if value is None else next((b.name for b in bands if value in b), None)
