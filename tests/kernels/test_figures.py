"""The figures of a text against a plain-Python reading of the same rule."""

from __future__ import annotations

import re
import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.kernels import figures as kernel
from curator.kernels.words import text_buffers

SAME = {"−": "-", "×": "*", "·": "*", "⋅": "*", "÷": "/"}
OPERATORS = "-−+*×·⋅/÷^=<>!%±≤≥≠√"


def oracle(text: str) -> tuple[str, ...]:
    """Numbers, and the operators that only white space separates from one, in their order."""
    plain = "".join(str(d) if (d := unicodedata.digit(c, -1)) >= 0 else c for c in text)
    number = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)(?:\.[0-9]+)*"
    tokens = [(m.lastgroup, m[0], m.start(), m.end()) for m in
              re.finditer(rf"(?P<number>{number})|(?P<op>[{re.escape(OPERATORS)}])|(?P<other>\S)", plain)]  # fmt: skip
    found = []
    for k, (kind, what, start, _) in enumerate(tokens):
        if kind == "number":
            found.append(what.replace(",", ""))
        elif kind == "op":
            what = SAME.get(what, what)
            after = k + 1 < len(tokens) and tokens[k + 1][0] == "number"
            before = k > 0 and tokens[k - 1][0] == "number" and (what != "-" or tokens[k - 1][3] < start)
            if after or before:
                found.append(what)
    return tuple(found)


def prints(texts: list[str | None], *, ordered: bool = True) -> list[int]:
    return kernel.figures(*text_buffers(pa.array(texts, pa.string())), ordered=ordered).tolist()


pieces = st.sampled_from(
    ["1", "12", "123", "000", "1,000", "1,2345", "3.5", ".", ",", " ", "  ", "\t", "-", "+", "*", "×", "−", "÷", "=", "x",  # noqa: E501
     "é", "²", "２", "中", "$", "\\", "{", "}", "\u00a0", "!", "%", "^", "😀", "three", "≤"]
)  # fmt: skip
texts = st.lists(pieces, max_size=9).map("".join)


@settings(deadline=None, max_examples=250)
@given(st.lists(texts, min_size=2, max_size=12))
@example(["12 + 3", "12 - 3", "12+3", "3-digit", "3 - digit", "1,000", "1000", "1,0000", "10,00"])
def test_equal_where_the_figures_are(rows):
    told, wanted = prints(rows), [oracle(t) for t in rows]
    for i in range(len(rows)):
        for j in range(i):
            assert (told[i] == told[j]) == (wanted[i] == wanted[j]), (rows[i], rows[j], wanted[i], wanted[j])


@pytest.mark.parametrize(("a", "b", "same"), [
    ("Find 3 apples", "Find 4 apples", False), ("Compute 12 + 3", "Compute 12 - 3", False), ("x + y", "x - y", True),
    ("a 3-digit number", "a 3 digit number", True), ("$1,000$", "$1000$", True), ("x² = 4", "x2 = 4", True),
    ("3 cats and 5 dogs", "5 cats and 3 dogs", False), ("none", "", True), ("0", "", False), ("1.5", "15", False),
    ("2 × 3", "2 * 3", True), ("２ 3", "2 3", True), ("2\u00a0+ 3", "2 + 3", True),
])  # fmt: skip
def test_what_makes_another_problem(a, b, same):
    assert (prints([a])[0] == prints([b])[0]) is same


def test_any_order_counts_numbers_alone_with_repeats():
    one, two, three, four = prints(["3 and 5", "5 + 3", "5 and 3 and 3", "8"], ordered=False)
    assert one == two
    assert len({one, three, four}) == 3


def test_no_number_is_zero_and_null_is_empty():
    assert prints([None, "", "no number", "a - b"]) == [0, 0, 0, 0]
