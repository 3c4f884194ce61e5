"""The contested conventions, each by name; tolerances; units."""

from __future__ import annotations

from fractions import Fraction

import pytest

from curator.maths.judge import judge
from curator.maths.rules import Rules
from curator.maths.units import factor, plain


def verdict(gold: str, pred: str, rules: Rules) -> str:
    return judge([(gold, pred)], rules=rules)[0].verdict


CONTESTED = [
    ("order", "10, 4, -2", "4, 10, -2"),
    ("percent", "10%", "10"),
    ("decimals", r"\frac13", "0.333333"),
    ("decimals", "500", "499.99999999999994"),
    ("decimals", r"\sqrt{2}", "1.41421356"),
    ("omissions", "x=5", "5"),
    ("omissions", "4210_5", "4210"),
    ("omissions", "5 cm", "5"),
    ("omissions", r"\begin{pmatrix}1\\2\end{pmatrix}", "(1,2)"),
    ("omissions", r"\emptyset", "no solution"),
]


@pytest.mark.parametrize(("name", "gold", "pred"), CONTESTED)
def test_each_convention_can_be_set_alone(name, gold, pred):
    assert verdict(gold, pred, Rules()) == "correct"
    assert verdict(gold, pred, Rules(**{name: True})) == "incorrect"
    assert verdict(gold, pred, Rules(strict=True)) == "incorrect"
    assert verdict(gold, pred, Rules(strict=True, **{name: False})) == "correct"


@pytest.mark.parametrize(
    ("gold", "pred", "rules", "want"),
    [
        ("5", "5.1", Rules(atol=(0.1,)), True),
        ("5", "5.11", Rules(atol=(0.1,)), False),
        ("5", "5.1", Rules(strict=True, atol=(0.1,)), True),
        (r"7 \times 10^{35}", r"7.1 \cdot 10^{35}", Rules(atol=(1e34,)), True),
        (r"7 \times 10^{35}", r"7.1 \cdot 10^{35}", Rules(atol=(1e33,)), False),
        (r"7 \times 10^{35}, 0.002", r"0.001, 7.1 \cdot 10^{35}", Rules(atol=(1e34, 0.001)), True),
        ("(1, 100)", "(1.1, 109)", Rules(atol=(0.1, 9)), True),
        ("(1, 100)", "(1.2, 100)", Rules(atol=(0.1, 9)), False),
        (r"\cos^{10}(\frac{\pi}{10})", "0.6054", Rules(atol=(1e-4,)), True),
        (r"\cos^{10}(\frac{\pi}{10})", "0.6054", Rules(), False),
        ("100", "101", Rules(rtol=0.01), True),
        ("100", "101.1", Rules(rtol=0.01), False),
        ("-100", "-101", Rules(rtol=0.01), True),
        (r"100\pi", "314", Rules(rtol=0.001), True),
        ("0.001", "0.0011", Rules(rtol=0.01), False),
    ],
)
def test_tolerances_are_those_the_data_states(gold, pred, rules, want):
    assert verdict(gold, pred, rules) == ("correct" if want else "incorrect")


def test_each_pair_may_have_its_own_rules():
    pairs = [("5", "5.1"), ("5", "5.1")]
    assert [v.verdict for v in judge(pairs, rules=[Rules(atol=(1,)), Rules()])] == ["correct", "incorrect"]
    with pytest.raises(ValueError, match="1 rules for 2 pairs"):
        judge(pairs, rules=[Rules()])


@pytest.mark.parametrize("bad", [{"atol": (-1,)}, {"rtol": float("nan")}, {"rtol": float("inf")}])
def test_a_tolerance_is_a_number(bad):
    with pytest.raises(ValueError, match="tolerance"):
        Rules(**bad)


@pytest.mark.parametrize(
    ("gold", "pred", "want"),
    [("cm", "m", Fraction(100)), ("min", "hour", Fraction(60)), ("dollar", "cent", Fraction(1, 100)),
     ("cm", "sec", None), ("egg", "m", Fraction(1)), ("", "m", Fraction(1)), ("cm^2", "cm", Fraction(1)),
     ("month", "day", None)],
)  # fmt: skip
def test_units_are_converted_or_unlike(gold, pred, want):
    assert factor(gold, pred) == want


@pytest.mark.parametrize(
    ("written", "form"),
    [(r"\text{ inches}^2", "in^2"), ("square centimeters", "cm^2"), (r"\mathrm{km/h}", "km/h"), (" hours", "hour"),
     ("", "")],
)  # fmt: skip
def test_units_have_one_form(written, form):
    assert plain(written) == form
