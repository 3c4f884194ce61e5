from __future__ import annotations

import asyncio
import json

import pyarrow as pa
import pytest
from scripted import Scripted

from curator import rows
from curator.engines.protocol import GENERATE, PREFIX, SEED, Completion
from curator.op import Result, find
from curator.ops.generate import generate


def table(**columns):
    base = {"row_id": ["p1", "p2"], "problem_id": ["p1", "p2"], "problem": ["1+1?", "2+2?"]} | columns
    return pa.table(base)


def run(engine, given=None, **settings) -> Result:
    return asyncio.run(generate(engine=engine, **settings)(given if given is not None else table()))


def test_one_row_in_n_samples_out():
    out = run(Scripted(lambda r, i: f"<think>{i}</think>\n\\boxed{{{r.messages[-1].content[0]}}}"), n=3).table
    assert out["row_id"].to_pylist() == ["p1/0", "p1/1", "p1/2", "p2/0", "p2/1", "p2/2"]
    assert out["parent_id"].to_pylist() == ["p1"] * 3 + ["p2"] * 3
    assert out["sample_idx"].to_pylist() == [0, 1, 2] * 2
    assert out["problem"].to_pylist() == ["1+1?"] * 3 + ["2+2?"] * 3
    assert out["think"].to_pylist() == ["0", "1", "2"] * 2
    assert out["response"][3].as_py() == r"\boxed{2}"
    assert out["trace"][0].as_py() == "<think>0</think>\n\\boxed{1}"
    assert out.schema.field("n_tokens").type == rows.COLUMNS["n_tokens"].type
    assert set(find("generate").adds({})) <= set(out.column_names)


def test_seeds_are_per_sample_and_do_not_depend_on_row_order():
    def seeds(given):
        engine = Scripted(lambda r, i: "x")
        run(engine, given, n=2, seed=5)
        return {(r.key, r.first_sample): r.sampling.seed for r in engine.requests}

    straight, turned = seeds(table()), seeds(table().take(pa.array([1, 0])))
    assert straight == turned
    assert len(set(straight.values())) == 4
    engine = Scripted(lambda r, i: "x")
    run(engine, n=2, seed=6)
    assert {r.sampling.seed for r in engine.requests}.isdisjoint(straight.values())


def test_one_request_for_all_samples_where_the_engine_takes_no_seed():
    engine = Scripted(lambda r, i: str(i), frozenset({GENERATE}))
    assert run(engine, n=4).table["trace"].to_pylist() == ["0", "1", "2", "3"] * 2
    assert [(r.n, r.sampling.seed) for r in engine.requests] == [(4, None)] * 2


def test_templates_fill_columns_and_leave_latex_alone():
    engine = Scripted(lambda r, i: " end", frozenset({GENERATE, PREFIX}))
    given = table(draft=["{d}", "e"])
    out = run(
        engine, given, prompt=r"Q {problem} \boxed{} \frac{a}{b}", system="S {problem}", prefix="<think>{draft}"
    ).table
    first = engine.requests[0]
    assert [m.content for m in first.messages] == ["S 1+1?", r"Q 1+1? \boxed{} \frac{a}{b}"]
    assert first.prefix == "<think>{d}"
    assert out["trace"].to_pylist() == ["<think>{d} end", "<think>e end"]
    op = find("generate")
    bound = {"prompt": "{problem}", "system": "", "prefix": "{draft}"}
    assert op.needs(bound) == ("row_id", "problem", "draft")
    assert PREFIX in op.wants(bound)
    assert PREFIX not in op.wants(bound | {"prefix": ""})


def broken(r, i):
    return Completion("", "error", error="503") if i == 1 or r.key == "p2" else "ok"


def test_failed_requests_are_rows_with_a_name():
    out = run(Scripted(broken), n=2).table
    assert out["finish_reason"].to_pylist() == ["stop", "error", "error", "error"]
    assert out["trace"].to_pylist() == ["ok", None, None, None]
    assert out["error"].to_pylist() == [None, "503", "503", "503"]


def test_on_error_drop_loses_only_rows_without_any_sample():
    result = run(Scripted(broken), n=2, on_error="drop")
    assert result.table["row_id"].to_pylist() == ["p1/0"]
    assert result.dropped.to_pylist() == [
        {"row_id": "p2", "reason": "failed", "evidence": json.dumps({"errors": ["503", "503"]})}
    ]
    assert result.counts["samples_failed"] == 3


def test_a_null_field_drops_the_row_before_it_is_asked():
    engine = Scripted(lambda r, i: "x")
    result = run(engine, table(problem=[None, "2+2?"]))
    assert result.table["parent_id"].to_pylist() == ["p2"]
    assert result.dropped["reason"].to_pylist() == ["null_field"]
    assert len(engine.requests) == 1


def test_rows_of_a_shard_are_asked_at_the_same_time():
    class Waits(Scripted):
        async def generate(self, request):
            self.inside = getattr(self, "inside", 0) + 1
            while self.inside < 6:
                await asyncio.sleep(0)
            return await super().generate(request)

    assert run(Waits(lambda r, i: "x", frozenset({GENERATE, SEED})), n=3).table.num_rows == 6


def test_empty_shard_and_samples_of_samples():
    assert run(Scripted(lambda r, i: "x"), table().slice(0, 0)).table.num_rows == 0
    first = run(Scripted(lambda r, i: "x"), n=2).table
    second = run(Scripted(lambda r, i: "y"), first).table
    assert second["row_id"].to_pylist() == ["p1/0/0", "p1/1/0", "p2/0/0", "p2/1/0"]
    assert second["parent_id"].to_pylist() == first["row_id"].to_pylist()
    assert second.column_names == first.column_names


def test_n_below_one_is_refused():
    with pytest.raises(ValueError, match="n is 0"):
        generate(engine=Scripted(lambda r, i: "x"), n=0)


def named(alias, text, capabilities=frozenset({GENERATE, SEED})):
    engine = Scripted(lambda r, i: f"{text}{i}", capabilities)
    engine.alias, engine.model, engine.identity = alias, f"{alias}@1", {"kind": "scripted", "model": alias}
    return engine


def test_several_engines_side_by_side():
    a, b = named("a", "A"), named("b", "B", frozenset({GENERATE}))
    out = run((a, b), n=2).table
    assert out["row_id"].to_pylist() == [f"p{p}/{i}" for p in (1, 2) for i in range(4)]
    assert out["sample_idx"].to_pylist() == [0, 1, 2, 3] * 2
    assert out["trace"].to_pylist() == ["A0", "A1", "B0", "B1"] * 2
    assert out["engine"].to_pylist() == ["a", "a", "b", "b"] * 2
    assert out["model"].to_pylist() == ["a@1", "a@1", "b@1", "b@1"] * 2
    alone = named("b", "B", frozenset({GENERATE}))
    run(alone, n=2)
    assert alone.requests == b.requests  # so that the store serves either


def test_a_model_under_two_names_gives_other_samples():
    a, again = named("a", "A"), named("again", "A")
    again.identity = a.identity
    out = run((a, named("b", "B"), again), n=2).table
    assert out["trace"].to_pylist() == ["A0", "A1", "B0", "B1", "A2", "A3"] * 2
    assert out["sample_idx"].to_pylist() == [0, 1, 2, 3, 4, 5] * 2


def test_a_temperature_schedule():
    engine = named("a", "x")
    out = run(engine, n=2, temperature=(0.6, 1.0)).table
    assert out["temperature"].to_pylist() == [0.6, 0.6, 1.0, 1.0] * 2
    assert out["sample_idx"].to_pylist() == [0, 1, 2, 3] * 2
    asked = [(r.key, r.sampling.temperature, r.first_sample) for r in engine.requests]
    assert asked == [(p, t, i) for p in ("p1", "p2") for t in (0.6, 1.0) for i in (0, 1)]


@pytest.mark.parametrize("bad", [(), (-0.1,), (0.6, 0.6), -1.0])
def test_temperatures_that_cannot_be(bad):
    with pytest.raises(ValueError, match="temperature is"):
        generate(engine=named("a", "x"), temperature=bad)
