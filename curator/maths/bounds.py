"""How large a number would be, before it is computed. With sympy: only the worker imports this."""

from __future__ import annotations

import math
from typing import Any

import sympy

MAX_DIGITS = 5_000  # of any number that is computed
MAX_NODES = 2_000
_FACTORIALS = (sympy.factorial, sympy.gamma, sympy.binomial, sympy.functions.factorial2)


class TooBig(Exception):
    """Evaluating would make a number of more than `MAX_DIGITS` digits, or the expression is too large.

    `raw` is the unevaluated expression where there is one.
    """

    def __init__(self, raw: Any = None) -> None:
        super().__init__("too large to compute")
        self.raw = raw


def magnitude(e: Any) -> float:
    """Return an upper bound of |log10 |e|| of the numbers that evaluating `e` makes. Raises TooBig."""
    if not isinstance(e, sympy.Basic):
        return 0.0
    if e.is_Rational:
        return float(max(len(str(abs(e.p))) if abs(e.p) < 10**4000 else MAX_DIGITS + 1, e.q.bit_length() * 0.302))
    inner = [magnitude(a) for a in e.args]
    size = 1.0 + sum(inner) if (e.is_Add or e.is_Mul) else max(inner, default=1.0)
    if e.is_Pow and not e.args[1].free_symbols:
        size = inner[0] * max(1.0, _bound(e.args[1]))
    elif isinstance(e, _FACTORIALS) and not e.free_symbols:
        top = _bound(e.args[0])
        size = top * math.log10(max(top, 2))
    elif isinstance(e, sympy.exp) and not e.free_symbols:
        size = _bound(e.args[0])
    if size > MAX_DIGITS:
        raise TooBig
    return size


def _bound(e: Any) -> float:
    """An upper bound of |e| for an expression without symbols whose parts are already bounded."""
    digits = magnitude(e)
    if digits > 8:
        return 10.0**9
    try:
        return abs(complex(e.evalf(8)))
    except (TypeError, ValueError, OverflowError):
        return 10.0**9


def surely_huge(raw: Any) -> bool:
    """Is `raw` (or its inverse, or their negatives) proven to be larger than any number that is computed?

    Only powers, products, factorials and sums of numbers >= 1 are looked at: `10^{10^{10}} - 10^{10^{10}} + 7` is not
    huge, and nobody here knows its value.
    """
    if raw is None:
        return False
    try:
        return _least(raw) > MAX_DIGITS
    except (ValueError, OverflowError, RecursionError, ZeroDivisionError):
        pass
    if raw.is_Pow and raw.args[1].could_extract_minus_sign():
        return surely_huge(sympy.Pow(raw.args[0], -raw.args[1], evaluate=False))
    if raw.is_Mul and raw.args[0] == -1:
        return surely_huge(sympy.Mul(*raw.args[1:], evaluate=False))
    return False


def _least(e: Any) -> float:
    """A lower bound of log10(e) for e >= 1. Raises ValueError for anything else."""
    if e.is_Integer and e >= 1:
        return float(max(0, len(str(e)) - 1)) if e >= 10 else math.log10(int(e))
    if e.is_Mul:
        return sum(map(_least, e.args))
    if e.is_Add:
        return max(map(_least, e.args))
    if e.is_Pow:
        exponent = _least(e.args[1])
        base = _least(e.args[0])
        return math.inf if base and exponent > 300 else base * (10.0 ** min(exponent, 300) * (1 - 1e-9))
    if isinstance(e, sympy.factorial):
        n = 10.0 ** min(_least(e.args[0]), 300)
        return max(0.0, n * math.log10(n / math.e)) if n >= 3 else 0.0
    if isinstance(e, sympy.binomial) and all(a.is_Integer for a in e.args):
        n, k = map(int, e.args)
        if 0 < k < n:
            return min(k, n - k) * math.log10(n / min(k, n - k))
    msg = "no lower bound"
    raise ValueError(msg)
