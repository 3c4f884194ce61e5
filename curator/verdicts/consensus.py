"""Which answer do most samples of a problem give? Classes under an equivalence that need not be transitive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

VERIFIER = "consensus/1"
Majority = Literal["strict", "decided", "unanimous", "plurality", "published"]
Same = Callable[[list[tuple[str, str]]], list[bool]]  # pairs of answers -> equal


def classes(problems: Sequence[Sequence[str | None]], same: Same) -> list[list[list[int]]]:
    """Return the classes of each problem's answers (positions, ascending), None answers in none.

    Answers are taken in the order given; each joins the first class whose first member equals it, else begins one
    (CoRT's inference code; specs synthesis, `RED`). Only unequal strings are compared, each pair once; a pair that
    `same` does not call equal, for whatever reason, is not joined. All problems advance together, in large batches.
    """
    distinct = [list(dict.fromkeys(a for a in answers if a is not None)) for answers in problems]
    leaders: list[list[str]] = [[] for _ in problems]
    joined: list[dict[str, int]] = [{} for _ in problems]
    for turn in range(max(map(len, distinct), default=0)):
        at = [i for i, found in enumerate(distinct) if turn < len(found)]
        pairs = [(leader, distinct[i][turn]) for i in at for leader in leaders[i]]
        equal = iter(same(pairs)) if pairs else iter(())
        for i in at:
            hits = [next(equal) for _ in leaders[i]]
            new = distinct[i][turn]
            if True in hits:
                joined[i][new] = hits.index(True)
            else:
                joined[i][new] = len(leaders[i])
                leaders[i].append(new)
    return [_members(answers, joined[i], len(leaders[i])) for i, answers in enumerate(problems)]


def _members(answers: Sequence[str | None], joined: dict[str, int], n: int) -> list[list[int]]:
    found: list[list[int]] = [[] for _ in range(n)]
    for position, answer in enumerate(answers):
        if answer is not None:
            found[joined[answer]].append(position)
    return found


def winners(found: Sequence[Sequence[int]], n: int, rule: Majority) -> list[int]:
    """Return which classes win, as numbers of `found`.

    Args:
        found: classes of one problem.
        n: its samples, those without an answer included.
        rule: `strict`: more than half of all samples. `decided`: more than half of those with an answer. `unanimous`:
            every sample has an answer and all agree. `plurality`: the largest class, ties to the lower sample.
            `published`: the released rule of Prismatic Synthesis: every class as large as the largest group (samples
            without an answer are one), if that has at least int(n / 2) samples; three different answers all win.
    """
    sizes = [len(c) for c in found]
    if not sizes:
        return []
    top, with_answer = max(sizes), sum(sizes)
    if rule == "published":
        top = max(top, n - with_answer)
        return [i for i, size in enumerate(sizes) if size == top and top >= n // 2]
    enough = {
        "strict": 2 * top > n,
        "decided": 2 * top > with_answer,
        "unanimous": top == n,
        "plurality": True,
    }[rule]
    return [sizes.index(top)] if enough else []
