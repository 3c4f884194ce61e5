"""open-instruct: `messages`; for RLVR the prompt, `ground_truth`, and `dataset`, which names the verifier."""

from __future__ import annotations

import pyarrow as pa

from curator.export.example import THINKING, Refusal
from curator.export.formats import (
    Format,
    Item,
    Plan,
    Record,
    exercise,
    message_type,
    rl_needs,
    sft_needs,
)
from curator.export.trl import messages_record, messages_schema


def _needs(plan: Plan) -> tuple[str, ...]:
    return (*rl_needs(plan), *(() if plan.verifier else ("domain",)))


def _schema(_plan: Plan) -> pa.Schema:
    return pa.schema([
        ("messages", pa.list_(message_type(Plan()))), ("ground_truth", pa.string()), ("dataset", pa.string()),
    ])  # fmt: skip


def _record(item: Item, plan: Plan) -> Record | Refusal:
    found = exercise(item, plan)
    if isinstance(found, Refusal):
        return found
    prompt, answer = found
    return {
        "messages": prompt,
        "ground_truth": answer,
        "dataset": plan.verifier or item.row.get("domain") or "unknown",
    }


FORMATS = (
    Format("open-instruct", "open-instruct", "SFT, `messages`", messages_schema, messages_record, THINKING, sft_needs),
    Format(
        "open-instruct-rlvr", "open-instruct", "RLVR, one row a problem with its ground truth", _schema, _record,
        needs=_needs, per_problem=True,
    ),
)  # fmt: skip
