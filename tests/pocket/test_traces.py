"""Traces and rewrites by program: right arithmetic in every line, the shapes that the operators expect."""

import random
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import prompts
from curator.engines.protocol import Completion
from curator.ops._same import said
from curator.pocket import draws, tasks, traces
from curator.pocket.grammar import Step, draw
from curator.pocket.solver import parse
from curator.verdicts import judge

_EQUATION = re.compile(r"(?<![\d.])(\d+(?:[-+*/]\d+)+|\d+ mod \d+)=(\d+)(?: rest (\d+))?")


def _wrong(text):
    """Return the equations of a text that are false."""
    out = []
    for left, right, rest in _EQUATION.findall(text):
        if "mod" in left:
            a, b = map(int, left.split(" mod "))
            good = a % b == int(right)
        elif rest:
            a, b = map(int, left.split("/"))
            good = divmod(a, b) == (int(right), int(rest))
        else:
            good = eval(left) == int(right)
        if not good:
            out.append(f"{left}={right}")
    return out


@pytest.mark.parametrize(
    ("step", "text"),
    [
        (Step("+", 47, 38, 85), "7+8=15, 4+3+1=8"),
        (Step("+", 7, 98, 105), "7+8=15, 0+9+1=10"),
        (Step("-", 403, 58, 345), "13-8=5, 10-5-1=4, 4-0-1=3"),
        (Step("*", 347, 6, 2082), "7*6=42, 4*6+4=28, 3*6+2=20"),
        (Step("/", 2082, 6, 347), "2/6=0 rest 2, 20/6=3 rest 2, 28/6=4 rest 4, 42/6=7 rest 0"),
        (Step("mod", 17, 5, 2), "1/5=0 rest 1, 17/5=3 rest 2"),
    ],
)
def test_digit_work_by_hand(step, text):
    assert traces.work(step) == (text, step.c)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9), st.integers(1, 7))
def test_taught_lines_are_true_and_slips_are_not(seed, n_ops):
    rng = random.Random(seed)
    problem = draw(rng, n_ops)
    parts = traces.long_trace(problem, rng)
    assert not _wrong("\n".join(part.text for part in parts if part.taught))
    for part in parts:
        assert part.taught or _wrong(part.text)
        assert "\n" not in part.text
    assert parts[-1].text == f"The answer is {problem.answer}."


def test_traces_switch_and_go_astray_often_enough():
    rng = random.Random(0)
    made = [traces.long_trace(draw(rng, 3), rng) for _ in range(300)]
    texts = [traces.think_text(parts) for parts in made]
    for word, least in (("Wait", 0.8), ("Alternatively", 0.6), ("Hmm", 0.1)):
        assert sum(bool(re.search(rf"^{word}\b", t, re.M)) for t in texts) / 300 >= least
    assert 0.04 < sum(not all(p.taught for p in parts) for parts in made) / 300 < 0.2


def test_straight_traces_have_no_switch():
    rng = random.Random(1)
    for _ in range(50):
        text = traces.think_text(traces.long_trace(draw(rng, 4), rng, straight_from=0))
        assert not any(word in text for word in traces.SWITCHES)


@pytest.mark.parametrize("level", prompts.LEVELS)
def test_rewrite_has_the_sections_of_its_level(level):
    problem = draw(random.Random(2), 3)
    text = traces.rewrite(problem, level)
    assert text.startswith(f"DIFFICULTY: {level}\n")
    assert re.findall(r"^\*\*(.+)\*\*$", text, re.M) == [*prompts.SECTIONS[level], "Solution"]
    assert text.endswith(f"\\boxed{{{problem.answer}}}")
    assert all(step.equation() in text for step in problem.steps)
    assert not _wrong(text)


def test_every_task_uses_the_package_prompts():
    rng = random.Random(3)
    seen = {}
    for _ in range(700):
        made = tasks.example(rng, part=2)
        seen.setdefault(made.task, []).append(made)
    assert set(seen) == set(tasks.TASKS)
    endings = {
        "solve": prompts.GENERATE.rpartition("}")[2],
        "judge": "Reply with one line: DIFFICULTY: and the level.",
        "propose": "Reply with the problem only.",
        "same_answer": "Reply with one word, yes or no.",
    }
    for task, ending in endings.items():
        share = sum(e.prompt.endswith(ending) for e in seen[task]) / len(seen[task])
        assert 0.6 < share <= 1
    assert any("Long solution:\nWe need" in e.prompt for e in seen["compress"])


def test_hardness_moves_the_number_of_operations():
    easy = [draws.draw_problem(random.Random(i), 0.0).n_ops for i in range(100)]
    hard = [draws.draw_problem(random.Random(i), 1.0).n_ops for i in range(100)]
    assert max(easy) <= 3
    assert sum(hard) / 100 > sum(easy) / 100 + 1


@pytest.mark.parametrize(
    ("first", "second", "reply"),
    [
        ("42", "42", "4:4\n2:2\nyes"),
        ("42", "43", "4:4\n2:3\nno"),
        ("42", "421", "4:4\n2:2\n-:1\nno"),
        ("7", "8", "7:8\nno"),
    ],
)
def test_yes_or_no_is_said_after_a_comparison(first, second, reply):
    assert tasks.compared(list(first), list(second)) == reply
    answer = {"yes": True, "no": False}
    assert judge.read(reply, judge.Reading(answer)) is answer[reply.rpartition("\n")[2]]
    assert said(Completion(reply, "stop")) == reply.rpartition("\n")[2]


def test_same_problem_goes_by_the_exact_solution():
    rng, seen = random.Random(4), []
    for _ in range(120):
        made = tasks.same_problem(rng, 1.0)
        first, second = re.search(r"First problem:\n(.*)\n\nSecond problem:\n(.*)\n\nReply", made.prompt).groups()
        same = parse(first).key == parse(second).key
        assert made.parts[0].text.endswith("yes" if same else "no")
        seen.append(same)
    assert 0.35 < sum(seen) / len(seen) < 0.65


def test_right_first_begins_to_the_right():
    rng = random.Random(5)
    for _ in range(30):
        made = tasks.right_first(rng, 1.0)
        trace = "".join(part.text for part in made.parts)
        begun = re.search(r"First (\S+):", trace)[1]
        plan = re.search(r"We need (\S+)\.\n", trace)[1]
        assert begun in plan
        assert not plan.lstrip("(").startswith(begun)
