from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from retro_stand import ABLE, STEPS, Replies, after, rows, search, table, trace_of

from curator.check import check_page
from curator.engines.protocol import BAD_WORDS, GENERATE, PREFIX, Completion
from curator.errors import CheckError
from curator.op import find
from curator.ops.retro_search import retro_search
from curator.retro.trace import Trace
from curator.spans.thoughts import PAPER, compiled
from curator.yaml_io import parse

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "specs" / "golden.json"
THREE = trace_of(STEPS)


@pytest.mark.skipif(not GOLDEN.exists(), reason="the specification's vectors are not there (../shared/specs)")
def test_golden_loop():
    group = next(g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "retro_search_loop")
    assert len(group["cases"]) == 4
    for case in group["cases"]:
        plans = {}
        for r in case["rollouts"]:
            end = [2, 4][r["tau"] - 1]
            plans[tuple(case["original_steps"][:end])] = (r["steps"], "7" if r["correct"] else "0")
        (row,) = rows(table(trace_of(case["original_steps"])), Replies(after(plans)))
        assert row["trace_revised"] == trace_of(case["final_steps"]), case["name"]
        assert row["accepted_positions"] == case["accepted_positions"]
        seen = Trace.of(row["trace_revised"], compiled()).outline
        ends = [*seen.thoughts[1:], len(seen.steps)]
        assert [b - a for a, b in zip(seen.thoughts, ends, strict=True)] == case["final_thoughts"]
        assert (row["n_thoughts_before"], row["n_steps_before"]) == (3, 5)
        assert row["stop_reason"] == "done"


def naive(steps, plans, words=PAPER):
    """The loop as specs core 4.2 writes it, on lists of steps."""
    find_word = compiled(words).find
    tau, trace = 1, list(steps)
    while True:
        opens = [0, *(i for i, s in enumerate(trace) if i and find_word(s))]
        if tau >= len(opens):
            return trace
        kept, tail = trace[: opens[tau]], trace[opens[tau] :]
        new, answer = plans.get(tuple(kept), (["nothing"], "0"))
        if answer == "7" and len(new) < len(tail) and not find_word(new[0]):
            trace = kept + list(new)
        tau += 1


STEP = st.sampled_from(["a", "b", "c", "Wait d", "Hmm e", "But f"])


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(STEP, min_size=1, max_size=8), st.integers(0, 10**6))
def test_the_search_is_the_loop_of_the_paper(data, steps, number):
    steps = [f"{s}{i}" for i, s in enumerate(steps)]
    chance, plans = random.Random(number), {}

    class Lazy(dict):  # a plan for whatever prefix comes up, always the same one
        def get(self, kept, default=None):
            if kept not in self:
                n = chance.randint(1, 5)
                self[kept] = (
                    [f"{chance.choice(['x', 'y', 'Wait z'])}{len(self)}.{k}" for k in range(n)],
                    chance.choice("70"),
                )
            return self[kept]

    plans = Lazy()
    expected = naive(steps, plans)
    (row,) = rows(table(trace_of(steps)), Replies(after(dict(plans))))
    assert row["trace_revised"] == trace_of(expected)
    assert row["n_steps_after"] == len(expected) <= row["n_steps_before"]
    assert row["changed"] == (expected != steps)
    assert row["n_accepted"] == sum(r["accepted"] for r in row["rollouts"])


def test_the_ban_covers_the_first_step_and_no_more():
    engine = Replies(after({("A1", "A2"): (["A3", "Wait D1"], "7")}))
    (row,) = rows(table(THREE), engine, seed=3)
    assert row["accepted_positions"] == [1]
    first, rest = engine.requests[:2]
    assert (first.sampling.stop, first.sampling.bad_words) == (("\n\n",), compiled().words)
    assert (rest.sampling.stop, rest.sampling.bad_words) == ((), ())
    assert first.prefix == "<think>\nA1\n\nA2\n\n"
    assert rest.prefix == first.prefix + "A3\n\n"
    assert len(engine.requests) == 2  # the next thought of the new trace is its last
    assert {r.sampling.temperature for r in engine.requests} == {1.0}
    assert {r.sampling.top_p for r in engine.requests} == {0.98}
    assert row["ban_route"] == "bad_words"


def test_seeds_hang_on_row_position_and_pass():
    engine = Replies(lambda prefix, sample: "Bad\n\n</think>\n\n\\boxed{0}")
    rows(table(THREE, THREE), engine, passes=2)
    firsts = [r.sampling.seed for r in engine.requests if r.sampling.stop]
    assert len(set(firsts)) == len(firsts) == 4  # nothing changed: no second pass
    again = Replies(lambda prefix, sample: "Bad\n\n</think>\n\n\\boxed{0}")
    rows(table(THREE, THREE), again, passes=2)
    assert sorted(r.sampling.seed for r in again.requests) == sorted(r.sampling.seed for r in engine.requests)


def test_a_step_that_opens_with_a_switch_word_all_the_same_is_no_continuation():
    (row,) = rows(table(THREE), Replies(lambda prefix, sample: "**Wait** no\n\nx\n</think>\n\n\\boxed{7}"))
    assert {r["verdict"] for r in row["rollouts"]} == {"no_continuation"}
    assert row["n_accepted"] == 0


def test_an_engine_that_cannot_ban_samples_first_steps():
    def say(prefix, sample):
        if prefix.endswith("A2\n\n"):
            return "Wait, no" if sample < 2 else "A3\n\n</think>\n\n\\boxed{7}"
        return "Hmm, no" if prefix.endswith("B2\n\n") else "\n</think>\n\n\\boxed{7}"

    engine = Replies(say, frozenset({GENERATE, PREFIX}))
    (row,) = rows(table(THREE), engine)
    assert (row["ban_route"], row["accepted_positions"]) == ("sampled", [1])
    asked = [(r.first_sample, r.n, bool(r.sampling.stop)) for r in engine.requests]
    assert asked == [(0, 1, True), (1, 1, True), (2, 1, True), (0, 1, False)]
    assert all(not r.sampling.bad_words and r.sampling.seed is None for r in engine.requests)
    never = Replies(lambda prefix, sample: "Hmm, no\n\n", frozenset({GENERATE, PREFIX}))
    (row,) = rows(table(THREE), never)
    assert [r["verdict"] for r in row["rollouts"]] == ["no_continuation"] * 2
    assert [r["text"] for r in row["rollouts"]] == ["Hmm, no\n\n"] * 2
    assert len(never.requests) == 8


def test_several_rollouts_share_one_request_and_the_shortest_right_one_wins():
    tails = ["A3\n\nA4\n</think>\n\n\\boxed{7}", "A5\n\n\n</think>\n\n\\boxed{7}", "A6\n\n</think>\n\n\\boxed{0}"]
    engine = Replies(lambda prefix, sample: tails[sample] if prefix.endswith("A2\n\n") else
                     next(t for t in tails if prefix.endswith(t[:2] + "\n\n"))[4:])  # fmt: skip
    (row,) = rows(table(THREE), engine, rollouts=3)
    assert row["accepted_positions"] == [1]
    assert [r["accepted"] for r in row["rollouts"]] == [False, True, False]
    assert [r["why"] for r in row["rollouts"]] == ["another rollout is as good or better", None, None]
    assert [r.n for r in engine.requests] == [3, 1, 1, 1]
    assert [r.first_sample for r in engine.requests] == [0, 0, 1, 2]


def test_partial_mode_begins_at_a_position_drawn_by_row_and_seed():
    steps = [f"{'Wait ' if i else ''}s{i}" for i in range(12)]
    given = table(*[trace_of(steps)] * 40)
    found = rows(given, Replies(lambda p, s: "no\n\n</think>\n\n\\boxed{0}"), mode="partial")
    starts = {r["start_thought"] for r in found}
    assert len(starts) > 6
    assert starts <= set(range(1, 12))
    for r in found:
        assert [t["position"] for t in r["rollouts"]] == list(range(r["start_thought"], 12))
    other = rows(given.slice(20), Replies(lambda p, s: "no\n\n</think>\n\n\\boxed{0}"), mode="partial")
    assert [r["start_thought"] for r in other] == [r["start_thought"] for r in found[20:]]


def test_passes_go_on_until_nothing_changes():
    long = trace_of(["A1", "Wait B1", "Wait C1", "Wait D1", "Wait E1"])
    calls = []

    def say(prefix, sample):
        if prefix.endswith("B1\n\n"):
            calls.append(prefix)
            return "S1\n\n" if prefix.count("\n\n") == 2 else "no"
        if prefix.endswith("S1\n\n"):
            return "Wait S2\n</think>\n\n\\boxed{7}"
        if prefix.endswith("A1\n\n"):
            return "Q1\n\n" if calls else "no\n\n"
        return "\n</think>\n\n\\boxed{7}" if prefix.endswith("Q1\n\n") else "</think>\n\n\\boxed{0}"

    (once,) = rows(table(long), Replies(say))
    assert once["accepted_positions"] == [2]
    calls.clear()
    (twice,) = rows(table(long), Replies(say), passes=5)
    assert twice["accepted_positions"] == [2, 1]
    assert [r["sweep"] for r in twice["rollouts"] if r["accepted"]] == [0, 1]
    assert twice["trace_revised"] == "<think>\nA1\n\nQ1\n\n\n</think>\n\n\\boxed{7}"


def test_caps():
    steps = [f"{'Wait ' if i else ''}s{i}" for i in range(9)]
    bad = Replies(lambda p, s: "no\n\n</think>\n\n\\boxed{0}")
    (row,) = rows(table(trace_of(steps)), bad, max_thoughts=3)
    assert (row["stop_reason"], row["n_rollouts"]) == ("max_thoughts", 3)
    (row,) = rows(table(trace_of(steps)), bad, max_rollouts=5, rollouts=2)
    assert (row["stop_reason"], row["n_rollouts"]) == ("max_rollouts", 4)


def none():
    return pa.array([None], pa.string())


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (table("Just \\boxed{7}, Wait\n\nWait"), "no_thinking"),
        (table("<think>\n\n</think>\n\n\\boxed{7}"), "no_thinking"),
        (table(None), "no_thinking"),
        (table("<think>\nA\n\nWait B"), "unclosed"),
        (table(trace_of(["A", "B"])), "one_thought"),
        (table(trace_of(STEPS, "8")), "original_wrong"),
        (table(THREE, correct=pa.array([False])), "original_wrong"),
        (table("<think>\nA\n\nWait B\n</think>\n\nno idea\nat all"), "original_undecided"),
        (table(THREE, answer=none()), "no_reference"),
        (table(THREE, answer=[""]), "no_reference"),
        (table(THREE, problem=none()), "no_problem"),
    ],
)
def test_rows_that_are_not_searched_go_on_as_they_are(given, reason):
    engine = Replies(lambda p, s: "x")
    (row,) = rows(given, engine)
    assert (row["stop_reason"], row["changed"], row["n_rollouts"]) == (reason, False, 0)
    assert row["trace_revised"] == row["trace"]
    assert (row["rollouts"], row["accepted_positions"]) == ([], [])
    assert (row["revision_model"], row["start_thought"]) == (None, None)
    assert engine.requests == []


def test_wrong_originals_can_be_dropped():
    result = search(table(THREE, trace_of(STEPS, "8")), Replies(lambda p, s: "x"), on_wrong="drop")
    assert result.table["row_id"].to_pylist() == ["r0"]
    assert result.dropped.to_pylist()[0] == {"row_id": "r1", "reason": "original_wrong", "evidence": "{}"}


def rollout(said, **settings):
    (row,) = rows(table(trace_of(["A1", "A2", "Wait B1", *"cdefghij"])), Replies(lambda p, s: said), **settings)
    (only,) = row["rollouts"]
    return only, row


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (Completion("A3", "length", 9), "truncated"),
        (Completion("", "error", error="503"), "engine_error"),
        (Completion("", "content_filter"), "engine_error"),
        ("\n</think>\n\n\\boxed{7}", "empty"),
        ("", "empty"),
        ("\n\n", "empty"),
        ("A2\n\n</think>\n\n\\boxed{7}", "repeats"),
        ("so\n" * 12 + "</think>\n\n\\boxed{7}", "looping"),
        ("A3, the answer is 7", "unclosed"),
        ("A3\n\n</think>\n\nno idea\nat all", "unparseable"),
        ("A3\n\n</think>\n\n\\boxed{8}", "incorrect"),
    ],
)
def test_bad_rollouts_have_a_name_and_change_nothing(said, verdict):
    if isinstance(said, str):
        one = Replies(lambda p, s: said if p.endswith("A2\n\n") else said.partition("\n\n")[2])
        (row,) = rows(table(trace_of(["A1", "A2", "Wait B1", *"cdefghij"])), one)
        (only,) = row["rollouts"]
    else:
        only, row = rollout(said)
    assert (only["verdict"], only["accepted"]) == (verdict, False)
    assert (row["changed"], row["stop_reason"]) == (False, "done")


def test_the_rest_of_a_rollout_may_be_cut_off_too():
    engine = Replies(lambda p, s: "A3\n\n" if p.endswith("A2\n\n") else Completion("and on", "length", 9))
    (row,) = rows(table(trace_of(["A1", "A2", "Wait B1"])), engine, max_tokens=50)
    assert row["rollouts"][0]["verdict"] == "truncated"
    assert row["rollouts"][0]["text"] == "A3\n\nand on"
    assert engine.requests[1].sampling.max_tokens == 49


@pytest.mark.parametrize("kind", ["kept", "vanished", "ignored", "echoed"])
def test_stop_strings_that_vanish_are_ignored_or_come_with_the_prefix(kind):
    """Four kinds of server; the search comes to the same trace, and the ban ends with the first step for all."""
    whole = "A3\n\nA4\n</think>\n\nIt is \\boxed{7}."

    def say(prefix, sample):
        rest = whole.removeprefix("A3\n\n") if prefix.endswith("A3\n\n") else whole
        return prefix + rest if kind == "echoed" else rest

    def answer(request, sample):
        said = say(request.prefix, sample)
        if kind == "ignored" or not request.sampling.stop:
            return said
        own = said.removeprefix(request.prefix)
        head = "A3" if kind == "vanished" else "A3\n\n"
        return request.prefix + head if kind == "echoed" else head if own.startswith("A3") else own

    engine = Replies(say)
    engine.answer = answer
    (row,) = rows(table(THREE), engine)
    assert row["trace_revised"] == "<think>\nA1\n\nA2\n\n" + whole
    assert [bool(r.sampling.bad_words) for r in engine.requests] == [True, False]


def test_the_answer_may_follow_at_once_where_no_empty_line_comes():
    engine = Replies(lambda p, s: "A3.\n</think>\nThe answer is \\boxed{7}.")
    (row,) = rows(table(THREE), engine)
    assert len(engine.requests) == 1
    assert row["trace_revised"] == "<think>\nA1\n\nA2\n\nA3.\n</think>\nThe answer is \\boxed{7}."


def test_a_trace_whose_template_opened_the_thinking():
    bare = THREE.removeprefix("<think>\n")
    engine = Replies(after({("A1", "A2"): (["A3"], "7")}))
    (row,) = rows(table(bare), engine)
    assert engine.requests[0].prefix == "<think>\nA1\n\nA2\n\n"
    assert row["trace_revised"] == trace_of(["A1", "A2", "A3"]).removeprefix("<think>\n")


def test_a_trace_of_two_megabytes_meets_the_context():
    steps = [f"{'Wait, ' if i % 40 == 1 else ''}{'word ' * 20}{i}" for i in range(20_000)]
    text = trace_of(steps)
    assert len(text) > 2e6
    engine = Replies(lambda p, s: "no\n\n</think>\n\n\\boxed{0}")
    engine.max_context = 4096
    (row,) = rows(table(text), engine)
    assert row["stop_reason"] == "too_long"
    assert 0 < row["n_rollouts"] < 10
    assert max(len(r.prefix.split()) for r in engine.requests) < 4096
    engine.max_context = None
    (row,) = rows(table(text), engine)
    assert (row["stop_reason"], row["n_rollouts"]) == ("max_thoughts", 64)


def test_the_guard_keeps_traces_from_growing():
    wordy = "A3 " + "and so on " * 50 + "\n\n</think>\n\n\\boxed{7}"
    engine = Replies(lambda p, s: wordy if p.endswith("A2\n\n") else "\n</think>\n\n\\boxed{7}")
    (row,) = rows(table(THREE), engine)
    assert row["changed"]
    assert row["tokens_after"] > row["tokens_before"]
    (row,) = rows(table(THREE), engine, guard=True)
    assert (row["changed"], row["rollouts"][0]["why"]) == (False, "fewer steps, but more tokens")


def test_tokens_are_counted_with_and_without_a_prefix_cache():
    def answer(request, sample):
        said = after({})(request.prefix, sample) if not request.sampling.stop else "N1\n\n"
        read = len(request.messages[0].content.split()) + len(request.prefix.split())
        return Completion(said, "stop", len(said.split()), read)

    engine = Replies(lambda p, s: "")
    engine.answer = answer
    (row,) = rows(table(THREE), engine)
    reads = [len(r.messages[0].content.split()) + len(r.prefix.split()) for r in engine.requests]
    assert row["tokens_read"] == sum(reads)
    # A second request repeats its first and the step it wrote; the next position repeats the prefix before it.
    assert row["tokens_shared"] == (reads[0] + 1) + reads[0] + (reads[2] + 1)
    assert row["tokens_spent"] == sum(len(answer(r, 0).text.split()) for r in engine.requests)


def test_rows_are_independent_of_their_order_and_of_each_other():
    chance = random.Random(5)

    def say(prefix, sample):
        draw = random.Random(prefix + str(sample))
        steps = [draw.choice(["x", "Wait y", "z"]) + str(i) for i in range(draw.randint(1, 3))]
        steps[0] = "x" + steps[0][-1]
        return "\n\n".join(steps) + f"\n</think>\n\n\\boxed{{{draw.choice('778')}}}"

    made = [
        trace_of([f"{chance.choice(['a', 'Wait b', 'But c'])}{i}" for i in range(chance.randint(2, 9))])
        for _ in range(40)
    ]
    given = table(*made)
    whole = {r["row_id"]: r for r in rows(given, Replies(say), rollouts=2)}
    order = list(range(40))
    chance.shuffle(order)
    shuffled = given.take(pa.array(order))
    parts = [shuffled.slice(i, 7) for i in range(0, 40, 7)]
    again = {r["row_id"]: r for p in parts for r in rows(p, Replies(say), rollouts=2)}
    assert whole == again
    assert any(r["changed"] for r in whole.values())


def test_live_traces_advance_together():
    """No request is answered before every live trace has one under way; one after the other would wait forever."""
    live = 50

    class Together(Replies):
        async def generate(self, request):
            async with self.barrier:
                return await super().generate(request)

    async def run():
        engine = Together(lambda p, s: "no\n\n</think>\n\n\\boxed{0}")
        engine.barrier = asyncio.Barrier(live)
        steps = [f"{'Wait ' if i else ''}s{i}" for i in range(6)]
        found = retro_search(engine=engine)(table(*[trace_of(steps)] * live))
        result = await asyncio.wait_for(found, 60)
        return result, engine

    result, engine = asyncio.run(run())
    assert set(result.table["n_rollouts"].to_pylist()) == {5}
    assert len(engine.requests) == live * 10


def test_programs_can_be_the_judge_and_graded_rewards():
    pytest.importorskip("curator.sandbox.judge")
    from curator.sandbox.judge import refusal

    if refusal():
        pytest.skip(refusal())
    steps = "\n\n".join(["A1", "Wait B1", *(f"B{i}" for i in range(2, 10))])
    code = f"<think>\n{steps}\n</think>\n\n```python\ndef f(x):\n    return x\n```"
    tests = json.dumps(["assert f(1) == 1", "assert f(2) == 2"])
    given = table(code, tests=[tests])
    half = "A2\n\n\n</think>\n\n```python\ndef f(x):\n    return 1\n```"
    (row,) = rows(given, Replies(lambda p, s: half), verifier="code")
    assert (row["rollouts"][0]["verdict"], row["changed"]) == ("incorrect", False)
    (row,) = rows(given, Replies(lambda p, s: half), verifier="code", graded=True)
    assert row["rollouts"][0]["reward"] == 0.5
    assert row["changed"]


def test_reports_run():
    result = search(table(THREE, trace_of(STEPS, "8")), Replies(after({("A1", "A2"): (["A3"], "7")})))
    con = duckdb.connect()
    con.register("rows", result.table)
    told = {t: con.sql(q).fetchall() for t, q in find("retro_search").reports.items()}
    assert told["before and after"][0][:2] == ("before", 1)
    assert told["before and after"][1][0] == "after"
    assert told["what it cost"][0][0] == 1
    assert result.counts["searched"] == result.counts["changed"] == 1


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"words": ()}, "words"),
        ({"gamma": 1.0}, "below 1"),
        ({"choose": "mean"}, "several rollouts"),
        ({"temperature": 0.0, "rollouts": 2}, "say the same"),
    ],
)
def test_settings_that_do_not_fit(settings, said):
    with pytest.raises(CheckError, match=said):
        retro_search(engine=Replies(lambda p, s: ""), **settings)
    with pytest.raises(CheckError, match="cannot ban words"):
        retro_search(engine=Replies(lambda p, s: "", ABLE - {BAD_WORDS}), temperature=0.0)


def test_check_refuses_an_engine_that_cannot_continue_a_prefix():
    page = "name: x\nengines: {e: {kind: openai, model: m, base_url: 'http://127.0.0.1:1/v1'}}\nsteps:\n"
    page += "  - read: {path: builtin:pocket}\n  - generate: {engine: e}\n  - retro_search: {engine: e}\n"
    (problem,) = check_page(parse(page, "p.yaml"))[1]
    assert "continue a given assistant prefix" in problem.message
    assert check_page(parse(page.replace("model: m,", "model: m, flavour: deepseek,"), "p.yaml"))[1] == []
