"""`grade`: spread, thresholds, bands and models; sampling until the band is decided; judged difficulty."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Scripted
from tableview import step

from curator.difficulty.spread import cv, decide
from curator.engines.protocol import Completion
from curator.errors import CheckError
from curator.op import find
from curator.ops.generate import generate
from curator.ops.grade import check, grade

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"
TRACES = Path(__file__).parents[2].parent / "shared" / "data" / "traces"
SCHEMA = pa.schema([
    ("row_id", pa.string()), ("problem_id", pa.string()), ("correct", pa.bool_()), ("score", pa.float64()),
    ("domain", pa.string()), ("engine", pa.string()), ("n_tokens", pa.int32()), ("verdict", pa.string()),
])  # fmt: skip


def samples(*rows: dict) -> pa.Table:
    filled = [{"row_id": f"r{i:03}", "problem_id": "p", **row} for i, row in enumerate(rows)]
    return pa.Table.from_pylist(filled, schema=SCHEMA)


def one(table: pa.Table, **settings_) -> dict:
    return step(grade(**settings_), table)[0][0]


def near(value, tolerance=1e-6):
    return None if value is None else pytest.approx(value, abs=tolerance)


def golden(name: str) -> list[dict]:
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == name]
    return group["cases"]


@pytest.mark.parametrize("ddof", [0, 1])
def test_golden_cv(ddof):
    for case in golden("cv"):
        found = one(samples(*({"score": s} for s in case["scores"])), score="score", ddof=ddof)
        assert found["cv"] == near(case[f"cv_ddof{ddof}"]), case
    for case in golden("cv_binary"):
        verdicts = [True] * case["k"] + [False] * (case["n"] - case["k"])
        found = one(samples(*({"correct": v} for v in verdicts)), ddof=ddof)
        assert found["cv"] == near(case[f"cv_ddof{ddof}"]), case


def test_golden_decisions_and_which_samples_pass():
    reasons = {
        "max_below_thr": "max_below_threshold", "none_above_thr": "none_above_threshold", "cv_low": "cv_low",
        "cv_low_open_category": "cv_low", "cv_high": "cv_high",
    }  # fmt: skip
    for case in golden("deepdistill_stage1_decision"):
        table = samples(*({"score": s, "domain": case["category"]} for s in case["scores"]))
        limits = {case["category"]: case["thr"]}
        run = grade(score="score", threshold=limits, cv_min={"*": case["cv_t"]}, ddof=case["ddof"])
        out, _, _ = step(run, table)
        assert {r["decision"] for r in out} == {reasons[case["reason"]]}
        kept = [i for i, r in enumerate(out) if r["passed"]]
        assert (kept if case["decision"] != "drop" else []) == case["kept_indices"], case
        assert out[0]["cv"] == near(case["cv"])


def test_golden_open_r1_ignores_what_is_not_a_number():
    for case in golden("row_rules"):
        if case["system"] == "Open-R1":
            rewards = [float("nan") if r is None else r for r in case["input"]["rewards"]]
            table = samples(*({"score": r} for r in rewards))
            found = one(table, score="score", bands={"keep": "(0.1, 0.9)"}, band_of="score_mean")
            assert (found["band"] == "keep") == case["output"], case


def test_bad_groups():
    assert one(samples({"correct": True}), ddof=1)["cv"] is None  # n = 1
    assert one(samples({"correct": True}))["cv"] == 0
    nobody = one(samples({"correct": None}, {"correct": None}), bands={"all": "[0, 1]"})  # all undecided
    assert (nobody["n"], nobody["n_undecided"]) == (0, 2)
    assert (nobody["pass_rate"], nobody["cv"], nobody["band"]) == (None, None, None)
    zero = one(samples({"correct": False}, {"correct": False}))  # mean zero
    assert (zero["pass_rate"], zero["score_mean"], zero["cv"]) == (0, 0, None)


row = st.fixed_dictionaries({
    "problem_id": st.sampled_from(["a", "b", None]), "correct": st.sampled_from([True, False, None]),
    "score": st.sampled_from([0.1, 0.3, 0.7, 1.0, None, float("nan")]), "engine": st.sampled_from(["x", "y"]),
    "domain": st.sampled_from(["math", "science", "odd"]), "n_tokens": st.sampled_from([1, 2, 3]),
})  # fmt: skip


@settings(deadline=None, max_examples=40)
@given(st.lists(row, min_size=1, max_size=14), st.randoms(use_true_random=False), st.sampled_from([0, 1]))
def test_the_order_of_rows_does_not_matter_and_the_formulas_hold(rows, rng, ddof):
    rows = [{"row_id": f"r{i:03}", **r} for i, r in enumerate(rows)]
    shuffled = rows[:]
    rng.shuffle(shuffled)
    run = {
        "score": "score", "ddof": ddof, "threshold": {"math": 0.5, "science": 0.2}, "cv_min": 0.3, "models": "engine",
        "length": "n_tokens", "bands": {"some": "(0, 1)"},
    }  # fmt: skip
    out, _, _ = step(grade(**run), samples(*rows))
    assert repr(out) == repr(step(grade(**run), samples(*shuffled))[0])  # nan is not nan
    for r in out:
        mine = [s for s in out if (s["problem_id"] or s["row_id"]) == (r["problem_id"] or r["row_id"])]
        scores = [None if s["score"] is None or s["score"] != s["score"] else s["score"] for s in mine]
        limits = {"math": 0.5, "science": 0.2}
        passed = [None if v is None or s["domain"] not in limits else v > limits[s["domain"]]
                  for s, v in zip(mine, scores, strict=True)]  # fmt: skip
        assert [s["passed"] for s in mine] == passed
        assert r["n_ok"] == passed.count(True)
        assert r["n_undecided"] == passed.count(None)
        assert r["cv"] == near(cv(scores, ddof), 1e-9)
        assert r["length_mean"] == pytest.approx(sum(s["n_tokens"] for s in mine) / len(mine))
        held = [limits[s["domain"]] for s in mine if s["domain"] in limits]
        if held and any(v is not None for v in scores):
            assert r["decision"] == decide(scores, max(held), 0.3, ddof)
        by_model = {m["model"]: m for m in r["model_rates"]}
        assert sum(m["n"] for m in by_model.values()) == r["n"]
        assert r["solved_by"] == sorted(m for m, v in by_model.items() if v["n_ok"])


def test_one_model_or_a_pool():
    """The model-fails rule of s1: no row of what any of two models solves."""
    table = samples(
        {"engine": "7b", "correct": False}, {"engine": "32b", "correct": True}, {"engine": "r1", "correct": True},
        {"problem_id": "q", "engine": "7b", "correct": False}, {"problem_id": "q", "engine": "r1", "correct": None},
    )  # fmt: skip
    out, _, _ = step(grade(where="engine in ('7b', '32b')", name="pool"), table)
    assert [(r["pool_n"], r["pool_n_ok"]) for r in out] == [(2, 1)] * 3 + [(1, 0)] * 2
    again, _, _ = step(grade(where="engine = 'r1'", name="r1"), pa.Table.from_pylist(out))
    assert [(r["pool_n_ok"], r["r1_n"], r["r1_pass_rate"]) for r in again] == [(1, 1, 1.0)] * 3 + [(0, 0, None)] * 2
    nobody, _, _ = step(grade(where="engine = 'nobody'"), table)
    assert {(r["n"], r["pass_rate"]) for r in nobody} == {(0, None)}


def test_an_unread_answer_counts_as_wrong_only_where_asked():
    table = samples({"correct": True, "verdict": "correct"}, {"correct": None, "verdict": "unparseable"},
                    {"correct": None, "verdict": "timeout"})  # fmt: skip
    assert one(table)["pass_rate"] == 1
    found = one(table, unparseable="incorrect")
    assert (found["n"], found["n_undecided"], found["pass_rate"]) == (2, 1, 0.5)


def test_thresholds_on_their_own_scales_and_ends():
    table = samples({"score": 4.99, "domain": "science"}, {"score": 5.0, "domain": "science"})
    limits = {"science": 4.99, "other": 0.7, "*": 0.99}
    assert one(table, score="score", threshold=limits)["n_ok"] == 1
    assert one(table, score="score", threshold=limits, inclusive=True)["n_ok"] == 2
    assert one(samples({"score": 0.9, "domain": "math"}), score="score", threshold=0.9, inclusive=True)["n_ok"] == 1


def test_bands_by_category():
    table = samples({"correct": True, "domain": "math"}, {"problem_id": "q", "correct": True, "domain": "code"},
                    {"problem_id": "o", "correct": True, "domain": "odd"})  # fmt: skip
    bands = {"math": {"keep": "[0, 1)"}, "code": {"keep": "[0, 1]"}}
    assert [r["band"] for r in step(grade(bands=bands), table)[0]] == [None, "keep", None]


def test_jeffreys_and_the_prior_of_a_pilot():
    rng = random.Random(3)
    rates = [rng.betavariate(0.5, 0.2) for _ in range(200)]
    told = [{"problem_id": f"p{i}", "correct": rng.random() < p} for i, p in enumerate(rates) for _ in range(8)]
    table = samples(*told)
    out, _, counts = step(grade(interval="jeffreys"), table)
    assert counts["problems"] == 200
    assert (counts["prior_a"], counts["prior_b"]) == (pytest.approx(0.5, rel=0.4), pytest.approx(0.2, rel=0.4))
    for r in out:
        assert r["pass_rate_low"] <= r["pass_rate"] <= r["pass_rate_high"]
        assert (r["pass_rate_high"] == 1) == (r["n_ok"] == r["n"])


@pytest.mark.skipif(not TRACES.exists(), reason="the shared data is not here")
def test_pass_rates_of_real_samples_exactly():
    import pyarrow.parquet as pq

    rows = pq.read_table(TRACES / "qwen_math_cot_100x8.parquet", columns=["problem_id", "correct"]).to_pylist()
    out, _, _ = step(grade(), samples(*rows))
    for problem in {r["problem_id"] for r in rows}:
        verdicts = [r["correct"] for r in rows if r["problem_id"] == problem]
        mine = [r for r in out if r["problem_id"] == problem]
        assert {r["pass_rate"] for r in mine} == {verdicts.count(True) / 8}


# sampled


def verdict_of(request, i: int) -> str:
    """Sample i of "W101" is right where digit i is 1; x fails, ? says nothing."""
    code = request.messages[-1].content.split()[0]
    said = code[1 + i % (len(code) - 1)]
    if said == "x":
        return Completion("", "error", error="down")
    if said == "?":
        return Completion("Let me think about", "length", 4)
    return f"So \\boxed{{{'7' if said == '1' else '8'}}}"


def problems(*codes: str) -> pa.Table:
    return pa.table({
        "row_id": pa.array([f"r{i}" for i in range(len(codes))]),
        "problem": pa.array([None if c is None else f"W{c} is what?" for c in codes], pa.string()),
        "answer": pa.array(["7"] * len(codes)),
    })  # fmt: skip


def sampled(table: pa.Table, engine: Scripted | None = None, **given_) -> tuple[list[dict], dict, Scripted]:
    engine = engine or Scripted(verdict_of)
    found = asyncio.run(grade(kind="sampled", engine=engine, **given_)(table))
    return found.table.to_pylist(), dict(found.counts), engine


BANDS = {"easy": "(0.75, 1]", "medium": "[0.25, 0.75]", "hard": "[0, 0.25)"}


def test_sampled_pass_rates():
    out, counts, engine = sampled(problems("10101010", "1111", "0000", "1x?0"), n=8)
    assert [(r["n"], r["n_ok"], r["n_undecided"]) for r in out] == [(8, 4, 0), (8, 8, 0), (8, 0, 0), (4, 2, 4)]
    assert {r["stopped"] for r in out} == {"n"}
    assert (counts["samples_asked"], counts["samples_saved"]) == (32, 0)
    assert sampled(problems("1?"), n=4, unparseable="incorrect")[0][0]["pass_rate"] == 0.5


def test_sampling_stops_when_the_band_is_decided():
    table = problems("1111111111111111", "0000000000000000", "1010101010101010")
    out, counts, _ = sampled(table, n=16, bands=BANDS, stop_at=0.9)
    assert [r["band"] for r in out] == ["easy", "hard", "medium"]
    assert [r["stopped"] for r in out][:2] == ["decided", "decided"]
    assert out[0]["n_asked"] < 8
    assert counts["samples_asked"] + counts["samples_saved"] == 48
    assert counts["samples_saved"] > 16


def test_certain_stops_change_no_band():
    codes = ["".join(random.Random(i).choice("01") for _ in range(8)) for i in range(40)]
    full, _, _ = sampled(problems(*codes), n=8, bands=BANDS)
    some, counts, _ = sampled(problems(*codes), n=8, bands=BANDS, stop_at=1)
    assert [r["band"] for r in full] == [r["band"] for r in some]
    assert counts["samples_saved"] > 0


def test_generate_later_asks_the_same_questions():
    """So the response store answers them: grading by sampling costs nothing twice."""
    table = problems("1010", "1111")
    _, _, grader = sampled(table, n=4, seed=5)
    generator = Scripted(verdict_of)
    asyncio.run(generate(engine=generator, n=4, seed=5)(table))
    assert {(r.messages, r.sampling, r.first_sample) for r in grader.requests} == {
        (r.messages, r.sampling, r.first_sample) for r in generator.requests
    }


def test_a_problem_that_cannot_be_asked_is_not_asked():
    out, counts, engine = sampled(problems(None, "11"), n=2)
    assert (out[0]["n"], out[0]["pass_rate"], out[0]["stopped"]) == (0, None, None)
    assert counts["not_asked"] == 1
    assert len(engine.requests) == 2


# judged


def test_judged_difficulty_is_a_mean_of_what_can_be_read():
    replies = ["DIFFICULTY: 6", "It is hard.\nDifficulty: 7.5", "no idea", "DIFFICULTY: 11", "**Difficulty: 3/10**",
               Completion("", "error", error="down")]  # fmt: skip
    engine = Scripted(lambda request, i: replies[i])
    run = grade(kind="judged", engine=engine, bands={"keep": "[5, 10]"}, band_of="judged_difficulty")
    found = asyncio.run(run(problems("1")))
    (out,) = found.table.to_pylist()
    assert (out["judged_difficulty"], out["judged_n"], out["band"]) == (5.5, 3, "keep")
    assert found.counts["not_read"] == 3
    assert "W1 is what?" in engine.requests[0].messages[0].content


def test_nobody_could_be_read():
    engine = Scripted(lambda request, i: "hm")
    (out,) = asyncio.run(grade(kind="judged", engine=engine, calls=2)(problems("1"))).table.to_pylist()
    assert (out["judged_difficulty"], out["judged_n"], out["judged_std"]) == (None, 0, None)


# settings


def test_what_it_adds_and_needs():
    op = find("grade")
    bound = {s.name: s.default for s in op.settings}
    assert op.kind(bound) == "table"
    asked = {**bound, "kind": "sampled", "name": "student"}
    assert op.kind(asked) == "model"
    assert {"student_pass_rate", "student_n_asked", "student_stopped"} <= set(op.adds(asked))
    assert set(op.needs(asked)) == {"row_id", "problem", "answer"}
    science = {**bound, "score": "score", "threshold": {"science": 4.99}}
    assert op.needs(science) == ("row_id", "problem_id", "score", "domain")
    assert set(op.adds({**bound, "kind": "judged"})) == {"judged_difficulty", "judged_n", "judged_std"}
    with pytest.raises(CheckError, match="engin"):
        check({**bound, "where": "engin = 'a'"}, {"engine": pa.string()})


@pytest.mark.parametrize(("bad", "said"), [
    ({"kind": "sampled"}, "needs engine: ALIAS"),
    ({"engine": "e"}, "asks nobody"),
    ({"kind": "sampled", "engine": "e", "stop_at": 0.95}, "set bands"),
    ({"kind": "sampled", "engine": "e", "stop_at": 0.3, "bands": BANDS}, "above 0.5"),
    ({"kind": "sampled", "engine": "e", "verify": {"knd": "math"}}, "did you mean 'kind'"),
    ({"kind": "sampled", "engine": "e", "verify": {"kind": "judge"}}, "checked by rules"),
    ({"kind": "sampled", "engine": "e", "score": "score"}, "leave it out"),
    ({"kind": "sampled", "engine": "e", "prior": (0, 1)}, "above 0"),
    ({"kind": "judged", "engine": "e", "temperature": 0.0}, "temperature: 0.7"),
    ({"kind": "judged", "engine": "e", "scale": (5, 5)}, "lowest, highest"),
    ({"cv_min": 0.05}, "set threshold"),
    ({"bands": {"a": "0.1-0.9"}}, "write an interval"),
    ({"bands": {"a": "[0, 1]"}, "band_of": "length_mean"}, "set length"),
])  # fmt: skip
def test_settings_that_do_not_fit(bad, said):
    with pytest.raises(CheckError, match=said):
        grade(**bad)
