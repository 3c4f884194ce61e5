"""What `pair` makes, for trainers: DPO pairs, KTO labels, step labels. Schemas: peers 7.5, TRL's dataset formats.

The chosen side is the row's own turn, the rejected side a turn of its `rejected_*` columns; both are rendered alike, so
thinking is where it is in the SFT formats. A rejected text that was cut off stays out like any other unfinished one.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from curator.export.example import THINKING, Refusal, assistant, turn
from curator.export.formats import (
    Format,
    Item,
    Place,
    Plan,
    Record,
    chat,
    entry_name,
    message_type,
    sft_needs,
    unmasked,
)
from curator.export.formats import prompt_messages as prompt_of

REJECTED = ("rejected_trace", "rejected_think", "rejected_response", "rejected_finish_reason")
PARTS = "rejected_inserted"  # not in tables that `pair` did not make


def _pair_needs(plan: Plan) -> tuple[str, ...]:
    return (*sft_needs(plan), *REJECTED)


def _kto_needs(plan: Plan) -> tuple[str, ...]:
    return (*sft_needs(plan), "desirable")


def _steps_needs(_plan: Plan) -> tuple[str, ...]:
    return ("problem", "step_texts", "step_labels")


def sides(item: Item, plan: Plan) -> tuple[list[Record], Record, Record] | Refusal:
    """Return the prompt messages, the chosen and the rejected assistant message, or why there is no pair."""
    found = chat(item, plan)
    if isinstance(found, Refusal):
        return found
    if item.row.get("rejected_trace") is None and item.row.get("rejected_response") is None:
        return Refusal("no_pair", "rejected_trace is null")
    other = {name.removeprefix("rejected_"): item.row.get(name) for name in (*REJECTED, PARTS)}
    said = turn(other, "long", plan.learn)
    if not isinstance(said, Refusal) and (said.in_reasoning or said.in_response):
        said = unmasked(said)
    if isinstance(said, Refusal):
        return Refusal(said.reason, f"rejected side: {said.evidence}")
    answer = assistant(said, plan.thinking)
    if isinstance(answer, Refusal):
        return Refusal(answer.reason, f"rejected side: {answer.evidence}")
    return (*found, answer)


def _dpo_schema(plan: Plan) -> pa.Schema:
    messages = pa.list_(message_type(plan))
    return pa.schema([(name, messages) for name in ("prompt", "chosen", "rejected")])


def _dpo_record(item: Item, plan: Plan) -> Record | Refusal:
    found = sides(item, plan)
    if isinstance(found, Refusal):
        return found
    return {"prompt": found[0], "chosen": [found[1]], "rejected": [found[2]]}


def _kto_schema(plan: Plan) -> pa.Schema:
    messages = pa.list_(message_type(plan))
    return pa.schema([("prompt", messages), ("completion", messages), ("label", pa.bool_())])


def _kto_record(item: Item, plan: Plan) -> Record | Refusal:
    found = chat(item, plan)
    if isinstance(found, Refusal):
        return found
    label = item.row.get("desirable")
    if label is None:
        return Refusal("no_label", "desirable is null")
    return {"prompt": found[0], "completion": [found[1]], "label": label}


def _steps_schema(_plan: Plan) -> pa.Schema:
    return pa.schema(
        [("prompt", pa.string()), ("completions", pa.list_(pa.string())), ("labels", pa.list_(pa.bool_()))]
    )


def _steps_record(item: Item, plan: Plan) -> Record | Refusal:
    prompt = prompt_of(item, plan)
    if isinstance(prompt, Refusal):
        return prompt
    steps, labels = item.row.get("step_texts"), item.row.get("step_labels")
    if not steps or not labels or len(steps) != len(labels):
        return Refusal("no_label", f"{len(steps or [])} steps, {len(labels or [])} labels")
    return {"prompt": prompt[-1]["content"], "completions": list(steps), "labels": list(labels)}


_FROM = {"user": "human", "assistant": "gpt"}
_TURN = pa.struct([("from", pa.string()), ("value", pa.string())])
_TAGS = {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"}


def _turn(message: Record) -> Record:
    return {"from": _FROM[message["role"]], "value": message["content"]}


def _ranking_schema(_plan: Plan) -> pa.Schema:
    return pa.schema(
        [("conversations", pa.list_(_TURN)), ("chosen", _TURN), ("rejected", _TURN), ("system", pa.string())]
    )


def _ranking_record(item: Item, plan: Plan) -> Record | Refusal:
    found = sides(item, plan)
    if isinstance(found, Refusal):
        return found
    turns = [_turn(m) for m in found[0] if m["role"] != "system"]
    return {
        "conversations": turns, "chosen": _turn(found[1]), "rejected": _turn(found[2]), "system": plan.system or "",
    }  # fmt: skip


def _tagged_schema(_plan: Plan) -> pa.Schema:
    return pa.schema([("conversations", pa.list_(_TURN)), ("kto_tag", pa.bool_()), ("system", pa.string())])


def _tagged_record(item: Item, plan: Plan) -> Record | Refusal:
    found = _kto_record(item, plan)
    if isinstance(found, Refusal):
        return found
    turns = [_turn(m) for m in (*found["prompt"], *found["completion"]) if m["role"] != "system"]
    return {"conversations": turns, "kto_tag": found["label"], "system": plan.system or ""}


def _info(name: str, place: Place, suffix: str, **shape: Any) -> dict[str, str]:
    entries = {
        f"{entry_name(name)}{suffix}_{split}": {"file_name": files[0].rpartition("/")[0], **shape, "tags": _TAGS}
        for split, files in place.files.items()
    }
    return {"dataset_info.json": json.dumps(entries, indent=2) + "\n"}


def _ranking_files(name: str, place: Place, _plan: Plan) -> dict[str, str]:
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected", "system": "system"}
    return _info(name, place, "_ranking", formatting="sharegpt", ranking=True, columns=columns)


def _tagged_files(name: str, place: Place, _plan: Plan) -> dict[str, str]:
    columns = {"messages": "conversations", "kto_tag": "kto_tag", "system": "system"}
    return _info(name, place, "_kto", formatting="sharegpt", columns=columns)


FORMATS = (
    Format("trl-dpo", "TRL", "DPO, `prompt`, `chosen`, `rejected`", _dpo_schema, _dpo_record, THINKING, _pair_needs),
    Format("trl-kto", "TRL", "KTO, `prompt`, `completion`, `label`", _kto_schema, _kto_record, THINKING, _kto_needs),
    Format("trl-prm", "TRL", "PRM, steps in `completions`, `labels`", _steps_schema, _steps_record, needs=_steps_needs),
    Format(
        "llama-factory-dpo", "LLaMA-Factory", "DPO, sharegpt with `chosen` and `rejected`", _ranking_schema,
        _ranking_record, ("inline", "none"), _pair_needs, split_folders=True, files=_ranking_files,
    ),
    Format(
        "llama-factory-kto", "LLaMA-Factory", "KTO, sharegpt with `kto_tag`", _tagged_schema, _tagged_record,
        ("inline", "none"), _kto_needs, split_folders=True, files=_tagged_files,
    ),
)  # fmt: skip
