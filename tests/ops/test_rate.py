"""`rate`: PromptCoT's rule on the golden cases, ratings read strictly, and no rating where a reply says none."""

import asyncio
import json
from pathlib import Path

import pyarrow as pa
import pytest
from scripted import Scripted

from curator.engines.protocol import Completion
from curator.errors import CheckError
from curator.op import find
from curator.verdicts import rubric

GOLDEN = Path(__file__).parents[2].parent / "shared/specs/golden.json"
GOOD = "Thinking.\n" + "\n".join(
    f"**{name}**: Perfect."
    for name in ("Format", "Factual accuracy", "Difficulty alignment", "Concept coverage", "Solvability")
)


def golden(name):
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (found,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == name]
    return found


def test_the_rule_on_the_golden_cases():
    group = golden("promptcot_verdict")
    for case in group["cases"]:
        ratings = {"accuracy": case["factual_accuracy"], "solvability": case["solvability"]}
        ratings |= {f"other {i}": r for i, r in enumerate(case["others"])}
        assert rubric.verdict(ratings, ["accuracy", "solvability"]) == case["verdict"], case
    for case in group["parser_cases"]:
        assert rubric.one(case["text"]) == case["verdict"]


@pytest.mark.parametrize(
    "text",
    ["a: imperfect\nb: perfect", "a: not perfect\nb: perfect", "a: perfect", "perfect perfect", "a: perfect\nb:",
     "a: perfect\nb: perfect, or bad", ""],
)  # fmt: skip
def test_what_is_no_rating_of_every_criterion_is_none(text):
    assert rubric.read(text, ["a", "b"]) is None


def test_the_last_line_of_a_criterion_counts():
    assert rubric.read("a: bad\nhm\n- A: perfect\n b : ACCEPTABLE.", ["a", "b"]) == {"a": "perfect", "b": "acceptable"}


def rated(answer, **given):
    table = pa.table({"row_id": ["p", "q"], "problem": ["1+1?", None], "examples": [["sums"], ["sums"]]})
    engine = Scripted(answer)
    result = asyncio.run(find("rate").factory(engine=engine, seed=0, **given)(table))
    return result.table.to_pylist(), result.counts, engine


def test_every_row_is_marked_and_failures_have_names():
    rows, counts, engine = rated(lambda _r, _i: GOOD)
    assert [r["rating"] for r in rows] == ["perfect", None]
    assert rows[0]["ratings"][1] == {"criterion": "factual accuracy", "rating": "perfect"}
    assert rows[1]["rate_error"] == "column 'problem' is null"
    assert counts == {"not_rated": 1}
    assert "1. sums" in engine.requests[0].messages[0].content
    assert "solvability: " in engine.requests[0].messages[0].content


@pytest.mark.parametrize(
    ("reply", "why"),
    [("all perfect", "the reply does not rate every criterion"), (Completion("perf", "length"), "cut short"),
     (Completion("", "error", error="gone"), "gone")],
)  # fmt: skip
def test_a_reply_that_says_nothing_is_no_rating(reply, why):
    rows, _, _ = rated(lambda _r, _i: reply, name="second")
    assert (rows[0]["second_rating"], rows[0]["second_ratings"], rows[0]["second_rate_error"]) == (None, None, why)


def test_settings_that_make_no_sense():
    for given in ({"criteria": []}, {"criteria": ["a", "a"], "must": []}, {"must": ["beauty"]}):
        with pytest.raises(CheckError, match="it wants different names"):
            find("rate").factory(engine=Scripted(lambda _r, _i: ""), **given)
