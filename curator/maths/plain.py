"""Leaves and relations without sympy: text, exact rationals, canonical forms, and intervals that prove a difference."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from typing import Any

from curator.maths import arith, enclose, exact
from curator.maths.clean import squeeze
from curator.maths.numbers import rational
from curator.maths.rules import Rules, numbers_equal, under
from curator.maths.shape import Leaf, Relation
from curator.maths.units import factor

_INFINITE = re.compile(r"\s*([+-]?)\s*\\infty\s*")
_DIGITS = re.compile(r"[-+]?[0-9A-Za-z., ]+")
FLIP = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}


class NeedsSympy(Exception):
    """The comparison needs a computer algebra system: ask a worker."""


class Unreadable(Exception):
    """One of the answers cannot be read. `side`: gold or pred."""

    def __init__(self, side: str, why: str) -> None:
        super().__init__(side, why)
        self.side, self.why = side, why


def plain_leaf(gold: Leaf, pred: Leaf, rules: Rules) -> bool:
    """Compare leaves without sympy. Raises NeedsSympy where nothing here proves either verdict, Unreadable."""
    same_base = gold.base == pred.base or (not rules.omissions and None in (gold.base, pred.base))
    if gold.base or pred.base:
        if squeeze(gold.latex) == squeeze(pred.latex):
            return same_base
        if not pred.base and not _DIGITS.fullmatch(pred.latex.strip()):
            side = "pred"
            raise Unreadable(side, "no number in a base")
        return gold.base != pred.base and _in_base(gold) is not None and _in_base(gold) == _in_base(pred)
    same_text = squeeze(gold.latex) == squeeze(pred.latex)
    if same_text and gold.unit == pred.unit and (gold.percent == pred.percent or not rules.percent):
        return True
    if gold.unit != pred.unit:
        return _other_unit(gold, pred, rules)
    if (infinite := _infinite(gold, pred)) is not None:
        return infinite
    a, b = rational(gold.latex), rational(pred.latex)
    if a is not None and b is not None:
        return numbers_equal(a, b, gold, pred, rules)
    x, y = arith.read(gold.latex), arith.read(pred.latex)
    if x is None or y is None:
        raise NeedsSympy
    proven = under(gold, pred, rules, lambda k, m: _same(x, y, k, m), lambda side, f: _distance(side, f))
    if proven is None:
        raise NeedsSympy
    return proven


def _other_unit(gold: Leaf, pred: Leaf, rules: Rules) -> bool:
    """Values in different units: converted where both are known, else compared as numbers unless strict."""
    if {gold.unit, pred.unit} == {"degree", ""} and ("pi" in gold.latex or "pi" in pred.latex):
        return plain_leaf(_radians(gold), _radians(pred), rules)
    times = factor(gold.unit, pred.unit)
    if times is None or (rules.omissions and times == 1):
        return False
    bare = replace(gold, unit=""), replace(pred, unit="")
    if times == 1:
        return plain_leaf(*bare, rules)
    b = rational(pred.latex)
    return b is not None and plain_leaf(bare[0], Leaf(f"{(b * times).numerator}/{(b * times).denominator}"), rules)


def _radians(leaf: Leaf) -> Leaf:
    return replace(leaf, latex=rf"({leaf.latex}) \cdot \frac{{\pi}}{{180}}", unit="") if leaf.unit else leaf


def _infinite(gold: Leaf, pred: Leaf) -> bool | None:
    """Compare infinities by their sign; a number that can be read is none; None where neither side is infinite."""
    a, b = _INFINITE.fullmatch(gold.latex), _INFINITE.fullmatch(pred.latex)
    if a and b:
        return (a[1] == "-") == (b[1] == "-")
    if a or b:
        return None if arith.read((pred if a else gold).latex) is None else False
    return None


def _in_base(leaf: Leaf) -> int | None:
    try:
        return int(leaf.latex, leaf.base or 10)
    except ValueError:
        return None


def _same(x: arith.Node, y: arith.Node, k: Fraction, m: Fraction) -> bool | None:
    """Is k*x m*y? By canonical form, then by intervals at generic points; names that differ in case count as one."""
    y = _recase(x, y)
    a, b = exact.value(x), exact.value(y)
    if a is not None and b is not None and (proven := exact.same(a.scaled(k), b.scaled(m))) is not None:
        return proven
    names = enclose.symbols(x) | enclose.symbols(y)
    if any(enclose.apart(x, y, k, m, p) for p in enclose.points(names)):
        return False
    return None


def _recase(x: arith.Node, y: arith.Node) -> arith.Node:
    """`y` with its symbols in the case of `x`, where they are the same letters and neither side uses both cases."""
    a, b = enclose.symbols(x), enclose.symbols(y)
    if a == b:
        return y
    fold = {s.lower(): s for s in a}
    if len(fold) != len(a) or len({s.lower() for s in b}) != len(b) or set(fold) != {s.lower() for s in b}:
        return y
    return _renamed(y, {s: fold[s.lower()] for s in b})


def _renamed(node: arith.Node, names: dict[str, str]) -> arith.Node:
    if node.op == "sym":
        return arith.Node("sym", value=names[str(node.value)])
    return arith.Node(node.op, tuple(_renamed(a, names) for a in node.args), node.value)


def _distance(side: Leaf, number: Fraction) -> tuple[Any, Any] | None:
    node = arith.read(side.latex)
    if node is None or enclose.symbols(node):
        return None if node is None else (float("inf"), float("inf"))
    bounds = enclose.distance(node, number)
    return None if bounds is None else (_exactly(bounds[0].a), _exactly(bounds[1].b))


def _exactly(x: Any) -> Fraction | float:
    """An end of an interval as an exact rational."""
    sign, man, exp, _ = x._mpi_[0]
    if man == 0 and exp != 0:
        return float("inf")
    return Fraction(-int(man) if sign else int(man)) * Fraction(2) ** int(exp)


def plain_relation(gold: Relation, pred: Relation, rules: Rules) -> bool:
    """Compare single equations and inequalities of rational functions, else raise NeedsSympy."""
    del rules
    if len(gold.ops) != len(pred.ops):
        return False
    if len(gold.ops) != 1:
        raise NeedsSympy
    op, other = gold.ops[0], pred.ops[0]
    if op != other and FLIP.get(op) != other:
        return False
    d, e = _sides(gold), _sides(pred)
    if d is None or e is None:
        raise NeedsSympy
    k = exact.proportional(d, e)
    if k is None:
        raise NeedsSympy
    if k is False:
        return False
    k = k if op == other else -k
    return bool(op in ("=", "!=") or k > 0)


def _sides(r: Relation) -> exact.Value | None:
    """Left side minus right side."""
    nodes = [arith.read(p.latex) if isinstance(p, Leaf) and not p.percent and not p.base else None for p in r.parts]
    if nodes[0] is None or nodes[1] is None:
        return None
    return exact.value(arith.Node("add", (nodes[0], arith.Node("neg", (nodes[1],)))))
