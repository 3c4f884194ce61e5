"""Training examples: the package's own prompts (`curator.prompts`) with replies by program.

An example is a prompt and a list of reply parts; parts with `taught=False` are read but not learned. One prompt in
six is worded differently, so that the model follows the request and not one exact string.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import NamedTuple

from curator import prompts

from . import world
from .grammar import ITEMS, NAMES, PREFIXES, Problem, draw
from .traces import Part, long_trace, reply, rewrite, think_text


class Example(NamedTuple):
    """One training example: the user's message and the assistant's reply in parts (joined with nothing).

    `stated` are problem texts in the prompt that are learned a little too: who writes problems must have read many.
    """

    task: str
    prompt: str
    parts: list[Part]
    stated: tuple[str, ...] = ()


_OTHER_GENERATE = (
    "{problem}\n\nPlease reason step by step, and put your final answer within \\boxed{}.",
    "{problem}\n\nThink step by step. Put the final answer in \\boxed{}.",
    "{problem}\nReason step by step, then put the final answer in \\boxed{}.",
    "Solve this problem.\n\n{problem}\n\nReason step by step, then put the final answer in \\boxed{}.",
    "{problem}",
)
_OTHER_WORDS = (
    ("Rewrite a long solution", "Shorten a long solution"),
    ("Do not change the final answer.", "Keep the final answer."),
    ("Keep every step that the answer rests on; ", ""),
    ("How difficult is this problem: easy, medium or hard?", "Is this problem easy, medium or hard?"),
    ("Here are some problems.", "Some problems:"),
    ("Reply with the problem only.", "Write only the problem."),
    ("Do the two answers to this problem mean the same?", "Are the two answers to this problem the same?"),
)
_BUDGETS = ((256, 768, 1536), (256, 768, 1536), (128, 256, 512), (64, 128, 256))

# Weights of the number of operations at full difficulty (ours): oversamples what is learned last.
_OPS = {1: 11, 2: 23, 3: 25, 4: 18, 5: 11, 6: 6, 7: 3, 8: 3}


def draw_problem(rng: random.Random, hardness: float = 1.0, most: int = 8) -> Problem:
    """Return a problem of the training split; `hardness` 0..1 moves the weights from 1-2 operations to `_OPS`."""
    easy = {1: 50, 2: 40, 3: 10}
    weights = [hardness * w + (1 - hardness) * easy.get(n, 0) for n, w in _OPS.items()]
    while True:
        n_ops = min(rng.choices(list(_OPS), weights)[0], most)
        problem = draw(rng, n_ops)
        if world.split_of(problem) == "pocket-train":
            return problem


def _reworded(rng: random.Random, template: str) -> str:
    if rng.random() < 1 / 6:
        for old, new in _OTHER_WORDS:
            if rng.random() < 0.6:
                template = template.replace(old, new)
    return template


def _stated(problem: Problem, rng: random.Random) -> str:
    """Return the problem's text, now and then with a phrase before it (as planted near-duplicates have)."""
    return rng.choice(PREFIXES[1:]) + problem.text if rng.random() < 0.06 else problem.text


def solve(rng: random.Random, hardness: float) -> Example:
    """The prompt of `generate` and a long trace; one in eight goes straight from a random operation on."""
    problem = draw_problem(rng, hardness)
    straight = rng.randrange(problem.n_ops + 1) if rng.random() < 1 / 8 else None
    parts = long_trace(problem, rng, straight, short_end=straight is not None and rng.random() < 0.3)
    template = prompts.GENERATE if rng.random() < 5 / 6 else rng.choice(_OTHER_GENERATE)
    prompt = prompts.fill(template, problem=_stated(problem, rng))
    return Example("solve", prompt, reply(parts, problem.answer), (problem.text,))


def unswitched(rng: random.Random, hardness: float) -> Example:
    """A prefix that ends in a given-up or wrong step, continued without a switch word straight to the answer."""
    problem = draw_problem(rng, hardness)
    k = rng.randrange(problem.n_ops)
    parts = long_trace(problem, rng, straight_from=0, short_end=rng.random() < 0.3)
    step = parts[k + 1].text
    head, _, rest = step.partition(": ")
    cut, broken = rest.split(", "), rng.random() < 0.5
    if broken and len(cut) > 2:
        stop = rng.randint(1, len(cut) - 2)
        pieces = [Part(f"{head}: {', '.join(cut[:stop])}.", taught=False), Part("Go on: " + ", ".join(cut[stop:]))]
    else:
        lhs = problem.steps[k].lhs()
        slip = re.sub(r"=(\d+)\.$", lambda m: f"={int(m[1]) + rng.choice((1, 2, 10))}.", step)
        pieces = [Part(slip, taught=False), Part(f"Again {lhs}: {rest}")]
    parts[k + 1 : k + 2] = pieces
    return Example("unswitched", prompts.fill(prompts.GENERATE, problem=problem.text), reply(parts, problem.answer))


def compress(rng: random.Random, hardness: float) -> Example:
    """The prompts of `compress`: mostly with a long trace, with a set level, or with the answer alone."""
    problem = draw_problem(rng, hardness, most=7)
    form = rng.choices(("plain", "level", "answer"), (78, 14, 8))[0]
    budget = ""
    if rng.random() < 0.35:
        easy, medium, hard = map(str, rng.choice(_BUDGETS))
        budget = prompts.fill(prompts.BUDGET, easy=easy, medium=medium, hard=hard)
    template = {"plain": prompts.COMPRESS, "level": prompts.COMPRESS_AT_LEVEL, "answer": prompts.COMPRESS_FROM_ANSWER}
    level = rng.choice(prompts.LEVELS) if form == "level" else problem.level
    straight = rng.randrange(problem.n_ops + 1) if rng.random() < 0.2 else None
    parts = long_trace(problem, rng, straight, short_end=rng.random() < 0.12)
    trace = think_text(parts)
    if rng.random() < 0.15:
        trace = "".join(part.text for part in reply(parts, problem.answer))
    prompt = prompts.fill(
        _reworded(rng, template[form]),
        problem=_stated(problem, rng), trace=trace, level=level, budget=budget, answer=problem.answer,
    )  # fmt: skip
    return Example("compress", prompt, [Part(rewrite(problem, level, with_work=form == "answer"))])


def judge(rng: random.Random, hardness: float) -> Example:
    """The prompt of `grade` by judgement: `DIFFICULTY: level`."""
    problem = draw_problem(rng, max(hardness, 0.7))
    prompt = prompts.fill(_reworded(rng, prompts.JUDGE_DIFFICULTY), problem=_stated(problem, rng))
    return Example("judge", prompt, [Part(f"DIFFICULTY: {problem.level}")])


def _safe(problem: Problem) -> bool:
    """Whether a problem stays well-formed when its numbers are chosen without calculating (what a proposal must do)."""
    return all(
        s.op in "+*" or (s.op == "-" and 4 * s.b <= s.a) or (s.op == "mod" and s.a > 30) for s in problem.steps
    ) and all(s.c <= 2500 for s in problem.steps)


def _choices_masked(problem: Problem) -> list[Part]:
    """Return a problem's text with its free choices (numbers, names and items when new) kept out of the loss.

    What must be right is what follows from them: the same person, the same item, the fitting question.
    """
    parts, seen = [], set()
    for piece in re.split(rf"([0-9]+|\b(?:{'|'.join(NAMES)})\b| (?:{'|'.join(ITEMS)})\b)", problem.text):
        free = piece.isdigit() or piece in NAMES or piece.strip() in ITEMS
        if piece:
            parts.append(Part(piece, taught=not free or (piece in seen and not piece.isdigit())))
        seen.add(piece)
    return parts


def propose(rng: random.Random, hardness: float) -> Example:
    """The prompt of `propose`: 1-4 numbered examples, then a new problem of 1-4 operations with other names."""
    examples = [draw_problem(rng, max(hardness, 0.5)) for _ in range(rng.randint(1, 4))]
    taken = {name for p in examples for name in p.names}
    kinds = {p.kind for p in examples}
    while True:
        new = draw_problem(rng, 0.6, most=4)
        if new.kind in kinds and _safe(new) and not taken & set(new.names):
            break
    numbered = "\n\n".join(f"{i}. {p.text}" for i, p in enumerate(examples, 1))
    prompt = prompts.fill(_reworded(rng, prompts.PROPOSE), examples=numbered)
    parts = _choices_masked(new) if rng.random() < 0.7 else [Part(new.text)]
    return Example("propose", prompt, parts, tuple(p.text for p in examples))


def _written(rng: random.Random, answer: str, item: str) -> str:
    """Return the answer in one of the forms that models give."""
    forms = ["{a}", "{a}", "{a}.", "\\boxed{{{a}}}", "{a}.0", "The answer is {a}."] + (["{a} {i}"] if item else [])
    return rng.choice(forms).format(a=answer, i=item)


def same_answer(rng: random.Random, hardness: float) -> Example:
    """The prompt of the answer judge: yes or no."""
    problem = draw_problem(rng, hardness, most=6)
    given, same = problem.answer, rng.random() < 0.5
    while not same and given == problem.answer:
        digits = list(problem.answer)
        if rng.random() < 0.6:
            digits[rng.randrange(len(digits))] = str(rng.randint(0, 9))
            given = str(int("".join(digits)))
        else:
            given = str(rng.randint(0, 2000))
    reference = problem.answer
    prompt = prompts.fill(
        _reworded(rng, prompts.SAME_ANSWER),
        problem=problem.text, reference=reference, answer=_written(rng, given, problem.item),
    )  # fmt: skip
    return Example("same_answer", prompt, [Part("yes" if same else "no")])


def copy(rng: random.Random, hardness: float) -> Example:
    """Plain copying of names, items, numbers and equations: what rewriting and new problems rest on."""
    words: list[str] = []
    for _ in range(rng.randint(1, 3 + round(6 * hardness * rng.random()))):
        kind = rng.randrange(4)
        a, b = rng.randint(0, 999), rng.randint(2, 99)
        equation = f"{a}{rng.choice('+-*/')}{b}={rng.randint(0, 9999)}"
        words.append((rng.choice(NAMES), rng.choice(ITEMS), str(a), equation)[kind])
    text = rng.choice((", ", "\n", " ")).join(words)
    return Example("copy", f"Repeat this text:\n{text}", [Part(text)])


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


def drill(rng: random.Random, hardness: float) -> Example:
    """Digit facts in a row; only the results are taught. A trace shows few of them among much that is easy."""
    parts = []
    for i in range(rng.randint(8, 40)):
        left, right = _fact(rng)
        parts += [Part(", " * (i > 0) + left, taught=False), Part(f"={right}")]
    return Example("drill", "Work out some digits.", parts)


TASKS: dict[str, tuple[float, Callable[[random.Random, float], Example]]] = {
    "solve": (0.45, solve),
    "unswitched": (0.02, unswitched),
    "compress": (0.10, compress),
    "propose": (0.18, propose),
    "judge": (0.05, judge),
    "same_answer": (0.02, same_answer),
    "copy": (0.02, copy),
    "drill": (0.16, drill),
}
"""Task -> (weight, maker), from the first step on (weights ours)."""


def example(rng: random.Random, hardness: float = 1.0) -> Example:
    """Return a random training example."""
    weights = [weight for weight, _ in TASKS.values()]
    return rng.choices([make for _, make in TASKS.values()], weights)[0](rng, hardness)
