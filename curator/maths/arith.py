r"""Read plain arithmetic: numbers, symbols, `+ - * / ^`, fractions, roots, `!` and a few functions. Not a LaTeX parser.

A small subset, read the one way that everybody reads it; where two readings exist (`1/2x`, `2^3^4`, `\sin 2x`, `2 3`)
or anything unknown stands in the text, the reader gives up and the LaTeX grammar in the worker decides. What it does
read, `exact` and `enclose` can decide in microseconds, in process.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

MAX_CHARS = 300
MAX_DEPTH = 30

_NUMBER = r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d*)?|\d+\.\d*|\.\d+|\d+"
_TOKEN = re.compile(rf"\s*(?:(?P<num>{_NUMBER})|(?P<cmd>\\[A-Za-z]+)|(?P<one>[A-Za-z+\-*/^_(){{}}\[\]!]))")
GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "varepsilon", "zeta", "eta", "theta", "vartheta", "kappa", "lambda",
    "mu", "nu", "xi", "rho", "sigma", "tau", "phi", "varphi", "chi", "psi", "omega", "Delta", "Theta", "Lambda",
    "Sigma", "Phi", "Psi", "Omega", "hbar", "ell",
})  # fmt: skip
FUNCTIONS = frozenset({"sin", "cos", "tan", "arctan", "exp", "ln"})
_TIMES = {"\\cdot", "\\times", "*"}
_UP_DOWN = re.compile(r"\s*\^\s*\{?\s*(\d)\s*\}?(?=\s*_)")
_PRIME = re.compile(r"\s*(?:'+(?!\()|\^\s*\{?\s*(?:\\prime\s*)+\}?)")
_SUB = re.compile(r"\s*_\s*(?:\{((?:[^{}]|\{[^{}]*\})*)\}|([A-Za-z0-9]))")


class Node(NamedTuple):
    """A tree: `op` is num, sym, const, add, mul, div, pow, neg, fact or a function; leaves carry `value`."""

    op: str
    args: tuple[Node, ...] = ()
    value: Fraction | str | None = None


class Unread(Exception):
    """The text has something that this reader does not know, or that can be read in two ways."""


@lru_cache(maxsize=8192)
def read(latex: str) -> Node | None:
    """Return the tree of a cleaned formula, or None where the reader gives up."""
    if len(latex) > MAX_CHARS:
        return None
    try:
        return _Reader(latex).whole()
    except Unread:
        return None


def subscript(text: str) -> str:
    r"""The name inside a subscript without fonts, braces and backslashes: `{\mathrm{B}}` is `B`."""
    return re.sub(r"\\(?:mathrm|text|mathbf|rm|textrm|mathit)(?![A-Za-z])|[{}\s\\]", "", text)


class _Reader:
    """Recursive descent over tokens; every level of nesting costs depth."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0

    def whole(self) -> Node:
        node = self.sum()
        if self.text[self.at :].strip():
            raise Unread
        return node

    def peek(self) -> tuple[str, str]:
        """(kind, token) at the cursor: num, cmd, one, or end."""
        m = _TOKEN.match(self.text, self.at)
        if not m:
            if self.text[self.at :].strip():
                raise Unread
            return "end", ""
        return str(m.lastgroup), m[str(m.lastgroup)]

    def step(self) -> tuple[str, str]:
        kind, token = self.peek()
        m = _TOKEN.match(self.text, self.at)
        self.at = m.end() if m else len(self.text)
        return kind, token

    def take(self, token: str) -> None:
        if self.step()[1] != token:
            raise Unread

    def sum(self) -> Node:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise Unread
        terms = [self.signed()]
        while self.peek()[1] in ("+", "-"):
            terms.append(self.signed())
        self.depth -= 1
        return terms[0] if len(terms) == 1 else Node("add", tuple(terms))

    def signed(self) -> Node:
        negative = False
        while (token := self.peek()[1]) in ("+", "-"):
            self.step()
            negative ^= token == "-"
        node = self.product()
        return Node("neg", (node,)) if negative else node

    def product(self) -> Node:
        """Factors with and without a sign between them; after `/` only one factor, so `1/2x` is refused."""
        node, slashed, last = self.factor(), False, ""
        while True:
            kind, token = self.peek()
            if token in _TIMES:
                self.step()
                node = Node("mul", (node, self.after_sign()))
            elif token == "/":
                self.step()
                node, slashed = Node("div", (node, self.after_sign())), True
            elif kind == "num" or (token and token not in ("+", "-", ")", "}", "]", "^", "_", "!")):
                if slashed or kind == "num" or (token == "\\frac" and last == "num"):
                    raise Unread  # `1/2x`, `x 2`, `2 3`, and `2\frac12` which is a mixed number
                node = Node("mul", (node, self.factor()))
            else:
                return node
            last = ""
            del kind

    def after_sign(self) -> Node:
        token = self.peek()[1]
        if token in ("+", "-"):
            self.step()
            node = self.factor()
            return Node("neg", (node,)) if token == "-" else node
        return self.factor()

    def factor(self) -> Node:
        base = self.atom()
        while self.peek()[1] == "!":
            if base.op == "fact":
                raise Unread
            self.step()
            base = Node("fact", (base,))
        if self.peek()[1] == "^":
            self.step()
            base = Node("pow", (base, self.exponent()))
            if self.peek()[1] in ("^", "!"):
                raise Unread
        return base

    def exponent(self) -> Node:
        kind, token = self.peek()
        if token == "{":
            return self.group("{", "}")
        if token == "(":
            return self.group("(", ")")
        if token == "-":
            self.step()
            return Node("neg", (self.number(),))
        if kind == "num":
            return self.number()
        if kind == "one" and token.isalpha():
            node = self.atom()
            if self.peek()[0] in ("num",) or self.peek()[1].isalpha():
                raise Unread  # `x^ab`
            return node
        raise Unread

    def number(self) -> Node:
        kind, token = self.step()
        if kind != "num":
            raise Unread
        return Node("num", value=Fraction(token.replace(",", "").rstrip(".") or "0"))

    def group(self, left: str, right: str) -> Node:
        self.take(left)
        node = self.sum()
        self.take(right)
        return node

    def atom(self) -> Node:
        kind, token = self.peek()
        if kind == "num":
            return self.number_factor()
        if token in ("(", "{", "["):
            return self.group(token, {"(": ")", "{": "}", "[": "]"}[token])
        self.step()
        if kind == "one" and token.isalpha():
            return self.symbol(token)
        if kind != "cmd":
            raise Unread
        return self.command(token[1:])

    def number_factor(self) -> Node:
        """A number; a fraction right behind an integer may be a mixed number: not read here."""
        node = self.number()
        if self.peek()[1] == "\\frac":
            raise Unread
        return node

    def symbol(self, name: str) -> Node:
        """A letter with subscript and primes; `v^2_0` is the square of `v_0`."""
        power = None
        if m := _UP_DOWN.match(self.text, self.at):
            power, self.at = Node("num", value=Fraction(m[1])), m.end(1) + (self.text[m.end(1)] == "}")
        if m := _SUB.match(self.text, self.at):
            self.at = m.end()
            name += f"_{subscript(m[1] if m[1] is not None else m[2])}"
        if power is None and (m := _PRIME.match(self.text, self.at)):
            self.at = m.end()
            name += "'" * (m.group().count("'") + m.group().count("prime"))
        if power is not None:
            if self.peek()[1] == "^":
                raise Unread
            return Node("pow", (Node("sym", value=name), power))
        return Node("const", value=name) if name in ("e", "i") else Node("sym", value=name)

    def command(self, name: str) -> Node:
        if name == "pi" and not _SUB.match(self.text, self.at):
            return Node("const", value="pi")
        if name in GREEK:
            return self.symbol(name)
        if name == "frac":
            return Node("div", (self.group("{", "}"), self.group("{", "}")))
        if name == "sqrt":
            if self.peek()[1] == "[":
                order = self.group("[", "]")
                return Node("pow", (self.group("{", "}"), Node("div", (Node("num", value=Fraction(1)), order))))
            return Node("pow", (self.group("{", "}"), Node("num", value=Fraction(1, 2))))
        if name in FUNCTIONS:
            return self.call(name)
        raise Unread

    def call(self, name: str) -> Node:
        r"""`\sin(...)`, `\sin{...}`, or one atom that nothing follows which could belong to it: not `\sin 2x`."""
        token = self.peek()[1]
        if token in ("^", "_", "-", "+", ""):
            raise Unread
        arg = self.group("(", ")") if token == "(" else self.atom()
        after = self.peek()[1]
        if after == "^" or (token != "(" and after and after not in ("+", "-", ")", "}", "]", "\\cdot", "\\times")):
            raise Unread
        if after in ("!", "/"):
            raise Unread
        return Node(name, (arg,))
