"""Drills: digit facts, whole operations and comparisons in a row, dense where a trace is thin (weights ours)."""

from __future__ import annotations

import random

from .grammar import ITEMS, Step, apply, expression
from .traces import Example, Part, work


def written(rng: random.Random, answer: str, item: str) -> str:
    """Return the answer in one of the forms that models give."""
    forms = ["{a}", "{a}", "{a}.", "\\boxed{{{a}}}", "{a}.0", "The answer is {a}."] + (["{a} {i}"] if item else [])
    return rng.choice(forms).format(a=answer, i=item)


def other_number(rng: random.Random, number: str) -> str:
    """Return another number: mostly one digit changed, else any."""
    other = number
    while other == number:
        digits = list(number)
        digits[rng.randrange(len(digits))] = str(rng.randint(0, 9))
        other = str(int("".join(digits))) if rng.random() < 0.6 else str(rng.randint(0, 2000))
    return other


def _fact(rng: random.Random) -> tuple[str, str]:
    """Return (left side, result) of one digit fact as traces write it; products and quotients, being many, prevail."""
    kind, x, y, b = rng.choices("+-*/", (12, 13, 45, 30))[0], rng.randint(0, 9), rng.randint(0, 9), rng.randint(2, 9)
    one = rng.random() < 0.5
    if kind == "+":
        return f"{x}+{y}" + "+1" * one, str(x + y + one)
    if kind == "-":
        top = x if x - y - one >= 0 else x + 10
        return f"{top}-{y}" + "-1" * one, str(top - y - one)
    if kind == "*":
        carry = rng.randint(0, b - 1)
        return f"{x}*{b}" + (f"+{carry}" if carry else ""), str(x * b + carry)
    n = rng.randint(0, 10 * b - 1)
    return f"{n}/{b}", f"{n // b} rest {n % b}"


def _facts(rng: random.Random) -> Example:
    parts = []
    for i in range(rng.randint(8, 30)):
        left, right = _fact(rng)
        parts += [Part(", " * (i > 0) + left, taught=False), Part(f"={right}")]
    return Example("drill", "Work out some digits.", parts)


def _operations(rng: random.Random) -> Example:
    """Whole operations with larger numbers than problems mostly have: copying operands, carrying, reading off."""
    parts: list[Part] = []
    while len(parts) < 2 * rng.randint(4, 8):
        op, a = rng.choice(("+", "-", "*", "/", "mod")), rng.randint(2, rng.choice((99, 999, 9999)))
        b = rng.randint(2, rng.choice((99, 999, 9999))) if op in "+-" else rng.randint(2, 9)
        c = apply(op, a, b)
        if c is not None:
            step = Step(op, a, b, c)
            parts.append(Part("\n" * bool(parts) + step.lhs(), taught=False))
            parts.append(Part(f": {work(step)[0]}, so {step.equation()}."))
    return Example("drill", "Work out some operations.", parts)


def _comparisons(rng: random.Random) -> Example:
    parts = []
    for i in range(rng.randint(6, 16)):
        answer, same = str(rng.randint(0, 10 ** rng.randint(1, 4) - 1)), rng.random() < 0.5
        given = written(rng, answer if same else other_number(rng, answer), rng.choice(ITEMS))
        parts.append(Part("\n" * (i > 0) + f"Reference answer: {answer}\nGiven answer: {given}\n", taught=False))
        parts.append(Part("yes" if same else "no"))
    return Example("drill", "Compare some answers.", parts)


def _orders(rng: random.Random) -> Example:
    """Which operation comes first, as traces say it: the leftmost half the time, so that neither rule is learned."""
    parts: list[Part] = []
    while len(parts) < 2 * rng.randint(6, 12):
        leftmost = rng.random() < 0.5
        problem = expression(rng, rng.choice((2, 2, 3, 4)))
        if problem.begins_left == leftmost:
            parts.append(Part("\n\n" * bool(parts) + f"We need {problem.plan[0]}.\n\n", taught=False))
            parts.append(Part(f"First {problem.steps[0].lhs()}:", 3))
    return Example("drill", "Choose the first operation of each.", parts)


def drill(rng: random.Random, hardness: float) -> Example:
    """Facts, operations, comparisons or orders in a row, results taught: a trace shows few among much that is easy."""
    return rng.choices((_facts, _operations, _comparisons, _orders), (34, 34, 16, 16))[0](rng)
