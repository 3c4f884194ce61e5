"""verl: `messages` for its SFT trainer; for RL the row that its reward functions expect.

`data_source` chooses the reward function (verl issue 3450), so it is the row's source or the setting `verifier`,
never a guess.
"""

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

_REWARD = pa.struct([("style", pa.string()), ("ground_truth", pa.string())])
_EXTRA = pa.struct([("split", pa.string()), ("index", pa.int64()), ("problem_id", pa.string())])


def _needs(plan: Plan) -> tuple[str, ...]:
    return (*rl_needs(plan), "problem_id", *(() if plan.verifier else ("source",)))


def _schema(_plan: Plan) -> pa.Schema:
    return pa.schema([
        ("data_source", pa.string()), ("prompt", pa.list_(message_type(Plan()))), ("ability", pa.string()),
        ("reward_model", _REWARD), ("extra_info", _EXTRA),
    ])  # fmt: skip


def _record(item: Item, plan: Plan) -> Record | Refusal:
    found = exercise(item, plan)
    if isinstance(found, Refusal):
        return found
    prompt, answer = found
    return {
        "data_source": plan.verifier or item.row.get("source") or "unknown",
        "prompt": prompt,
        "ability": item.row.get("domain") or "unknown",
        "reward_model": {"style": "rule", "ground_truth": answer},
        "extra_info": {"split": item.split, "index": item.number, "problem_id": item.row.get("problem_id")},
    }


FORMATS = (
    Format("verl", "verl", "SFT, `messages`", messages_schema, messages_record, THINKING, sft_needs),
    Format(
        "verl-rl", "verl", "RL, one row a problem with its reward rule", _schema, _record, needs=_needs,
        per_problem=True,
    ),
)  # fmt: skip
