"""`construct`: problems made by rule, with the certificate of their answer (SRC `construct` of the specification)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa

from curator import prompts, rows
from curator.errors import CheckError, InputError
from curator.op import Result, SourceFn, operator

Levels = list[tuple[int, int, int]]
TRAIN: Levels = [(3, 5, 5), (3, 5, 6), (3, 5, 13), (3, 5, 15)]
SAT = {
    "n_sat": pa.int32(), "k": pa.int32(), "l": pa.int32(), "clause": pa.list_(pa.list_(pa.int32())),
    "n_solutions": pa.int32(), "guess_rate": pa.float64(), "sat_difficulty": pa.float64(),
}  # fmt: skip
ADDS = {**rows.types(("row_id", "problem_id", "problem", "answer", "solution", "domain")), **SAT}


def columns(_settings: Mapping[str, Any]) -> dict[str, pa.DataType]:
    """Return the columns of the problems."""
    return dict(ADDS)


@operator("source", effect="shapes", version=1, adds=lambda _s: ADDS)
def construct(
    *,
    kind: Literal["saturn"] = "saturn",
    levels: Levels = TRAIN,
    n: int = 100,
    max_guess_rate: float | None = None,
    seed: int | None = None,
) -> SourceFn:
    """Construct problems by rule: `saturn` makes `n` satisfiability problems at each level (n_sat, k, l).

    A problem has `l` different clauses of `n_sat` of `k` letters, all met by a planted assignment (`solution`, and
    `answer`). Any assignment that meets them is right: `verify: {kind: sat}`. `n_solutions` counts them all (by trying,
    up to 16 letters), `guess_rate` is their share of the 2^k assignments: what a random answer scores. SATURN's
    difficulty D (`sat_difficulty`) does not see that: at (6,7,40) half of all answers are right, and all four models
    published score below guessing, so accuracies want to be corrected for chance (`max_guess_rate`, and
    pipelines/saturn.yaml). Row i of a level is a function of seed, level and i.

    Args:
        kind: saturn (github.com/gtxygyzb/Saturn-code), the only one so far.
        levels: (n_sat, k, l) each; default: SATURN's four training levels.
        n: problems a level (SATURN trains on 250, 250, 500 and 500).
        max_guess_rate: construct again what a random answer meets more often; null takes all, as published.
        seed: default is the pipeline's seed.

    Raises:
        CheckError: a level that has no problems, or `max_guess_rate` out of range or with too many letters to count.
        InputError: no more different problems, or none that is hard enough to guess.
    """
    from curator.sat import COUNTED, Level

    found = [Level(*level) for level in levels]
    if n < 0 or not found:
        msg = f"construct: n is {n} and levels {list(levels)}; n must be 0 or more, and there must be a level"
        raise CheckError(msg)
    for level in found:
        if fault := level.fault():
            msg = f"construct: level ({level.n}, {level.k}, {level.l}) {fault}"
            raise CheckError(msg)
    if max_guess_rate is not None and (not 0 < max_guess_rate <= 1 or any(x.k > COUNTED for x in found)):
        msg = f"construct: max_guess_rate is {max_guess_rate}; it wants (0, 1], and at most {COUNTED} letters"
        raise CheckError(msg)

    def run() -> Iterator[Result]:
        for level in dict.fromkeys(found):
            made = _level(level, n, max_guess_rate, seed or 0)
            yield Result(pa.Table.from_pylist(made, pa.schema(list(ADDS.items()))))

    return run


def sized(settings: Mapping[str, Any], size: Any) -> dict[str, Any]:
    """Return the settings with `size(n)` problems a level, for a preview."""
    return {**settings, "n": size(settings["n"])}


def _level(level: Any, n: int, most: float | None, seed: int) -> list[dict[str, Any]]:
    """Return the rows of a level, no two with the same clauses."""
    import random

    from curator import sat
    from curator.text import seed_of

    made: list[dict[str, Any]] = []
    seen: set[Any] = set()
    name = f"{level.n}-{level.k}-{level.l}"
    for i in range(n):
        chance = random.Random(seed_of(seed, "saturn", name, i))
        tried = (sat.construct(level, chance) for _ in range(sat.TRIES))
        fit = (p for p in tried if p.clauses not in seen and (most is None or (p.guess_rate or 0) <= most))
        problem = next(fit, None)
        if problem is None:
            msg = f"construct: no other problem of level ({name}) in {sat.TRIES} tries"
            more = f" with a guess rate of at most {most}; raise max_guess_rate or l" if most is not None else ""
            msg += more or f"; ask for fewer than n: {n}"
            raise InputError(msg)
        seen.add(problem.clauses)
        text = prompts.fill(
            prompts.SATURN, formula=sat.formula(problem.clauses), letters=", ".join(sat.LETTERS[: level.k]),
            k=str(level.k),
        )  # fmt: skip
        row_id = f"sat-{name}-{i:05d}"
        made.append(
            {"row_id": row_id, "problem_id": row_id, "problem": text, "answer": problem.solution,
             "solution": problem.solution, "domain": "sat", "n_sat": level.n, "k": level.k, "l": level.l,
             "clause": [list(c) for c in problem.clauses], "n_solutions": problem.n_solutions,
             "guess_rate": problem.guess_rate, "sat_difficulty": level.difficulty}
        )  # fmt: skip
    return made
