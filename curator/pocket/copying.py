"""Training examples of plain copying: what every other task rests on."""

from __future__ import annotations

import random
import re

from .draws import draw_problem
from .grammar import ITEMS, NAMES
from .traces import Example, Part


def _again(rng: random.Random) -> Example:
    """A short run of random words, again and again: the plainest case of going on as before."""
    count = rng.randint(3, 12)
    words = [rng.choice((rng.choice(NAMES), rng.choice(ITEMS), str(rng.randint(0, 99)))) for _ in range(count)]
    once = " ".join(words)
    parts = [Part(once + "\n", taught=False), Part("\n".join([once] * rng.randint(2, 4)))]
    return Example("copy", "Say it again and again.", parts)


def copy(rng: random.Random, hardness: float) -> Example:
    """Plain copying: what rewriting, new problems and every operand of a trace rest on.

    A list of names, items, numbers and equations, also said over and over; a problem word by word; a problem under
    other names; the operations of a problem.
    """
    form = rng.choices(("list", "again", "problem", "renamed", "plan"), (25, 30, 15, 15, 15))[0]
    if form == "again":
        return _again(rng)
    if form == "list":
        words: list[str] = []
        for _ in range(rng.randint(2, 4 + round(12 * hardness * rng.random()))):
            kind = rng.randrange(4)
            a, b = rng.randint(0, 9999), rng.randint(2, 99)
            equation = f"{a}{rng.choice('+-*/')}{b}={rng.randint(0, 9999)}"
            words.append((rng.choice(NAMES), rng.choice(ITEMS), str(a), equation)[kind])
        text = rng.choice((", ", "\n", " ")).join(words)
        return Example("copy", f"Repeat this text:\n{text}", [Part(text)])
    problem = draw_problem(rng, hardness, most=6)
    while form == "renamed" and not problem.names:
        problem = draw_problem(rng, hardness, most=6)
    if form == "plan":
        return Example("copy", f"List the operations:\n{problem.text}", [Part(problem.plan[0])], (problem.text,))
    if form == "problem":
        return Example("copy", f"Repeat this text:\n{problem.text}", [Part(problem.text)])
    name, item = rng.choice([n for n in NAMES if n not in problem.text]), rng.choice(ITEMS)
    text = re.sub(rf"\b{problem.names[0]}\b", name, problem.text)
    text = re.sub(rf"\b{problem.item}\b", item, text)
    prompt = f"Tell this problem of {name} and of {item}:\n{problem.text}"
    return Example("copy", prompt, [Part(text)])
