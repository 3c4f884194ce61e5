"""`tool_loop`: let a model write code, run it, put the output into its text, and let it go on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from curator import prompts
from curator.bounds import Ge, Gt
from curator.engines.protocol import GENERATE, PREFIX, Engine, Sampling
from curator.errors import CheckError
from curator.op import ModelFn, operator
from curator.ops import _tool_loop as behind
from curator.ops._tool_trace import Box
from curator.text import fields

REASONS = {
    "null_field": "a column that the prompt, the prefix or the budget names is null in this row",
    "failed": "every sample of the row failed (on_error: drop)",
}
REPORTS = {
    "loops by exit": "SELECT exit_reason, count(*) AS samples, avg(n_calls) AS mean_calls, max(n_calls) AS most_calls, "
    "avg(n_tokens) AS mean_tokens FROM rows GROUP BY ALL ORDER BY ALL",
    "runs by status": "SELECT c.status AS status, count(*) AS runs FROM (SELECT unnest(tool_calls) AS c FROM rows) "
    "GROUP BY ALL ORDER BY ALL",
}


def _needs(settings: Mapping[str, Any]) -> tuple[str, ...]:
    named = (*fields(settings["prompt"]), *fields(settings["system"]), *fields(settings["prefix"]))
    column = (settings["budget"],) if isinstance(settings["budget"], str) else ()
    return tuple(dict.fromkeys(("row_id", *named, *column)))


def story(row: Mapping[str, Any]) -> Iterator[str]:
    """Tell what `why` shows: each run, its code and its output in a few words."""
    yield f"{row['n_calls']} runs of code, ended: {row['exit_reason']}"
    outputs = [p for p in row.get("inserted") or () if p["kind"] == "output"]
    for number, call in enumerate(row.get("tool_calls") or (), 1):
        said = next((p["text"] for p in outputs if p["start"] >= call["end"]), "")
        code = (row.get("trace") or "")[call["start"] : call["end"]]
        yield f"run {number} ({call['status']}): {json.dumps(code[:80])} -> {json.dumps(said[:80])}"


@operator(
    "model", effect="makes", version=1, needs=_needs, adds=behind.ADDS, wants=frozenset({GENERATE, PREFIX}),
    reasons=REASONS, reports=REPORTS,
)  # fmt: skip
def tool_loop(
    *,
    engine: Engine,
    n: Annotated[int, Ge(1)] = 1,
    prompt: str = prompts.GENERATE,
    system: str = "",
    prefix: str = "",
    budget: int | str = 15,
    note: str = prompts.NO_MORE_RUNS,
    temperature: Annotated[float, Ge(0)] = 0.6,
    code_temperature: Annotated[float, Ge(0)] | None = None,
    top_p: float = 0.95,
    top_k: int = 0,
    max_tokens: Annotated[int, Gt(0)] = 32768,
    limit_s: Annotated[float, Gt(0)] = 30.0,
    memory_mb: Annotated[int, Ge(64)] = 512,
    output_chars: Annotated[int, Gt(0)] = 2000,
    unsafe: bool = False,
    seed: int | None = None,
    on_error: Literal["keep", "drop"] = "keep",
) -> ModelFn:
    """Sample answers whose Python blocks are run while they are written: model and interpreter take turns.

    The model writes until a code block closes. The block is run in the sandbox, after the blocks before it and in their
    name space; what it prints (and the value of its last line, or the report of its error) is put behind it as a block
    tagged `output`, and the model goes on from there. That is the loop of CoRT (arXiv 2506.09820: at most 15 runs of
    30 s, the stop string is the end of a fence, a note after the last run) and of STILL-3-Tool (a budget for each row).
    Ours: blocks tagged python, python3 or py count, only those in the thinking (before `</think>`, where a text has
    one); blocks that timed out, printed too much or ended their process are not run again for later ones; a model that
    writes the output itself is cut off at the end of its code.

    The new rows are those of `generate`: `row_id` "<row_id>/<i>", the whole text in `trace`. `inserted` marks outputs,
    notes and the words of the prefix, so that `export` can keep training off them. `tool_calls` tells where each code
    stands and how it ended, `n_calls` how many there are, `exit_reason` why the loop ended: `done`; `budget` (it wrote
    more code than it was allowed to run); `length` (`max_tokens`, or the model's context is full); `open_block` (its
    last block never closed); `refused` (content filter); `error`. A row with a budget of 0 passes through unchanged,
    with `no_budget`.

    All samples of a shard are under way at the same time, so the engine is kept full while code runs. Every answer is
    kept by its prefix: a run that was killed runs the code again and asks nothing twice, as long as the code prints the
    same again (not the time, not addresses of objects).

    Args:
        engine: who writes. It must be able to continue an assistant prefix.
        n: samples a row.
        prompt: user message; `{column}` is replaced by the row's value, other braces stay.
        system: system message, same fields; empty sends none.
        prefix: assistant text to go on from, same fields; it may end in an open code block.
        budget: how many blocks may be run, or the column that says so for each row (STILL-3-Tool draws 0 to 3).
        note: what follows the last output; `""` for nothing.
        temperature: sampling temperature.
        code_temperature: of requests that begin inside an open code block (STILL-3-Tool: 1.0); default `temperature`.
        top_p: nucleus sampling.
        top_k: keep the k likeliest tokens; 0 keeps all.
        max_tokens: generated tokens of a whole trace, over all its requests; outputs do not count.
        limit_s: CPU seconds of one run, the blocks before it included; a program that only waits gets as many seconds.
        memory_mb: memory of a program.
        output_chars: longest output that is put in; what is over is left out in the middle. Ours.
        unsafe: run programs also where they cannot be isolated; never for models you do not know.
        seed: None is the run's seed; request k of sample i is drawn with hash(seed, problem_id, i, k) where the engine
            takes seeds.
        on_error: `keep` failed samples as rows with finish_reason error, or `drop` them.

    Raises:
        CheckError: this machine cannot isolate programs, or the budget is negative.
    """
    if isinstance(budget, int) and budget < 0:
        msg = f"tool_loop: budget is {budget}; it counts runs of code, 0 or more"
        raise CheckError(msg)
    if not unsafe and (why := behind.refusal()):
        msg = f"tool_loop: {why}"
        raise CheckError(msg)
    asked = behind.Asked(prompt, system, prefix)
    cool = Sampling(temperature, top_p, top_k, max_tokens)
    hot = Sampling(temperature if code_temperature is None else code_temperature, top_p, top_k, max_tokens)
    box = Box(limit_s, memory_mb, output_chars, note, unsafe)
    return behind.Work(engine, asked, n, budget, cool, hot, box, seed or 0, on_error == "drop")
