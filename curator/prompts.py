"""Every prompt this package sends, in our own words, in one leaf module.

They live together, and not beside their operators, because the embedded pocket model is trained on exactly
these strings: `curator.pocket` reads this file, and a test fails when its fingerprint moves without the model
being trained or evaluated again. None of these texts is a published prompt (LiteCoT's rewrite prompt is
unpublished; the three section skeletons are those of the released `small-thoughts` code, named in our words).

`fill` replaces only the named fields, so braces and backslashes in a problem are safe.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping

GENERATE = "{problem}\n\nReason step by step, then put the final answer in \\boxed{}."

JUDGE_DIFFICULTY = (
    "How difficult is this problem: easy, medium or hard?\n\n"
    "Problem:\n{problem}\n\n"
    "Reply with one line: DIFFICULTY: and the level."
)

LEVELS = ("easy", "medium", "hard")

# Section skeletons per level: small-thoughts `utils/prompt.py` (simple, moderate, complex), see specs core 1.2.
SECTIONS: dict[str, tuple[str, ...]] = {
    "easy": ("Analysis", "Approach", "Summary"),
    "medium": ("Analysis", "Initial Approach", "Reflection", "Improvement", "Summary"),
    "hard": (
        "Analysis",
        "Problem Decomposition",
        "Sub-problem Processing",
        "Integration",
        "Overall Reflection",
        "Final Optimization",
        "Summary",
    ),
}

_SKELETONS = "\n".join(f"{level}: " + ", ".join(f"**{name}**" for name in SECTIONS[level]) for level in LEVELS)

_FORMAT = (
    "Write only the sections of the level, each heading in bold on its own line:\n"
    + _SKELETONS
    + "\n\nThen write **Solution** and the final answer in \\boxed{}."
)

COMPRESS = (
    "Rewrite a long solution so that its length fits the difficulty of the problem. "
    "Keep every step that the answer rests on; leave out repetition, detours and second checks. "
    "Do not change the final answer.\n\n"
    "First judge the problem in one line, DIFFICULTY: and then easy, medium or hard. " + _FORMAT + "{budget}\n\n"
    "Problem:\n{problem}\n\n"
    "Long solution:\n{trace}"
)

# The level was decided elsewhere (a pass rate, a person): the teacher only rewrites.
COMPRESS_AT_LEVEL = (
    "Rewrite a long solution so that its length fits the difficulty of the problem. "
    "Keep every step that the answer rests on; leave out repetition, detours and second checks. "
    "Do not change the final answer.\n\n"
    "The problem is {level}: begin with the line DIFFICULTY: {level}. " + _FORMAT + "{budget}\n\n"
    "Problem:\n{problem}\n\n"
    "Long solution:\n{trace}"
)

# The released code's form: no long trace, the reference answer instead (specs core 1.2, 1.7).
COMPRESS_FROM_ANSWER = (
    "Explain how to reach the answer of a problem, at a length that fits its difficulty.\n\n"
    "First judge the problem in one line, DIFFICULTY: and then easy, medium or hard. " + _FORMAT + "{budget}\n\n"
    "Problem:\n{problem}\n\n"
    "Reference answer:\n{answer}"
)

BUDGET = "\n\nAim for at most {easy} tokens when easy, {medium} when medium and {hard} when hard."

PROPOSE = (
    "Here are some problems.\n\n{examples}\n\n"
    "Write one new problem of the same kind, with other names and numbers. Reply with the problem only."
)

SAME_ANSWER = (
    "Do the two answers to this problem mean the same?\n\n"
    "Problem:\n{problem}\n\n"
    "Reference answer: {reference}\nGiven answer: {answer}\n\n"
    "Reply with one word, yes or no."
)

SAME_PROBLEM = (
    "Are these two problems the same, apart from names and wording? Other numbers make another problem.\n\n"
    "First problem:\n{first}\n\nSecond problem:\n{second}\n\n"
    "Reply with one word, yes or no."
)

# Not in TEMPLATES: the pocket model is not trained on it. Our own words for a rating on Omni-MATH's scale, which
# DeepMath-103K (6 calls) and DeepScaleR (8 calls) ask for with prompts of their own.
RATE_DIFFICULTY = (
    "Rate how difficult this problem is for a strong student, from 0 to 10: 0 a single step, 3 routine school work, "
    "5 a hard school competition, 7 a national olympiad, 9 an international olympiad, 10 beyond that. Half points are "
    "allowed.\n\nProblem:\n{problem}\n\n"
    "Think about what has to be found and how many steps it takes, then end with one line: DIFFICULTY: and the number."
)

TEMPLATES: dict[str, str] = {
    "generate": GENERATE,
    "judge_difficulty": JUDGE_DIFFICULTY,
    "compress": COMPRESS,
    "compress_at_level": COMPRESS_AT_LEVEL,
    "compress_from_answer": COMPRESS_FROM_ANSWER,
    "budget": BUDGET,
    "propose": PROPOSE,
    "same_answer": SAME_ANSWER,
    "same_problem": SAME_PROBLEM,
}

# Below: prompts that the pocket model is not trained on, and so not among TEMPLATES (which its weights are tied to).

# `segment: {how: quoted}`. MinD and Long x Short publish no segmentation prompt; this is ours.
QUOTE_UNITS = (
    "Divide this reasoning into units. A unit pursues one line of thought up to a result, a check or a change of "
    "mind. For each unit copy its first six to ten words exactly as they stand, one unit a line, in order, beginning "
    "with the first words of the text. Write nothing else.\n\n"
    "Reasoning:\n{text}"
)

# `rate`, for PromptCoT's five criteria (its own prompt is longer, and asks for a reason for each).
RATE_PROBLEM = (
    "Judge this problem as an editor of a mathematics contest would.\n\nConcepts:\n{examples}\n\n"
    "Problem:\n{problem}\n\nThink first. Then write one line for each of the following, with one word after the colon: "
    "perfect, acceptable or bad.\n\n{criteria}"
)

# `construct: {kind: saturn}`: our own words for SATURN's task; the answer is a bit a letter.
SATURN = (
    "Find truth values for the letters {letters} that make this formula true:\n\n{formula}\n\n"
    "Reply with one bit a letter, in that order, 1 for true and 0 for false: {k} bits without spaces."
)


# `tool_loop`: after the last run that a row is allowed. CoRT appends such a note; its wording is unknown to us.
NO_MORE_RUNS = "[No more code will be run. Go on without it.]\n"


def fill(template: str, **fields: str) -> str:
    """Return `template` with each `{name}` in `fields` replaced, in one pass; other braces stay as they are."""
    return "".join(text for _, text in pieces(template, fields))


def pieces(template: str, fields: Mapping[str, str]) -> Iterator[tuple[str | None, str]]:
    """Yield what `fill` joins: (None, words of the template) and (name, value of a field), in order."""
    at = 0
    for m in re.finditer(r"\{([a-z_]+)\}", template):
        if m.group(1) in fields:
            yield None, template[at : m.start()]
            yield m.group(1), fields[m.group(1)]
            at = m.end()
    yield None, template[at:]


def shown(value: object) -> str:
    """Return a value as a prompt shows it: a list as a numbered one."""
    return "\n\n".join(f"{i}. {v}" for i, v in enumerate(value, 1)) if isinstance(value, list) else str(value)


def fingerprint() -> str:
    """Return the SHA-256 (hex) of all templates: what the pocket model was trained on."""
    joined = "\x00".join(f"{name}\x01{text}" for name, text in sorted(TEMPLATES.items()))
    return hashlib.sha256(joined.encode()).hexdigest()
