from __future__ import annotations

import pytest

from curator.prompts import COMPRESS, GENERATE
from curator.text import fields, seed_of, split_think


@pytest.mark.parametrize(
    ("trace", "think", "response", "closed"),
    [
        ("<think>a\nb</think>\nc", "a\nb", "c", True),
        ("a</think>c", "a", "c", True),  # the opening tag stayed in the prompt
        ("<think>a", "a", "", False),
        ("a", None, "a", True),
        ("<think>a</think>b</think>c", "a</think>b", "c", True),
    ],
)
def test_split_think(trace, think, response, closed):
    assert split_think(trace) == (think, response, closed)


def test_fields_are_columns_and_not_latex_groups():
    assert fields(GENERATE) == ("problem",)
    assert fields(COMPRESS) == ("budget", "problem", "trace")
    assert fields(r"{problem} \frac{a}{b} x^{n} y_{k} \boxed{} {answer} {problem}") == ("problem", "answer")


def test_seeds_depend_on_every_part_and_fit_31_bits():
    seeds = {seed_of(s, p, i) for s in (0, 1) for p in ("a", "b") for i in range(50)}
    assert len(seeds) == 200
    assert all(0 <= s < 2**31 for s in seeds)
    assert seed_of(0, "a", 1) == seed_of(0, "a", 1)
    assert seed_of("a", "b") != seed_of("ab", "")
