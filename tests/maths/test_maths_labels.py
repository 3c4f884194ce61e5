"""Labelled pairs that nobody here wrote: every file of the equivalence folder under its own convention."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import zstandard

from curator.maths.judge import judge
from curator.maths.rules import Rules

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "equivalence"
pytestmark = pytest.mark.skipif(not DATA.exists(), reason="needs ../shared/data/equivalence")


def rows(name: str) -> list[dict]:
    path = DATA / name
    lines = io.TextIOWrapper(zstandard.open(path, "rb")) if name.endswith("zst") else path.open()
    return [r for r in map(json.loads, lines) if r["expected_equal"] is not None]


def wrong(name: str, rules: list[Rules], labelled: list[dict]) -> list[tuple]:
    del name
    verdicts = judge([(r["gold"], r["pred"]) for r in labelled], rules=rules)
    return [
        (r["gold"], r["pred"], v)
        for r, v in zip(labelled, verdicts, strict=True)
        if r["expected_equal"] != (v.verdict == "correct")
    ]


def test_hendrycks_with_list_order():
    labelled = rows("hendrycks_math_equivalence.jsonl")
    assert wrong("hendrycks", [Rules(order=True)] * len(labelled), labelled) == []


def test_olympiadbench_with_the_tolerance_of_each_row():
    labelled = rows("olympiadbench_scoring.jsonl")
    given = [r.get("precision", []) for r in labelled]
    rules = [Rules(atol=tuple(map(float, g if isinstance(g, list) else [g]))) for g in given]
    assert wrong("olympiadbench", rules, labelled) == []


def test_real_answers():
    """False positives <= 0.2 %, false negatives <= 1 % with undecided ones among them."""
    labelled = rows("model_answer_pairs.jsonl.zst")
    found = wrong("answers", [Rules()] * len(labelled), labelled)
    positives = [w for w in found if w[2].verdict == "correct"]
    equal = sum(r["expected_equal"] for r in labelled)
    assert len(positives) <= 0.002 * (len(labelled) - equal), positives
    assert len(found) - len(positives) <= 0.01 * equal, found
