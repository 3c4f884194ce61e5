r"""Take a normalised answer apart: list, tuple, set, interval, union, matrix, relation, text, or a leaf formula.

Only brackets and separators are read here; a leaf stays LaTeX and is sympy's business (`symbolic`).
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from curator.maths.brackets import CLOSE, MAX_DEPTH, OPEN, TooDeep, bound, split, tokens
from curator.maths.clean import Clean, clean, squeeze
from curator.maths.numbers import rational

Op = Literal["=", "<", ">", "<=", ">=", "!="]


@dataclass(frozen=True)
class Leaf:
    """A formula without structure of its own; `percent`, `base` and `unit` as in `Clean`."""

    latex: str
    percent: bool = False
    base: int | None = None
    unit: str = ""


@dataclass(frozen=True)
class Text:
    """Words, lower case, without punctuation: a name, yes/no, a choice letter; and the numbers among them."""

    words: str
    numbers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Group:
    """Several items. `kind`: list `a, b` · tuple `(a, b)` · set `{a, b}` · span `[a, b]`, `(a, b]`, `[a, b)` · union.

    `left`, `right`: the brackets of a tuple or span; `(1, 2)` is a point and an open interval alike.
    """

    kind: Literal["list", "tuple", "set", "span", "union"]
    items: tuple[Shape, ...]
    left: str = ""
    right: str = ""


@dataclass(frozen=True)
class Matrix:
    """Rows of a matrix or vector."""

    rows: tuple[tuple[Shape, ...], ...]


@dataclass(frozen=True)
class Relation:
    """`parts[0] ops[0] parts[1] ...`. `name`: squeezed left side of `name = value` where that side is only a name."""

    ops: tuple[Op, ...]
    parts: tuple[Shape, ...]
    name: str | None = None


Shape = Leaf | Text | Group | Matrix | Relation

EMPTY = Group("set", ())
_REALS = Group("tuple", (Leaf(r"-\infty"), Leaf(r"\infty")), "(", ")")
_WHOLE: dict[str, Shape] = {
    **dict.fromkeys([r"\emptyset", r"\{\}", r"\{ \}"], EMPTY),
    **dict.fromkeys([r"\mathbb{R}", r"\mathbb R", r"\R", r"\text{all real numbers}", "all real numbers"], _REALS),
}
_RELATIONS: dict[str, Op] = {
    "=": "=", "==": "=", r"\equiv": "=", "<": "<", ">": ">", r"\le": "<=", "<=": "<=", r"\ge": ">=", ">=": ">=",
    r"\ne": "!=", "!=": "!=", r"\approx": "=", r"\in": "=", r"\to": "=",
}  # fmt: skip
_MATRIX = re.compile(r"\\begin\s*\{([pbvBV]?matrix|smallmatrix|array)\}(?:\{[lcr| ]*\})?(.*)\\end\s*\{\1\}", re.S)
_MATRIX_FENCE = re.compile(
    r"^[(\[]\s*(\\begin\s*\{(?:matrix|smallmatrix|array)\}.*\\end\s*\{(?:matrix|smallmatrix|array)\})\s*[)\]]$", re.S
)
_NAME = re.compile(
    r"\\?[A-Za-z]+(?:_?\{[^{}]*\}|_\w)?'*(?:\s*\((?:-?[\d.]+|\s*\\?[A-Za-z]\w*(?:\s*,\s*\\?[A-Za-z]\w*)*\s*)\))?|\([A-Za-z](?:,\s?[A-Za-z])+\)|\\?[A-Za-z]+(?:\s[A-Za-z]+)*"
)
_WORD = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|mbox|mathrm|hbox)\s*\{([^{}]*)\}")
_CLOCK = re.compile(r"(\d{1,2}):(\d{2})\s*(?:\\text\s*\{)?\s*(?:([AaPp])\.?\s*[Mm]\.?)\s*\}?")
_LONG_WORD = re.compile(r"(?<![\\A-Za-z{])[A-Za-z]{3,}")
_NUMERAL = re.compile(r"\d[\d,]*(?:\.\d+)?")
_PROSE = re.compile(r"[^\W\d_][^\W\d_' -]*(?:[' -]+[^\W\d_]+)*\.?")
_FUNCTIONS = frozenset(
    [
        "sin",
        "cos",
        "tan",
        "cot",
        "sec",
        "csc",
        "log",
        "ln",
        "exp",
        "sqrt",
        "pi",
        "max",
        "min",
        "lim",
        "det",
        "arcsin",
        "arccos",
        "arctan",
        "sinh",
        "cosh",
        "tanh",
    ]
)
_CHOICE = re.compile(r"\(\s*([A-Ja-j])\s*\)\s*[.:]?\s*(?![-+*/^=_,]).*|([A-J])(?:[.:)](?:\s.*)?)?", re.S)


@lru_cache(maxsize=8192)
def shape(answer: str) -> Shape:
    """Return the shape of an answer as written. Raises TooDeep."""
    return _shape(clean(answer), 0)


def _item(text: str, depth: int) -> Shape:
    return _shape(clean(text), depth + 1)


def _shape(c: Clean, depth: int) -> Shape:
    s = c.text
    if depth > MAX_DEPTH:
        msg = f"answer is nested deeper than {MAX_DEPTH}"
        raise TooDeep(msg)
    if c.base is not None or rational(s) is not None:
        return Leaf(*c)
    if s in _WHOLE:
        return _WHOLE[s]
    if m := _CLOCK.fullmatch(s):
        return Text(f"{int(m[1])}:{m[2]} {(m[3] or '').lower()}".strip())
    if words := _words(s):
        return words
    if fenced := _MATRIX_FENCE.match(s):
        s = fenced[1]
    if m := _MATRIX.fullmatch(s):
        return _matrix(m[2], depth)
    for part in (_union, _list, _relation, _ratio, _bracketed):
        if (found := part(s, depth)) is not None:
            return found
    if (both := _plus_minus(s, depth)) is not None:
        return both
    return Leaf(s, c.percent, None, c.unit)


def _words(s: str) -> Text | None:
    r"""Text if the answer is words: `\text{east}`, `no solution`, `(B)`; a short word may be a product of variables."""
    bare = _WORD.sub(r" \1 ", s)
    marked = bare != s
    bare = re.sub(r"\s+", " ", bare).strip().strip(".").strip("{}").strip()
    inner = bare.strip("()").strip()
    if re.fullmatch(r"[A-J]", inner) and (marked or bare.startswith("(")):
        return Text(inner)
    if not _PROSE.fullmatch(inner):
        prose = [w for w in re.findall(r"[A-Za-z]{2,}", bare) if w not in _FUNCTIONS]
        long = len(prose) >= 4 or any(len(w) >= 5 for w in prose)
        mostly = sum(map(len, prose)) > len(bare) / 2 and "\\" not in bare
        if (long and mostly) or len(_LONG_WORD.findall(bare)) >= 6:
            return Text(_plain(bare), tuple(_NUMERAL.findall(bare)))
        return None
    if marked or " " in inner or (len(inner) > 3 and inner.lower() not in _FUNCTIONS) or inner.lower() in {"yes", "no"}:
        return Text(_plain(inner)) if not (s.startswith("\\") and not marked) else None
    return None


def _plain(words: str) -> str:
    words = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    return re.sub(r"^(?:the|an|a) ", "", re.sub(r"[^\w]+", " ", words).strip().lower())


def choice(answer: str) -> str | None:
    r"""Return the letter of a multiple-choice answer, `B`, `(B)`, `\text{(B)}`, `B. 12`, or None."""
    s = _WORD.sub(r"\1", clean(answer).text).strip("{} ")
    m = _CHOICE.fullmatch(s)
    return (m[1] or m[2]).upper() if m else None


def _matrix(body: str, depth: int) -> Matrix:
    rows, _ = split(body, frozenset({"\\\\"}))
    cells = tuple(tuple(_item(c, depth) for c in split(r, frozenset("&"))[0]) for r in rows if r)
    bound(len(cells) * max((len(r) for r in cells), default=0))
    return Matrix(cells)


def _union(s: str, depth: int) -> Shape | None:
    parts, found = split(s, frozenset({r"\cup", r"\bigcup"}))
    if not found:
        return None
    lhs = re.match(r"^(\\?[A-Za-z]\w*)\s*(?:\\in|=)", parts[0])
    if lhs:
        parts[0] = parts[0][lhs.end() :]
    bound(len(parts))
    return Group("union", tuple(_item(p, depth) for p in parts))


def _list(s: str, depth: int) -> Shape | None:
    if "," not in s and ";" not in s and " and " not in s and " or " not in s:
        return None
    plain = re.sub(r"\s*,?\s+(?:and|or)\s+", " , ", s)
    parts, found = split(plain, frozenset(",;"))
    parts = [p for p in parts if p and p not in {r"\ldots", r"\dots", "..."}]
    if not found or len(parts) < 2:
        return None
    bound(len(parts))
    lhs = re.match(r"^((?:\\?[A-Za-z](?:_\w|_\{\w+\})?))\s*(?:\\in|=)\s*(?!.*=)", parts[0])
    if lhs and not any(t in _RELATIONS for p in parts[1:] for t, _, d in tokens(p) if d <= 0):
        parts[0] = parts[0][lhs.end() :]
    return _flat(tuple(_item(p, depth) for p in parts))


def _flat(items: tuple[Shape, ...]) -> Group:
    """A list; items that are lists themselves (`1 \\pm \\sqrt{5}`) are spliced in."""
    flat: list[Shape] = []
    for i in items:
        flat.extend(i.items if isinstance(i, Group) and i.kind == "list" else (i,))
    return Group("list", tuple(flat))


def _relation(s: str, depth: int) -> Shape | None:
    parts, found = split(s, frozenset(_RELATIONS))
    if not found:
        return None
    if any(not p for p in parts):
        if found == ["="] and parts[1] and not parts[0]:
            return _item(parts[1], depth)
        return None
    bound(len(parts))
    ops = tuple(_RELATIONS[f] for f in found)
    name = squeeze(parts[0]) if set(ops) == {"="} and _is_name(parts[0]) else None
    return Relation(ops, tuple(_item(p, depth) for p in parts), name)


def _ratio(s: str, depth: int) -> Shape | None:
    """`2:3` or `a : b : c`; `2:3` and `4:6` are the same ratio only to some graders, not here."""
    parts, found = split(s, frozenset({":", r"\colon"}))
    if not found or not all(parts) or "|" in s:
        return None
    bound(len(parts))
    return Group("tuple", tuple(_item(p, depth) for p in parts), ":", ":")


def _is_name(s: str) -> bool:
    bare = _WORD.sub(r"\1", s).strip()
    return bool(_NAME.fullmatch(bare)) and bare.lstrip("\\") not in {"pi", "e", "i", "infty"}


def _bracketed(s: str, depth: int) -> Shape | None:
    """`(a, b)`, `[a, b]`, `\\{a, b\\}`, `\\langle a, b \\rangle`, `{a}`, `(a)` when the brackets hold the whole."""
    every = list(tokens(s))
    if len(every) < 2 or every[0][0] not in OPEN or every[-1][2] != 0 or every[-1][0] not in CLOSE:
        return None
    if any(depth_ == 0 for _, _, depth_ in every[1:-1]):
        return None
    left, right = every[0][0], every[-1][0]
    if left in {"\\lfloor", "\\lceil"}:
        return None
    inner = s[len(left) : every[-1][1]].strip()
    parts, found = split(inner, frozenset(",;"))
    parts = [p for p in parts if p]
    bound(len(parts))
    if left == "\\{":
        if any(t in {"|", ":", r"\mid"} for t, _, d in tokens(inner) if d <= 0):
            return _such_that(inner, depth)
        return Group("set", _flat(tuple(_item(p, depth) for p in parts)).items)
    if left == "{" or not found:
        return _item(inner, depth) if inner and left in "({" else None
    items = tuple(_item(p, depth) for p in parts)
    if len(items) == 2 and (left, right) in {("[", "]"), ("(", "]"), ("[", ")")}:
        return Group("span", items, left, right)
    return Group("tuple", items, left, right)


def _such_that(inner: str, depth: int) -> Shape | None:
    r"""The condition of `x | x > 2`, `x \in \mathbb{R} : x > 2`."""
    m = re.fullmatch(r"\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\s*\{R\}\s*)?(?:\||:|\\mid)(.*)", inner, re.S)
    return _item(m[2], depth) if m and re.search(rf"(?<![A-Za-z\\]){m[1]}(?![A-Za-z])", m[2]) else None


def _plus_minus(s: str, depth: int) -> Shape | None:
    if r"\pm" not in s and r"\mp" not in s:
        return None
    plus = s.replace(r"\pm", "+").replace(r"\mp", "-")
    minus = s.replace(r"\pm", "-").replace(r"\mp", "+")
    return Group("list", tuple(_item(re.sub(r"^\s*\+", "", p), depth) for p in (plus, minus)))
