"""When a rollout is better: proven equal to "correct and strictly fewer steps" for right and wrong alone."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.retro import rule
from curator.retro.choice import Limits, Tried, choose
from curator.retro.trace import Trace, split
from curator.spans.thoughts import compiled, count_steps

STEPS = st.integers(0, 10**6)
GAMMA = st.floats(0, 1, exclude_min=True, exclude_max=True).filter(lambda g: math.log(g) < 0)
WORDS = compiled()


@settings(deadline=None)
@given(STEPS, STEPS, st.booleans(), GAMMA)
def test_with_right_and_wrong_alone_it_is_correct_and_strictly_fewer_steps(new, old, correct, gamma):
    assert rule.better(new, old, float(correct), 1.0, gamma) == (correct and new < old)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60), st.floats(0.01, 1), st.floats(0.01, 1), st.floats(0.2, 0.99))
def test_it_compares_the_values_of_the_paper(new, old, reward, reward_old, gamma):
    a, b = gamma**new * reward, gamma**old * reward_old
    if not math.isclose(a, b, rel_tol=1e-9):
        assert rule.better(new, old, reward, reward_old, gamma) == (a > b)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=6),
    st.integers(0, 60),
)
def test_the_mean_of_values(tried, old):
    mean = sum(0.9**n * r for n, r in tried) / len(tried)
    if not math.isclose(mean, 0.9**old, rel_tol=1e-9):
        assert rule.mean_better(tried, old, 1.0, 0.9) == (mean > 0.9**old)
    assert rule.mean_better([(10**6, 1.0)], 10**7, 1.0, 0.5)


def tried(i, *, steps, reward=1.0, old=5, tokens=None):
    return Tried(0, 1, i, 8, "t", "correct" if reward else "incorrect", reward, old, steps, *(tokens or (None, None)))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=5), st.integers(0, 9), GAMMA)
def test_of_several_the_correct_one_with_the_fewest_steps(rollouts, old, gamma):
    found = [tried(i, steps=n, reward=float(ok), old=old) for i, (n, ok) in enumerate(rollouts)]
    best = choose(found, Limits(rollouts=len(found), gamma=gamma))
    able = [(n, i) for i, (n, ok) in enumerate(rollouts) if ok and n < old]
    assert best == (min(able)[1] if able else None)
    assert [t.accepted for t in found] == [i == best for i in range(len(found))]
    assert all((t.why is None) == (t.accepted or t.reward == 0) for t in found)


def test_a_guard_on_tokens_and_tokens_as_the_unit():
    for tokens, unit, guard, accepted in [
        ((10, 12), "steps", False, True), ((10, 12), "steps", True, False), ((10, 10), "steps", True, True),
        ((10, 10), "tokens", False, False), ((10, 9), "tokens", True, True),
    ]:  # fmt: skip
        found = [tried(0, steps=3, tokens=tokens)]
        assert (choose(found, Limits(unit=unit, guard=guard)) == 0) is accepted
        assert (found[0].why is None) is accepted


def test_graded_rewards_are_weighed_against_steps():
    limits = Limits(graded=True, gamma=0.9)
    assert choose([tried(0, steps=1, reward=0.8, old=9)], limits) == 0
    worse = [tried(0, steps=8, reward=0.8, old=9)]
    assert choose(worse, limits) is None
    assert worse[0].why == "not of higher value"
    assert choose([tried(0, steps=3, reward=0.6, old=9), tried(1, steps=4, reward=1.0, old=9)], limits) == 1


def test_the_mean_rule_wants_more_than_one_lucky_rollout():
    limits = Limits(rollouts=4, average=True)
    lucky = [tried(0, steps=3), *(tried(i, steps=4, reward=0.0) for i in (1, 2, 3))]
    assert choose(lucky, limits) is None
    assert "mean" in lucky[0].why
    assert choose([tried(i, steps=3 + (i > 2)) for i in range(4)], limits) == 0


@pytest.mark.parametrize(
    ("think", "kept", "said"),
    [
        ("A.\n\nB.", "", None),
        (" \n\n", "", "empty"),
        ("again\n" * 10, "", None),
        ("again\n" * 11, "", "looping"),
        ("=====\n" * 20 + "x", "", None),
        ("A.\n\nB.", "x\n\nA.\n\n", "repeats"),
        ("A.\n\nB.", "xA.\n\ny", None),
        ("B.\n\nA.", "A.\n\n", None),
    ],
)
def test_what_is_not_worth_judging(think, kept, said):
    assert rule.degenerate(think, kept) == said


BITS = st.lists(
    st.sampled_from(["A", "Wait", "But", "\n\n", "\n", " ", "\r\n", "x.", "</think>", "<think>"]), max_size=14
)


@settings(deadline=None)
@given(BITS.map("".join), BITS.map("".join))
def test_a_replaced_trace_has_the_kept_steps_and_the_new_ones(middle, rollout):
    trace = Trace.of(f"<think>\nA.{middle}\n\nWait, B.\n</think>\n\n7", WORDS)
    rollout = "C" + rollout + "\n</think>\n\n8"
    for at in range(1, trace.n_thoughts):
        new = trace.replaced(at, rollout, WORDS)
        assert new.text == trace.head + trace.kept(at) + rollout
        assert new.n_steps == trace.outline.steps_through(at - 1) + count_steps(split(rollout)[0])
        again = Trace.of(new.text, WORDS)
        if "</think>" not in new.think:
            assert again == new
        assert trace.steps_after(at) == trace.n_steps - count_steps(trace.kept(at))
