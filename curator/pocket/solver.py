"""The exact solver: parses the world's own templates (never `eval`) and returns the problem with its steps.

It is strict: a sentence that is no template, a name or an item that changes, or a value that the world does not
allow makes the text no problem of this world. So it doubles as the check of proposed new problems.
"""

from __future__ import annotations

import re
from functools import cache

from . import grammar
from .grammar import Problem, Step, apply, chain_plan, reduce, show

_MARKS = {
    "{P}": "(?P<P>[A-Z][a-z]+)",
    "{Q}": "(?P<Q>[A-Z][a-z]+)",
    "{i}": "(?P<i>[a-z]+)",
    "{j}": "(?P<j>[a-z]+)",
    "{e}": "(?P<e>[0-9()+*/ -]+)",
    **{f"{{{name}}}": f"(?P<{name}>[0-9]{{1,6}})" for name in "anhd"},
}


@cache
def _pattern(template: str) -> re.Pattern[str]:
    """Return the compiled pattern of a template; a mark used twice must match the same text twice."""
    parts, seen = [], set()
    for piece in re.split(r"(\{[A-Za-z]\})", template):
        if piece not in _MARKS:
            parts.append(re.escape(piece))
        elif piece in seen:
            parts.append(f"(?P={piece[1]})")
        else:
            seen.add(piece)
            parts.append(_MARKS[piece])
    return re.compile("".join(parts))


class _Story:
    """State while reading a story: the running value, the steps, and who and what it is about."""

    def __init__(self) -> None:
        self.value = 0
        self.steps: list[Step] = []
        self.person = self.item = ""

    def do(self, op: str, n: int) -> bool:
        """Apply an operation to the running value; False when the world does not allow it."""
        c = apply(op, self.value, n)
        if c is None:
            return False
        self.steps.append(Step(op, self.value, n, c))
        self.value = c
        return True

    def same(self, found: dict[str, str]) -> bool:
        """Whether the sentence speaks of the same person and item, with a known other person."""
        ok = found.get("P", self.person) == self.person and found.get("i", self.item) == self.item
        return ok and (found.get("Q", "Anna") in grammar.NAMES) and found.get("Q") != self.person


def _first(story: _Story, line: str) -> str | None:
    """Read the first sentence; return the kind of story, or None."""
    match = _pattern(grammar.TIME_START).fullmatch(line)
    if match:
        story.person, story.value = match["P"], 60
        minutes = int(match["n"])
        return "time" if minutes < 60 and story.do("*", int(match["h"])) and story.do("+", minutes) else None
    for op, template in grammar.STARTS:
        match = _pattern(template).fullmatch(line)
        if match:
            story.person, story.item, story.value = match["P"], match["i"], int(match["a"])
            known = story.person in grammar.NAMES and story.item in grammar.ITEMS
            return "story" if known and (not op or story.do(op, int(match["n"]))) else None
    return None


def _action(story: _Story, line: str, actions: tuple[tuple[str, str], ...]) -> bool | None:
    """Read an action sentence: True done, False not allowed, None no such sentence."""
    for op, template in actions:
        match = _pattern(template).fullmatch(line)
        if match and story.same(match.groupdict()):
            return story.do(op, int(match["n"]))
    return None


def _distractor(story: _Story, line: str) -> bool:
    """Whether the sentence is about someone or something else and changes nothing."""
    for template in grammar.DISTRACTORS:
        match = _pattern(template).fullmatch(line)
        if match and match["Q"] in grammar.NAMES and match["Q"] != story.person:
            thing = match.groupdict().get("j")
            return thing is None or (thing in grammar.ITEMS and thing != story.item)
    return False


def _compare(story: _Story, line: str) -> bool:
    """Read the second sentence of a pair story: one operation, then the first value once more."""
    for op, template in grammar.COMPARES:
        match = _pattern(template).fullmatch(line)
        if match and story.same(match.groupdict()):
            first = story.value
            return story.do(op, int(match["n"])) and story.do("+", first)
    return False


_ACTIONS = {"story": grammar.ACTIONS, "pair": grammar.PAIR_ACTIONS, "time": grammar.TIME_ACTIONS}


def _parse_story(text: str) -> Problem | None:
    lines = re.split(r"(?<=[.?]) ", text)
    story = _Story()
    kind = _first(story, lines[0])
    if kind is None or len(lines) < 2:
        return None
    questions = {"time": (grammar.TIME_QUESTION,), "story": (*grammar.QUESTIONS, grammar.PAIR_QUESTION)}[kind]
    asked = [q for q in questions if (m := _pattern(q).fullmatch(lines[-1])) and story.same(m.groupdict())]
    if not asked:
        return None
    together = asked[0] == grammar.PAIR_QUESTION
    kind = "pair" if together else kind
    for line in lines[1:-1]:
        if _distractor(story, line):
            continue
        if together and not story.steps:
            if not _compare(story, line):
                return None
        elif not _action(story, line, _ACTIONS[kind]):
            return None
    steps = tuple(story.steps)
    return Problem(text, steps, (chain_plan(steps),), kind, (story.person,), story.item) if steps else None


def parse_expression(text: str) -> grammar.Node | None:
    """Return the tree of an expression of numbers, `+ - * /` and brackets; None when it is none (or over 400 signs)."""
    tokens = re.findall(r"\d+|[()+*/-]", text)
    if len(text) > 400 or not tokens or "".join(tokens) != text.replace(" ", ""):
        return None
    values: list[grammar.Node] = []
    ops: list[str] = []

    def fold(rank: int) -> bool:
        while ops and ops[-1] != "(" and grammar._RANK[ops[-1]] >= rank:
            if len(values) < 2:
                return False
            right, left = values.pop(), values.pop()
            values.append((ops.pop(), left, right))
        return True

    operand = True
    for token in tokens:
        if token.isdigit() or token == "(":
            if not operand:
                return None
            if token == "(":
                ops.append(token)
            else:
                values.append(int(token[:7]))
                operand = False
        elif operand or not fold(1 if token == ")" else grammar._RANK[token]):
            return None
        elif token == ")":
            if not ops:
                return None
            ops.pop()
        else:
            ops.append(token)
            operand = True
    good = not operand and fold(1) and not ops and len(values) == 1
    return values[0] if good else None


def _parse_expression_problem(text: str) -> Problem | None:
    divisor = 0
    for template in (*grammar.EXPRESSIONS, grammar.REMAINDER):
        match = _pattern(template).fullmatch(text)
        if match:
            divisor = int(match.groupdict().get("n") or 0)
            break
    else:
        return None
    node = parse_expression(match["e"])
    if node is None or (isinstance(node, int) and not divisor):
        return None
    steps: list[Step] = []
    plan: list[str] = []
    while not isinstance(node, int):
        plan.append(show(node) + (f" mod {divisor}" if divisor else ""))
        node, step = reduce(node)
        if step is None:
            return None
        steps.append(step)
    if divisor:
        c = apply("mod", node, divisor)
        if c is None:
            return None
        plan.append(f"{node} mod {divisor}")
        steps.append(Step("mod", node, divisor, c))
    return Problem(text, tuple(steps), tuple(plan), "expression")


def parse(text: str) -> Problem | None:
    """Return the problem that `text` states, solved exactly, or None when it is no problem of this world."""
    text = " ".join(text.split())
    for prefix in grammar.PREFIXES[1:]:
        text = text.removeprefix(prefix)
    return _parse_expression_problem(text) or _parse_story(text)


def solve(problem: str) -> str | None:
    """Return the exact answer of a problem text (decimal digits), or None when it is no problem of this world."""
    parsed = parse(problem)
    return None if parsed is None else parsed.answer
