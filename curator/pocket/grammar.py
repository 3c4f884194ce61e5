"""Sentence templates of the pocket world and the random problems made of them.

A problem is either a *chain* (a story: a start value and one operation a sentence) or a *tree* (an expression with
brackets). The templates are data: the generator fills them, the solver (`solver.py`) turns the same strings into
patterns, so that the two can not drift apart. Every choice here (templates, ranges, weights) is unpublished, ours.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import NamedTuple

NAMES = (  # noqa: SIM905 - a list of words reads better as words
    "Anna Ben Carla David Emma Felix Grace Hugo Iris Jack Kira Leon Maya Noah Olga Paul Rosa Sam Tina Umar Vera "
    "Will Yara Zoe"
).split()
ITEMS = (  # noqa: SIM905
    "apples pears plums books pens cards coins shells stamps stones beads balls cups eggs keys kites lamps nuts "
    "seeds roses tiles toys masks ropes"
).split()

LIMIT = 9999
"""Largest intermediate value: four digits keep a digit-wise step short."""

# First sentences: (operations that they hold, template). A start with an operation counts as one or two.
STARTS: tuple[tuple[str, str], ...] = (
    ("", "{P} has {a} {i}."),
    ("", "{P} owns {a} {i}."),
    ("+", "{P} collects {a} {i} on Monday and {n} on Tuesday."),
    ("*", "{P} buys {n} bags of {a} {i} each."),
)
ACTIONS: tuple[tuple[str, str], ...] = (
    ("+", "{P} buys {n} more."),
    ("+", "{Q} gives {P} {n} more."),
    ("+", "{P} finds {n} more {i}."),
    ("-", "{P} gives {n} to {Q}."),
    ("-", "{P} sells {n}."),
    ("-", "{P} loses {n} {i}."),
    ("*", "After a good week {P} has {n} times as many."),
    ("/", "{P} splits them into {n} equal parts and keeps one."),
    ("mod", "{P} packs them in bags of {n} and keeps only the rest."),
)
QUESTIONS = ("How many {i} does {P} have now?", "How many {i} does {P} have in the end?")

# Two people: the second sentence is one operation, "together" another (adding the first value again).
COMPARES: tuple[tuple[str, str], ...] = (
    ("+", "{Q} has {n} more {i} than {P}."),
    ("-", "{Q} has {n} fewer {i} than {P}."),
    ("*", "{Q} has {n} times as many {i} as {P}."),
)
PAIR_ACTIONS: tuple[tuple[str, str], ...] = (
    ("+", "They buy {n} more."),
    ("-", "They sell {n}."),
    ("-", "They lose {n} {i}."),
    ("*", "After a good week they have {n} times as many."),
    ("/", "They keep one of {n} equal parts."),
)
PAIR_QUESTION = "How many {i} do they have together?"

# Hours and minutes: the one unit conversion of this world, 60 minutes an hour.
TIME_START = "{P} walks for {h} hours and {n} minutes."
TIME_ACTIONS: tuple[tuple[str, str], ...] = (
    ("+", "{P} then walks {n} minutes more."),
    ("-", "Of this time {n} minutes were a break."),
)
TIME_QUESTION = "How many minutes does {P} walk in all?"

DISTRACTORS = ("{Q} has {d} {j}.", "{Q} is {d} years old.", "The bag of {Q} is {d} months old.")
EXPRESSIONS = ("Compute {e}.", "What is {e}?", "Find the value of {e}.")
REMAINDER = "Find the remainder when {e} is divided by {n}."

# What a problem may have before its template without being another problem: used for planted near-duplicates.
PREFIXES = ("", "Please answer: ", "Question: ", "Here is a problem. ")


class Step(NamedTuple):
    """One operation: `a op b = c` with exact non-negative integers; `op` is one of `+ - * / mod`."""

    op: str
    a: int
    b: int
    c: int

    def lhs(self) -> str:
        """Return `a op b` as traces write it, without spaces (`219 mod 7` keeps them)."""
        return f"{self.a} mod {self.b}" if self.op == "mod" else f"{self.a}{self.op}{self.b}"

    def equation(self) -> str:
        """Return `a op b=c`."""
        return f"{self.lhs()}={self.c}"


@dataclass(frozen=True)
class Problem:
    """A problem with its exact solution.

    `steps` in the order of solution; `plan[k]` is what is left to do before step k (tree: the reduced expression;
    chain: only `plan[0]` is used); `key` names the arithmetic alone, so a problem told with other names or another
    wording has the same key.
    """

    text: str
    steps: tuple[Step, ...]
    plan: tuple[str, ...]
    kind: str
    names: tuple[str, ...] = field(default=())
    item: str = ""

    @property
    def answer(self) -> str:
        """The exact answer, decimal digits."""
        return str(self.steps[-1].c)

    @property
    def n_ops(self) -> int:
        """Number of operations."""
        return len(self.steps)

    @property
    def begins_left(self) -> bool:
        """Whether the first operation is the leftmost one of an expression."""
        return self.plan[0].lstrip("(").startswith(self.steps[0].lhs())

    @property
    def digits(self) -> int:
        """Digits of the largest number in the statement."""
        return max(len(number) for number in re.findall(r"[0-9]+", self.text))

    @property
    def key(self) -> str:
        """Canonical form of the arithmetic: what decides the split (`world.split_of`)."""
        return ";".join(s.lhs() for s in self.steps)

    @property
    def level(self) -> str:
        """easy, medium or hard by a fixed rule (ours): operations, plus 1 if a number of the statement has 3 digits."""
        points = self.n_ops + (self.digits >= 3)
        return "easy" if points <= 2 else "medium" if points <= 4 else "hard"


def apply(op: str, a: int, b: int) -> int | None:
    """Return `a op b`, or None where the world does not allow it (negative, inexact, too large, long factor)."""
    if op == "+":
        return a + b if a + b <= LIMIT else None
    if op == "-":
        return a - b if b <= a else None
    if op == "*":
        return a * b if 2 <= b <= 9 and a >= 2 and a * b <= LIMIT else None
    if op == "/":
        return a // b if 2 <= b <= 9 and a >= b and a % b == 0 else None
    return a % b if 2 <= b <= 9 and a > b else None


def number(rng: random.Random, top: int = LIMIT) -> int:
    """Return a number of 1-4 digits (weights .3 .52 .14 .04, ours: short traces), at most `top` when that is >= 2."""
    digits = rng.choices((1, 2, 3, 4), (30, 52, 14, 4))[0]
    value = rng.randint(10 ** (digits - 1) if digits > 1 else 2, 10**digits - 1)
    return value if value <= top else rng.randint(2, max(top, 2))


def _operand(rng: random.Random, op: str, value: int) -> int | None:
    """Return a second operand that the world allows for `value op ?`, or None."""
    if op == "+":
        n = number(rng)
    elif op == "-":
        n = number(rng, value - 1)
    elif op == "/":
        fits = [d for d in range(2, 10) if value % d == 0 and value > d]
        n = rng.choice(fits) if fits else 0
    else:
        n = rng.randint(2, 9)
    return n if apply(op, value, n) is not None else None


def _act(rng: random.Random, actions: tuple[tuple[str, str], ...], value: int) -> tuple[Step, str]:
    """Draw an action that is possible on `value`: its step and its template with the number filled in."""
    weights = {"+": 3.0, "-": 3.0, "*": 5.0, "/": 5.0, "mod": 1.5}
    while True:
        op, template = rng.choices(actions, [weights[op] for op, _ in actions])[0]
        n = _operand(rng, op, value)
        if n is not None:
            c = apply(op, value, n)
            assert c is not None
            return Step(op, value, n, c), template.replace("{n}", str(n))


def chain_plan(steps: tuple[Step, ...]) -> str:
    """Return a chain as traces plan it: `47, +38, *3, mod 7`."""
    parts = [str(steps[0].a)]
    parts += [f"mod {s.b}" if s.op == "mod" else f"{s.op}{s.b}" for s in steps]
    return ", ".join(parts)


def _story_body(rng: random.Random, n_ops: int) -> tuple[str, list[Step], list[str], str]:
    """Return (kind, steps, sentences, question) of a chain of `n_ops` operations, names not yet filled in."""
    kind = rng.choices(("story", "pair", "time"), (72, 16 if n_ops > 1 else 0, 12 if n_ops > 1 else 0))[0]
    steps: list[Step] = []
    if kind == "time":
        hours, minutes = rng.randint(2, 9), rng.randint(2, 59)
        steps = [Step("*", 60, hours, 60 * hours), Step("+", 60 * hours, minutes, 60 * hours + minutes)]
        lines = [TIME_START.replace("{h}", str(hours)).replace("{n}", str(minutes))]
        actions, question = TIME_ACTIONS, TIME_QUESTION
    elif kind == "pair":
        first = number(rng, 999)
        step, line = _act(rng, COMPARES, first)
        steps = [step, Step("+", step.c, first, step.c + first)]
        lines = [STARTS[0][1].replace("{a}", str(first)), line]
        actions, question = PAIR_ACTIONS, PAIR_QUESTION
    else:
        op, template = rng.choice(STARTS)
        first = number(rng)
        n = _operand(rng, op, first) if op else None
        if n is None:
            op, template = STARTS[rng.randrange(2)]
        else:
            c = apply(op, first, n)
            assert c is not None
            steps = [Step(op, first, n, c)]
        lines = [template.replace("{a}", str(first)).replace("{n}", str(n))]
        actions, question = ACTIONS, rng.choice(QUESTIONS)
        if not steps:
            step, line = _act(rng, actions, first)
            steps, lines = [step], [*lines, line]
    while len(steps) < n_ops:
        step, line = _act(rng, actions, steps[-1].c)
        steps.append(step)
        lines.append(line)
    return kind, steps, lines, question


def story(rng: random.Random, n_ops: int) -> Problem:
    """Return a word problem with `n_ops` operations; one in six has a distractor sentence."""
    while True:
        kind, steps, lines, question = _story_body(rng, n_ops)
        if all(s.c <= LIMIT for s in steps) and len(steps) == n_ops:
            break
    person, friend, other = rng.sample(NAMES, 3)
    item, thing = rng.sample(ITEMS, 2)
    if rng.random() < 1 / 6:
        distractor = rng.choice(DISTRACTORS).replace("{Q}", other).replace("{d}", str(rng.randint(2, 99)))
        lines.insert(rng.randint(1, len(lines)), distractor)
    text = " ".join([*lines, question])
    for mark, word in (("{P}", person), ("{Q}", friend), ("{i}", item), ("{j}", thing)):
        text = text.replace(mark, word)
    return Problem(text, tuple(steps), (chain_plan(tuple(steps)),), kind, (person, friend), item)


Node = int | tuple[str, "Node", "Node"]
"""An expression: a number, or (operator, left, right)."""
_RANK = {"+": 1, "-": 1, "*": 2, "/": 2}


def show(node: Node, space: str = "") -> str:
    """Return the expression with as few brackets as the usual precedence allows; `space` around each operator."""
    if isinstance(node, int):
        return str(node)
    op, left, right = node
    a, b = show(left, space), show(right, space)
    if not isinstance(left, int) and _RANK[left[0]] < _RANK[op]:
        a = f"({a})"
    if not isinstance(right, int) and _RANK[right[0]] <= _RANK[op]:
        b = f"({b})"
    return f"{a}{space}{op}{space}{b}"


def reduce(node: Node) -> tuple[Node, Step | None]:
    """Do the first operation (left branch first): the smaller expression and the step, None when not allowed."""
    if isinstance(node, int):
        return node, None
    op, left, right = node
    if isinstance(left, int) and isinstance(right, int):
        c = apply(op, left, right)
        return (node, None) if c is None else (c, Step(op, left, right, c))
    if not isinstance(left, int):
        left, step = reduce(left)
    else:
        right, step = reduce(right)
    return (op, left, right), step


def _tree(rng: random.Random, n_ops: int) -> tuple[Node, int] | None:
    """Return a random expression and its value, or None when the draw is not allowed."""
    if n_ops == 0:
        value = number(rng)
        return value, value
    right_ops = rng.choices((0, 1, 2), (70, 25, 5))[0] if n_ops > 1 else 0
    right_ops = min(right_ops, n_ops - 1)
    made = _tree(rng, n_ops - 1 - right_ops)
    if made is None:
        return None
    left, value = made
    op = rng.choices("+-*/", (30, 30, 25, 15))[0]
    if right_ops:
        drawn = _tree(rng, right_ops)
    else:
        operand = _operand(rng, op, value)
        drawn = None if operand is None else (operand, operand)
    if drawn is None:
        return None
    result = apply(op, value, drawn[1])
    return None if result is None else ((op, left, drawn[0]), result)


def expression(rng: random.Random, n_ops: int) -> Problem:
    """Return an expression problem with `n_ops` operations; one in eight asks for a remainder (the last operation)."""
    divisor = rng.randint(2, 9) if rng.random() < 1 / 8 else 0
    while True:
        made = _tree(rng, n_ops - 1 if divisor else n_ops)
        if made is None or (divisor and made[1] <= divisor):
            continue
        node, value = made
        steps, plan, rest = [], [], node
        while not isinstance(rest, int):
            plan.append(show(rest) + (f" mod {divisor}" if divisor else ""))
            rest, step = reduce(rest)
            if step is None:
                break
            steps.append(step)
        else:
            break
    if divisor:
        plan.append(f"{value} mod {divisor}")
        steps.append(Step("mod", value, divisor, value % divisor))
        text = REMAINDER.replace("{e}", show(node, " ")).replace("{n}", str(divisor))
    else:
        text = rng.choice(EXPRESSIONS).replace("{e}", show(node, " "))
    return Problem(text, tuple(steps), tuple(plan), "expression")


def draw(rng: random.Random, n_ops: int) -> Problem:
    """Return a random problem with `n_ops` >= 1 operations: a story (.6) or an expression (.4)."""
    return story(rng, n_ops) if rng.random() < 0.6 else expression(rng, n_ops)
