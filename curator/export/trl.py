"""TRL: conversational `messages`, or `prompt` and `completion`, or prompts with a reference answer for GRPO.

Schemas: TRL's page on dataset formats (peers 7.5). `thinking` is the assistant key that gpt-oss templates read.
"""

from __future__ import annotations

import pyarrow as pa

from curator.export.example import THINKING, Refusal
from curator.export.formats import (
    Format,
    Item,
    Plan,
    Record,
    chat,
    exercise,
    message_type,
    rl_needs,
    sft_needs,
)


def messages_schema(plan: Plan) -> pa.Schema:
    """Return `messages: list<{role, content[, thinking]}>`."""
    return pa.schema([("messages", pa.list_(message_type(plan)))])


def messages_record(item: Item, plan: Plan) -> Record | Refusal:
    """Return the whole conversation in `messages`."""
    found = chat(item, plan)
    return found if isinstance(found, Refusal) else {"messages": [*found[0], found[1]]}


def _pair_schema(plan: Plan) -> pa.Schema:
    messages = pa.list_(message_type(plan))
    return pa.schema([("prompt", messages), ("completion", messages)])


def _pair_record(item: Item, plan: Plan) -> Record | Refusal:
    found = chat(item, plan)
    return found if isinstance(found, Refusal) else {"prompt": found[0], "completion": [found[1]]}


def _grpo_schema(_plan: Plan) -> pa.Schema:
    return pa.schema([("prompt", pa.list_(message_type(Plan()))), ("solution", pa.string())])


def _grpo_record(item: Item, plan: Plan) -> Record | Refusal:
    found = exercise(item, plan)
    return found if isinstance(found, Refusal) else {"prompt": found[0], "solution": found[1]}


FORMATS = (
    Format("trl", "TRL", "SFT, conversations in `messages`", messages_schema, messages_record, THINKING, sft_needs),
    Format("trl-completion", "TRL", "SFT, `prompt` and `completion`", _pair_schema, _pair_record, THINKING, sft_needs),
    Format(
        "trl-grpo", "TRL", "GRPO, `prompt` and the reference in `solution`", _grpo_schema, _grpo_record,
        needs=rl_needs, per_problem=True,
    ),
)  # fmt: skip
