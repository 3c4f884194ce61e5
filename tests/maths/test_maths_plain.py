"""What is decided without sympy, against sympy and mpmath as independent oracles."""

from __future__ import annotations

import mpmath
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.maths import arith, enclose, exact
from curator.maths.plain import NeedsSympy, plain_leaf
from curator.maths.rules import Rules
from curator.maths.shape import Leaf

X, Y = sympy.symbols("x y", positive=True)


def wrap(op: str):
    """(LaTeX, sympy) of a combination of two such pairs; the sympy side is built without any parser."""
    ways = {
        "+": lambda a, b: (rf"({a[0]}+{b[0]})", a[1] + b[1]),
        "-": lambda a, b: (rf"({a[0]}-{b[0]})", a[1] - b[1]),
        "*": lambda a, b: (rf"({a[0]})\cdot({b[0]})", a[1] * b[1]),
        "beside": lambda a, b: (rf"({a[0]})({b[0]})", a[1] * b[1]),
        "frac": lambda a, b: (rf"\frac{{{a[0]}}}{{({b[0]})^{{2}}+1}}", a[1] / (b[1] ** 2 + 1)),
        "/": lambda a, b: (rf"({a[0]})/(({b[0]})^2+1)", a[1] / (b[1] ** 2 + 1)),
    }
    return ways[op]


ATOMS = [
    *((str(n), sympy.Integer(n)) for n in (0, 1, 2, 3, 7, 12)),
    ("2.5", sympy.Rational(5, 2)), (r"\sqrt{2}", sympy.sqrt(2)), (r"\sqrt{12}", sympy.sqrt(12)), ("x", X), ("y", Y),
    (r"\sqrt[3]{4}", sympy.cbrt(4)), (r"2^{-1/2}", 1 / sympy.sqrt(2)), (r"\pi", sympy.pi),
    (r"\frac{2}{3}", sympy.Rational(2, 3)), ("1,024", sympy.Integer(1024)), ("-3", sympy.Integer(-3)),
]  # fmt: skip
formulas = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["+", "-", "*", "beside", "frac", "/"]), inner, inner).map(
            lambda t: wrap(t[0])(t[1], t[2])
        ),
        inner.map(lambda a: (rf"({a[0]})^{{2}}", a[1] ** 2)),
        inner.map(lambda a: (f"-{a[0]}" if not a[0].startswith("-") else f"-({a[0]})", -a[1])),
    ),
    max_leaves=4,
)


@settings(max_examples=150, deadline=None)
@given(formulas)
def test_what_is_read_is_what_was_written(formula):
    node = arith.read(formula[0])
    assert node is not None
    point = enclose.points(enclose.symbols(node))[0]
    low, high = enclose.interval(node, point)
    at = {s: sympy.Rational(point[str(s)].numerator, point[str(s)].denominator) for s in (X, Y) if str(s) in point}
    with mpmath.workprec(220):
        true = mpmath.mpf(str(sympy.N(formula[1].subs(at), 60)))
        slack = (1 + abs(true)) * mpmath.mpf(10) ** -55
        assert mpmath.mpf(low.a) - slack <= true <= mpmath.mpf(high.b) + slack


@settings(max_examples=150, deadline=None)
@given(formulas, formulas)
def test_a_proof_is_never_wrong(a, b):
    try:
        verdict = plain_leaf(Leaf(a[0]), Leaf(b[0]), Rules(True))
    except NeedsSympy:
        return
    assert verdict == (sympy.simplify(sympy.expand(a[1] - b[1])) == 0)


@settings(max_examples=100, deadline=None)
@given(formulas)
def test_polynomials_radicals_and_pi_need_no_sympy(a):
    assert plain_leaf(Leaf(a[0]), Leaf(rf"{a[0]}+1-1"), Rules(True))
    assert not plain_leaf(Leaf(a[0]), Leaf(rf"{a[0]}+10^{{-60}}"), Rules(True))


@pytest.mark.parametrize(
    "text",
    ["1/2x", "2 3", "2^3^4", r"\sin 2x", r"2\frac{1}{2}", "x 2", "x^ab", "3!!", r"\log 2", r"\int x", "{" * 40, "a/bc",
     r"\sin^2 x", "x!/2!^2^2", "1..2", "", "x" * 301, "x^2_0^3", "f'(x)", r"\sqrt", r"\frac{1}", "(", ")", "2^", "_1"],
)  # fmt: skip
def test_what_can_be_read_in_two_ways_or_not_at_all_is_refused(text):
    assert arith.read(text) is None


@pytest.mark.parametrize(
    ("gold", "pred"),
    [(r"1-\frac{1}{e}", r"1+\frac{1}{e}"), ("2^{-99}", "2^{-98}"), (r"\pi+e", r"\pi+e+10^{-90}"),
     (r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}+10^{-80}"), (r"\sin(\frac{x}{2})", r"\cos(\frac{x}{2})")],
)  # fmt: skip
def test_a_difference_is_proven_however_small(gold, pred):
    assert plain_leaf(Leaf(gold), Leaf(pred), Rules()) is False


@pytest.mark.parametrize(
    ("gold", "pred"),
    [(r"\sqrt{2}+\sqrt{3}", r"\sqrt{5+2\sqrt{6}}"), (r"\sqrt{x^2}", "x"), (r"\pi^2", "e^{2}+e-e^{2}+\\pi^2-e+\\ln(1)"),
     (r"\cos(\frac{\pi}{3})", r"\frac{1}{2}"), (r"e^{i\pi}", "-1"), ("10^{10^{10}}", "10^{10^{10}}+1")],
)  # fmt: skip
def test_coincidence_of_digits_acquits_nobody(gold, pred):
    with pytest.raises(NeedsSympy):
        plain_leaf(Leaf(gold), Leaf(pred), Rules())


@given(st.integers(2, 400), st.integers(2, 400))
def test_roots_multiply(a, b):
    product = arith.read(rf"\sqrt{{{a}}}\cdot\sqrt{{{b}}}")
    one = arith.read(rf"\sqrt{{{a * b}}}")
    assert product is not None
    assert one is not None
    assert exact.same(exact.value(product), exact.value(one)) is True
    assert exact.same(exact.value(product), exact.value(arith.read(rf"\sqrt{{{a * b + 1}}}"))) is False


def test_bounds_hold_before_numbers_are_made():
    for bomb in ("9^{9^{9}}", "10^{10^{10}}", "(x+y+z+w)^{64}", "300!^{64}", "2^{99999}", r"\sqrt{9^{63}+7}"):
        node = arith.read(bomb)
        assert node is not None
        assert exact.value(node) is None
