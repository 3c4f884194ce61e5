"""`propose`: a model writes new problems from what was drawn: few-shots, concepts, skills."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator import prompts, rows
from curator.engines.protocol import GENERATE, Completion, Engine, Message, Request
from curator.errors import CheckError
from curator.op import DROPPED, ModelFn, Names, Result, operator
from curator.ops.generate import requests
from curator.text import fields, split_think

ADDS = (
    "row_id", "parent_id", "problem_id", "problem", "finish_reason", "engine", "model", "n_tokens", "n_prompt_tokens",
)  # fmt: skip
BACK = 2  # turns before the last in which a problem is looked for
REASONS = {
    "null_field": "a column that the prompt names is null in this row",
    "nothing_proposed": "no reply is a problem; the evidence says why: failed, length, empty, no_match, same",
}


def _needs(settings: Mapping[str, Any]) -> Names:
    texts = (settings["prompt"], settings["system"], *settings["then"])
    return tuple(dict.fromkeys(("row_id", *(f for text in texts for f in fields(text)))))


def _adds(settings: Mapping[str, Any]) -> dict[str, pa.DataType]:
    more = rows.types(("replies",) if settings["then"] else ())
    return {**rows.types(ADDS), **more, **dict.fromkeys(_groups(settings["pattern"]), pa.string())}


def _groups(pattern: str | None) -> list[str]:
    return re.findall(r"\(\?P<(\w+)>", pattern or "")


@operator(
    "model",
    effect="makes",
    version=1,
    needs=_needs,
    adds=_adds,
    wants=frozenset({GENERATE}),
    reasons=REASONS,
)
def propose(
    *,
    engine: Engine,
    n: int = 1,
    prompt: str = prompts.PROPOSE,
    system: str = "",
    then: list[str] = [],  # noqa: B006 - read only; the signature is the schema
    pattern: str | None = None,
    temperature: float = 1.0,
    top_p: float = 0.95,
    max_tokens: int = 4096,
    seed: int | None = None,
) -> ModelFn:
    """Ask a model for a new problem for each row, usually one of `draw`: its reply becomes the `problem` of a new row.

    The new row has `row_id` "<row_id>/<i>", which is its `problem_id` too, and keeps the columns of the row it was made
    from (`examples`, `parent_ids`). Thinking is cut off. A reply that is cut short, empty, one of the examples itself
    or does not match the `pattern` is no problem; a row without any is dropped and says why. (Prismatic Synthesis asks
    at temperature 1.0 and top_p 0.95; the prompt is ours.)

    Args:
        engine: which engine of the pipeline is asked.
        n: replies a row.
        prompt: user message; `{column}` is replaced by the row's value, a list by its items, numbered.
        system: system message, same fields; empty sends none.
        then: further user messages, same fields, each asked with all turns before it (Instruct-SkillMix: criticise,
            then refine). The last reply is the problem; where it does not match the `pattern`, one up to two turns
            before it (as in its released code). `replies` has all of them.
        pattern: RE2 expression that a reply must match; its named groups become columns, one of them `problem`, as in
            `(?s)<rationale>(?P<rationale>.*?)</rationale>.*<problem>(?P<problem>.*?)</problem>`. Null takes the reply.
        temperature: sampling temperature.
        top_p: nucleus sampling.
        max_tokens: longest reply, in tokens.
        seed: None is the run's seed.

    Raises:
        CheckError: `n` is below 1, or the pattern has no group `problem` or does not compile.
    """
    settings = dict(locals())
    if n < 1:
        msg = f"propose: n is {n}, it must be at least 1"
        raise CheckError(msg)
    _accept(pattern)
    sampling = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens, "top_k": 0, "stop": ()}
    named = dict.fromkeys(f for text in (prompt, system, *then) for f in fields(text))

    async def ask(row: Mapping[str, Any]) -> list[list[Completion]]:
        """Return the turns of each of the n conversations."""
        import asyncio  # 0.03 s that `check` need not pay

        values = {name: prompts.shown(row[name]) for name in named}
        user = Message("user", prompts.fill(prompt, **values))
        messages = (Message("system", prompts.fill(system, **values)), user) if system else (user,)
        asked = requests(messages, sampling, range(n), "", row, engine, seed)
        first = [c for found in await asyncio.gather(*map(engine.generate, asked)) for c in found]
        later = [prompts.fill(text, **values) for text in then]

        def one(i: int, messages: tuple[Message, ...]) -> Request:
            return requests(messages, sampling, range(i, i + 1), "", row, engine, seed)[0]

        talks = (_talk(engine, messages, c, later, partial(one, i)) for i, c in enumerate(first))
        return list(await asyncio.gather(*talks))

    async def run(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        given = table.select([c for c in dict.fromkeys(("row_id", "problem_id", *named)) if c in table.column_names])
        row_list = given.to_pylist()
        null = {r["row_id"]: [c for c in named if r[c] is None] for r in row_list}
        todo = [(i, r) for i, r in enumerate(row_list) if not null[r["row_id"]]]
        answers = await asyncio.gather(*(ask(r) for _, r in todo))
        return _result(table, todo, answers, null, settings)

    return run


def _result(
    table: pa.Table, todo: list[tuple[int, Mapping[str, Any]]], answers: list[list[list[Completion]]],
    null: Mapping[str, list[str]], settings: Mapping[str, Any],
) -> Result:  # fmt: skip
    """Return the new rows, and the rows without any as dropped."""
    pattern, engine = settings["pattern"], settings["engine"]
    dropped = [(k, "null_field", json.dumps({"columns": v})) for k, v in null.items() if v]
    source, made, refused = [], [], 0
    for (i, row), talks in zip(todo, answers, strict=True):
        read = [_last(turns, pattern, row) for turns in talks]
        kept = [(k, t, f) for k, (t, f) in enumerate(zip(talks, read, strict=True)) if isinstance(f, dict)]
        refused += len(read) - len(kept)
        if not kept:
            dropped.append((row["row_id"], "nothing_proposed", json.dumps({"replies": read})))
        source += [i] * len(kept)
        made += [_made(row, k, turns, found, engine) for k, turns, found in kept]
    kinds = _adds(settings)
    out = rows.put(
        table.take(pa.array(source, pa.int64())),
        {name: pa.array([m[name] for m in made], kind) for name, kind in kinds.items()},
    )
    lost = pa.table({f.name: [d[i] for d in dropped] for i, f in enumerate(DROPPED)}, DROPPED)
    return Result(out, lost, {"refused": refused})


async def _talk(
    engine: Engine, messages: tuple[Message, ...], first: Completion, later: list[str],
    request: Callable[[tuple[Message, ...]], Request],
) -> list[Completion]:  # fmt: skip
    """Return the turns of one conversation; it ends early where a request fails."""
    turns = [first]
    for text in later:
        if turns[-1].finish_reason not in ("stop", "length"):
            break
        messages = (*messages, Message("assistant", split_think(turns[-1].text).response), Message("user", text))
        turns += await engine.generate(request(messages))
    return turns


def _accept(pattern: str | None) -> None:
    if pattern is None:
        return
    if "problem" not in _groups(pattern):
        msg = "propose: the pattern has no group 'problem'; write (?P<problem>...) around the problem in it"
        raise CheckError(msg)
    try:
        pc.extract_regex(pa.nulls(1, pa.string()), pattern)  # converting Python values would import pandas: 0.2 s
    except pa.ArrowInvalid as e:
        msg = f"propose: the pattern does not compile: {' '.join(str(e).split())[:200]}"
        raise CheckError(msg) from e


def _last(turns: list[Completion], pattern: str | None, row: Mapping[str, Any]) -> dict[str, str] | str:
    """Return what the last turn says, or one of the two before it where that matches no pattern."""
    said = _read(turns[-1], pattern, row)
    for turn in turns[-2 : -2 - BACK : -1] if said in ("no_match", "length") and pattern else ():
        if isinstance(earlier := _read(turn, pattern, row), dict):
            return earlier
    return said


def _read(c: Completion, pattern: str | None, row: Mapping[str, Any]) -> dict[str, str] | str:
    """Return the columns of a reply, or the word that says why it is no problem."""
    if c.finish_reason != "stop":
        return "failed" if c.finish_reason == "error" else c.finish_reason
    text = split_think(c.text).response.strip()
    found: dict[str, str] = {"problem": text}
    if pattern is not None:
        matched = pc.extract_regex(pa.array([text], pa.string()), pattern)[0].as_py()
        if matched is None:
            return "no_match"
        found = {name: (value or "").strip() for name, value in matched.items()}
    if not found["problem"]:
        return "empty"
    shown = {str(v).strip() for value in row.values() for v in (value if isinstance(value, list) else [value])}
    return "same" if found["problem"] in shown else found


def _made(
    row: Mapping[str, Any], i: int, turns: list[Completion], found: Mapping[str, str], engine: Engine
) -> dict[str, Any]:
    row_id = f"{row['row_id']}/{i}"
    return {
        "row_id": row_id, "parent_id": row["row_id"], "problem_id": row_id, "finish_reason": turns[-1].finish_reason,
        "engine": engine.alias, "model": engine.model, "n_tokens": sum(c.n_tokens for c in turns),
        "n_prompt_tokens": sum(c.n_prompt_tokens for c in turns), "replies": [c.text for c in turns], **found,
    }  # fmt: skip
