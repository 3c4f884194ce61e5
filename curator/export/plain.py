"""hf: no trainer in mind. Question, thinking and answer as three columns of text."""

from __future__ import annotations

import pyarrow as pa

from curator.export.example import Refusal
from curator.export.formats import Format, Item, Plan, Record, sft_needs


def _schema(_plan: Plan) -> pa.Schema:
    names = ("problem", "reasoning", "response", "answer", "trace_kind")
    return pa.schema([(name, pa.string()) for name in names])


def _record(item: Item, plan: Plan) -> Record | Refusal:
    problem = item.row.get("problem")
    if not (problem or "").strip():
        return Refusal("no_problem", f"problem: {problem!r}")
    if isinstance(item.turn, Refusal):
        return item.turn
    return {
        "problem": problem,
        "reasoning": None if plan.thinking == "none" else item.turn.reasoning,
        "response": item.turn.response,
        "answer": item.row.get("answer"),
        "trace_kind": "short" if item.turn.short else "long",
    }


FORMATS = (Format("hf", "any", "plain columns of text", _schema, _record, needs=sft_needs),)
