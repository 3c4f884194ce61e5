"""Intervals that surely hold a value: the proof that two formulas differ.

Interval arithmetic of mpmath, rounded outwards. Two values whose intervals at some point do not meet are different;
intervals that meet prove nothing. Points are positive rationals; where a value is not real there, there is no interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

from curator.maths.arith import Node

_PRIMES = (17, 29, 43, 61, 71, 83, 97, 103, 113, 127)
_BELOW = (5, 7, 13, 11, 19, 23, 17, 31, 37, 41)
PRECISIONS = (64, 400)  # bits
_BIG = 10**6  # an exponent above it is not computed


class NoInterval(Exception):
    """Not real, not bounded, or too large at this point."""


@lru_cache(maxsize=len(PRECISIONS))
def _context(bits: int) -> Any:
    from mpmath.ctx_iv import MPIntervalContext  # type: ignore[import-untyped]  # 90 ms, paid by the first hard pair

    context = MPIntervalContext()
    context.prec = bits
    return context


def symbols(node: Node) -> frozenset[str]:
    """Names of the free symbols."""
    if node.op == "sym":
        return frozenset({str(node.value)})
    return frozenset().union(*map(symbols, node.args)) if node.args else frozenset()


def points(names: frozenset[str], n: int = 2) -> list[dict[str, Fraction]]:
    """`n` generic positive points, the same for both sides of a comparison; one empty point without symbols."""
    if not names:
        return [{}]
    order = sorted(names)
    return [
        {s: Fraction(_PRIMES[(i + k) % 10], _BELOW[(i + k) % 10]) + (i + k) // 10 for i, s in enumerate(order)}
        for k in range(n)
    ]


def interval(node: Node, point: Mapping[str, Fraction], bits: int = PRECISIONS[0]) -> tuple[Any, Any]:
    """(low, high) of the value of a tree at a point. Raises NoInterval."""
    try:
        found = _interval(node, point, _context(bits))
    except (ArithmeticError, ValueError, TypeError, RecursionError) as e:
        raise NoInterval from e
    if not (-_infinity() < found.a and found.b < _infinity()):
        raise NoInterval
    return found.a, found.b


def _infinity() -> Any:
    return _context(PRECISIONS[0]).inf


def apart(a: Node, b: Node, ka: Fraction, kb: Fraction, point: Mapping[str, Fraction]) -> bool:
    """Is ka*a surely different from kb*b at the point? False says nothing."""
    for bits in PRECISIONS:
        try:
            context = _context(bits)
            x = _interval(a, point, context) * _number(ka, context)
            y = _interval(b, point, context) * _number(kb, context)
            d = x - y
        except (ArithmeticError, ValueError, TypeError, RecursionError, NoInterval):
            return False
        if bool(d.a > 0) or bool(d.b < 0):
            return bool(-_infinity() < x.a and x.b < _infinity() and -_infinity() < y.a and y.b < _infinity())
    return False


def distance(a: Node, number: Fraction) -> tuple[Any, Any] | None:
    """Bounds of |a - number| for a tree without symbols; None where it has no interval."""
    context = _context(PRECISIONS[1])
    try:
        d = abs(_interval(a, {}, context) - _number(number, context))
    except (ArithmeticError, ValueError, TypeError, RecursionError, NoInterval, KeyError):
        return None
    return d.a, d.b


def _number(f: Fraction, context: Any) -> Any:
    if f.numerator.bit_length() > _BIG or f.denominator.bit_length() > _BIG:
        raise NoInterval
    return context.mpf(f.numerator) / context.mpf(f.denominator)


def _interval(node: Node, point: Mapping[str, Fraction], c: Any) -> Any:
    op, args = node.op, node.args
    if op == "num":
        assert isinstance(node.value, Fraction)
        return _number(node.value, c)
    if op == "sym":
        return _number(point[str(node.value)], c)
    if op == "const":
        if node.value == "i":
            raise NoInterval
        return c.pi if node.value == "pi" else c.exp(c.mpf(1))
    if op == "pow":
        return _power(_interval(args[0], point, c), args[1], point, c)
    if op == "fact":
        raise NoInterval
    values = [_interval(a, point, c) for a in args]
    if op == "add":
        total = values[0]
        for v in values[1:]:
            total = total + v
        return total
    if op == "mul":
        return values[0] * values[1]
    if op == "div":
        if values[1].a <= 0 <= values[1].b:
            raise NoInterval
        return values[0] / values[1]
    if op == "neg":
        return -values[0]
    return _function(op, values[0], c)


def _function(op: str, x: Any, c: Any) -> Any:
    if max(abs(x.a), abs(x.b)) > _BIG:
        raise NoInterval
    if op == "exp":
        return c.exp(x)
    if op == "ln":
        if x.a <= 0:
            raise NoInterval
        return c.log(x)
    if op in ("sin", "cos"):
        return c.sin(x) if op == "sin" else c.cos(x)
    if op == "tan":
        below = c.cos(x)
        if below.a <= 0 <= below.b:
            raise NoInterval
        return c.sin(x) / below
    raise NoInterval


def _power(base: Any, exponent: Node, point: Mapping[str, Fraction], c: Any) -> Any:
    """Whole exponents of any base, others of a positive base."""
    e = _interval(exponent, point, c)
    if max(abs(e.a), abs(e.b)) > _BIG:
        raise NoInterval
    if e.a == e.b and e.a == int(e.a):
        n = int(e.a)
        if n < 0:
            if base.a <= 0 <= base.b:
                raise NoInterval
            return 1 / base**-n
        return base**n
    if base.a == base.b == 0 and e.a > 0:
        return base
    if base.a <= 0:
        raise NoInterval
    return c.exp(e * c.log(base))
