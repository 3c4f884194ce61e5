"""`verify` with an engine: what is asked, how often, and what its replies and failures become."""

from __future__ import annotations

import asyncio

import pyarrow as pa
import pytest
from scripted import Scripted

from curator import prompts
from curator.engines.protocol import REWARDS, Completion, Message, Reward
from curator.op import find
from curator.ops.verify import verify
from curator.pipeline import Step

CASES = [
    # trace, answer: right, wrong by the rules but the same in other words, wrong, no reference, truncated, no trace
    (r"\boxed{4}", "4"),
    (r"\boxed{\text{one half}}", "0.5"),
    (r"\boxed{5}", "4"),
    (r"\boxed{5}", None),
    ("<think>so", "4"),
    (None, "4"),
]


def table(cases=CASES):
    return pa.table(
        {
            "row_id": [f"r{i}" for i in range(len(cases))],
            "problem": [f"problem {i}" for i in range(len(cases))],
            "trace": pa.array([t for t, _ in cases], pa.string()),
            "answer": pa.array([a for _, a in cases], pa.string()),
        }
    )


def fields(request):
    text = request.messages[-1].content
    return text.split("Reference answer: ")[1].split("\n")[0], text.split("Given answer: ")[1].split("\n")[0]


def opinion(request, sample):
    return "yes" if "one half" in "".join(fields(request)) else "no"


def run(engine, given=None, **settings):
    step = verify(engine=engine, **{"kind": "judge", **settings})
    return asyncio.run(step(table() if given is None else given))


def told(out, *names):
    return list(zip(*(out[n].to_pylist() for n in names), strict=True))


def test_a_judge_is_asked_about_every_row_that_can_be_judged():
    engine = Scripted(opinion)
    out = run(engine)
    assert told(out, "verdict", "verdict_detail") == [
        ("incorrect", None),
        ("correct", None),
        ("incorrect", None),
        ("no_reference", None),
        ("unparseable", "truncated"),
        ("error", "no trace"),
    ]
    assert [r.key for r in engine.requests] == ["r0", "r1", "r2"]
    assert engine.requests[0].messages[0].content == prompts.fill(
        prompts.SAME_ANSWER, problem="problem 0", reference="4", answer="4"
    )
    assert engine.requests[0].sampling.temperature == 0
    assert set(out["verifier"].to_pylist()) == {"judge/1:scripted@1"}
    assert out["score"].to_pylist() == [0.0, 1.0, 0.0, None, None, None]


def test_a_second_opinion_is_asked_only_about_what_the_rules_did_not_call_correct():
    engine = Scripted(opinion)
    out = run(engine, kind=["math", "judge"])
    assert [r.key for r in engine.requests] == ["r1", "r2"]
    assert out["verdict"].to_pylist() == ["correct", "correct", "incorrect", "no_reference", "unparseable", "error"]
    verifiers = out["verifier"].to_pylist()
    assert verifiers[0].startswith("math/")
    assert verifiers[1].startswith("judge/")
    assert "said" in out["verdict_detail"].to_pylist()[1]


def test_both_must_agree():
    engine = Scripted(lambda r, i: "no")
    out = run(engine, kind=["math", "judge"], combine="all")
    assert [r.key for r in engine.requests] == ["r0"], "the rules call the others wrong already"
    assert out["correct"].to_pylist() == [False, False, False, None, None, None]


def test_a_failed_second_opinion_leaves_a_row_open_and_does_not_make_it_wrong():
    engine = Scripted(lambda r, i: Completion("", "error", error="503"))
    out = run(engine, kind=["math", "judge"])
    assert out["verdict"].to_pylist()[:3] == ["correct", "error", "error"]
    assert out["correct"].to_pylist()[:3] == [True, None, None]
    assert "the judge failed: 503" in out["verdict_detail"].to_pylist()[2]


def test_both_orders_swap_the_answers_and_a_biased_judge_decides_nothing():
    engine = Scripted(lambda r, i: "yes" if fields(r)[0] == "4" else "no")  # likes 4 to stand first
    out = run(engine, table([(r"\boxed{5}", "4"), (r"\boxed{4}", "4")]), both_orders=True)
    assert [fields(r) for r in engine.requests] == [("4", "5"), ("5", "4"), ("4", "4")], "once if equal"
    assert told(out, "verdict", "verdict_detail") == [
        ("unparseable", "the two orders disagree, votes yes | no"),
        ("correct", None),
    ]


def test_votes_are_drawn_apart_and_do_not_depend_on_the_row():
    engine = Scripted(lambda r, i: "yes" if i < 2 else "no")
    out = run(engine, table([(r"\boxed{5}", "4")]), votes=3, temperature=0.7, seed=5)
    assert told(out, "verdict", "verdict_detail") == [("correct", "votes yes, yes, no")]
    assert [r.first_sample for r in engine.requests] == [0, 1, 2]
    assert len({r.sampling.seed for r in engine.requests}) == 3
    renamed = Scripted(lambda r, i: "yes")
    other = table([(r"\boxed{5}", "4")]).set_column(0, "row_id", pa.array(["elsewhere"]))
    run(renamed, other, votes=3, temperature=0.7, seed=5)
    assert [r.sampling.seed for r in renamed.requests] == [r.sampling.seed for r in engine.requests]


def test_equal_prompts_are_asked_once():
    given = table([(r"\boxed{5}", "4")] * 8).set_column(1, "problem", pa.array(["same"] * 8))
    engine = Scripted(opinion)
    out = run(engine, given)
    assert len(engine.requests) == 1
    assert out["verdict"].to_pylist() == ["incorrect"] * 8


def test_a_graded_judge():
    engine = Scripted(lambda r, i: "Score: 4.5/5")
    template = "{problem}\nHow near is {response} to {reference}? 0 to 5."
    out = run(engine, table(CASES[:1]), template=template, scale=(0, 5), threshold=4.99)
    assert told(out, "verdict", "score", "score_scale") == [("incorrect", 4.5, "0-5")]
    assert run(engine, table(CASES[:1]), template=template, scale=(0, 5), threshold=4.5)["correct"].to_pylist() == [
        True
    ]


def test_own_words_patterns_and_columns():
    engine = Scripted(lambda r, i: "first [[A]], then [[B]]")
    settings = {"template": "{rubric}: {trace}", "words": {"A": True, "b": False}, "pattern": r"\[\[(\w)\]\]"}
    given = table(CASES[:1]).append_column("rubric", pa.array(["be exact"]))
    assert run(engine, given, **settings)["verdict"].to_pylist() == ["incorrect"]
    assert engine.requests[0].messages[0].content == r"be exact: \boxed{4}"
    step = Step("verify", find("verify"), {"kind": "judge", "engine": "e", "template": "{rubric}: {trace}"})
    assert step.op.needs(step.bound) == ("row_id", "trace", "rubric")


def test_a_reply_that_says_nothing_is_unparseable():
    assert run(Scripted(lambda r, i: "hmm"), table(CASES[:1]))["verdict"].to_pylist() == ["unparseable"]
    assert run(Scripted(lambda r, i: ""), table(CASES[:1]))["correct"].to_pylist() == [None]


def test_auto_sends_free_text_to_the_judge_and_nothing_else():
    engine = Scripted(opinion)
    given = table(CASES[:3]).append_column("domain", pa.array(["math", "biology", "math"]))
    out = run(engine, given, kind="auto")
    assert out["verdict"].to_pylist() == ["correct", "correct", "incorrect"]
    assert [r.key for r in engine.requests] == ["r1"]


class Rewarding(Scripted):
    def __init__(self, reward):
        super().__init__(lambda r, i: "", frozenset({REWARDS}))
        self.reward, self.seen = reward, []

    async def rewards(self, messages):
        self.seen.append(messages)
        return self.reward(messages)


def test_a_reward_reads_problem_and_response():
    engine = Rewarding(lambda m: Reward({"reward": float(len(m[1].content))}))
    given = table([("<think>long thought</think>\n12345", None), ("<think>open", None), (None, None)])
    out = run(engine, given, kind="reward")
    assert engine.seen == [(Message("user", "problem 0"), Message("assistant", "12345"))]
    assert told(out, "verdict", "score", "score_scale", "correct") == [
        ("no_reference", 5.0, "logit", None),
        ("unparseable", None, None, None),
        ("error", None, None, None),
    ]
    cut = run(engine, given, kind="reward", threshold=5.0)
    assert cut["correct"].to_pylist() == [True, None, None]
    assert run(engine, given, kind="reward", threshold=5.0, judged="trace")["score"].to_pylist()[0] > 5


def test_a_reward_model_that_fails_is_an_error():
    engine = Rewarding(lambda m: Reward({}, 900, "the conversation has 900 tokens, the model's context is 512"))
    out = run(engine, table(CASES[:1]), kind="reward", threshold=0.0)
    assert out["verdict"].to_pylist() == ["error"]
    assert "900 tokens" in out["verdict_detail"].to_pylist()[0]


BOTH = {"kind": ["math", "judge", "reward"], "reward_threshold": 4.0}


def test_judge_and_reward_model_in_one_list_are_each_asked_what_the_others_left_open():
    judge, model = Scripted(opinion), Rewarding(lambda m: Reward({"reward": float(len(m[1].content))}))
    given = table([(r"\boxed{4}", "4"), (r"\boxed{\text{one half}}", "0.5"), (r"\boxed{5}", "4"), ("77", "4")])
    out = run(judge, given, reward_engine=model, **BOTH)
    assert [r.key for r in judge.requests] == ["r1", "r2", "r3"]
    assert [m[1].content for m in model.seen] == [r"\boxed{5}", "77"]  # what neither called correct
    assert told(out, "verdict", "score", "score_scale") == [
        ("correct", 1.0, "0-1"), ("correct", 1.0, "0-1"), ("correct", 9.0, "logit"), ("incorrect", 2.0, "logit")
    ]  # fmt: skip
    assert [v.partition("/")[0] for v in out["verifier"].to_pylist()] == ["math", "judge", "reward", "reward"]


def test_all_three_must_agree_and_a_reward_that_says_no_is_told_with_its_number():
    judge, model = Scripted(lambda r, i: "yes"), Rewarding(lambda m: Reward({"reward": 3.5}))
    out = run(judge, table([(r"\boxed{4}", "4"), (r"\boxed{5}", "4")]), reward_engine=model, combine="all", **BOTH)
    assert out["verdict"].to_pylist() == ["incorrect", "incorrect"]
    assert len(model.seen) == len(judge.requests) == 1, "the rules call the other wrong already"
    turned = {"kind": ["reward", "judge"], "reward_threshold": 4.0}
    rescued = run(judge, table([(r"\boxed{5}", "4")]), reward_engine=model, **turned)
    assert told(rescued, "verdict", "verdict_detail") == [("correct", "reward/1:scripted@1 said incorrect 3.5")]


def test_a_reward_model_that_fails_beside_a_judge_leaves_the_row_open():
    judge, model = Scripted(lambda r, i: "no"), Rewarding(lambda m: Reward({}, 0, "503"))
    out = run(judge, table([(r"\boxed{5}", "4")]), reward_engine=model, **BOTH)
    assert told(out, "verdict", "correct") == [("error", None)]


@pytest.mark.parametrize(
    ("settings", "kind", "wanted"),
    [
        ({}, "row", {"generate"}),
        ({"kind": "judge", "engine": "e"}, "model", {"generate"}),
        ({"kind": ["math", "judge"], "engine": "e"}, "model", {"generate"}),
        ({"kind": "reward", "engine": "e"}, "model", {"rewards"}),
        ({"kind": ["judge", "reward"], "engine": "e", "reward_engine": "r", "reward_threshold": 0.0}, "model",
         {"engine": {"generate"}, "reward_engine": {"rewards"}}),
        ({"kind": "consensus"}, "table", {"generate"}),
        ({"kind": ["math", "choice"]}, "row", {"generate"}),
    ],
)  # fmt: skip
def test_kind_and_wants_follow_the_settings(settings, kind, wanted):
    step = Step("verify", find("verify"), settings)
    assert step.kind == kind
    assert step.op.wants(step.bound) == wanted
