r"""Leaves with sympy: bounded parse, exact zero test, high-precision evaluation. Runs only in a worker process.

Numbers: the difference is evaluated to rising precision; a value that is surely not zero convicts. Formulas: an
expanded polynomial decides; else the difference is evaluated at rational points. A pair that looks equal everywhere
goes to sympy's exact simplifiers; only what they leave open is accepted on 100 digits at every point. So neither
`1-1/e` against `1+1/e` nor `2^{-99}` against `2^{-98}` can be equal by rounding.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy
from latex2sympy2_extended import latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from sympy.core.function import AppliedUndef

from curator.maths.arith import subscript
from curator.maths.bounds import MAX_NODES, TooBig, magnitude, surely_huge
from curator.maths.plain import NeedsSympy, plain_leaf, plain_relation
from curator.maths.rules import Rules, numbers_equal, under
from curator.maths.shape import Leaf, Relation

_CONFIG = ConversionConfig(lowercase_symbols=False)
_DECIMAL = re.compile(r"(?<![\d.])(\d*)\.(\d+)(?![\d.])")
# The grammar adds `2(3)` and `(2)3` up to 5, and reads `\Gamma` as Euler's constant.
_BESIDE = re.compile(
    r"(?<![_^\d])\d+(?=\s*\()|\)(?=\s*(?:[\d(]|\\frac))|\\binom\s*\{[^{}]*\}\s*\{[^{}]*\}(?=\s*[\d(\\])"
)
_LARGE_BINOMIAL = re.compile(r"\\binom\s*\{\s*(\d{4,1000})\s*\}\s*\{\s*(\d{1,1000})\s*\}")
_CAPITAL = re.compile(r"\\(Gamma|Upsilon)(?![A-Za-z])")
_SUBSCRIPT = re.compile(r"_\s*\{((?:[^{}]|\{[^{}]*\})*)\}")
_POINTS = tuple(sympy.Rational(p, q) for p, q in ((17, 5), (29, 7), (43, 13), (61, 11), (71, 19), (83, 23), (97, 17)))


class Unparsable(Exception):
    """The LaTeX parser does not read this text."""


@lru_cache(maxsize=4096)
def parse(latex: str) -> Any:
    """Return the evaluated sympy expression of a leaf. Raises Unparsable, TooBig."""
    text = _DECIMAL.sub(_exact_decimal, latex.replace(r"\cdotp", r"\cdot"))
    text = _SUBSCRIPT.sub(_plain_subscript, text.replace("*", r" \cdot "))
    text = _CAPITAL.sub(r" G_{\1}", _BESIDE.sub(r"\g<0> \\cdot ", text))
    if m := _LARGE_BINOMIAL.search(text):  # the grammar would compute it
        n, k = (sympy.Integer(g) for g in m.groups())
        raise TooBig(sympy.binomial(n, k, evaluate=False) if m.group() == text.strip() else None)
    if re.search(r"\\(?:Gamma|zeta)\s*\(", text):
        msg = "special function"
        raise Unparsable(msg)
    if text.count("^") > 60:
        raise TooBig
    try:
        raw = latex2sympy(text, normalization_config=None, conversion_config=_CONFIG)
    except (MemoryError, RecursionError) as e:
        raise TooBig from e
    except Exception as e:
        raise Unparsable(str(e)[:80]) from e
    if not isinstance(raw, sympy.Basic) or isinstance(raw, sympy.Tuple | sympy.Set):
        raise Unparsable(type(raw).__name__)
    if sum(1 for _ in sympy.preorder_traversal(raw)) > MAX_NODES:
        raise TooBig
    try:
        magnitude(raw)
    except TooBig as e:
        raise TooBig(raw) from e
    done = raw.xreplace({sympy.Symbol("i"): sympy.I}) if not raw.has(sympy.Sum, sympy.Product) else raw
    done = done.doit()
    calls = {f: sympy.Symbol(str(f)) for f in done.atoms(AppliedUndef)}  # f(1): a number nobody knows
    return done.xreplace(calls).xreplace({f: sympy.Rational(str(f)) for f in done.atoms(sympy.Float)})


def _plain_subscript(m: re.Match[str]) -> str:
    name = subscript(m[1])
    return f"_{{{name}}}" if name.isalnum() else m.group()


def _exact_decimal(m: re.Match[str]) -> str:
    return rf"\frac{{{int(m[1] + m[2])}}}{{{10 ** len(m[2])}}}"


def leaf_equal(gold: Leaf, pred: Leaf, rules: Rules) -> bool:
    """Compare two leaves: without sympy first. Raises Unparsable with the side, TooBig."""
    try:
        return plain_leaf(gold, pred, rules)
    except NeedsSympy:
        pass
    sides: list[Any] = []
    huge: list[bool] = []
    for side, leaf in (("gold", gold), ("pred", pred)):
        try:
            sides.append(parse(leaf.latex))
        except Unparsable as e:
            raise Unparsable(side, str(e)) from e
        except TooBig as e:
            huge.append(surely_huge(e.raw))
            if not huge[-1]:
                raise
    if len(huge) == 2:
        raise TooBig
    if huge:
        return _not_huge(sides[0])
    return values_equal(sides[0], sides[1], gold, pred, rules)


def _not_huge(value: Any) -> bool:
    """False: the other side is beyond any bound that this number is within. Raises TooBig where it is no number."""
    if value.is_Rational or (not value.free_symbols and value.is_finite):
        return False
    raise TooBig


def values_equal(a: Any, b: Any, gold: Leaf, pred: Leaf, rules: Rules) -> bool:
    """Compare two evaluated expressions under `rules`."""
    if a.is_Rational and b.is_Rational:
        return numbers_equal(Fraction(a.p, a.q), Fraction(b.p, b.q), gold, pred, rules)
    b = _same_case(a, b)

    def same(k: Fraction, m: Fraction) -> bool:
        return identical(a * sympy.Rational(k), b * sympy.Rational(m))

    def distance(side: Leaf, number: Fraction) -> tuple[Any, Any] | None:
        return _distance(a if side is gold else b, number)

    return bool(under(gold, pred, rules, same, distance))


def _distance(e: Any, number: Fraction) -> tuple[Any, Any] | None:
    """Bounds of |e - number|: evaluated to 50 digits, taken as exact to 40. None for formulas with symbols."""
    if e.free_symbols or e.is_Rational:
        return None
    try:
        d = sympy.Abs(e - sympy.Rational(number)).evalf(50)
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, AttributeError):
        return None
    if not d.is_Float or d._prec <= 1:
        return None
    slack = Fraction(1, 10**40) * max(Fraction(1), abs(number))
    exactly = Fraction(str(d))
    return exactly - slack, exactly + slack


def _same_case(a: Any, b: Any) -> Any:
    """`b` with its symbols in the case of `a`, where they are the same letters and neither side uses both cases."""
    names = [{s.name.lower(): s for s in e.free_symbols} for e in (a, b)]
    if any(len(n) != len(e.free_symbols) for n, e in zip(names, (a, b), strict=True)) or set(names[0]) != set(names[1]):
        return b
    return b.xreplace({names[1][k]: names[0][k] for k in names[0]})


def identical(a: Any, b: Any) -> bool:
    """True where `a` and `b` are the same number or the same function of their symbols."""
    if a == b:
        return True
    infinite = (sympy.oo, -sympy.oo, sympy.zoo, sympy.nan)
    if a in infinite or b in infinite:
        return False
    if isinstance(a, sympy.logic.boolalg.Boolean) or isinstance(b, sympy.logic.boolalg.Boolean):
        return False
    d = a - b
    if d.is_Rational:
        return bool(d == 0)
    d = sympy.expand(d)
    if d == 0:
        return True
    symbols = sorted(d.free_symbols, key=str)
    if symbols and d.is_polynomial(*symbols) and all(c.is_Rational for c in sympy.Poly(d, *symbols).coeffs()):
        return False
    seen = []
    for p in _points(len(symbols)):
        seen.append(_zero_at(a, b, dict(zip(symbols, p, strict=True))))
        if seen[-1] is False:
            return False
    return _exactly_zero(d) or seen.count(True) >= min(3, len(seen))


def _points(n: int) -> list[tuple[Any, ...]]:
    """Rational points to evaluate at: generic positive ones, then some with signs; one empty point for numbers."""
    if n == 0:
        return [()]
    shifted = [tuple(_POINTS[(i + k) % len(_POINTS)] + i // len(_POINTS) for i in range(n)) for k in range(3)]
    return [*shifted, tuple(-x for x in shifted[0]), tuple(x if i % 2 else -x for i, x in enumerate(shifted[1]))]


def _zero_at(a: Any, b: Any, point: dict[Any, Any]) -> bool | None:
    """Is a - b zero at `point`: False is proven, True holds to 100 digits, None where it cannot be evaluated.

    Where a side is not real at a negative point the domains differ, which proves nothing.
    """
    try:
        x, y = a.subs(point), b.subs(point)
        if any(v < 0 for v in point.values()) and not (x.is_real and y.is_real):
            return None
        d = x - y
        if d.is_Rational:
            return bool(d == 0)
        value = d.evalf(15, maxn=150)
        if not value.is_number or value.has(sympy.nan, sympy.zoo, sympy.oo):
            return None
        parts = value.as_real_imag()
    except (TypeError, ValueError, ZeroDivisionError, OverflowError, AttributeError):
        return None
    if any(p.is_Float and p._prec > 1 and abs(p) > sympy.Float("1e-100") for p in parts):
        return False
    return True if all(p.is_Float or p.is_Rational for p in parts) else None


def _exactly_zero(d: Any) -> bool:
    """Sympy's exact tests on a difference that looks like 0 at 100 digits; False where they do not decide."""
    if d.count_ops() > 400:
        return False
    tests: tuple[Any, ...] = (lambda e: sympy.cancel(sympy.together(e)), sympy.radsimp, sympy.simplify)
    for test in tests:
        try:
            left = test(d)
        except (TypeError, ValueError, NotImplementedError, AttributeError, ZeroDivisionError, sympy.PolynomialError):
            continue
        if left == 0:
            return True
    return False


def relation_equal(gold: Relation, pred: Relation, rules: Rules) -> bool:
    """Equations are equal when one side-difference is a constant times the other, inequalities when it is positive.

    Raises Unparsable, TooBig.
    """
    try:
        return plain_relation(gold, pred, rules)
    except NeedsSympy:
        pass
    if len(gold.ops) > 1:
        parts = zip(gold.parts, pred.parts, strict=True)
        return gold.ops == pred.ops and all(
            isinstance(g, Leaf) and isinstance(p, Leaf) and leaf_equal(g, p, rules) for g, p in parts
        )
    op, other = gold.ops[0], pred.ops[0]
    d, e = _difference(gold, "gold"), _difference(pred, "pred")
    if op != other:
        e = -e
    if identical(d, e):
        return True
    if not e.free_symbols or d.free_symbols != e.free_symbols:
        return False
    factor = sympy.cancel(sympy.together(d / e))
    if factor.free_symbols:
        factor = sympy.simplify(factor)
    if factor.free_symbols or factor == 0 or not factor.is_finite:
        return False
    return op in {"=", "!="} or bool(factor.is_positive)


def _difference(r: Relation, side: str) -> Any:
    if not all(isinstance(p, Leaf) for p in r.parts):
        raise Unparsable(side, "relation between groups")
    try:
        left, right = (parse(p.latex) for p in r.parts if isinstance(p, Leaf))
    except Unparsable as e:
        raise Unparsable(side, str(e)) from e
    return left - right


def warm() -> None:
    """Build the parser's tables once, before the first pair is on the clock."""
    identical(parse(r"\sqrt{2}+x"), parse("x+1"))
