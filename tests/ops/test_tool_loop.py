"""`tool_loop`: model and interpreter take turns, with a scripted model and the real sandbox."""

from __future__ import annotations

import asyncio

import pyarrow as pa
import pytest
from scripted import Scripted

from curator import prompts, rows
from curator.engines.protocol import GENERATE, PREFIX, Completion
from curator.errors import CheckError
from curator.op import find
from curator.ops.tool_loop import story, tool_loop
from curator.sandbox.judge import refusal
from curator.spans.edits import Edit
from curator.spans.inserted import fits

pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no isolation here: {refusal()}")
CODE = "```python\n{}\n```\n"
END = "So it is.\n</think>\n\n\\boxed{{{}}}"


def table(**columns):
    n = len(next(iter(columns.values()), ["p"]))
    return pa.table({"row_id": [f"r{i}" for i in range(n)], "problem": [f"problem {i}" for i in range(n)], **columns})


def run(answer, given=None, **settings):
    engine = answer if isinstance(answer, Scripted) else Scripted(answer)
    result = asyncio.run(tool_loop(engine=engine, **settings)(given if given is not None else table()))
    return result.table.to_pylist(), result, engine


def stopped(text, request):
    """As an engine does it: the text up to and with the first stop string."""
    at = min((text.find(s) + len(s) for s in request.sampling.stop if s in text), default=len(text))
    return text[:at]


def by_outputs(*turns):
    """A model that says `turns[k]` after k outputs."""
    return lambda request, i: stopped(turns[request.prefix.count("```output")], request)


def parts(row, kind):
    return [p["text"] for p in row["inserted"] or () if p["kind"] == kind]


def test_code_is_run_where_it_stands_and_the_model_goes_on():
    turns = ("<think>\nLet me see.\n" + CODE.format("x = 6 * 7\nprint(x)"), CODE.format("x + 1"), END.format(43))
    (row,), result, engine = run(by_outputs(*turns))
    assert row["trace"] == turns[0] + "```output\n42\n```\n" + turns[1] + "```output\n43\n```\n" + turns[2]
    assert (row["n_calls"], row["exit_reason"], row["finish_reason"]) == (2, "done", "stop")
    assert parts(row, "output") == ["```output\n42\n```\n", "```output\n43\n```\n"]
    assert fits([Edit.of(p) for p in row["inserted"]], row["trace"])
    assert [row["trace"][c["start"] : c["end"]] for c in row["tool_calls"]] == ["x = 6 * 7\nprint(x)\n", "x + 1\n"]
    assert row["response"] == "\\boxed{43}"
    assert [r.prefix for r in engine.requests[1:]] == [
        row["trace"][: row["trace"].index(t)] for t in (turns[1], turns[2])
    ]
    assert row["n_tokens"] == sum(len(t.split()) for t in turns)
    assert result.counts == {"runs_of_code": 2.0, "requests": 3.0, "samples_failed": 0.0}
    assert len(list(story(row))) == 3


def test_all_live_rows_advance_together():
    under_way, most = 0, 0

    class Slow(Scripted):
        async def generate(self, request):
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1
            return await super().generate(request)

    model = by_outputs(CODE.format("print(1)"), CODE.format("print(2)"), END.format(2))
    found, _, engine = run(Slow(model), table(problem=[f"p{i}" for i in range(12)]), n=2)
    assert most == 24
    assert [r["row_id"] for r in found] == [f"r{i}/{k}" for i in range(12) for k in range(2)]
    assert len({r.sampling.seed for r in engine.requests}) == len(engine.requests)  # no sample shares its chance


def test_a_row_with_budget_0_passes_through_unchanged():
    given = table(problem=["a", "b"], trace=["old a", "old b"], calls=[0, 1]).append_column(
        "sample_idx", pa.array([4, 4], pa.int32())
    )
    found, _, engine = run(by_outputs("no code at all"), given, budget="calls")
    assert {k: found[0][k] for k in given.column_names} == given.to_pylist()[0]
    assert (found[0]["n_calls"], found[0]["exit_reason"], found[0]["tool_calls"]) == (0, "no_budget", [])
    assert found[1]["row_id"] == "r1/0"
    assert {r.key for r in engine.requests} == {"r1"}
    assert run(by_outputs("x"), table(), budget=0)[0][0]["row_id"] == "r0"


def test_after_the_last_run_the_model_is_told_and_code_is_left_alone():
    endless = lambda r, i: stopped(CODE.format("print(1)") + "more", r)  # noqa: E731
    (row,), _, engine = run(endless, budget=2)
    assert (row["n_calls"], row["exit_reason"]) == (2, "budget")
    assert parts(row, "note") == [prompts.NO_MORE_RUNS]
    assert row["trace"].endswith(prompts.NO_MORE_RUNS + CODE.format("print(1)") + "more")
    assert [r.sampling.stop for r in engine.requests] == [("\n```\n",), ("\n```\n",), ()]


def test_a_prefix_may_end_in_an_open_block_and_its_words_are_marked():
    given = table(problem=["p"], hinted=["I add.\n\nUse Python.\n```python\n"])
    log = [{"start": 6, "end": 6, "kind": "keep", "text": "\n\nUse Python.\n```python\n"}]
    given = given.append_column("edit_log", pa.array([log], rows.COLUMNS["edit_log"].type))
    model = by_outputs("print(5)\n```\n", END.format(5))
    (row,), _, engine = run(model, given, prefix="<think>\n{hinted}", code_temperature=1.0)
    assert row["trace"].startswith("<think>\nI add.\n\nUse Python.\n```python\nprint(5)\n```\n```output\n5\n```\n")
    assert [(p["kind"], p["text"]) for p in row["inserted"]] == [
        ("prefix", "<think>\n"), ("keep", "\n\nUse Python.\n```python\n"), ("output", "```output\n5\n```\n")
    ]  # fmt: skip
    assert [r.sampling.temperature for r in engine.requests] == [1.0, 0.6]


def test_a_model_that_writes_the_output_itself_is_cut_off():
    said = CODE.format("print(2)") + "```output\n99\n```\nSo 99."
    ignores_stop = lambda r, i: said if "```output" not in r.prefix else END.format(2)  # noqa: E731
    (row,), _, _ = run(ignores_stop)
    assert "99" not in row["trace"]
    assert "```output\n2\n```\n" in row["trace"]


@pytest.mark.parametrize("said", ["```python\nprint(2)", "```python\nprint(2)\n"])
def test_a_server_that_keeps_its_stop_string_is_put_right(said):
    (row,), _, _ = run(by_outputs(said, END.format(2)))
    assert "```python\nprint(2)\n```\n```output\n2\n```\n" in row["trace"]
    assert "".join(parts(row, "fence")).strip() == "```"  # nobody knows who wrote it, so training does not learn it


def test_a_server_that_says_the_prefix_again():
    model = by_outputs(CODE.format("print(2)"), END.format(2))
    (row,), _, _ = run(lambda r, i: r.prefix + model(r, i))
    assert row["trace"].count("print(2)") == 1


def test_blocks_of_other_kinds_and_of_the_answer_are_not_run():
    shown = "```text\nnot code\n```\n"
    turns = ("<think>\n" + shown + "Hm.\n</think>\n\nHere:\n" + CODE.format("print(1)") + "\\boxed{1}",)
    sent = []

    def model(request, i):
        sent.append(request.sampling.stop)
        return stopped(turns[0][len(request.prefix) :], request)

    (row,), _, _ = run(model)
    assert row["trace"] == turns[0]
    assert (row["n_calls"], row["inserted"], row["exit_reason"]) == (0, None, "done")
    assert sent[-1] == ()  # after the thinking nothing stops it


def test_a_model_that_only_opens_blocks_comes_to_an_end():
    (row,), _, engine = run(lambda r, i: stopped(f"x{len(r.prefix)}\n```\n", r))
    assert len(engine.requests) == 9  # eight stops, then without
    assert (row["exit_reason"], row["n_calls"]) == ("open_block", 0)


@pytest.mark.parametrize(("answer", "reason", "finish"), [
    (Completion("so on", "length", 2, 7), "length", "length"),
    (Completion("```python\nprint(", "length", 2, 7), "length", "length"),
    (Completion("", "error", error="503"), "error", "error"),
    (Completion("", "content_filter"), "refused", "content_filter"),
    (Completion("```text\nopen", "stop", 2, 7), "open_block", "stop"),
])  # fmt: skip
def test_ends_have_names(answer, reason, finish):
    (row,), result, _ = run(lambda r, i: answer)
    assert (row["exit_reason"], row["finish_reason"]) == (reason, finish)
    assert (row["trace"] is None) == (finish in ("error", "content_filter"))
    assert result.counts["samples_failed"] == (finish == "error")


def test_a_failure_in_the_middle_is_a_failure():
    def model(request, i):
        return Completion("", "error", error="503") if "output" in request.prefix else CODE.format("print(1)")

    (row,), _, _ = run(model)
    assert (row["trace"], row["error"], row["n_calls"]) == (None, "503", 1)
    found, result, _ = run(model, on_error="drop")
    assert found == []
    assert result.dropped.to_pylist()[0]["reason"] == "failed"


def test_a_full_context_is_an_end_like_a_limit():
    full = Completion("", "error", error="the prompt has 9 tokens, the model's context is 8", too_long=True)
    (row,), _, _ = run(lambda r, i: full if "output" in r.prefix else CODE.format("print(1)"))
    assert (row["exit_reason"], row["finish_reason"]) == ("length", "length")
    assert "```output\n1" in row["trace"]


def test_max_tokens_is_of_the_whole_trace():
    (row,), _, engine = run(lambda r, i: stopped(CODE.format("print(1)"), r), max_tokens=5)
    assert [r.sampling.max_tokens for r in engine.requests] == [5, 2]  # a block is three words
    assert row["finish_reason"] == "length"


def test_outputs_are_cut_and_cannot_break_the_text():
    turns = (CODE.format("print('</think> ``` <think>')"), CODE.format("print('x' * 9999)"), END.format(1))
    (row,), _, _ = run(by_outputs(*turns), output_chars=100)
    first, second = parts(row, "output")
    assert first == "````output\n</ think> ``` < think>\n````\n"
    assert "characters left out" in second
    assert len(second) < 220
    assert row["response"] == "\\boxed{1}"
    assert row["n_calls"] == 2


def test_a_block_that_hung_is_not_run_again():
    turns = (CODE.format("y = 1"), CODE.format("while True: pass"), CODE.format("print(y)"), END.format(1))
    (row,), _, _ = run(by_outputs(*turns), limit_s=0.5)
    assert [c["status"] for c in row["tool_calls"]] == ["ok", "timeout", "ok"]
    assert parts(row, "output") == [
        "```output\n```\n", "```output\nStopped: over 0.5 s.\n```\n", "```output\n1\n```\n"
    ]  # fmt: skip


def test_null_columns_are_dropped_with_a_reason():
    given = table(problem=pa.array(["a", None, "c"]), calls=pa.array([1, 1, None]))
    found, result, _ = run(by_outputs("x"), given, budget="calls")
    assert [r["row_id"] for r in found] == ["r0/0"]
    assert result.dropped["reason"].to_pylist() == ["null_field"] * 2


def test_settings_and_engines_that_do_not_fit():
    with pytest.raises(CheckError, match="budget is -1"):
        tool_loop(engine=Scripted(lambda r, i: ""), budget=-1)
    assert find("tool_loop").wants({}) == {GENERATE, PREFIX}
