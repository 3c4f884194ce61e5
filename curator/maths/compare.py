"""Do two answers mean the same? Structure here, leaves by a function handed in.

Three answers: True, False, or an exception that says why nobody knows. In the main process the leaf function is
`plain_leaf`, which raises `NeedsSympy` for what it cannot prove.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from curator.maths.brackets import TooDeep
from curator.maths.clean import clean, squeeze
from curator.maths.extract import MAX_CHARS
from curator.maths.plain import NeedsSympy, Unreadable, plain_leaf, plain_relation
from curator.maths.rules import Rules
from curator.maths.shape import EMPTY, Group, Leaf, Matrix, Relation, Shape, Text, choice, shape

_NOTHING = {"", "empty set", "no solution", "no solutions", "no real solution", "no real solutions", "none"}
_CONTENT = re.compile(r"[^\W_]|[^\x00-\x7f]")

LeafEq = Callable[[Leaf, Leaf, Rules], bool]
RelEq = Callable[[Relation, Relation, Rules], bool]


def equal(gold: str, pred: str, rules: Rules, leaf: LeafEq = plain_leaf, relation: RelEq = plain_relation) -> bool:
    """Compare two answers as written.

    Raises:
        NeedsSympy: `leaf` or `relation` could not decide.
        Unreadable: an answer is too long or nested too deeply.
    """
    for side, text in (("gold", gold), ("pred", pred)):
        if not isinstance(text, str):  # a column of bytes, say
            raise Unreadable(side, f"{type(text).__name__}, not text")
        if len(text) > MAX_CHARS:
            raise Unreadable(side, f"longer than {MAX_CHARS} characters")
    a, b = clean(gold), clean(pred)
    for side, text in (("gold", a.text), ("pred", b.text)):
        if not _CONTENT.search(text) or text == "<empty_execution>":
            raise Unreadable(side, "nothing in it")
    if squeeze(a.text) == squeeze(b.text) and a[1:] == b[1:]:
        return True
    letters = choice(gold), choice(pred)
    if all(letters) and (_is_choice(gold) or _is_choice(pred)):
        return letters[0] == letters[1]
    shapes = []
    for side, text in (("gold", gold), ("pred", pred)):
        try:
            shapes.append(shape(text))
        except (TooDeep, RecursionError) as e:
            raise Unreadable(side, str(e)) from e
    return _Comparison(rules, leaf, relation).same(*shapes)


def _is_choice(answer: str) -> bool:
    r"""Only a choice letter: `B`, `(B)`, `\text{(B)}`. `B` alone could be a variable: the same test serves."""
    bare = re.sub(r"\\text(?:bf|rm)?\{([^{}]*)\}", r"\1", clean(answer).text)
    return bool(re.fullmatch(r"[A-J]|\([A-Ja-j]\)", bare.strip("{} ")))


@dataclass(frozen=True)
class _Comparison:
    rules: Rules
    leaf: LeafEq
    relation: RelEq

    def same(self, g: Shape, p: Shape) -> bool:
        g, p = _simplify(g), _simplify(p)
        if g == p:
            return True
        if isinstance(g, Relation) or isinstance(p, Relation):
            return self._relations(g, p)
        if isinstance(g, Text) or isinstance(p, Text):
            return self._texts(g, p)
        if isinstance(g, Matrix) or isinstance(p, Matrix):
            return self._matrices(g, p)
        if isinstance(g, Group) and isinstance(p, Group):
            return self._groups(g, p)
        if isinstance(g, Group) or isinstance(p, Group):
            group, other = (g, p) if isinstance(g, Group) else (p, g)
            return isinstance(group, Group) and len(group.items) == 1 and self.same(group.items[0], other)
        return self.leaf(g, p, self.rules)

    def _texts(self, g: Shape, p: Shape) -> bool:
        """Words equal words. A sentence with several numbers, or with that of the reference, may state its value."""
        if isinstance(g, Text) and isinstance(p, Text):
            return g.words.lower() == p.words.lower()
        if _same_words(g, p) or (not self.rules.omissions and EMPTY in (g, p) and {_words(g), _words(p)} <= _NOTHING):
            return True
        for side, text, other in (("pred", p, g), ("gold", g, p)):
            if isinstance(text, Text) and text.numbers:
                one = Leaf(text.numbers[0]) if len(text.numbers) == 1 else None
                if one is None or not isinstance(other, Leaf) or self.leaf(other, one, self.rules):
                    raise Unreadable(side, "a sentence with numbers in it")
        return False

    def _relations(self, g: Shape, p: Shape) -> bool:
        if isinstance(g, Relation) and isinstance(p, Relation):
            if g.name and p.name and _name(g.name) == _name(p.name):
                return self.same(g.parts[-1], p.parts[-1])
            return self.relation(g, p, self.rules)
        one, other = (g, p) if isinstance(g, Relation) else (p, g)
        assert isinstance(one, Relation)
        if set(one.ops) == {"="} and not self.rules.omissions and (one.name or _is_chain(one)):
            return self.same(one.parts[-1], other)
        return False

    def _matrices(self, g: Shape, p: Shape) -> bool:
        rows = [_rows(s, forgiving=not self.rules.omissions) for s in (g, p)]
        a, b = rows
        if a is None or b is None:
            return False
        if [len(r) for r in a] != [len(r) for r in b]:
            if self.rules.omissions or not (_is_vector(a) and _is_vector(b)):
                return False
            a, b = [[x for r in a for x in r]], [[x for r in b for x in r]]
        return len(a) == len(b) and all(
            len(x) == len(y) and all(map(self.same, x, y)) for x, y in zip(a, b, strict=True)
        )

    def _groups(self, g: Group, p: Group) -> bool:
        kinds = {g.kind, p.kind}
        if "union" in kinds and kinds <= {"union", "list", "set"}:
            return self._unordered(g, p)
        if "union" in kinds:
            return False
        if len(g.items) != len(p.items) and "set" not in kinds and "list" not in kinds:
            return False
        if kinds == {"tuple"} or kinds == {"span"}:
            return (g.left, g.right) == (p.left, p.right) and self._ordered(g, p)
        if kinds == {"tuple", "span"}:
            return False
        if kinds == {"set"} or (kinds == {"set", "list"} and not self.rules.omissions):
            return self._unordered(g, p)
        if kinds == {"list"}:
            return self._ordered(g, p) if self.rules.order else self._unordered(g, p)
        return not self.rules.omissions and "span" not in kinds and self._ordered(g, p)

    def _item(self, i: int, n: int, x: Shape, y: Shape) -> bool:
        """Compare item `i` of `n` of the reference with `y`, under its own tolerance."""
        rules = self.rules.item(i, n)
        return (self if rules is self.rules else _Comparison(rules, self.leaf, self.relation)).same(x, y)

    def _ordered(self, g: Group, p: Group) -> bool:
        n = len(g.items)
        return n == len(p.items) and all(
            self._item(i, n, x, y) for i, (x, y) in enumerate(zip(g.items, p.items, strict=True))
        )

    def _unordered(self, g: Group, p: Group) -> bool:
        """Each item has a partner on the other side; repeats within a side count once."""
        n, undecided, met, unmet = len(g.items), False, 0, set(range(len(p.items)))
        for i, x in enumerate(g.items):
            found = False
            for j, y in enumerate(p.items):
                try:
                    if self._item(i, n, x, y):
                        found = True
                        unmet.discard(j)
                except NeedsSympy:
                    undecided = True
            met += found
            if not found and not undecided:
                return False
        if (met < n or unmet) and undecided:
            raise NeedsSympy
        return met == n and not unmet


def _simplify(s: Shape) -> Shape:
    """A one-variable inequality becomes the interval it describes; `a = b = c` of named form keeps its name."""
    if not isinstance(s, Relation):
        return s
    infinite = Leaf(r"\infty"), Leaf(r"-\infty")
    if len(s.ops) == 1 and s.ops[0] in {"<", "<=", ">", ">="}:
        op, (a, b) = s.ops[0], s.parts
        if not _variable(a) and _variable(b):
            a, b = b, a
            op = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}[op]  # type: ignore[assignment]
        if _variable(a) and not _variable(b):
            if op in {"<", "<="}:
                return _span(infinite[1], b, "(", "]" if op == "<=" else ")")
            return _span(b, infinite[0], "[" if op == ">=" else "(", ")")
    if len(s.ops) == 2 and _variable(s.parts[1]):
        low, _, high = s.parts
        if set(s.ops) <= {"<", "<="}:
            return _span(low, high, "[" if s.ops[0] == "<=" else "(", "]" if s.ops[1] == "<=" else ")")
        if set(s.ops) <= {">", ">="}:
            return _span(high, low, "[" if s.ops[1] == ">=" else "(", "]" if s.ops[0] == ">=" else ")")
    return s


def _span(low: Shape, high: Shape, left: str, right: str) -> Group:
    return Group("tuple" if (left, right) == ("(", ")") else "span", (low, high), left, right)


def _variable(s: Shape) -> bool:
    return (
        isinstance(s, Leaf)
        and bool(re.fullmatch(r"\\?[a-zA-Z](?:[a-z]*)(?:_\{?\w+\}?)?", s.latex))
        and (s.latex not in {"e", "i", r"\pi", r"\infty"})
    )


def _is_chain(r: Relation) -> bool:
    """`7 - 2 = 5` or `x = 3 = 6/2`: only equalities, and no variable in front of the first sign, or a name there."""
    return isinstance(r.parts[0], Leaf) and not re.search(r"(?<!\\)(?<![A-Za-z])[a-zA-Z](?![A-Za-z])", r.parts[0].latex)


def _name(name: str) -> str:
    return re.sub(r"[\\{}\s_]|\((?![\d-]).*\)", "", name)  # `f(x)` is `f`, but `f(3)` is not `f(4)`


def _words(s: Shape) -> str:
    return s.words if isinstance(s, Text) else ""


def _same_words(g: Shape, p: Shape) -> bool:
    """`\\text{even}` and `even` read as a product of variables have the same letters."""
    text, other = (g, p) if isinstance(g, Text) else (p, g)
    return isinstance(text, Text) and isinstance(other, Leaf) and squeeze(other.latex).lower() == text.words.lower()


def _rows(s: Shape, *, forgiving: bool) -> list[list[Shape]] | None:
    if isinstance(s, Matrix):
        return [list(r) for r in s.rows]
    if isinstance(s, Group) and forgiving and s.kind in {"tuple", "list"}:
        return [[i] for i in s.items]
    return None


def _is_vector(rows: list[list[Shape]]) -> bool:
    return len(rows) == 1 or all(len(r) == 1 for r in rows)
