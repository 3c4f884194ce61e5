"""Recorded outputs as an engine."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator import prompts
from curator.engines import open_engine
from curator.engines.protocol import Message, Request, Sampling
from curator.errors import CheckError, InputError

ROWS = [
    {"problem": "2+2?", "trace": "<think>a</think>4", "finish_reason": "stop", "n_tokens": 9},
    {"problem": "2+2?", "trace": "5", "finish_reason": "length", "n_tokens": 2},
    {"problem": "Ann has\n\n3 {x} apples.", "trace": "three", "finish_reason": None, "n_tokens": None},
    {"problem": "Ann has", "trace": "short", "finish_reason": None, "n_tokens": None},
]


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "rec.jsonl"
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def ask(problem: str, template: str = prompts.GENERATE, stop: tuple[str, ...] = (), **rest) -> Request:
    text = prompts.fill(template, problem=problem, trace="...", budget="")
    return Request((Message("user", text),), Sampling(stop=stop), **rest)


def replay(request: Request, **settings):
    return asyncio.run(open_engine("r", "replay", settings).generate(request))


@pytest.mark.parametrize("template", [prompts.GENERATE, prompts.COMPRESS, "Please solve '{problem}' now", "{problem}"])
@pytest.mark.parametrize(("problem", "text"), [("2+2?", "<think>a</think>4"), (ROWS[2]["problem"], "three")])
def test_the_problem_is_found_in_any_template(file, template, problem, text):
    (found,) = replay(ask(problem, template), path=str(file))
    assert found.text == text


def test_samples_in_order_and_none_invented(file):
    found = replay(ask("2+2?", n=3), path=str(file), max_error_share=1.0)
    assert [(c.text, c.finish_reason, c.n_tokens) for c in found[:2]] == [
        ("<think>a</think>4", "stop", 9),
        ("5", "length", 2),
    ]
    assert found[2].finish_reason == "error"
    assert "only 2 recorded samples" in found[2].error
    (lost,) = replay(ask("7+7?"), path=str(file))
    assert (lost.finish_reason, lost.text) == ("error", "")


def test_prefix_and_stop(file):
    (found,) = replay(ask("2+2?", prefix="<think>", stop=("</think>",)), path=str(file))
    assert found.text == "a</think>"
    (bad,) = replay(ask("2+2?", prefix="x"), path=str(file))
    assert bad.finish_reason == "error"


def test_parquet_with_other_names(tmp_path):
    path = tmp_path / "r.parquet"
    pq.write_table(pa.table({"q": ["2+2?"], "prompt": ["no"], "output": ["4"]}), path)
    (found,) = replay(ask("2+2?"), path=str(path), problem="q")
    assert found.text == "4"
    with pytest.raises(InputError, match="no column 'qq'; did you mean 'q'"):
        replay(ask("2+2?"), path=str(path), problem="qq")


def solve(messages, sample_idx, prefix):
    return f"{len(messages)} {sample_idx} {prefix}"


def seen(messages, sample_idx, prefix, request):
    return "|".join(request.sampling.stop)


def logprobs(messages, text):
    return [-1.0] * len(text)


def test_functions():
    me = __name__
    found = replay(ask("a", n=2, prefix="p", first_sample=3), function=f"{me}:solve")
    assert [c.text for c in found] == ["1 3 p", "1 4 p"]
    assert replay(ask("a", stop=("!",)), function=f"{me}:seen")[0].text == "!"
    engine = open_engine("r", "replay", {"function": f"{me}:solve", "score": f"{me}:logprobs"})
    assert asyncio.run(engine.score((Message("user", "a"),), "ab")).logprobs == (-1.0, -1.0)
    with pytest.raises(CheckError, match="cannot import"):
        replay(ask("a"), function="nowhere:nothing")


def test_failing_on_demand_is_the_same_each_time():
    def failures(**settings) -> list[int]:
        engine = open_engine("r", "replay", {"function": f"{__name__}:solve", "max_error_share": 1.0, **settings})
        found = [asyncio.run(engine.generate(ask(str(i))))[0] for i in range(300)]
        return [i for i, c in enumerate(found) if c.finish_reason == "error"]

    some = failures(fail_rate=0.2)
    assert 30 < len(some) < 90
    assert failures(fail_rate=0.2) == some
    assert set(failures(fail_rate=0.05)) < set(some)
    assert 40 < len(failures(fail_every=4)) < 120
    assert len(failures(finish_reason="error")) == 300


def test_what_cannot_be_read_says_so(tmp_path):
    with pytest.raises(CheckError, match="needs a path"):
        replay(ask("a"))
    with pytest.raises(InputError, match="does not exist"):
        replay(ask("a"), path=str(tmp_path / "none.jsonl"))
    (tmp_path / "bad.jsonl").write_text('{"problem": 1')
    with pytest.raises(InputError, match="cannot be read"):
        replay(ask("a"), path=str(tmp_path / "bad.jsonl"))
    (tmp_path / "half.parquet").write_bytes(b"PAR1xxxx")
    with pytest.raises(InputError, match="cannot be read"):
        replay(ask("a"), path=str(tmp_path / "half.parquet"))


def test_another_file_is_another_engine(file):
    first = open_engine("r", "replay", {"path": str(file)}).identity
    file.write_text(file.read_text() + "\n" + json.dumps(ROWS[0]))
    assert open_engine("r", "replay", {"path": str(file)}).identity != first


def test_real_traces_are_found():
    data = Path(__file__).parents[2].parent / "shared" / "data" / "traces" / "saturn_math500_r1_distill_qwen_7b.parquet"
    if not data.exists():
        pytest.skip("no real traces here")
    table = pq.read_table(data, columns=["problem", "output"]).slice(0, 50).to_pylist()
    engine = open_engine("r", "replay", {"path": str(data), "problem": "problem"})

    async def main() -> list[str]:
        return [(await engine.generate(ask(r["problem"], prompts.COMPRESS)))[0].text for r in table]

    assert asyncio.run(main()) == [r["output"] for r in table]
