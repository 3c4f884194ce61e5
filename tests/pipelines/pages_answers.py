"""Recorded answers for every published page: what its engines would say, right and wrong by the sample's number.

Long traces change their mind twice; a prefix is continued to the right answer; solutions in steps go wrong at step 2.
Where code may be written, sample 0 calculates by hand first and sample 1 works the program's result out again.
"""

from __future__ import annotations

from curator import prompts
from curator.pocket import world

ANSWERS = {r["problem"]: r["answer"] for r in world.rows("pocket", None, 0)}
SHORT = "DIFFICULTY: easy\n" + "".join(f"**{s}**\nSo.\n" for s in prompts.SECTIONS["easy"]) + "**Solution**\n"
LONG = "\n\nWait, ".join(["Let me see. " * 30 + "\n\nYes.\n\nYes, so."] * 3)
ARITHMETIC = "So 1 + 1 = 2.\n2 + 2 = 4.\n3 + 3 = 6.\n\nDone."


def answer(messages, sample_idx, prefix):
    asked = messages[-1].content
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


def _in_steps(prefix, sample_idx, right, wrong):
    if prefix == "Step 1:":
        return f" Add.\nStep 2: Again.\nStep 3: It is {wrong if sample_idx % 2 else right}."
    lost = "Step 2" in prefix or sample_idx >= 4
    return f"Step 9: It is {wrong if lost else right}."
