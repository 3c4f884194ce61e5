"""`score`: what a model says of a text that is there, and where its sentences come from."""

from __future__ import annotations

import asyncio
import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
from tableview import step

from curator import prompts
from curator.check import check_pipeline
from curator.engines.protocol import Embedding, Message, Reward, TextScore
from curator.errors import CheckError
from curator.op import find
from curator.ops.provenance import provenance
from curator.ops.score import check, score
from curator.ops.select import select
from curator.pipeline import engine as engine_spec
from curator.pipeline import step as pipeline_step

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"


class Teller:
    """Tells what a function of the text says; keeps what it was asked."""

    alias, model = "student", "told@1"

    def __init__(self, tell=None) -> None:
        self.tell, self.asked = tell or by_word, []

    async def score(self, messages, text, also=frozenset()):
        self.asked.append((messages, text, also))
        return self.tell(text, also)

    async def rewards(self, messages):
        self.asked.append((messages, "", frozenset()))
        return Reward({}, 0, "too long") if "long" in messages[-1].content else Reward({"a": 1.0, "b": 3.0}, 7)

    async def embed(self, messages, text):
        return Embedding((float(len(text)), 0.5), 3, truncated=len(text) > 9)


def by_word(text, also=frozenset()):
    """One token a word, -0.5 each; entropies 2, margins 0.25."""
    words = text.split(" ")
    offsets = tuple(sum(len(w) + 1 for w in words[:i]) for i in range(len(words)))
    n = len(words)
    return TextScore(tuple(words), (-0.5,) * n, offsets, False, (2.0,) * n if "entropy" in also else None,
                     (0.25,) * n if "margin" in also else None)  # fmt: skip


def rows(*traces: str | None, **more) -> pa.Table:
    return pa.table({
        "row_id": [f"r{i}" for i in range(len(traces))], "problem": [f"p{i}" for i in range(len(traces))],
        "trace": pa.array(traces, pa.string()), **more,
    })  # fmt: skip


def run(table: pa.Table, teller: Teller | None = None, **settings) -> tuple[list[dict], dict, Teller]:
    teller = teller or Teller()
    found = asyncio.run(score(engine=teller, **settings)(table))
    bound = {**{s.name: s.default for s in find("score").settings}, **settings}
    for name, kind in find("score").adds(bound).items():
        assert found.table.schema.field(name).type == kind
    return found.table.to_pylist(), dict(found.counts), teller


def test_log_probabilities_reduced():
    (a, b), counts, teller = run(rows("one two three", "four"), also=["entropy", "margin"])
    assert (a["logprob_sum"], a["logprob_mean"], a["n_scored"]) == (-1.5, -0.5, 3)
    assert a["perplexity"] == pytest.approx(math.exp(0.5))
    assert (a["token_entropy"], a["margin"]) == (2.0, 0.25)
    assert (a["score_truncated"], a["score_error"], a["scored_by"]) == (False, None, "told@1")
    assert b["logprob_sum"] == -0.5
    assert (counts["tokens_scored"], counts["logprob_total"], counts["entropy_total"]) == (4, -2.0, 8.0)
    messages, text, also = teller.asked[0]
    assert (messages, text) == ((Message("user", prompts.fill(prompts.GENERATE, problem="p0")),), "one two three")
    assert also == {"entropy", "margin"}


def test_two_models_on_the_same_rows():
    first, _, _ = run(rows("a b"), name="student")
    second, _, _ = run(pa.Table.from_pylist(first), Teller(lambda t, _: TextScore((t,), (-9.0,), (0,))), name="teacher")
    assert (second[0]["student_logprob_sum"], second[0]["teacher_logprob_sum"]) == (-1.0, -9.0)
    assert "logprob_sum" not in second[0]


def test_the_text_alone_and_a_template():
    _, _, teller = run(rows("a b"), given="", on="{problem} {trace}")
    assert teller.asked == [((), "p0 a b", frozenset())]
    _, _, teller = run(rows("a"), system="Be {problem}.", given="{problem}?")
    assert teller.asked[0][0] == (Message("system", "Be p0."), Message("user", "p0?"))


def test_every_failure_has_a_name():
    said = {
        "cut": TextScore(("cut",), (-1.0,), (0,), truncated=True), "none": TextScore((), (), (), truncated=True),
        "down": TextScore((), (), (), error="HTTP 500"),
    }  # fmt: skip
    out, counts, teller = run(rows("cut", "none", "down", None, ""), Teller(lambda t, _: said[t]))
    assert [r["score_truncated"] for r in out] == [True, True, False, None, None]
    assert [r["score_error"] for r in out] == [
        None, "the prompt leaves no room for the text", "HTTP 500", "column 'trace' is null", "the text is empty",
    ]  # fmt: skip
    assert [r["logprob_sum"] for r in out] == [-1.0, None, None, None, None]
    assert [r["scored_by"] for r in out] == ["told@1", None, None, None, None]
    assert (counts["truncated"], counts["not_scored"]) == (2, 4)
    assert len(teller.asked) == 3


SPANS = pa.list_(pa.struct([("idx", pa.int32()), ("kind", pa.string()), ("start", pa.int64()), ("end", pa.int64())]))


def spans(*given: list[tuple[int, int]] | None) -> pa.Array:
    told = [g and [{"idx": i, "kind": "s", "start": a, "end": b} for i, (a, b) in enumerate(g)] for g in given]
    return pa.array(told, SPANS)


def test_sums_of_spans():
    table = rows("one two three", "four", "x", spans=spans([(0, 8), (8, 13)], None, [(0, 3), (1, 2)]))
    out, _, _ = run(table, spans="spans")
    assert (out[0]["span_logprob_sum"], out[0]["span_n_scored"]) == ([-1.0, -0.5], [2, 1])
    assert out[1]["score_error"] == "column 'spans' is null"
    assert "not ascending" in out[2]["score_error"]
    check({"spans": "spans"}, {"spans": SPANS})
    with pytest.raises(CheckError, match="list of structs"):
        check({"spans": "problem"}, {"problem": pa.string()})


def test_provenance_with_two_tokenizers():
    """Sentences are compared by characters: the models need not cut them alike, and where they do not is told."""
    text = "Ab cd. Ef gh."
    table = rows(text, spans=spans([(0, 7), (7, 13)]))
    letters = Teller(lambda t, _: TextScore(tuple(t), (-0.1,) * 7 + (-1.0,) * 6, tuple(range(13))))
    words = Teller(lambda t, _: TextScore(("Ab", " cd.", " Ef", " gh."), (-0.9, -0.7, -0.1, -0.1), (0, 2, 6, 9)))
    for name, teller in (("teacher", letters), ("student", words)):
        table = pa.Table.from_pylist(run(table, teller, name=name, spans="spans")[0])
    assert table["teacher_span_n_scored"].to_pylist() == [[7, 6]]
    found = provenance()(table)
    (out,) = found.table.to_pylist()
    assert (out["span_labels"], out["n_teacher_spans"], out["n_student_spans"]) == (["teacher", "student"], 1, 1)
    assert found.counts == {"spans": 2.0, "spans_of_other_tokens": 2.0}


def columns_of(**models: list[tuple[float | None, int]] | None) -> pa.Table:
    more = {}
    for name, told in models.items():
        more[f"{name}_span_logprob_sum"] = pa.array([told and [s for s, _ in told]], pa.list_(pa.float64()))
        more[f"{name}_span_n_scored"] = pa.array([told and [n for _, n in told]], pa.list_(pa.int32()))
    return rows("t", **more)


def test_golden_provenance():
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    groups = {g["id"]: g["cases"] for g in json.loads(GOLDEN.read_text())["groups"]}
    for case in groups["sentence_provenance_two_model"] + groups["sentence_provenance_three_model"]:
        models = {m: case.get(f"p_{m}") for m in ("teacher", "student", "distilled")}
        table = columns_of(**{m: [(math.log(p), 1)] for m, p in models.items() if p is not None})
        three = {"distilled": "distilled", "alpha": case["alpha"]} if "alpha" in case else {}
        (out,) = provenance(beta=case["beta"], **three)(table).table.to_pylist()
        assert out["span_labels"] == [case["label"]]


def test_provenance_of_what_is_not_known():
    (out,) = provenance()(columns_of(teacher=None, student=[(-1.0, 1)])).table.to_pylist()
    assert (out["span_labels"], out["n_teacher_spans"]) == (None, None)
    table = columns_of(teacher=[(-1.0, 1), (None, 0)], student=[(-9.0, 1), (-1.0, 1)])
    (out,) = provenance()(table).table.to_pylist()
    assert (out["span_labels"], out["n_teacher_spans"]) == (["teacher", None], 1)
    for bad in ({"distilled": "d"}, {"alpha": 0.1}, {"beta": 1.5}):
        with pytest.raises(CheckError, match="provenance:"):
            provenance(**bad)


def test_golden_grape():
    """Length normalisation changes the winner: by sum, by mean, by geometric mean."""
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "grape_normalisation"]
    for case in group["cases"]:
        told = {f"c{i}": tuple(c) for i, c in enumerate(case["candidates"])}
        teller = Teller(lambda t, _, c=told: TextScore(("x",) * len(c[t]), c[t], tuple(range(len(c[t])))))
        out, _, _ = run(rows(*told), teller)
        assert [r["logprob_sum"] for r in out] == pytest.approx(case["sum"], abs=1e-9)
        assert [r["logprob_mean"] for r in out] == pytest.approx(case["mean"], abs=1e-9)
        table = pa.Table.from_pylist([{**r, "problem_id": "p"} for r in out])
        for rule, by in (("none", "logprob_sum"), ("mean", "logprob_mean"), ("geometric", "exp(logprob_mean)")):
            (kept,), _, _ = step(select(best=f"{by} desc"), table)
            assert kept["trace"] == f"c{case[f'pick_{rule}']}"


def test_golden_gate_of_margins():
    """NesyCD: a mean difference of the two largest probabilities of strictly more than 68 percent is confident."""
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "nesycd_gate"]
    for case in group["cases"]:
        value = case["margin_percent"] / 100
        teller = Teller(lambda t, _, v=value: TextScore((t,), (-1.0,), (0,), False, None, (v,)))
        out, _, _ = run(rows("t"), teller, also=["margin"])
        kept, _, _ = step(select(where="margin > 0.68"), pa.Table.from_pylist(out))
        assert bool(kept) == case["confident"]


def test_rewards_and_vectors():
    out, _, teller = run(rows("fine", "long"), kind="reward", heads=["a", "b"])
    assert [(r["reward"], r["score_error"]) for r in out] == [(2.0, None), (None, "too long")]
    assert teller.asked[0][0][-1] == Message("assistant", "fine")
    assert run(rows("fine"), kind="reward", heads=["b"])[0][0]["reward"] == 3.0
    assert "name those that count in heads" in run(rows("fine"), kind="reward")[0][0]["score_error"]
    out, _, _ = run(rows("fine", "longer text"), kind="embedding")
    assert [(r["embedding"], r["score_truncated"]) for r in out] == [([4.0, 0.5], False), ([11.0, 0.5], True)]


@pytest.mark.parametrize("bad", [
    {"kind": "reward", "also": ["margin"]}, {"kind": "embedding", "spans": "spans"}, {"heads": ["a"]},
    {"spans": "spans", "on": "{a}{b}"}, {"given": "", "system": "x"}, {"kind": "reward", "given": ""},
])  # fmt: skip
def test_settings_that_do_not_fit(bad):
    with pytest.raises(CheckError, match="score:"):
        score(engine=Teller(), **bad)


@pytest.mark.parametrize(("kind", "more", "settings", "said"), [
    ("openai", {"model": "m", "base_url": "http://127.0.0.1:9/v1"}, {}, "score a given text"),
    ("vllm", {"model": "m"}, {"also": ["entropy"]}, "entropy at each token"),
    ("pocket", {}, {"kind": "reward"}, "score a conversation with a reward head"),
    ("vllm", {"model": "m"}, {"kind": "embedding"}, "a vector for a text"),
])  # fmt: skip
def test_models_that_cannot_are_refused_before_the_first_row(kind, more, settings, said):
    pipeline = pipeline_step("read", "builtin:pocket") | pipeline_step(
        "score", engine=engine_spec(kind, **more), on="problem", given="", **settings
    )
    assert any(said in str(p) for p in check_pipeline(pipeline)), [str(p) for p in check_pipeline(pipeline)]


def test_the_pocket_model_in_a_run(tmp_path):
    """End to end, twice: the second run reads every score from the store."""
    import curator as cu

    student = cu.engine("pocket", threads=1)
    pipeline = cu.read("builtin:pocket") | cu.score(
        engine=student, on="answer", also=["entropy", "margin"], name="student"
    ) | cu.score(engine=student, kind="embedding", on="problem", given="")  # fmt: skip
    found = []
    for name in ("one", "two"):
        done = pipeline.run(tmp_path / name, workers=0, progress=False, limit=6)
        found.append(done.table().to_arrow_table().to_pylist())
    assert found[0] == found[1]
    for r in found[0]:
        assert r["student_perplexity"] == pytest.approx(math.exp(-r["student_logprob_mean"]))
        assert r["student_token_entropy"] >= 0
        assert 0 <= r["student_margin"] <= 1
        assert len(r["embedding"]) > 8
