"""The problem source of the pocket world: `builtin:pocket`, `builtin:pocket-eval`, `builtin:pocket-train`.

Row i of a split is a function of (split, seed, i) alone, so any size is reproducible and a row costs O(1). The splits
are disjoint by construction: the hash of a problem's arithmetic (`Problem.key`, blind to names and wording) decides
the one split that it may appear in, and a draw that belongs elsewhere is thrown away. The only crossings are planted:
a small share of the rows of `pocket` repeats an earlier row or a row of `pocket-eval`, and says so in `planted` and
`planted_of`, so that dedup and decontamination have something true to find.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace

from . import grammar
from .grammar import NAMES, PREFIXES, Problem
from .solver import solve

__all__ = ["DEFAULT_ROWS", "MIX", "SPLITS", "make", "rows", "solve", "split_of"]

# Shares of 100 hash buckets, ours: the splits that are only read small, the training split large.
SPLITS = {"pocket-eval": (0, 15), "pocket": (15, 40), "pocket-train": (40, 100)}
DEFAULT_ROWS = {"pocket": 200, "pocket-eval": 500, "pocket-train": 1000}
_SHORT = {"pocket-eval": "pe", "pocket": "p", "pocket-train": "pt"}

MIX: dict[int, float] = {1: 7, 2: 8, 3: 10, 4: 11, 5: 16, 6: 13, 7: 17, 8: 18}
"""Weights of the number of operations in every split: chosen (ours) so that pass rates of the model spread."""

# Shares of planted rows in `pocket` (ours).
PLANTED = (("duplicate", 0.02), ("near_duplicate", 0.05), ("contaminated", 0.03))


def _rng(*parts: object) -> random.Random:
    digest = hashlib.blake2b("\x00".join(map(str, parts)).encode(), digest_size=8).digest()
    return random.Random(int.from_bytes(digest, "big"))


def split_of(problem: Problem) -> str:
    """Return the one split in which this arithmetic may appear."""
    bucket = int.from_bytes(hashlib.blake2b(problem.key.encode(), digest_size=8).digest(), "big") % 100
    return next(name for name, (low, high) in SPLITS.items() if low <= bucket < high)


def _unknown(split: str) -> str:
    return f"unknown pocket split {split!r}; there are {', '.join(SPLITS)}"


def make(split: str, index: int, seed: int = 0, n_ops: int | None = None) -> Problem:
    """Return problem `index` of a split, before planting; `n_ops` overrides the mix (another problem then)."""
    if split not in SPLITS:
        raise ValueError(_unknown(split))
    rng = _rng(split, seed, index, n_ops)
    count = n_ops or rng.choices(list(MIX), list(MIX.values()))[0]
    while True:
        problem = grammar.draw(rng, count)
        if split_of(problem) == split:
            return problem


def _planted_kind(seed: int, index: int) -> str:
    """Return which kind of planted row `index` of `pocket` is, "" for most."""
    if index < 10:
        return ""
    point = _rng("plant", seed, index).random()
    for kind, share in PLANTED:
        if point < share:
            return kind
        point -= share
    return ""


def _reworded(problem: Problem, rng: random.Random) -> Problem:
    """Return the same problem with one name changed or a phrase before it."""
    text = problem.text
    others = [name for name in NAMES if name not in text]
    if problem.names and rng.random() < 0.5:
        text = text.replace(problem.names[0], rng.choice(others))
    else:
        text = rng.choice(PREFIXES[1:]) + text
    return replace(problem, text=text)


def _source(index: int, seed: int, kind: str) -> tuple[str, Problem]:
    """Return (id, problem) of what a planted row repeats: an unplanted earlier row, or one of the first 200 of eval."""
    rng = _rng("of", seed, index)
    if kind == "contaminated":
        of = rng.randrange(200)
        return f"pe-{of:06d}", make("pocket-eval", of)
    while True:
        of = rng.randrange(index)
        if not _planted_kind(seed, of):
            return f"p-{of:06d}", make("pocket", of, seed)


def row(split: str, index: int, seed: int = 0) -> dict[str, str | int]:
    """Return row `index` of a split (the columns of `rows`)."""
    planted = _planted_kind(seed, index) if split == "pocket" else ""
    if planted:
        planted_of, problem = _source(index, seed, planted)
        rng = _rng("reword", seed, index)
        if planted == "near_duplicate" or (planted == "contaminated" and rng.random() < 0.5):
            problem = _reworded(problem, rng)
    else:
        planted_of, problem = "", make(split, index, seed)
    return {
        "id": f"{_SHORT[split]}-{index:06d}",
        "problem": problem.text,
        "answer": problem.answer,
        "domain": "math",
        "source": split,
        "n_ops": problem.n_ops,
        "level": problem.level,
        "kind": problem.kind,
        "planted": planted,
        "planted_of": planted_of,
    }


def rows(split: str, n: int | None = None, seed: int = 0) -> Iterator[dict[str, str | int]]:
    """Yield the first `n` rows of a split (default `DEFAULT_ROWS`).

    Columns: `id`, `problem`, `answer` (decimal digits), `domain` ("math"), `source` (the split), `n_ops` (operations
    of the exact solution), `level` (easy, medium, hard by `Problem.level`'s fixed rule), `kind` (story, pair, time,
    expression), `planted` ("", "duplicate", "near_duplicate", "contaminated") and `planted_of` (the id repeated).
    Rows of `pocket-eval` that are repeated are those of seed 0.
    """
    if split not in SPLITS:
        raise ValueError(_unknown(split))
    for index in range(DEFAULT_ROWS[split] if n is None else n):
        yield row(split, index, seed)
