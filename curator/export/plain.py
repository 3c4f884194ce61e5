"""hf: no trainer in mind. Question, thinking and answer as three columns of text.

Where rows hold text that no model wrote, two more columns say where it lies in thinking and answer (characters).
"""

from __future__ import annotations

import pyarrow as pa

from curator.export.example import Refusal
from curator.export.formats import Format, Item, Plan, Record, sft_needs

_PARTS = pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32()), ("kind", pa.string())]))


def _schema(plan: Plan) -> pa.Schema:
    names = ("problem", "reasoning", "response", "answer", "trace_kind")
    parts = ("reasoning_inserted", "response_inserted") if plan.masks else ()
    return pa.schema([*((name, pa.string()) for name in names), *((name, _PARTS) for name in parts)])


def _record(item: Item, plan: Plan) -> Record | Refusal:
    problem = item.row.get("problem")
    if not (problem or "").strip():
        return Refusal("no_problem", f"problem: {problem!r}")
    if isinstance(item.turn, Refusal):
        return item.turn
    parts = {"reasoning_inserted": item.turn.in_reasoning, "response_inserted": item.turn.in_response}
    if plan.thinking == "none":
        parts["reasoning_inserted"] = ()
    found = {n: [{"start": p.start, "end": p.end, "kind": p.kind} for p in held] for n, held in parts.items()}
    return {
        **(found if plan.masks else {}),
        "problem": problem,
        "reasoning": None if plan.thinking == "none" else item.turn.reasoning,
        "response": item.turn.response,
        "answer": item.row.get("answer"),
        "trace_kind": "short" if item.turn.short else "long",
    }


FORMATS = (Format("hf", "any", "plain columns of text", _schema, _record, needs=sft_needs, masks=True),)
