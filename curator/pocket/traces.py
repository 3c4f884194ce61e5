"""Solutions by program: long `<think>` traces with detours, and short rewrites in the three DAP shapes.

A long trace is a list of paragraphs (joined by double newlines). Each operation is done digit by digit, lowest digit
first, so that a result is never written before the digits that make it. Between the operations stand needless second
checks (`Wait,`, `Hmm,`), other ways to the same result (`Alternatively,`), right branches that are given up, and
wrong branches that are noticed. A paragraph with a planted slip is marked `taught=False`: the training loss skips it,
so the model learns to mend a slip and not to make one. All wording and all rates are unpublished, ours.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from curator import prompts

from .grammar import Problem, Step

THINK = ("<think>\n", "\n</think>\n\n")
SWITCHES = ("Wait", "Alternatively", "Hmm", "But")
"""Words that begin a new thought in these traces (a subset of the segmenter's list, specs core 4.2)."""


class Part(NamedTuple):
    """One paragraph of a trace. `taught` False (0) keeps it out of the loss, a number weighs it."""

    text: str
    taught: float = True


class Example(NamedTuple):
    """One training example: the user's message and the assistant's reply in parts (joined with nothing).

    `stated` are problem texts in the prompt that are learned a little too: who writes problems must have read many.
    """

    task: str
    prompt: str
    parts: list[Part]
    stated: tuple[str, ...] = ()


def _digits(n: int, width: int) -> list[int]:
    """Return the decimal digits of n, lowest first, padded with zeros to `width`."""
    return [int(d) for d in reversed(str(n).zfill(width))]


def _add(a: int, b: int) -> list[tuple[str, int]]:
    """Return (left side, value) of each digit sum, lowest first."""
    out: list[tuple[str, int]] = []
    width, carry = max(len(str(a)), len(str(b))), 0
    for x, y in zip(_digits(a, width), _digits(b, width), strict=True):
        total = x + y + carry
        out.append((f"{x}+{y}" + ("+1" if carry else ""), total))
        carry = total // 10
    return out


def _subtract(a: int, b: int) -> list[tuple[str, int]]:
    out: list[tuple[str, int]] = []
    width, borrow = len(str(a)), 0
    for x, y in zip(_digits(a, width), _digits(b, width), strict=True):
        top = x + 10 if x - y - borrow < 0 else x
        out.append((f"{top}-{y}" + ("-1" if borrow else ""), top - y - borrow))
        borrow = int(top != x)
    return out


def _multiply(a: int, b: int) -> list[tuple[str, int]]:
    out: list[tuple[str, int]] = []
    carry = 0
    for x in _digits(a, len(str(a))):
        total = x * b + carry
        out.append((f"{x}*{b}" + (f"+{carry}" if carry else ""), total))
        carry = total // 10
    return out


def _divide(a: int, b: int) -> str:
    """Return long division, highest digit first: `2/6=0 rest 2, 20/6=3 rest 2, 28/6=4 rest 4`.

    Every digit has its line, also a first one that is too small: where to begin would be one more thing to decide.
    """
    out: list[str] = []
    rest = 0
    for digit in str(a):
        whole = rest * 10 + int(digit)
        rest = whole % b
        out.append(f"{whole}/{b}={whole // b} rest {rest}")
    return ", ".join(out)


def work(step: Step, slip: random.Random | None = None) -> tuple[str, int]:
    """Return the digit-wise text of an operation and its result; with `slip` one digit, and so the result, is wrong."""
    if step.op in ("/", "mod"):
        text, result = _divide(step.a, step.b), step.c
        if slip:
            result += slip.choice((1, 2)) if step.op == "/" or step.c + 2 < step.b else -1 if step.c else 1
        return text, result
    columns = {"+": _add, "-": _subtract, "*": _multiply}[step.op](step.a, step.b)
    result = step.c
    if slip:
        where = slip.randrange(len(columns))
        side, value = columns[where]
        change = slip.choice((1, -1, 2)) if value > 1 else 1
        columns[where] = (side, value + change)
        result = max(0, result + change * 10**where)
    return ", ".join(f"{side}={value}" for side, value in columns), result


def _done(step: Step, slip: random.Random | None = None) -> str:
    """Return `a op b: digits, so a op b=c.`"""
    text, result = work(step, slip)
    return f"{step.lhs()}: {text}, so {step.lhs()}={result}."


def other_way(step: Step) -> Step:
    """Return an operation that confirms the step: the sum the other way round, else the inverse operation."""
    if step.op == "+":
        return Step("+", step.b, step.a, step.c)
    if step.op == "-":
        return Step("+", step.c, step.b, step.a)
    if step.op == "*" and step.b > 1:
        return Step("/", step.c, step.b, step.a)
    if step.op == "/":
        return Step("*", step.c, step.b, step.a)
    return step


def _lead(problem: Problem, k: int) -> str:
    """Return the words before operation k: an expression also says what is left of it."""
    if k == 0:
        return "First "
    if problem.kind == "expression" and k < problem.n_ops - 1:
        return f"Now {problem.plan[k]}, "
    return "Then "


def _operation(problem: Problem, k: int, rng: random.Random, *, checks: bool, slip: bool) -> list[Part]:
    """Return the paragraphs of operation k: a slip or a given-up start now and then, the work, the checks."""
    step, last = problem.steps[k], k == problem.n_ops - 1
    lead = _lead(problem, k)
    if slip:
        mended = f"It was wrong, {step.lhs()}={step.c}."
        return [Part(lead + _done(step, rng), taught=False), Part(f"Wait, check {_done(step)} {mended}")]
    out = []
    if checks and rng.random() < 0.05:
        out.append(Part(f"{lead}{step.lhs()}: {work(step)[0].split(', ')[0]}."))
        out.append(Part(f"Hmm, again from the start. {_done(step)}"))
    else:
        out.append(Part(lead + _done(step)))
    if not checks:
        return out
    if rng.random() < (0.9 if k == 0 else 0.15):
        again = "Wait, check " if k == 0 or rng.random() < 0.3 else "Hmm, check "
        out.append(Part(f"{again}{_done(step)} It was right."))
    if rng.random() < (0.8 if last else 0.1):
        out.append(Part(f"Alternatively, {_done(other_way(step))} It fits."))
    return out


def recap(problem: Problem) -> str:
    """Return all equations in one line."""
    return "In short: " + ", ".join(step.equation() for step in problem.steps) + "."


def long_trace(
    problem: Problem, rng: random.Random, straight_from: int | None = None, *, short_end: bool = False
) -> list[Part]:
    """Return the paragraphs of a long trace.

    `straight_from` k: no check, detour or slip from operation k on. `short_end` leaves the recap out.
    """
    out = [Part(f"We need {problem.plan[0]}.")]
    slipped = rng.randrange(problem.n_ops) if rng.random() < 0.1 else -1
    for k in range(problem.n_ops):
        checks = straight_from is None or k < straight_from
        out += _operation(problem, k, rng, checks=checks, slip=checks and k == slipped)
    if not short_end:
        out.append(Part(recap(problem)))
    out.append(Part(f"The answer is {problem.answer}."))
    return out


def reply(parts: list[Part], answer: str) -> list[Part]:
    """Return a whole assistant reply as pieces to be joined with nothing: think tags, trace, boxed answer."""
    out = [Part(THINK[0])]
    for i, part in enumerate(parts):
        out += [Part("\n\n")] * (i > 0) + [part]
    return [*out, Part(f"{THINK[1]}The answer is \\boxed{{{answer}}}.")]


def think_text(parts: list[Part]) -> str:
    """Return the text between the think tags."""
    return "\n\n".join(part.text for part in parts)


# What stands under the headings that hold no calculation (ours): the reader of a rewrite needs the equations.
_STOCK = {
    "Analysis": "We follow the numbers of the problem.",
    "Problem Decomposition": "One operation at a time.",
    "Reflection": "Each step fits.",
    "Improvement": "Nothing to change.",
    "Integration": "Each step uses the one before.",
    "Overall Reflection": "Each step fits.",
    "Final Optimization": "Nothing to change.",
}
_WORK = ("Approach", "Initial Approach", "Sub-problem Processing")


def rewrite(problem: Problem, level: str | None = None, *, with_work: bool = False) -> str:
    """Return the short solution in the shape of `level` (default: the problem's own level).

    `with_work` writes the digit-wise work of each operation (for the answer-conditioned form, which has no trace to
    copy results from).
    """
    level = level or problem.level
    lines = [f"{work(s)[0]}, so {s.equation()}" if with_work else s.equation() for s in problem.steps]
    out = [f"DIFFICULTY: {level}"]
    for name in prompts.SECTIONS[level]:
        body = "\n".join(lines) if name in _WORK else _STOCK.get(name, f"The result is {problem.answer}.")
        out.append(f"**{name}**\n{body}")
    out.append(f"**Solution**\n\\boxed{{{problem.answer}}}")
    return "\n\n".join(out)
