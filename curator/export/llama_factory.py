"""LLaMA-Factory: sharegpt or alpaca rows, and the `dataset_info.json` without which it finds no dataset.

Its loader knows no separate reasoning field: thinking goes inline (peers 7.5). A local entry names a file or a folder,
and a folder is read whole as one split, so splits lie in folders of their own here.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

from curator.export.example import Refusal
from curator.export.formats import Format, Item, Place, Plan, Record, chat, entry_name, sft_needs

_FROM = {"user": "human", "assistant": "gpt"}


def _sharegpt_schema(_plan: Plan) -> pa.Schema:
    turn = pa.struct([("from", pa.string()), ("value", pa.string())])
    return pa.schema([("conversations", pa.list_(turn)), ("system", pa.string())])


def _sharegpt_record(item: Item, plan: Plan) -> Record | Refusal:
    found = chat(item, plan)
    if isinstance(found, Refusal):
        return found
    turns = [m for m in (*found[0], found[1]) if m["role"] != "system"]
    conversations = [{"from": _FROM[m["role"]], "value": m["content"]} for m in turns]
    return {"conversations": conversations, "system": plan.system or ""}


def _alpaca_schema(_plan: Plan) -> pa.Schema:
    return pa.schema([(n, pa.string()) for n in ("instruction", "input", "output", "system")])


def _alpaca_record(item: Item, plan: Plan) -> Record | Refusal:
    found = chat(item, plan)
    if isinstance(found, Refusal):
        return found
    prompt, answer = found[0][-1]["content"], found[1]["content"]
    return {"instruction": prompt, "input": "", "output": answer, "system": plan.system or ""}


_SHAREGPT: Record = {
    "formatting": "sharegpt",
    "columns": {"messages": "conversations", "system": "system"},
    "tags": {"role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt"},
}
_ALPACA: Record = {
    "formatting": "alpaca",
    "columns": {"prompt": "instruction", "query": "input", "response": "output", "system": "system"},
}


def _info(name: str, place: Place, shape: Record, suffix: str) -> dict[str, str]:
    entries: dict[str, Any] = {}
    for split, files in place.files.items():
        folder = files[0].rpartition("/")[0]
        entries[f"{entry_name(name)}{suffix}_{split}"] = {"file_name": folder, **shape}
    return {"dataset_info.json": json.dumps(entries, indent=2) + "\n"}


FORMATS = (
    Format(
        "llama-factory", "LLaMA-Factory", "SFT, sharegpt `conversations`", _sharegpt_schema, _sharegpt_record,
        ("inline", "none"), sft_needs, split_folders=True,
        files=lambda name, place, _plan: _info(name, place, _SHAREGPT, ""),
    ),
    Format(
        "llama-factory-alpaca", "LLaMA-Factory", "SFT, alpaca columns", _alpaca_schema, _alpaca_record,
        ("inline", "none"), sft_needs, split_folders=True,
        files=lambda name, place, _plan: _info(name, place, _ALPACA, "_alpaca"),
    ),
)  # fmt: skip
