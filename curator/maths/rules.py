"""The contested conventions, each by name, and how two leaf values are compared under them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from curator.maths.numbers import digits_after_point, rational
from curator.maths.shape import Leaf

FLOAT_DIGITS, FLOAT_NOISE = 12, Fraction(1, 10**13)  # 499.99999999999994 is how a float prints 500
_NAMES = ("order", "percent", "decimals", "omissions")


@dataclass(frozen=True)
class Rules:
    """What counts as the same answer where graders differ. `strict` is the shorthand for the four after it.

    Attributes:
        strict: default of the next four, each of which may be set alone.
        order: the order of an unbracketed list counts. Else `1, 2` equals `2, 1`.
        percent: 10% is 0.1 only. Else it equals 10 as well.
        decimals: a decimal is its exact value only. Else 0.333333 equals 1/3 (six significant digits or more),
            and 499.99999999999994 equals 500.
        omissions: a unit, base, variable name or the kind of bracket must not be missing or differ. Else `5` equals
            `x = 5`, and `(1, 2)` the column vector.
        atol: allowed absolute distance of two numbers; more than one: one per item of a list, tuple or set of the
            reference. Empty (default): none. A data set that states a tolerance gives it here.
        rtol: allowed distance relative to the reference; 0 (default): none.
    """

    strict: bool = False
    order: bool | None = None
    percent: bool | None = None
    decimals: bool | None = None
    omissions: bool | None = None
    atol: tuple[float, ...] = ()
    rtol: float = 0.0

    def __post_init__(self) -> None:
        """Fill the named settings from `strict`. Raises ValueError for a tolerance that is negative or no number."""
        for name in _NAMES:
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.strict)
        object.__setattr__(self, "atol", tuple(float(t) for t in self.atol))
        for t in (*self.atol, self.rtol):
            if not 0 <= t < float("inf"):
                msg = f"tolerance {t} must be a number >= 0"
                raise ValueError(msg)

    @property
    def tolerant(self) -> bool:
        """Is any tolerance set?"""
        return bool(self.rtol or any(self.atol))

    def item(self, i: int, n: int) -> Rules:
        """The rules for item `i` of `n`: its own absolute tolerance where there is one for each."""
        if len(self.atol) != n or n < 2:
            return self
        return Rules(self.strict, self.order, self.percent, self.decimals, self.omissions, (self.atol[i],), self.rtol)

    def within(self, gold: Fraction) -> Fraction:
        """The allowed distance from a rational reference."""
        absolute = exact(max(self.atol, default=0.0))
        return max(absolute, exact(self.rtol) * abs(gold))


def exact(x: float) -> Fraction:
    """The decimal a float is written as: 0.001 is 1/1000."""
    return Fraction(repr(x))


def numbers_equal(a: Fraction, b: Fraction, gold: Leaf, pred: Leaf, rules: Rules) -> bool:
    """Compare exact values under the rules for percent, decimals and tolerance."""
    exact_a, exact_b = (a / 100 if gold.percent else a), (b / 100 if pred.percent else b)
    if exact_a == exact_b:
        return True
    if rules.tolerant and abs(exact_a - exact_b) <= rules.within(exact_a):
        return True
    if not rules.percent and a == b and gold.percent != pred.percent:
        return True
    if rules.decimals:
        return False
    da, db = digits_after_point(gold.latex), digits_after_point(pred.latex)
    if max(da or 0, db or 0) >= FLOAT_DIGITS and abs(exact_a - exact_b) <= FLOAT_NOISE * abs(exact_a):
        return True
    if da is not None and db is None:
        return rounds_to(b, a, da)
    return db is not None and da is None and rounds_to(a, b, db)


def rounds_to(value: Fraction, written: Fraction, decimals: int) -> bool:
    """True where `written` (with `decimals` decimals) is `value` rounded or cut, and `value` has more decimals."""
    if (value * 10**decimals).denominator == 1:
        return value == written
    return abs(value - written) < Fraction(1, 10**decimals)


def under(
    gold: Leaf,
    pred: Leaf,
    rules: Rules,
    same: Callable[[Fraction, Fraction], bool | None],
    distance: Callable[[Leaf, Fraction], tuple[Any, Any] | None],
) -> bool | None:
    """Compare two values that are not both rational under `rules`.

    Args:
        gold: the reference.
        pred: the answer.
        rules: the conventions.
        same: (k, l) -> is k*gold l*pred? None where nobody knows.
        distance: (side, rational) -> bounds of |side - rational|, or None.

    Returns:
        True, False, or None where nobody knows.
    """
    part = Fraction(1, 100)
    answers = [same(part if gold.percent else Fraction(1), part if pred.percent else Fraction(1))]
    if not rules.percent and gold.percent != pred.percent and answers[0] is not True:
        answers.append(same(Fraction(1), Fraction(1)))
    if True in answers:
        return True
    for value, leaf in ((gold, pred), (pred, gold)):
        written, decimals = rational(leaf.latex), digits_after_point(leaf.latex)
        if written is None or value.percent or leaf.percent:
            continue
        allowed = Fraction(0) if rules.decimals or decimals is None else Fraction(1, 10**decimals)
        if rules.tolerant:
            relative = exact(rules.rtol) * abs(written)  # of the reference, which the answer is close to
            allowed = max(allowed, rules.within(written) if leaf is gold else max(rules.within(Fraction(0)), relative))
        if allowed:
            bounds = distance(value, written)
            low_high = None if bounds is None else (bounds[0] > allowed, bounds[1] < allowed)
            answers.append(None if low_high is None or low_high == (False, False) else low_high[1])
    return True if True in answers else None if None in answers else False
