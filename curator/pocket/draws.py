"""Problems of the training split, harder as training goes on."""

from __future__ import annotations

import random
from collections.abc import Callable

from . import world
from .grammar import Problem, draw

# Weights of the number of operations at full difficulty (ours): oversamples what is learned last.
_OPS = {1: 11, 2: 23, 3: 25, 4: 18, 5: 11, 6: 6, 7: 3, 8: 3}


def draw_problem(rng: random.Random, hardness: float = 1.0, most: int = 8) -> Problem:
    """Return a problem of the training split; `hardness` 0..1 moves the weights from 1-2 operations to `_OPS`."""
    easy = {1: 50, 2: 40, 3: 10}
    weights = [hardness * w + (1 - hardness) * easy.get(n, 0) for n, w in _OPS.items()]
    return of_training(lambda: draw(rng, min(rng.choices(list(_OPS), weights)[0], most)))


def of_training(made: Callable[[], Problem]) -> Problem:
    """Return the first problem of the training split among those that `made` makes."""
    while world.split_of(problem := made()) != "pocket-train":
        pass
    return problem
