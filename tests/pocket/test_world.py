"""The problem source: exact answers, reproducible rows, disjoint splits, planted rows that tell the truth."""

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.pocket import solver, world
from curator.pocket.grammar import LIMIT, NAMES, apply, draw


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Compute 47 + 38.", "85"),
        ("What is (47 + 38) * 3 - 12?", "243"),
        ("Find the value of 8 - 3 - 2.", "3"),
        ("Compute 8 - (3 - 2).", "7"),
        ("Compute 2 + 3 * 4.", "14"),
        ("Find the remainder when 10 + 5 is divided by 4.", "3"),
        ("Anna has 5 apples. Anna buys 3 more. How many apples does Anna have now?", "8"),
        ("Ben buys 4 bags of 12 pens each. Ivy is no name. How many pens does Ben have now?", None),
        ("Ben buys 4 bags of 12 pens each. Zoe is 30 years old. How many pens does Ben have now?", "48"),
        ("Iris has 10 nuts. Leon has 4 fewer nuts than Iris. How many nuts do they have together?", "16"),
        ("Paul walks for 2 hours and 35 minutes. How many minutes does Paul walk in all?", "155"),
        ("Anna has 5 apples. Ben buys 3 more. How many apples does Anna have now?", None),
        ("Anna has 5 apples. Anna loses 3 pears. How many apples does Anna have now?", None),
        ("Anna has 5 apples. Anna sells 9. How many apples does Anna have now?", None),
        ("Compute 7 / 2.", None),
        ("Compute 3 +.", None),
        ("Compute (3 + 4.", None),
        ("Compute 3 4.", None),
        ("Compute __import__('os').", None),
        ("", None),
    ],
)
def test_solve_by_hand(text, answer):
    assert world.solve(text) == answer


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 8))
def test_solver_reads_what_the_generator_writes(seed, n_ops):
    problem = draw(random.Random(seed), n_ops)
    parsed = solver.parse(problem.text)
    assert parsed is not None
    assert parsed.steps == problem.steps
    assert parsed.plan == problem.plan
    assert len(problem.steps) == n_ops
    for step in problem.steps:
        assert apply(step.op, step.a, step.b) == step.c
        assert 0 <= step.c <= LIMIT


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6))
def test_expressions_agree_with_python(seed):
    rng = random.Random(seed)
    while (problem := draw(rng, 4)).kind != "expression" or "remainder" in problem.text:
        pass
    expression = problem.text.removeprefix("Compute ").removeprefix("What is ").removeprefix("Find the value of ")
    assert eval(expression.rstrip(".?")) == int(problem.answer)


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200) | st.text("0123456789+-*/() .", max_size=60).map("Compute {}.".format))
def test_solver_survives_anything(text):
    assert solver.solve(text) is None or solver.solve(text).isdigit()


def test_rows_do_not_depend_on_how_many_are_asked():
    long = list(world.rows("pocket", 60))
    assert list(world.rows("pocket", 25)) == long[:25]
    assert list(world.rows("pocket", 25, seed=1)) != long[:25]
    assert len({r["id"] for r in long}) == 60
    assert len(list(world.rows("pocket"))) == 200


def test_rows_carry_the_exact_answer():
    for split in world.SPLITS:
        for row in world.rows(split, 80):
            assert world.solve(row["problem"]) == row["answer"]


def test_splits_are_disjoint_up_to_names_and_wording():
    keys = {}
    for split in world.SPLITS:
        rows = [r for r in world.rows(split, 400) if r["planted"] != "contaminated"]
        keys[split] = {solver.parse(r["problem"]).key for r in rows}
    assert not keys["pocket"] & keys["pocket-eval"]
    assert not keys["pocket"] & keys["pocket-train"]
    assert not keys["pocket-eval"] & keys["pocket-train"]


def test_key_ignores_names():
    a = solver.parse("Anna has 5 apples. Anna buys 3 more. How many apples does Anna have now?")
    b = solver.parse("Ben owns 5 pens. Ben finds 3 more pens. How many pens does Ben have in the end?")
    assert a.key == b.key
    assert world.split_of(a) == world.split_of(b)


def test_planted_rows_repeat_what_they_name():
    rows = {r["id"]: r for r in world.rows("pocket", 1500)}
    rows |= {r["id"]: r for r in world.rows("pocket-eval", 200)}
    kinds = {}
    for row in rows.values():
        if not row["planted"]:
            assert row["planted_of"] == ""
            continue
        kinds[row["planted"]] = kinds.get(row["planted"], 0) + 1
        source = rows[row["planted_of"]]
        assert not source["planted"]
        assert solver.parse(row["problem"]).key == solver.parse(source["problem"]).key
        assert (row["problem"] == source["problem"]) or row["planted"] != "duplicate"
        assert (row["problem"] != source["problem"]) or row["planted"] != "near_duplicate"
        assert row["planted_of"].startswith("pe-") == (row["planted"] == "contaminated")
    assert set(kinds) == {"duplicate", "near_duplicate", "contaminated"}
    assert 0.06 < sum(kinds.values()) / 1500 < 0.14
    assert all(r["planted"] in ("", "contaminated") or r["source"] == "pocket" for r in rows.values())


def test_unknown_split_is_named():
    with pytest.raises(ValueError, match="pocket-evil.*pocket-eval"):
        list(world.rows("pocket-evil", 1))


def test_stories_keep_their_people_apart():
    for i in range(200):
        problem = world.make("pocket", i)
        if problem.names:
            assert set(problem.names) <= set(NAMES)
            assert problem.names[0] in problem.text


def test_world_needs_no_heavy_import():
    code = "import sys, curator.pocket.world; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
