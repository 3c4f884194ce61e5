"""`pair`: the published rules, length caps, order, what becomes of every row."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import ids, step

from curator import rows
from curator.errors import CheckError, InputError
from curator.op import find
from curator.ops import pair as module
from curator.ops.pair import pair

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"
NAMES = ("row_id", "problem_id", "sample_idx", "correct", "n_tokens", "n_prompt_tokens", "trace", "engine")
SCHEMA = pa.schema([(n, rows.COLUMNS[n].type) for n in NAMES])
REDI = {"rejected": "correct is not true"}
FLASH = {"chosen": "correct", "rejected": "correct", "prefer": "n_tokens", "against": "n_tokens desc"}
STUDENT = {"chosen": "correct and engine = 'teacher'", "rejected": "not correct and engine = 'student'"}


def table(samples) -> pa.Table:
    """Rows from (problem, correct, tokens[, engine]); the sample number counts within the problem."""
    found, seen = [], {}
    for problem, correct, tokens, *engine in samples:
        i = seen[problem] = seen.get(problem, -1) + 1
        name = f"{problem}/{i}"
        found.append((name, problem, i, correct, tokens, 10, f"trace {name}", engine[0] if engine else "teacher"))
    return pa.Table.from_pylist([dict(zip(NAMES, r, strict=True)) for r in found], schema=SCHEMA)


def golden(system):
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "row_rules"]
    return [c for c in group["cases"] if c["system"] == system]


def test_golden_redi():
    cases = golden("REDI")
    assert len(cases) == 3
    for case in cases:
        given_ = case["input"]
        both = [a and b for a, b in zip(given_["llama"], given_["math_verify"], strict=True)]
        out, _, _ = step(pair(**REDI), table([("p", c, 5) for c in both]))
        want = case["output"]
        assert [(r["row_id"], r["rejected_id"]) for r in out] == (
            [(f"p/{want['chosen']}", f"p/{want['rejected']}")] if want else []
        )


def test_golden_shortest_over_longest():
    cases = golden("Sky-T1-Flash")
    assert len(cases) == 2
    for case in cases:
        samples = zip(case["input"]["correct"], case["input"]["lengths"], strict=True)
        out, _, _ = step(pair(**FLASH), table([("p", c, n) for c, n in samples]))
        want = case["output"]
        assert [(r["row_id"], r["rejected_id"]) for r in out] == (
            [(f"p/{want['chosen']}", f"p/{want['rejected']}")] if want else []
        )
        assert all(r["pair_differs"].startswith("correct by n_tokens") for r in out)


def test_golden_length_caps():
    """REDI's caps are inclusive, and judge finished pairs."""
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "threshold_bands"]
    cases = [c for c in group["cases"] if c["system"] == "REDI"]
    assert cases
    for case in cases:
        (key,) = [k for k in case if k not in ("system", "rule", "keep")]
        prompt = case[key] if "prompt" in key else 10
        answer = case[key] if "prompt" not in key else 5
        samples = table([("p", True, answer), ("p", False, answer)])
        samples = samples.set_column(5, "n_prompt_tokens", pa.array([prompt, prompt], pa.int32()))
        caps = {"max_prompt_tokens": 800, "max_chosen_tokens": 19000, "max_rejected_tokens": 19000}
        assert bool(step(pair(**REDI, **caps), samples)[0]) == case["keep"], case


def test_a_pair_carries_both_texts_and_every_other_row_its_reason():
    samples = table([("a", False, 9), ("a", True, 5), ("a", True, 2), ("a", None, 1), ("b", True, 3), ("c", False, 3)])
    out, dropped, counts = step(pair(), samples)
    assert ids(out) == ["a/1"]
    (row,) = out
    assert (row["trace"], row["rejected_trace"], row["rejected_n_tokens"]) == ("trace a/1", "trace a/0", 9)
    assert (row["pair_differs"], row["rejected_think"]) == ("verdict", None)
    assert {d["row_id"]: d["reason"] for d in dropped} == {
        "a/0": "rejected_side", "a/2": "not_needed", "a/3": "undecided", "b/0": "no_partner", "c/0": "no_partner",
    }  # fmt: skip
    assert next(d for d in dropped if d["row_id"] == "a/0")["evidence"]["chosen"] == "a/1"
    assert counts == {"pairs": 1, "chosen_shorter": 1, "chosen_longer": 0, "chosen_tokens": 5, "rejected_tokens": 9}


def test_a_pair_that_is_too_long_is_not_replaced():
    samples = table([("a", True, 100), ("a", True, 5), ("a", False, 5)])
    out, dropped, _ = step(pair(max_chosen_tokens=50), samples)
    assert out == []
    reasons = {d["row_id"]: d["reason"] for d in dropped}
    assert reasons == {"a/0": "too_long", "a/2": "too_long", "a/1": "not_needed"}


def test_a_chosen_row_without_a_pair_may_stay():
    """REDI's positive set: one right answer a problem, also where nothing is wrong or the pair is too long."""
    samples = table([("a", True, 5), ("a", False, 5), ("b", True, 3), ("b", True, 3), ("c", False, 3),
                     ("d", True, 9), ("d", False, 99)])  # fmt: skip
    out, dropped, counts = step(pair(alone="keep", max_rejected_tokens=50), samples)
    assert {r["row_id"]: r["rejected_id"] for r in out} == {"a/0": "a/1", "b/0": None, "d/0": None}
    assert {d["row_id"]: d["reason"] for d in dropped} == {
        "a/1": "rejected_side", "b/1": "no_partner", "c/0": "no_partner", "d/1": "too_long",
    }  # fmt: skip
    assert counts["pairs"] == 1


def test_a_cap_and_no_length():
    _, dropped, _ = step(pair(max_rejected_tokens=50), table([("a", True, 1), ("a", False, None)]))
    assert {d["reason"] for d in dropped} == {"no_length"}


def test_student_errors_against_a_teacher():
    samples = [("a", True, 5, "teacher"), ("a", False, 5, "teacher"), ("a", True, 5, "student"),
               ("a", False, 5, "student")]  # fmt: skip
    (row,) = step(pair(**STUDENT), table(samples))[0]
    assert (row["row_id"], row["rejected_id"], row["rejected_engine"]) == ("a/0", "a/3", "student")


def test_order_of_the_sides():
    samples = table([("a", True, 5), ("a", False, 5), ("a", True, 5), ("b", True, 5), ("b", False, 5)])
    out, dropped, _ = step(pair(order="rejected_first"), samples)
    assert [(r["row_id"], r["rejected_id"]) for r in out] == [("a/2", "a/1")]
    assert {d["row_id"]: d["reason"] for d in dropped if d["row_id"][0] == "b"} == {"b/0": "order", "b/1": "order"}
    out = step(pair(order="chosen_first"), samples)[0]
    assert [(r["row_id"], r["rejected_id"]) for r in out] == [("a/0", "a/1"), ("b/0", "b/1")]


def test_nearest_length():
    samples = table([("a", True, 50), ("a", False, 500), ("a", False, 45), ("a", False, 51)])
    assert step(pair(match="length"), samples)[0][0]["rejected_id"] == "a/3"


def test_several_pairs_a_problem():
    samples = table([("a", True, 1), ("a", False, 1), ("a", True, 1), ("a", False, 1), ("a", False, 1)])
    out, dropped, _ = step(pair(k=5), samples)
    assert [(r["row_id"], r["rejected_id"]) for r in out] == [("a/0", "a/1"), ("a/2", "a/3")]
    assert [d["reason"] for d in dropped if d["row_id"] == "a/4"] == ["not_needed"]
    with pytest.raises(InputError, match="meet both conditions"):
        step(pair(**FLASH, k=2), table([("a", True, 1), ("a", True, 2)]))


def test_kto_labels():
    samples = table([("a", True, 1), ("a", False, 1), ("a", None, 1), ("a", True, 99), ("b", True, 1)])
    out, dropped, counts = step(pair(kind="kto", max_chosen_tokens=50), samples)
    assert {r["row_id"]: r["desirable"] for r in out} == {"a/0": True, "a/1": False, "b/0": True}
    assert {d["row_id"]: d["reason"] for d in dropped} == {"a/2": "undecided", "a/3": "too_long"}
    assert counts == {"desirable": 2, "undesirable": 1}
    assert len(step(pair(kind="kto", k=1), samples)[0]) == 3


@pytest.mark.parametrize(
    ("after", "labels"),
    [("keep", [True, False, True]), ("cut", [True, False]), ("wrong", [True, False, False])],
)
def test_process_labels(after, labels):
    given_ = pa.table(
        {
            "row_id": ["a", "b", "c"],
            "parts": [["x", "y", "z"], ["x"], ["x"]],
            "value": pa.array([[0.5, 0.0, 1.0], [1.0, 1.0], None], pa.list_(pa.float64())),
        }
    )
    out, dropped, counts = step(pair(kind="process", steps="parts", labels="value", after_error=after), given_)
    assert [(r["step_texts"], r["step_labels"]) for r in out] == [(["x", "y", "z"][: len(labels)], labels)]
    assert {d["row_id"]: d["reason"] for d in dropped} == {"b": "no_steps", "c": "no_steps"}
    assert counts == {"with_error": 1, "whole": 1}


def test_a_text_is_cut_at_blank_lines():
    given_ = pa.table({"row_id": ["a"], "trace": ["one\n\ntwo\n \n\nthree"], "ok": [[True, True, False]]})
    (row,) = step(pair(kind="process", steps="trace", labels="ok"), given_)[0]
    assert row["step_texts"] == ["one", "two", "three"]


verdict = st.sampled_from([True, False, None])
sample = st.tuples(st.sampled_from("abc"), verdict, st.one_of(st.none(), st.integers(0, 9)))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(sample, max_size=12), st.randoms(use_true_random=False),
    st.sampled_from([{}, REDI, FLASH, {"k": 2}, {"order": "rejected_first"}, {"match": "length"}, {"kind": "kto"},
                     {"max_chosen_tokens": 5, "max_rejected_tokens": 7}, {"alone": "keep", "max_chosen_tokens": 5}]),
)  # fmt: skip
def test_order_of_rows_does_not_matter_and_no_row_vanishes(samples, random, rule):
    whole = table(samples)
    mixed = whole.take(pa.array(random.sample(range(whole.num_rows), whole.num_rows), pa.int64()))
    out, dropped, counts = step(pair(**rule), whole)
    assert (out, dropped, counts) == step(pair(**rule), mixed)
    if "kind" not in rule:
        sides = [r["rejected_id"] for r in out if r["rejected_id"]] + ids(out)
        assert len(sides) == len(set(sides))
        told = {d["row_id"] for d in dropped if d["reason"] == "rejected_side"}
        assert {r["rejected_id"] for r in out} - {None} == told


def test_needs_and_adds_follow_the_settings():
    op = find("pair")
    defaults = {s.name: s.default for s in op.settings}
    assert op.needs(defaults) == ("row_id", "problem_id", "trace", "correct", "sample_idx")
    assert "n_prompt_tokens" in op.needs({**defaults, "max_prompt_tokens": 800})
    assert set(op.adds({**defaults, "kind": "kto"})) == {"desirable"}
    assert op.needs({**defaults, "kind": "process"}) == ("row_id", "step_texts", "step_labels")
    assert "rejected_trace" in op.adds(defaults)


@pytest.mark.parametrize(
    "bad", [{"k": 0}, {"k": 2, "order": "rejected_first"}, {"chosen": "correct ="}, {"prefer": "random()"}]
)
def test_settings_that_cannot_be(bad):
    with pytest.raises(CheckError):
        pair(**bad)


def test_what_check_says():
    columns = {n: SCHEMA.field(n).type for n in NAMES}
    defaults = {s.name: s.default for s in find("pair").settings}
    module.check(defaults, columns)
    with pytest.raises(CheckError, match="not a condition"):
        module.check({**defaults, "chosen": "n_tokens"}, columns)
    with pytest.raises(CheckError, match="Candidate bindings"):
        module.check({**defaults, "against": "n_token desc"}, columns)
    with pytest.raises(CheckError, match="not a list"):
        module.check({**defaults, "kind": "process", "labels": "trace"}, columns)
