from __future__ import annotations

import asyncio
import json
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from scripted import Scripted

from curator import prompts, rows
from curator.engines.protocol import GENERATE, SEED, Completion, too_long
from curator.errors import CheckError
from curator.op import Result, find
from curator.ops.compress import REASONS, compress

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "specs" / "golden.json"
LONG = "first we try this and then that, wait, no. " * 40


def table(**columns):
    base = {
        "row_id": ["p1/0"],
        "problem": ["What is 2+2?"],
        "answer": pa.array(["4"], pa.string()),
        "trace": [f"<think>{LONG}</think>\\boxed{{4}}"],
        "correct": pa.array([True], pa.bool_()),
    }
    return pa.table(base | columns)


def good(level="easy", answer="4", line=True, words="so it is."):
    body = "\n".join(f"**{name}**\n{words}" for name in prompts.SECTIONS[level])
    return (f"DIFFICULTY: {level}\n" if line else "") + f"{body}\n**Solution**\n\\boxed{{{answer}}}"


def run(answer, given=None, engine=None, **settings) -> Result:
    engine = engine or Scripted(answer if callable(answer) else lambda r, i: answer)
    return asyncio.run(compress(engine=engine, **settings)(given if given is not None else table()))


def first(result: Result) -> dict:
    return result.table.to_pylist()[0]


def test_an_accepted_rewrite():
    engine = Scripted(lambda r, i: good("medium", "4.0"))
    row = first(run(None, engine=engine))
    assert row["verified"] is True
    assert (row["difficulty"], row["difficulty_source"], row["reject_reason"]) == ("medium", "teacher", None)
    assert (row["final_answer_short"], row["n_attempts"]) == ("4.0", 1)
    assert row["short_cot"].startswith("**Analysis**")
    assert row["tokens_long"] == len(LONG.split())
    assert row["compression_ratio"] == row["tokens_short"] / row["tokens_long"]
    prompt = engine.requests[0].messages[0].content
    assert LONG in prompt
    assert "What is 2+2?" in prompt
    assert "768 when medium" in prompt
    assert engine.requests[0].sampling.temperature == 0.0
    assert engine.requests[0].sampling.seed is None
    for name in find("compress").adds({}):
        assert row.get(name, "") != "" or name == "reject_reason"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (good(answer="5"), "answer_changed"),
        (good().replace(r"\boxed{4}", "done"), "answer_missing"),
        (good(answer=r"\frac{4"), "answer_missing"),
        (good(answer="4+^"), "answer_unchecked"),
        (good(words=LONG), "not_shorter"),
        (good().replace("**Summary**", "Summary"), "sections_missing"),
        (good().replace("**Solution**", ""), "sections_missing"),
        (good(words="a </think> b"), "think_tags"),
        ("**Analysis**\nx\n**Summary**\ny\n**Solution**\n\\boxed{4}", "no_level"),
        (Completion(good()[:50], "length", 4096), "truncated"),
        (Completion("", "error", error="503"), "engine_error"),
        (too_long(5000, 2048), "too_long"),
        (Completion("", "content_filter"), "engine_error"),
        ("", "no_level"),
    ],
)
def test_rejected_rewrites_keep_the_long_row_or_drop_it_with_evidence(text, reason):
    kept = first(run(text))
    assert (kept["verified"], kept["reject_reason"]) == (False, reason)
    assert kept["trace"] == table()["trace"][0].as_py()
    new = ("difficulty", "difficulty_source", "short_cot", "short_solution", "tokens_short", "compression_ratio")
    assert [kept[c] for c in new] == [None] * 6
    assert kept["n_attempts"] == {"engine_error": 1, "too_long": 0}.get(reason, 3)
    dropped = run(text, on_fail="drop")
    assert dropped.table.num_rows == 0
    lost = dropped.dropped.to_pylist()[0]
    assert (lost["row_id"], lost["reason"]) == ("p1/0", reason)
    assert json.loads(lost["evidence"])["attempts"] == kept["n_attempts"]
    assert reason in REASONS


@pytest.mark.skipif(not GOLDEN.exists(), reason="the specification's vectors are not there (../shared/specs)")
def test_golden_acceptance_rule():
    group = next(g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "row_rules")
    cases = [c for c in group["cases"] if c["system"].startswith("LiteCoT")]
    assert len(cases) == 6
    for case in cases:
        want = case["input"]
        text = good(answer="4" if want["answer_kept"] else "5", words="a <think> b" if want["think_tags"] else "a")
        text = text if want["sections_ok"] else text.replace("**Approach**", "")
        count = {True: want["tokens_long"], False: want["tokens_short"]}
        engine = Scripted(lambda r, i, t=text: t, count=lambda s, c=count: c[s == LONG])
        row = first(run(None, engine=engine))
        assert row["verified"] is case["output"]


@pytest.mark.parametrize(("short", "verified"), [(899, True), (900, False), (901, False)])
def test_shorter_means_strictly_fewer_than_the_ratio(short, verified):
    engine = Scripted(lambda r, i: good(), count=lambda s: 1000 if s == LONG else short)
    assert first(run(None, engine=engine))["verified"] is verified


def test_retries_are_hotter_numbered_and_seeded_by_row():
    def answer(request, i):
        return good(answer="5") if i < 2 else good()

    engine = Scripted(answer)
    row = first(run(None, engine=engine, seed=3))
    assert (row["verified"], row["n_attempts"]) == (True, 3)
    asked = [(r.first_sample, r.sampling.temperature, r.n) for r in engine.requests]
    assert asked == [(0, 0.0, 1), (1, 0.7, 1), (2, 0.7, 1)]
    seeds = [r.sampling.seed for r in engine.requests]
    assert seeds[0] is None
    assert len(set(seeds)) == 3
    other = Scripted(answer)
    run(None, table(row_id=["p2/0"]), engine=other, seed=3)
    assert other.requests[1].sampling.seed not in seeds
    plain = Scripted(answer, frozenset({GENERATE}))
    run(None, engine=plain)
    assert {r.sampling.seed for r in plain.requests} == {None}


def test_without_a_reference_the_long_trace_decides():
    none = pa.array([None], pa.string())
    assert first(run(good(), table(answer=none)))["verified"]
    assert first(run(good(answer="5"), table(answer=none)))["reject_reason"] == "answer_changed"
    lost = first(run(good(), table(answer=none, trace=["we think and\nstop"])))
    assert (lost["reject_reason"], lost["n_attempts"]) == ("no_answer", 0)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"trace": pa.array([None], pa.string())}, "no_trace"),
        ({"problem": pa.array([None], pa.string())}, "no_trace"),
        ({"correct": pa.array([False])}, "not_correct"),
    ],
)
def test_rows_that_cannot_be_rewritten_are_not_asked(columns, reason):
    engine = Scripted(lambda r, i: good())
    row = first(run(None, table(**columns), engine=engine))
    assert (row["reject_reason"], row["n_attempts"], row["verified"]) == (reason, 0, False)
    assert engine.requests == []
    assert run(good(), table(**columns), on_fail="drop").dropped["reason"].to_pylist() == [reason]


def test_undecided_rows_are_asked():
    assert first(run(good(), table(correct=pa.array([None], pa.bool_()))))["verified"]


def test_at_level_from_pass_rate_and_from_a_column():
    engine = Scripted(lambda r, i: good("hard", line=False))
    row = first(run(None, table(pass_rate=[0.2]), engine=engine, mode="at_level"))
    assert (row["difficulty"], row["difficulty_source"]) == ("hard", "pass_rate")
    assert "begin with the line DIFFICULTY: hard" in engine.requests[0].messages[0].content
    wrong = first(run(good("easy"), table(pass_rate=[0.2]), mode="at_level"))
    assert wrong["reject_reason"] == "sections_missing"
    given = first(run(good("easy"), table(mine=["easy"]), mode="at_level", level="mine"))
    assert (given["difficulty"], given["difficulty_source"]) == ("easy", "given")
    none = first(run(good(), table(mine=["trivial"]), mode="at_level", level="mine"))
    assert (none["reject_reason"], none["n_attempts"]) == ("no_level", 0)
    needs = find("compress").needs
    assert "pass_rate" in needs({"mode": "at_level", "level": "pass_rate"})
    assert "pass_rate" not in needs({"mode": "rewrite", "level": "pass_rate"})


def test_answer_conditioned_sends_the_reference_and_needs_no_trace():
    engine = Scripted(lambda r, i: good())
    given = table().drop_columns(["trace"])
    row = first(run(None, given, engine=engine, mode="answer_conditioned"))
    assert (row["verified"], row["tokens_long"], row["compression_ratio"]) == (True, None, None)
    assert "Reference answer:\n4" in engine.requests[0].messages[0].content
    none = pa.array([None], pa.string())
    assert first(run(good(), table(answer=none), mode="answer_conditioned"))["reject_reason"] == "no_answer"


def test_think_column_wins_and_a_trace_without_opening_tag_is_split():
    engine = Scripted(lambda r, i: good())
    run(None, table(think=["short " * 60]), engine=engine)
    run(None, table(trace=[f"{LONG}</think>\\boxed{{4}}"]), engine=engine)
    prompts_sent = [r.messages[0].content for r in engine.requests]
    assert prompts_sent[0].endswith("short " * 60)
    assert prompts_sent[1].endswith(LONG)


def test_no_budget_says_nothing_about_length():
    engine = Scripted(lambda r, i: good())
    run(None, engine=engine, budget=None)
    assert "tokens" not in engine.requests[0].messages[0].content
    assert "{budget}" not in engine.requests[0].messages[0].content


def test_rows_are_asked_together_and_keep_their_place():
    class Waits(Scripted):
        async def generate(self, request):
            self.inside = getattr(self, "inside", 0) + 1
            while self.inside < 5:
                await asyncio.sleep(0)
            return await super().generate(request)

    ids = [f"p{i}" for i in range(5)]
    given = pa.table({"row_id": ids, "problem": ids, "answer": ["4"] * 5, "trace": [LONG + r"\boxed{4}"] * 5})
    out = run(None, given, engine=Waits(lambda r, i: good(answer="4" if r.key != "p2" else "5"), frozenset({SEED})))
    assert out.table["row_id"].to_pylist() == ids
    assert out.table["verified"].to_pylist() == [True, True, False, True, True]
    assert out.counts == {"accepted": 4, "asked": 5, "attempts": 7}


def test_types_are_declared_and_empty_shards_pass():
    out = run(good(), table().slice(0, 0)).table
    assert {n: out.schema.field(n).type for n in find("compress").adds({})} == rows.types(
        tuple(find("compress").adds({}))
    )


@pytest.mark.parametrize("columns", [{}, {"pass_rate": [0.9]}])
def test_reports_bind_with_and_without_a_pass_rate(columns):
    con = duckdb.connect()
    con.register("rows", run(good("medium"), table(**columns)).table)
    found = {title: con.sql(sql).fetchall() for title, sql in find("compress").reports.items()}
    assert found["accepted"][0][:3] == (1, 1, 1.0)
    assert len(found["tokens by level"]) == 1
    assert found["judged level against pass rate"] == ([("medium", "easy", 1, False)] if columns else [])


@pytest.mark.parametrize("settings", [{"budget": {"easy": 1}}, {"ratio": 0.0}, {"ratio": 1.5}, {"retries": -1}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(CheckError):
        compress(engine=Scripted(lambda r, i: ""), **settings)
