"""Training examples: the package's own prompts (`curator.prompts`) with replies by program.

An example is a prompt and a list of reply parts; parts with `taught=False` are read but not learned. One prompt in
six is worded differently, so that the model follows the request and not one exact string.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from itertools import zip_longest

from curator import prompts

from .copying import copy
from .draws import draw_problem, of_training
from .drills import drill, other_number, written
from .grammar import ITEMS, NAMES, PREFIXES, Problem, draw, expression
from .solver import parse
from .traces import Example, Part, long_trace, reply, rewrite, think_text

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
    ("Are these two problems the same, apart from names and wording?", "Do these two problems ask the same?"),
)
_BUDGETS = ((256, 768, 1536), (256, 768, 1536), (128, 256, 512), (64, 128, 256))

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
    return _solved(rng, draw_problem(rng, hardness))


def solve_few(rng: random.Random, hardness: float) -> Example:
    """As `solve`, of two or three operations: the last part of training makes these sure."""
    problem = of_training(lambda: draw(rng, rng.choice((2, 2, 3))))
    return _solved(rng, problem)._replace(task="solve_few")


def right_first(rng: random.Random, hardness: float) -> Example:
    """As `solve`, of short expressions whose first operation is not the leftmost: `8+945*8`."""
    while True:
        problem = of_training(lambda: expression(rng, rng.choice((2, 2, 3))))
        if not problem.begins_left:
            return _solved(rng, problem)._replace(task="right_first")


def _solved(rng: random.Random, problem: Problem) -> Example:
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
    problem = draw_problem(rng, hardness)
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

    What must be right is what follows from them: the same person, the same item (weighed thrice), the fitting question.
    """
    parts, seen = [], set()
    for piece in re.split(rf"([0-9]+|\b(?:{'|'.join(NAMES)})\b| (?:{'|'.join(ITEMS)})\b)", problem.text):
        entity = piece in NAMES or piece.strip() in ITEMS
        if piece:
            parts.append(Part(piece, 0 if piece.isdigit() else 3 * (piece in seen) if entity else 1))
        seen.add(piece)
    return parts


def propose(rng: random.Random, hardness: float) -> Example:
    """The prompt of `propose`: 1-4 numbered examples, then a new problem of 1-4 operations with other names."""
    examples = [draw_problem(rng, max(hardness, 0.5)) for _ in range(rng.randint(1, 4))]
    taken = {name for p in examples for name in p.names}
    kinds = {p.kind for p in examples}
    while True:
        new = draw_problem(rng, 0.4, most=4)
        if new.kind in kinds and _safe(new) and not taken & set(new.names):
            break
    numbered = "\n\n".join(f"{i}. {p.text}" for i, p in enumerate(examples, 1))
    prompt = prompts.fill(_reworded(rng, prompts.PROPOSE), examples=numbered)
    parts = _choices_masked(new) if rng.random() < 0.5 else [Part(new.text)]
    return Example("propose", prompt, parts, tuple(p.text for p in examples))


def compared(first: list[str], second: list[str]) -> str:
    """Return the reply of a yes-or-no task: the pieces of both sides pair by pair, up to the first that differ.

    A model of this size can copy and can compare neighbours; it can not compare two texts in one breath.
    """
    lines = []
    for a, b in zip_longest(first, second, fillvalue="-"):
        lines.append(f"{a}:{b}")
        if a != b:
            return "\n".join([*lines, "no"])
    return "\n".join([*lines, "yes"])


def same_answer(rng: random.Random, hardness: float) -> Example:
    """The prompt of the answer judge, in either order of the two answers: the digits pair by pair, then yes or no."""
    problem = draw_problem(rng, hardness, most=6)
    numbers = [problem.answer, problem.answer if rng.random() < 0.5 else other_number(rng, problem.answer)]
    pair = [numbers[0], written(rng, numbers[1], problem.item)]
    if rng.random() < 0.3:
        pair.reverse()
        numbers.reverse()
    template = _reworded(rng, prompts.SAME_ANSWER)
    prompt = prompts.fill(template, problem=problem.text, reference=pair[0], answer=pair[1])
    return Example("same_answer", prompt, [Part(compared(list(numbers[0]), list(numbers[1])))])


def _renamed(rng: random.Random, problem: Problem) -> str:
    """Return the problem told with other names and another item."""
    text = problem.text
    old = [word for word in (*NAMES, *ITEMS) if re.search(rf"\b{word}\b", text)]
    for word in old:
        others = [other for other in (NAMES if word in NAMES else ITEMS) if other not in text]
        text = re.sub(rf"\b{word}\b", rng.choice(others), text)
    return text


def _operands(problem: Problem) -> list[str]:
    """Return what is compared of a problem: its operations in order, without the words around them."""
    return re.findall(r"[^0-9]*[0-9]+\)*", problem.plan[0].replace(" ", "").replace(",", ""))


def _other_problem(rng: random.Random, problem: Problem, hardness: float) -> Problem:
    """Return another problem: mostly the same one with another number, else any."""
    for _ in range(8 if rng.random() < 0.7 else 0):
        found = rng.choice(list(re.finditer("[0-9]+", problem.text)))
        text = problem.text[: found.start()] + other_number(rng, found[0]) + problem.text[found.end() :]
        other = parse(text)
        if other and _operands(other) != _operands(problem):
            return other
    other = draw_problem(rng, hardness, most=6)
    return other if _operands(other) != _operands(problem) else _other_problem(rng, problem, hardness)


def same_problem(rng: random.Random, hardness: float) -> Example:
    """The prompt of the problem judge: the operations pair by pair, then yes or no.

    Yes under other names or behind another phrase, no when a number or the whole problem is another.
    """
    problem = draw_problem(rng, hardness, most=6)
    other = problem if rng.random() < 0.5 else _other_problem(rng, problem, hardness)
    text = _renamed(rng, other) if rng.random() < 0.6 else _stated(other, rng)
    prompt = prompts.fill(_reworded(rng, prompts.SAME_PROBLEM), first=problem.text, second=text)
    return Example("same_problem", prompt, [Part(compared(_operands(problem), _operands(other)))])


TASKS: dict[str, tuple[tuple[float, float, float], Callable[[random.Random, float], Example]]] = {
    "solve": ((0.41, 0.45, 0.41), solve),
    "solve_few": ((0.0, 0.0, 0.12), solve_few),
    "unswitched": ((0.02, 0.02, 0.02), unswitched),
    "compress": ((0.09, 0.08, 0.08), compress),
    "propose": ((0.15, 0.08, 0.06), propose),
    "judge": ((0.03, 0.04, 0.04), judge),
    "same_answer": ((0.03, 0.03, 0.03), same_answer),
    "same_problem": ((0.05, 0.10, 0.09), same_problem),
    "copy": ((0.06, 0.04, 0.04), copy),
    "drill": ((0.13, 0.11, 0.07), drill),
    "right_first": ((0.03, 0.05, 0.04), right_first),
}
"""Task -> (weights in the parts of training, maker); weights ours, each part's after what was still weak before it."""


def example(rng: random.Random, hardness: float = 1.0, copying: float = 0.0, *, part: int = 0) -> Example:
    """Return a random training example; a share of `copying` is plain copying whatever the weights say."""
    if rng.random() < copying:
        return copy(rng, hardness)
    weights = [each[part] for each, _ in TASKS.values()]
    return rng.choices([make for _, make in TASKS.values()], weights)[0](rng, hardness)
