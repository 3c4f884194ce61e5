"""Recorded answers for every published page: what its engines would say, right and wrong by the sample's number.

Long traces change their mind twice; a prefix is continued to the right answer; solutions in steps go wrong at step 2.
Where code may be written, sample 0 calculates by hand first and sample 1 works the program's result out again.
"""

from __future__ import annotations

import hashlib

from curator import prompts
from curator.pocket import world

ANSWERS = {r["problem"]: r["answer"] for r in world.rows("pocket", None, 0)}
SHORT = "DIFFICULTY: easy\n" + "".join(f"**{s}**\nSo.\n" for s in prompts.SECTIONS["easy"]) + "**Solution**\n"
LONG = "\n\nWait, ".join(["Let me see. " * 30 + "\n\nYes.\n\nYes, so."] * 3)
ARITHMETIC = "So 1 + 1 = 2.\n2 + 2 = 4.\n3 + 3 = 6.\n\nDone."


def answer(messages, sample_idx, prefix):
    asked = messages[-1].content
    if (made := _synthesised(asked, sample_idx)) is not None:
        return made
    right = f"\\boxed{{{next(a for p, a in ANSWERS.items() if p in asked)}}}"
    wrong = "\\boxed{-12345}"
    if "Long solution:" in asked:
        return SHORT + right
    if "Examine the steps" in asked:  # the critic: wrong solutions went wrong at step 2
        return "\\boxed{2}" if wrong in asked else "\\boxed{-1}"
    if "begin each step" in asked:
        return _in_steps(prefix, sample_idx, right, wrong)
    if "</think>" in prefix:
        return f"The answer is {right}."
    if prefix.endswith("3 = 6.\n\n"):
        return f"Done.\n</think>\n\nThe answer is {right}."
    if prefix.endswith("```python\n"):
        return "x = 1 + 1\nprint(x)\n```\n"
    if prefix.endswith("programs.\n\n") and sample_idx % 2:
        return "```python\nprint(3)\n```\n"
    if prefix.endswith("```output\n3\n```\n"):
        return f"Is it so? 1 + 2 = 3.\nIt is.\n</think>\n\nThe answer is {right}."
    if prefix.endswith(("```output\n2\n```\n", "again by hand.\n")):
        return f"So be it.\n</think>\n\nThe answer is {right}."
    if prefix:
        return f"{ARITHMETIC}\n</think>\n\nThe answer is {right}."
    return f"<think>\n{LONG}\n</think>\n\nThe answer is {wrong if sample_idx % 2 else right}."


def score(messages, text):
    """A log-probability a character: what is said twice is easier."""
    return [-2.0 if c.isupper() else -0.5 - (i % 7) / 10 for i, c in enumerate(text)]


def _synthesised(asked, sample_idx):
    """What is said for promptcot and skillmix: lists, new problems by a hash of what is asked, ratings, criticism."""
    number = int(hashlib.sha256(asked.encode()).hexdigest()[:8], 16)
    if "one a line" in asked and "Name" in asked:
        return "\n".join(f"Idea {(number >> k) % 9}" for k in range(0, 15, 3))
    if "joins these concepts" in asked:
        new = f"Find {number % 89} plus {number % 97} apples in box {number}."
        return f"<rationale>So.</rationale>\n<problem>{new}</problem>" if number % 7 else new
    if "editor of a mathematics contest" in asked:
        words = ("perfect", "imperfect", "acceptable")[number % 3 if number % 2 else 0]
        return "Hm.\n" + "\n".join(f"{line}{words}" for line in asked.splitlines() if line.endswith(": "))
    if "training an assistant" in asked or "write both anew" in asked:
        text = "<request>Plan {0} with {1} things.</request>\n<answer>In {0} steps: {2}.</answer>"
        return text.format(number % 1009, number, sample_idx) if number % 5 else "I cannot."
    if "as the person who asked" in asked:
        return "It is generic."
    return "So \\boxed{1}." if "apples in box" in asked else None


def _in_steps(prefix, sample_idx, right, wrong):
    if prefix == "Step 1:":
        return f" Add.\nStep 2: Again.\nStep 3: It is {wrong if sample_idx % 2 else right}."
    lost = "Step 2" in prefix or sample_idx >= 4
    return f"Step 9: It is {wrong if lost else right}."
