"""The main job on real traces with the embedded model, which can rewrite none: no row unaccounted for, no crash."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from curator.check import load
from curator.run.local import run

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import real_traces  # noqa: E402

sys.path.remove(str(BENCHMARKS))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not real_traces.TRACES.exists(), reason="real data is not there (../shared/data)"),
]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    pytest.importorskip("torch", reason="the pocket model needs the extra [local]")
    folder = tmp_path_factory.mktemp("real")
    page = folder / "page.yaml"
    page.write_text(real_traces.page(20, 0).replace("retries: 0", "retries: 0, max_tokens: 96"))
    return run(load(page), folder / "run", workers=0, progress=False)


def test_every_row_comes_to_an_end(done):
    told = real_traces.account(done)  # raises where the law of conservation or the list of ids does not hold
    assert told["rows"] == 20
    assert sum(told["compress"].values()) == told["steps"]["compress"]["rows_in"]
    assert told["engine"]["requests"] == told["counts"]["asked"]


def test_what_cannot_be_asked_or_is_refused_keeps_its_long_trace_and_says_why(done):
    rows = done.table("compress").to_arrow_table().to_pylist()
    assert rows
    reasons = {"too_long", "truncated", "no_level", "sections_missing", "answer_changed"}
    assert {r["reject_reason"] for r in rows} <= reasons
    for r in rows:
        assert r["verified"] is False
        assert r["trace"]
        assert r["short_cot"] is None
        assert (r["reject_reason"] == "too_long") >= (r["tokens_long"] > 2048)
        assert (r["reject_reason"] == "too_long") == (r["n_attempts"] == 0)
    assert any(r["reject_reason"] == "too_long" for r in rows)
    assert any(r["reject_reason"] != "too_long" for r in rows)
    assert next(r for r in done.receipts if r["op"] == "compress")["engines"]["teacher"]["errors"] == 0
