r"""Canonical forms of numbers and rational functions over Q: equality that is proven, both ways.

A value is a quotient of two polynomials over Q in: symbols, `i`, `pi`, `e`, and primes with fractional exponents (so
`\sqrt{12}` is `2 * 3^(1/2)`). Distinct products of fractional powers of distinct primes are linearly independent over
Q (Besicovitch, 1940), so two such polynomials are the same number only if they are the same polynomial. With both
`pi` and `e`, or with parts that are not polynomials (`\sin x`, `\sqrt{x}`: opaque atoms), equal forms still prove
equality, but different forms prove nothing.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from curator.maths.arith import Node

MAX_TERMS = 120
MAX_BITS = 6_000
MAX_POWER = 64
MAX_FACTOR = 10**12  # a radicand above it is not factored

Atom = tuple[str, object]
Monomial = tuple[tuple[Atom, Fraction], ...]
Poly = dict[Monomial, Fraction]
ONE: Monomial = ()
UNIT, PI, EULER = ("const", "i"), ("const", "pi"), ("const", "e")


class Unknown(Exception):
    """The value has no canonical form here, or would grow beyond the bounds, or divides by zero."""


class Value(NamedTuple):
    """`top` over `bottom`, both polynomials; `bottom` is not zero."""

    top: Poly
    bottom: Poly

    @property
    def rational(self) -> Fraction | None:
        """The value where it is a rational number."""
        if set(self.top) <= {ONE} and set(self.bottom) == {ONE}:
            return self.top.get(ONE, Fraction(0)) / self.bottom[ONE]
        return None

    def atoms(self) -> set[Atom]:
        """Every atom in the numerator and denominator."""
        return {a for p in (self.top, self.bottom) for m in p for a, _ in m}

    def scaled(self, k: Fraction) -> Value:
        """This value times a rational number."""
        return Value(_times(self.top, {ONE: k}), self.bottom) if k != 1 else self


@lru_cache(maxsize=4096)
def value(node: Node) -> Value | None:
    """Return the canonical form of a tree, or None where there is none within the bounds."""
    try:
        return _value(node)
    except (Unknown, RecursionError):
        return None


def same(a: Value, b: Value) -> bool | None:
    """True or False where proven, None where the forms differ but may be equal."""
    try:
        d = _plus(_times(a.top, b.bottom), _times(b.top, a.bottom, -1))
    except Unknown:
        return None
    if not d:
        return True
    return False if _independent(d) else None


def proportional(a: Value, b: Value) -> Fraction | None | bool:
    """The rational k with a = k b; False where there is none; None where this is not known."""
    try:
        left, right = _times(a.top, b.bottom), _times(b.top, a.bottom)
    except Unknown:
        return None
    if not left or not right:
        return None
    k = next(iter(left.values())) / right[m] if (m := next(iter(left))) in right else None
    if k is not None and left == {n: c * k for n, c in right.items()}:
        return k
    plain = all(a[0] == "sym" for p in (left, right) for m in p for a, _ in m)
    return False if plain else None


def _independent(d: Poly) -> bool:
    """Are the monomials of `d` linearly independent as numbers or functions? At most one of pi and e, no opaque."""
    atoms = {a for m in d for a, _ in m}
    return not any(a[0] == "opaque" for a in atoms) and not {PI, EULER} <= atoms


def _check(p: Poly) -> Poly:
    if len(p) > MAX_TERMS or any(c.numerator.bit_length() + c.denominator.bit_length() > MAX_BITS for c in p.values()):
        raise Unknown
    return p


def _plus(a: Poly, b: Poly) -> Poly:
    out = dict(a)
    for m, c in b.items():
        total = out.get(m, Fraction(0)) + c
        if total:
            out[m] = total
        else:
            out.pop(m, None)
    return _check(out)


def _times(a: Poly, b: Poly, k: int = 1) -> Poly:
    if len(a) * len(b) > 4 * MAX_TERMS:
        raise Unknown
    out: Poly = {}
    for m, c in a.items():
        for n, d in b.items():
            mono, factor = _join(m, n) if m and n else (m or n, Fraction(1))
            total = out.get(mono, Fraction(0)) + k * c * d * factor
            if total:
                out[mono] = total
            else:
                out.pop(mono, None)
    return _check(out)


def _join(m: Monomial, n: Monomial) -> tuple[Monomial, Fraction]:
    """The product of two monomials: i^2 is -1, and whole powers of primes move into the coefficient."""
    powers = dict(m)
    for a, e in n:
        powers[a] = powers.get(a, Fraction(0)) + e
    factor = Fraction(1)
    for a in list(powers):
        e = powers[a]
        if a == UNIT:
            whole = int(e) % 4
            factor *= -1 if whole >= 2 else 1
            powers[a] = Fraction(whole % 2)
        elif a[0] == "prime":
            whole = math.floor(e)
            if abs(whole) > MAX_BITS:
                raise Unknown
            factor *= Fraction(int(str(a[1]))) ** whole
            powers[a] = e - whole
    return tuple(sorted(((a, e) for a, e in powers.items() if e), key=repr)), factor


def _value(node: Node) -> Value:
    op, args = node.op, node.args
    if op == "num":
        assert isinstance(node.value, Fraction)
        return Value({ONE: node.value} if node.value else {}, {ONE: Fraction(1)})
    if op in ("sym", "const"):
        return _atom((op, node.value))
    if op == "add":
        total = _value(args[0])
        for term in args[1:]:
            total = _add(total, _value(term))
        return total
    if op == "neg":
        return _value(args[0]).scaled(Fraction(-1))
    if op == "mul":
        a, b = _value(args[0]), _value(args[1])
        return Value(_times(a.top, b.top), _times(a.bottom, b.bottom))
    if op == "div":
        a, b = _value(args[0]), _value(args[1])
        if not b.top:
            raise Unknown
        return Value(_times(a.top, b.bottom), _times(a.bottom, b.top))
    if op == "pow":
        return _power(_value(args[0]), _value(args[1]))
    if op == "fact":
        n = _value(args[0])
        k = n.rational
        if k is not None and k.denominator == 1 and 0 <= k <= 300:
            return Value({ONE: Fraction(math.factorial(int(k)))}, {ONE: Fraction(1)})
        if k is not None:
            raise Unknown
        return _opaque(op, n)
    return _opaque(op, _value(args[0]))


def _add(a: Value, b: Value) -> Value:
    if a.bottom == b.bottom:
        return Value(_plus(a.top, b.top), a.bottom)
    return Value(_plus(_times(a.top, b.bottom), _times(b.top, a.bottom)), _times(a.bottom, b.bottom))


def _atom(a: Atom) -> Value:
    return Value({((a, Fraction(1)),): Fraction(1)}, {ONE: Fraction(1)})


def _opaque(name: str, *parts: Value) -> Value:
    key = (name, *((tuple(sorted(p.top.items(), key=repr)), tuple(sorted(p.bottom.items(), key=repr))) for p in parts))
    return _atom(("opaque", key))


def _power(base: Value, exponent: Value) -> Value:
    e = exponent.rational
    if e is None:
        return _opaque("pow", base, exponent)
    if e.denominator == 1 and abs(e) <= MAX_POWER:
        return _whole(base, int(e))
    b = base.rational
    if b is None:
        return _opaque("pow", base, exponent)
    if b == 0:
        if e > 0:
            return base
        raise Unknown
    if abs(e) * max(abs(b.numerator).bit_length(), b.denominator.bit_length()) > MAX_BITS:
        raise Unknown
    if e.denominator == 1:
        return Value({ONE: b ** int(e)}, {ONE: Fraction(1)})
    return _radical(b, e)


def _whole(base: Value, n: int) -> Value:
    if n < 0:
        if not base.top:
            raise Unknown
        base = Value(base.bottom, base.top)
    top, bottom = {ONE: Fraction(1)}, {ONE: Fraction(1)}
    for _ in range(abs(n)):
        top, bottom = _times(top, base.top), _times(bottom, base.bottom)
    return Value(top, bottom)


def _radical(b: Fraction, e: Fraction) -> Value:
    """A fractional power of a rational; of a negative one only the square root, which is i times a real one."""
    start: Poly = {ONE: Fraction(1)}
    if b < 0:
        if e.denominator != 2:
            raise Unknown
        turns = e.numerator % 4  # (-1)^(n/2) = i^n
        unit: Poly = {((UNIT, Fraction(1)),): Fraction(1)}
        start = {m: -c if turns > 1 else c for m, c in (unit if turns % 2 else start).items()}
    mono, factor = ONE, Fraction(1)
    for n, sign in ((abs(b.numerator), 1), (b.denominator, -1)):
        for p, k in _factors(n):
            mono, f = _join(mono, ((("prime", p), sign * k * e),))
            factor *= f
    return Value(_times(start, {mono: factor}), {ONE: Fraction(1)})


@lru_cache(maxsize=4096)
def _factors(n: int) -> tuple[tuple[int, int], ...]:
    if n > MAX_FACTOR:
        raise Unknown
    out, p = [], 2
    while p * p <= n:
        k = 0
        while n % p == 0:
            n //= p
            k += 1
        if k:
            out.append((p, k))
        p += 1 if p == 2 else 2
    return (*out, (n, 1)) if n > 1 else tuple(out)
