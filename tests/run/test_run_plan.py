import pytest
from run_stand_ins import chain, step

import curator as cu
from curator.errors import InputError
from curator.run.local import run
from curator.run.plan import plan, sample
from curator.run.preview import preview
from curator.run.rehearsal import LONG
from curator.sandbox.judge import refusal


def pipeline(tmp_path, count=400, n=2, **source):
    prices = tmp_path / "prices.yaml"
    prices.write_text("version: test\nmodels: {small: {input: 1.0, output: 10.0}}\n")
    return chain(
        step("t_numbers", count=count, **source),
        step("t_even"),
        step("t_ask", engine="teacher", n=n),
        step("t_double"),
        step("t_shorten", engine="teacher"),
        step("t_dump"),
        engines={"teacher": {"function": "run_stand_ins:reply", "model": "small", "prices": str(prices)}},
        kind="replay",
    )


def test_a_plan_counts_before_anything_is_asked(tmp_path):
    found = plan(pipeline(tmp_path), tmp_path / "r", store=tmp_path / "store")
    assert not (tmp_path / "r").exists()
    assert not (tmp_path / "store").exists()
    steps = {s.step: s for s in found.steps}
    assert found.rows == 400
    assert (steps["numbers"].rows_out, steps["numbers"].exact) == (400, True)
    assert not steps["even"].exact
    assert steps["even"].rows_out == pytest.approx(200, rel=0.35)
    ask = steps["ask"]
    assert ask.requests == 2 * ask.rows_in == ask.rows_out
    assert (ask.stored, ask.basis, ask.tokens_out) == (0, "at most (max_tokens)", 4096 * ask.requests)
    assert ask.tokens_in == pytest.approx(ask.rows_in * 5, rel=0.3)  # "think: 17 + 1 = ?" is 17 characters
    assert ask.cost == pytest.approx((ask.tokens_in + 10 * ask.tokens_out) / 1e6)
    # Its prompt quotes an answer that nobody has seen yet: counted with the length planned for it.
    assert steps["shorten"].tokens_in == pytest.approx(steps["shorten"].requests * 4096, rel=0.05)
    assert found.cost == pytest.approx(ask.cost + steps["shorten"].cost)
    assert found.seconds is None
    text = str(found)
    assert "max" in text
    assert "~" in text
    assert LONG not in text


def test_a_plan_after_a_run_knows_the_store_and_the_lengths(tmp_path):
    page = pipeline(tmp_path, count=40)
    run(page, tmp_path / "r", store=tmp_path / "store", workers=0)
    again = {s.step: s for s in plan(page, tmp_path / "r", store=tmp_path / "store").steps}
    assert (again["ask"].requests, again["ask"].stored, again["ask"].cost) == (40, 40, 0.0)
    assert (again["shorten"].requests, again["shorten"].stored) == (40, 40)
    more = {s.step: s for s in plan(pipeline(tmp_path, count=40, n=4), tmp_path / "r", store=tmp_path / "store").steps}
    assert (more["ask"].requests, more["ask"].stored) == (80, 40)
    assert (more["ask"].basis, more["ask"].tokens_out) == ("stored answers", 40 * 40)
    other = plan(pipeline(tmp_path, count=40), tmp_path / "r", store=tmp_path / "another")
    assert other.steps[2].basis == "an earlier run"
    assert other.steps[2].seconds is not None


def test_an_input_without_rows_cannot_be_planned(tmp_path):
    with pytest.raises(InputError, match="no rows"):
        plan(pipeline(tmp_path, count=0), tmp_path / "r")


def test_the_sample_does_not_depend_on_the_order_of_the_input(tmp_path):
    one = sample(pipeline(tmp_path), None)[1]["row_id"].to_pylist()
    other = sample(pipeline(tmp_path, reverse=True, batch=7), None)[1]["row_id"].to_pylist()
    assert len(one) == 50
    assert sorted(one) == sorted(other)


def test_a_preview_shows_filled_prompts_and_rows_and_writes_nothing(tmp_path):
    found = preview(pipeline(tmp_path), rows=3, store=tmp_path / "store", folder=tmp_path / "r")
    assert not (tmp_path / "r").exists()
    assert [s.step for s in found.steps] == ["numbers", "even", "ask", "double", "shorten"]
    assert [a.prompt for a in found.asked if "think" in a.prompt][0] == "[user]\nthink: 0 + 1 = ?"
    assert [r["row_id"] for r in found.steps[1].dropped] == ["p-1"]
    assert found.steps[3].rows[0] == {"row_id": "p-0/0", "double": 0}
    text = str(found)
    assert "think: 2 + 1 = ?" in text
    assert "dropped p-1: odd" in text


def test_a_plan_of_a_search_counts_every_rollout_of_every_thought(tmp_path):
    """Rehearsed traces change their mind, and rehearsed rollouts are never better: the most a search can ask."""
    from curator.run.rehearsal import THOUGHTS

    teacher = cu.engine("pocket", alias="teacher")
    search = cu.read(path="builtin:pocket", n=6) | cu.generate(engine=teacher) | cu.retro_search(engine=teacher)
    steps = {s.step: s for s in plan(search, tmp_path / "r", store=tmp_path / "store").steps}
    assert steps["generate"].requests == 6
    assert steps["retro_search"].requests == 6 * 2 * (THOUGHTS - 1)


@pytest.mark.skipif(refusal() is not None, reason=f"no isolation here: {refusal()}")
@pytest.mark.parametrize("prefix", ["", "<think>\n", "<think>\nI add.\n```python\n"])
def test_a_tool_loop_is_planned_with_all_the_runs_it_may_have(tmp_path, prefix):
    teacher = cu.engine("replay", alias="teacher", function="run_stand_ins:reply")
    loop = cu.read(path="builtin:pocket", n=6) | cu.tool_loop(
        engine=teacher, n=2, prefix=prefix, budget=3, max_tokens=1000
    )
    steps = {s.step: s for s in plan(loop, tmp_path / "r", store=tmp_path / "store").steps}
    assert steps["tool_loop"].requests == 6 * 2 * (3 + 1)
    assert steps["tool_loop"].tokens_out == pytest.approx(6 * 2 * 1000, rel=0.05)
