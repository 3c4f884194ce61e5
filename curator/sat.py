"""SATURN's problems: clauses over a few letters, with a planted solution, all solutions counted, and a checker.

Source: github.com/gtxygyzb/Saturn-code; specs synthesis 3.18. A clause is a tuple of signed numbers, 1-based: 3 is the
third letter, -3 its negation.
"""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Clause = tuple[int, ...]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
COUNTED = 16  # letters up to which solutions are counted by trying all 2^k
TRIES = 1000  # of one problem, until its guess rate is low enough and nobody has seen it


@dataclass(frozen=True)
class Level:
    """SATURN's (n, k, l): letters in a clause, letters, clauses."""

    n: int
    k: int
    l: int  # noqa: E741 - the name in the paper

    @property
    def difficulty(self) -> float:
        """D = log2 k + 2 log2 l - n + k / n (`draw_difficulty.py`). It ignores how many answers are right."""
        return math.log2(self.k) + 2 * math.log2(self.l) - self.n + self.k / self.n

    def fault(self) -> str | None:
        """Return why there are no such problems, or None."""
        if not 1 <= self.n <= self.k <= len(LETTERS) or self.l < 1:
            return f"wants 1 <= n <= k <= {len(LETTERS)} and l >= 1"
        held = math.comb(self.k, self.n) * (2**self.n - 1)
        return f"has only {held} clauses that one assignment meets" if held < self.l else None


@dataclass(frozen=True)
class Problem:
    """Clauses, the assignment they were planted with (a bit a letter), and how many assignments meet all of them.

    `n_solutions` is None above `COUNTED` letters.
    """

    level: Level
    clauses: tuple[Clause, ...]
    solution: str
    n_solutions: int | None

    @property
    def guess_rate(self) -> float | None:
        """How often an assignment drawn at random is right."""
        return None if self.n_solutions is None else self.n_solutions / 2**self.level.k


def construct(level: Level, chance: random.Random) -> Problem:
    """Return a problem: a random assignment, then l different clauses of n letters each that it meets.

    The released code collects pairs of assignment and clause, groups them by assignment and draws l from a group: the
    same distribution, where it has collected enough of them.
    """
    bits = [chance.getrandbits(1) for _ in range(level.k)]
    clauses: set[Clause] = set()
    while len(clauses) < level.l:
        letters = sorted(chance.sample(range(1, level.k + 1), level.n))
        met = chance.randrange(1, 2**level.n)  # which literals are true: at least one
        clauses.add(tuple(v if bits[v - 1] == (met >> i & 1) else -v for i, v in enumerate(letters)))
    ordered = tuple(sorted(clauses, key=lambda c: [(abs(v), v < 0) for v in c]))
    return Problem(level, ordered, "".join(map(str, bits)), count(ordered, level.k))


def count(clauses: Sequence[Sequence[int]], k: int) -> int | None:
    """Return how many of the 2^k assignments meet all clauses; None where there are too many to try."""
    if k > COUNTED:
        return None
    return int(_met(clauses, k).sum())


def solutions(clauses: Sequence[Sequence[int]], k: int) -> list[str]:
    """Return all assignments that meet the clauses, as bits, in order."""
    return [f"{i:0{k}b}" for i in np.flatnonzero(_met(clauses, k))]


def _met(clauses: Sequence[Sequence[int]], k: int) -> np.ndarray[Any, Any]:
    every = np.arange(2**k, dtype=np.uint32)
    met = np.ones(2**k, bool)
    for clause in clauses:
        hit = np.zeros(2**k, bool)
        for v in clause:
            bit = (every >> np.uint32(k - abs(v))) & 1  # the first letter is the first bit of the text
            hit |= bit == (v > 0)
        met &= hit
    return met


def holds(clauses: Sequence[Sequence[int]], bits: str) -> bool:
    """Whether an assignment meets all clauses."""
    return all(any((bits[abs(v) - 1] == "1") == (v > 0) for v in clause) for clause in clauses)


def read_bits(answer: str, k: int) -> str | None:
    """Return the k bits that an answer names, or None: commas, blanks and brackets around them do not count."""
    bits = re.sub(r"[\s,;()\[\]{}$\"']|\\(?:text|mathrm|,|;)", "", answer)
    return bits if re.fullmatch(rf"[01]{{{k}}}", bits) else None


def read_clauses(value: Any) -> list[list[int]] | None:
    """Return the clauses of a cell, a list of lists of signed numbers or JSON of one; None where it is neither."""
    try:
        found = json.loads(value) if isinstance(value, str) else value
        clauses = [[int(v) for v in clause] for clause in found]
    except (TypeError, ValueError):
        return None
    return clauses if clauses and all(c and 0 not in c for c in clauses) else None


def formula(clauses: Sequence[Sequence[int]]) -> str:
    """Return the clauses as text: `(A or not B or C) and (...)`."""
    said = (" or ".join(("" if v > 0 else "not ") + LETTERS[abs(v) - 1] for v in clause) for clause in clauses)
    return " and\n".join(f"({clause})" for clause in said)


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Return the unbiased estimate that one of k samples is right, from `correct` right ones of n: 1 - C(n-c,k)/C(n,k).

    Raises:
        ValueError: k is above n.
    """
    if not 0 <= correct <= n or not 1 <= k <= n:
        msg = f"pass@{k} of {correct} right samples of {n}: it wants 0 <= correct <= n and 1 <= k <= n"
        raise ValueError(msg)
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def above_chance(accuracy: float, guess_rate: float) -> float:
    """Return an accuracy corrected for chance, (accuracy - guess) / (1 - guess): 1 is perfect, 0 is guessing.

    Below guessing it is negative (ours: SATURN does not correct, and 22 of its 40 published cells are below chance).
    """
    return (accuracy - guess_rate) / (1 - guess_rate) if guess_rate < 1 else float("nan")
