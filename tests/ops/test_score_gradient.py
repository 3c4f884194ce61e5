"""`score: {kind: gradient}`: the columns, bad input, and a run with the pocket model."""

from __future__ import annotations

import asyncio
import importlib.util

import numpy as np
import pyarrow as pa
import pytest

from curator.check import check_pipeline
from curator.engines.protocol import Gradient
from curator.errors import CheckError
from curator.op import find
from curator.ops.score import score
from curator.pipeline import engine as engine_spec
from curator.pipeline import step as pipeline_step

VECTOR = np.array([0.6, 0.8, 0, 0], "<f4").tobytes()
SAID = {
    "fine": Gradient(VECTOR, 1.5, 3), "long": Gradient(VECTOR, 2.5, 4096, truncated=True),
    "zero": Gradient(b"", 0.0, 2, error="zero_gradient"), "nan": Gradient(b"", float("nan"), 2, error="nan_loss"),
    "no room": Gradient(b"", None, 0, truncated=True, error="empty"), "down": Gradient(b"", error="out of memory"),
}  # fmt: skip


class Proxy:
    alias, model = "proxy", "some/folder"
    identity = {"kind": "transformers", "model": "tiny", "files": "0123456789abcdef"}

    def __init__(self) -> None:
        self.asked = []

    async def gradient(self, messages, text, projection, max_tokens):
        self.asked.append((messages, text, projection, max_tokens))
        return SAID[text]


def run(*traces, **settings):
    table = pa.table({"row_id": [str(i) for i in range(len(traces))], "problem": list(traces),
                      "trace": pa.array(traces, pa.string())})  # fmt: skip
    proxy = Proxy()
    found = asyncio.run(score(engine=proxy, kind="gradient", **{"d": 4, **settings})(table))
    bound = {**{s.name: s.default for s in find("score").settings}, "kind": "gradient", "d": 4, **settings}
    adds = find("score").adds(bound)
    assert {n: found.table.schema.field(n).type for n in adds} == adds
    assert set(found.table.column_names) == {*table.column_names, *adds}
    return found.table.to_pylist(), found.counts, proxy


def test_columns():
    (row, long), counts, proxy = run("fine", "long", projection="rademacher", projection_seed=3, max_tokens=77)
    assert row["grad"] == pytest.approx([0.6, 0.8, 0, 0])
    assert (row["grad_loss"], row["grad_n_tokens"], row["grad_truncated"], row["score_error"]) == (1.5, 3, False, None)
    assert (row["grad_proxy"], row["grad_projection"]) == ("tiny@0123456789ab", "rademacher:4:3")
    assert (long["grad_truncated"], long["grad_n_tokens"]) == (True, 4096)
    assert [a[1:] for a in proxy.asked] == [(t, "rademacher:4:3", 77) for t in ("fine", "long")]
    assert (counts["tokens_scored"], counts["truncated"]) == (4099, 1)
    assert "proxy_grad" in run("fine", name="proxy")[0][0]


def test_every_failure_is_null_named_and_counted():
    rows, counts, _ = run("fine", "zero", "nan", "no room", "down", None, "", "zero")
    assert [r["score_error"] for r in rows] == [
        None, "zero_gradient", "nan_loss", "empty", "out of memory", "column 'trace' is null", "the text is empty",
        "zero_gradient",
    ]  # fmt: skip
    assert [r["grad"] is None for r in rows] == [False] + [True] * 7
    assert [r["grad_loss"] for r in rows[:4]] == [1.5, 0.0, None, None]
    assert (counts["zero_gradient"], counts["nan_loss"], counts["empty"], counts["not_scored"]) == (2, 1, 1, 7)


@pytest.mark.parametrize("bad", [
    {"d": 512}, {"projection": "rademacher"}, {"projection_seed": 1, "kind": "embedding"}, {"max_tokens": 5},
    {"kind": "gradient", "also": ["margin"]}, {"kind": "gradient", "spans": "spans"},
    {"kind": "gradient", "heads": ["a"]},
])  # fmt: skip
def test_settings_that_do_not_fit(bad):
    with pytest.raises(CheckError, match="score:"):
        score(engine=Proxy(), **bad)


def problems(kind="pocket", more=None, **settings):
    pipeline = pipeline_step("read", "builtin:pocket") | pipeline_step(
        "score", kind="gradient", engine=engine_spec(kind, **(more or {})), on="answer", **settings
    )
    return [str(p) for p in check_pipeline(pipeline)]


@pytest.mark.parametrize(("kind", "more"), [
    ("openai", {"model": "m", "base_url": "http://127.0.0.1:9/v1"}), ("vllm", {"model": "m"}),
    ("replay", {"path": "x"}), ("reward", {"model": "m"}),
])  # fmt: skip
def test_engines_without_gradients_are_refused_before_the_first_row(kind, more):
    said = problems(kind, more)
    (told,) = [p for p in said if "gradients (return the gradient of a text's loss)" in p]
    assert "use an engine of kind transformers or pocket" in told


def test_bad_settings_are_found_by_check():
    for bad in ({"d": 0}, {"projection": "gauss"}, {"max_tokens": 0}):
        with pytest.raises(CheckError, match=next(iter(bad))):
            problems(**bad)


def test_the_pocket_without_torch_says_what_to_install(monkeypatch):
    assert problems() == []
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a))
    (said,) = problems()
    assert "gradients of kind pocket needs torch, not installed here: pip install 'trace-curator[local]'" in said


def test_the_pocket_model_in_a_run(tmp_path):
    """To Parquet and back, null vectors among them, through a table step; the second run reads the store."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import pyarrow.parquet as pq

    import curator as cu

    given = tmp_path / "rows.parquet"
    texts = ["It is 4.", "", "It is five. " * 40, "", "4"]
    pq.write_table(pa.table({"id": list("abcde"), "problem": ["What is 2+2?"] * 5, "trace": texts}), given)
    proxy = cu.engine("pocket", threads=1)
    pipeline = cu.read(path=str(given)) | cu.score(
        engine=proxy, kind="gradient", d=64, max_tokens=20
    ) | cu.select(where="grad is not null or row_id = 'b'")  # fmt: skip
    found = []
    for name in ("one", "two"):
        done = pipeline.run(tmp_path / name, workers=0, progress=False)
        found.append(done.table().to_arrow_table().to_pylist())
        use = done.receipts[1]["counts"]
        assert (use["not_scored"], use["truncated"]) == (2, 1)
    assert found[0] == found[1]
    rows = {r["row_id"]: r for r in found[0]}
    assert sorted(rows) == ["a", "b", "c", "e"]
    assert rows["b"]["grad"] is None
    assert [rows[i]["grad_truncated"] for i in "ace"] == [False, True, False]
    for i in "ace":
        assert np.linalg.norm(rows[i]["grad"]) == pytest.approx(1, abs=1e-5)
        assert rows[i]["grad_proxy"] == proxy_id()
    (file,) = (tmp_path / "two").glob("steps/*-score/part-*.parquet")
    again = cu.read(path=str(file)).run(tmp_path / "three", workers=0, progress=False)
    kept = {r["row_id"]: r["grad"] for r in again.table().to_arrow_table().to_pylist()}
    assert kept["a"] == rows["a"]["grad"]


def proxy_id():
    from curator.engines.pocket import PocketEngine

    return PocketEngine().model


def test_a_plan_counts_them_and_computes_none(tmp_path):
    import curator as cu
    from curator.run.plan import plan

    pipeline = cu.read("builtin:pocket") | cu.score(engine=cu.engine("pocket"), kind="gradient", on="answer", d=32)
    found = plan(pipeline, tmp_path / "r", store=tmp_path / "store", limit=20)
    assert (found.steps[1].requests, found.steps[1].rows_out) == (20, 20)
