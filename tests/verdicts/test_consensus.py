"""Classes under an equivalence that is not transitive, and who wins; the specification's fixtures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.verdicts.consensus import classes, winners

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "specs" / "golden.json"


def golden(name):
    if not GOLDEN.exists():
        return []
    groups = json.loads(GOLDEN.read_text())["groups"]
    groups = groups.values() if isinstance(groups, dict) else groups
    return next(g["cases"] for g in groups if g["id"] == name)


def near(pairs):
    return [abs(int(a) - int(b)) <= 1 for a, b in pairs]


def equal(pairs):
    return [a == b for a, b in pairs]


def greedy(answers, same):
    """The independent oracle: one at a time, against the first member of every class."""
    found = []
    for i, a in enumerate(answers):
        if a is None:
            continue
        home = next((c for c in found if a == answers[c[0]] or same([(answers[c[0]], a)])[0]), None)
        if home is None:
            found.append([i])
        else:
            home.append(i)
    return found


@pytest.mark.skipif(not GOLDEN.exists(), reason="the specification is not there (../shared/specs)")
def test_golden_classes_and_majorities():
    assert golden("vote_non_transitive")
    for case in golden("vote_non_transitive"):
        answers = [None if a is None else str(a) for a in case["answers"]]
        assert classes([answers], near) == [case["classes"]]
    for case in golden("majority_filter"):
        (found,) = classes([case["answers"]], equal)
        n = len(case["answers"])
        kept = {rule: sorted(i for w in winners(found, n, rule) for i in found[w]) for rule in ("published", "strict")}
        assert kept == {"published": case["legacy"], "strict": case["strict"]}


@pytest.mark.skipif(not GOLDEN.exists(), reason="the specification is not there (../shared/specs)")
def test_deepmath_three_of_three():
    cases = [c for c in golden("row_rules") if c["system"] == "DeepMath-103K" and c["input"]["source_answer"] is None]
    assert cases
    for case in cases:
        (found,) = classes([case["input"]["answers"]], equal)
        assert bool(winners(found, 3, "unanimous")) is case["output"]
    (found,) = classes([["4", "4", "3"]], equal)
    assert winners(found, 3, "unanimous") == []
    (found,) = classes([["4", "4", None]], equal)
    assert winners(found, 3, "unanimous") == []


answers = st.lists(st.one_of(st.none(), st.integers(0, 6).map(str)), max_size=9)


@given(st.lists(answers, max_size=4))
def test_many_problems_at_a_time_are_as_one_answer_after_the_other(problems):
    assert classes(problems, near) == [greedy(p, near) for p in problems]


@given(st.lists(answers, max_size=4))
def test_no_pair_is_compared_twice_or_with_itself(problems):
    seen = []

    def watched(pairs):
        seen.extend(pairs)
        return near(pairs)

    for problem in problems:
        seen.clear()
        classes([problem], watched)
        assert len(seen) == len(set(seen))
        assert all(a != b for a, b in seen)


@given(answers)
def test_laws_of_a_majority(problem):
    (found,) = classes([problem], near)
    n, with_answer = len(problem), sum(a is not None for a in problem)
    assert sum(map(len, found)) == with_answer
    won = {rule: winners(found, n, rule) for rule in ("strict", "decided", "unanimous", "plurality", "published")}
    assert all(len(won[r]) <= 1 for r in won if r != "published")
    assert set(won["unanimous"]) <= set(won["strict"]) <= set(won["decided"]) <= set(won["plurality"])
    assert all(2 * len(found[w]) > n for w in won["strict"])


def test_three_different_answers_all_pass_the_published_rule_only():
    (found,) = classes([["1", "5", "9"]], near)
    assert winners(found, 3, "published") == [0, 1, 2]
    assert winners(found, 3, "strict") == []
    assert winners(found, 3, "plurality") == [0]
