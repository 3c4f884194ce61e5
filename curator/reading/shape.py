"""Source tables into rows: shared columns with their types, turns into problem and trace, ids that follow content."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from curator.errors import InputError
from curator.reading.infer import turn
from curator.reading.mapping import Mapped
from curator.reading.records import Bad
from curator.rows import COLUMNS, is_list
from curator.text import THINK_OPEN, split_think

ASSISTANT = {"assistant", "gpt", "model", "bot", "chatgpt"}
USER = {"user", "human"}


def problem_and_trace(turns: Any) -> tuple[str | None, str | None]:
    """Return the last assistant turn (thinking folded into `<think>`) and the last user turn before it.

    Without an assistant turn: the last user turn, and None.
    """
    if isinstance(turns, str):
        turns = orjson.loads(turns) if turns.lstrip().startswith("[") else [{"role": "user", "content": turns}]
    found = [turn(t) for t in turns or [] if t]
    last = max((i for i, t in enumerate(found) if t["role"] in ASSISTANT), default=len(found))
    asked = [t["content"] for t in found[:last] if t["role"] in USER and t["content"]]
    problem = asked[-1] if asked else None
    if last == len(found):
        return problem, None
    text, thinking = found[last]["content"] or "", found[last]["reasoning_content"]
    return problem, f"<think>\n{thinking}\n</think>\n\n{text}" if thinking else text


def is_turns(kind: pa.DataType) -> bool:
    """Return whether a type is a list of turns."""
    if not pa.types.is_list(kind) or not pa.types.is_struct(kind.value_type):
        return False
    names = {f.name for f in kind.value_type}
    return bool(names & {"role", "from"}) and bool(names & {"content", "value"})


def content_ids(table: pa.Table) -> list[str]:
    """Return xxh3-128 of each row's values as canonical JSON: sorted names, nulls left out, as the file has them."""
    option = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return [
        xxhash.xxh3_128_hexdigest(
            orjson.dumps({k: v for k, v in row.items() if v is not None}, default=str, option=option)
        )
        for row in table.to_pylist()
    ]


class Seen:
    """Counts how often 64-bit keys came before, in 8 bytes a key: sorted runs that are merged as they grow."""

    def __init__(self) -> None:
        self.runs: list[Any] = []

    def count(self, keys: Any) -> Any:
        """Return, for each of the uint64 `keys`, how often it came before, in this call too."""
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        before = np.zeros(len(keys), np.int64)
        before[order] = np.arange(len(keys)) - np.searchsorted(ordered, ordered, "left")
        for run in self.runs:
            before += np.searchsorted(run, keys, "right") - np.searchsorted(run, keys, "left")
        self.runs.append(ordered)
        while len(self.runs) > 1 and len(self.runs[-2]) <= 2 * len(self.runs[-1]):
            last = self.runs.pop()
            self.runs[-1] = np.sort(np.concatenate([self.runs[-1], last]), kind="stable")
        return before


def key64(texts: list[str]) -> Any:
    """Return uint64[rows]: xxh3-64 of each text."""
    return np.array([xxhash.xxh3_64_intdigest(t.encode()) for t in texts], np.uint64)


Problem = Callable[[int, Bad], None]


def cast(array: Any, name: str, quarantine: Callable[[int, str], None], where: str) -> Any:
    """Return a column with the type of the shared column `name`; NaN becomes null.

    A value that does not fit is reported to `quarantine(row, why)` and becomes null.

    Raises:
        InputError: no value of this type can ever fit (a list where a number is needed).
    """
    array = array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
    target, kind = COLUMNS[name].type, array.type
    if pa.types.is_floating(kind):
        array = pc.if_else(pc.fill_null(pc.is_nan(array), False), None, array)
    if kind == target:
        return array
    if pa.types.is_nested(kind):
        if _is_vector(kind) and _is_vector(target):  # of another length, or of a list type that does not say its length
            return array
        if not pa.types.is_string(target):
            msg = f"{where}: column '{name}' is {kind}, it must be {target}; rename it with columns: {{other: {name}}}"
            raise InputError(msg)
        if is_turns(kind) and name in ("problem", "trace"):
            part = 0 if name == "problem" else 1
            return pa.array([problem_and_trace(v)[part] for v in array.to_pylist()], target)
        return pa.array([None if v is None else _json(v) for v in array.to_pylist()], target)
    try:
        return pc.cast(array, target)
    except pa.ArrowException:
        return pa.array([_one(v, i, target, quarantine, name) for i, v in enumerate(array.to_pylist())], target)


def _is_vector(kind: pa.DataType) -> bool:
    return is_list(kind) and bool(pa.types.is_floating(kind.value_type))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _one(value: Any, row: int, target: pa.DataType, quarantine: Callable[[int, str], None], name: str) -> Any:
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, float) and not math.isfinite(value) and pa.types.is_integer(target):
        return None
    try:
        return pc.cast(pa.array([value]), target)[0].as_py()
    except pa.ArrowException:
        quarantine(row, f"column '{name}' holds {str(value)[:100]!r}, which is not {target}")
        return None


def shaped(table: pa.Table, plan: Mapped, quarantine: Callable[[int, str], None], where: str) -> dict[str, Any]:
    """Return the output columns that come from the row alone: mapped, cast, turns and thinking taken apart."""
    out: dict[str, Any] = {}
    for target, source in plan.sources.items():
        column = table.column(source)
        out[target] = cast(column, target, quarantine, where) if target in COLUMNS else column.combine_chunks()
    if plan.chat:
        pairs = [_turns(v, i, quarantine) for i, v in enumerate(table.column(plan.chat).to_pylist())]
        out.setdefault("problem", pa.array([p for p, _ in pairs], pa.string()))
        out.setdefault("trace", pa.array([t for _, t in pairs], pa.string()))
    if "trace" in out:
        out["trace"] = reopened(out["trace"], table)
        parts = [None if t is None else split_think(t) for t in out["trace"].to_pylist()]
        out.setdefault("think", pa.array([p and p.think for p in parts], pa.string()))
        out.setdefault("response", pa.array([p and p.response for p in parts], pa.string()))
    return out


def reopened(traces: Any, table: pa.Table) -> Any:
    """Give traces the `<think>` back that a chat template left at the end of the prompt (R1 and its distillations).

    Without it a trace that was cut off while thinking would pass for a response.
    """
    if "prompt" not in table.column_names or not pa.types.is_string(table.schema.field("prompt").type):
        return traces
    cut = pc.ends_with(pc.utf8_rtrim_whitespace(table.column("prompt").combine_chunks()), THINK_OPEN)
    bare = pc.invert(pc.starts_with(pc.utf8_ltrim_whitespace(traces), THINK_OPEN))
    return pc.if_else(
        pc.fill_null(pc.and_(cut, bare), False), pc.binary_join_element_wise(THINK_OPEN, traces, "\n"), traces
    )


def _turns(value: Any, row: int, quarantine: Callable[[int, str], None]) -> tuple[str | None, str | None]:
    try:
        return problem_and_trace(value)
    except (orjson.JSONDecodeError, AttributeError, TypeError):
        quarantine(row, f"not a list of turns: {str(value)[:100]!r}")
        return None, None
