"""axolotl: `messages` for `type: chat_template`, and the lines of YAML that load them.

It reads `reasoning_content` from the message, or takes inline tags apart with `split_thinking: true` (peers 7.5).
Text that no model wrote is kept out of the loss by `train_detail`: ranges of the message's content, ends inclusive,
which must name what is trained, because the rest is not (its `chat_template` strategy). It counts the content's tokens
from where the template begins to write it, so with such rows the tags stay where they are and the template must write
content as it is: the lines name `chatml`. A token that lies across an edge is trained on.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import yaml

from curator.export.example import THINKING, Refusal, off
from curator.export.formats import Format, Item, Place, Plan, Record, chat, message_type, sft_needs

_DETAIL = pa.list_(pa.struct([("begin_offset", pa.int32()), ("end_offset", pa.int32()), ("train", pa.bool_())]))


def _masking(plan: Plan) -> bool:
    return plan.masks and plan.thinking in ("inline", "none")


def _schema(plan: Plan) -> pa.Schema:
    fields = [*message_type(plan)] + ([pa.field("train_detail", _DETAIL)] if _masking(plan) else [])
    return pa.schema([("messages", pa.list_(pa.struct(fields)))])


def _record(item: Item, plan: Plan) -> Record | Refusal:
    found = chat(item, plan, masked=True)
    if isinstance(found, Refusal):
        return found
    prompt, answer = found
    parts = [] if isinstance(item.turn, Refusal) else off(item.turn, plan.thinking) or []
    detail = {"train_detail": details(len(answer["content"]), [(p.start, p.end) for p in parts])} if parts else {}
    return {"messages": [*prompt, {**answer, **detail}]}


def details(length: int, masked: list[tuple[int, int]]) -> list[Record]:
    """Return `train_detail` of a content of so many characters: ranges that cover it, trained except those masked."""
    edges = [0, *(x for pair in masked for x in pair), length]
    ranges = [(a, b, i % 2 == 0) for i, (a, b) in enumerate(zip(edges, edges[1:], strict=False)) if a < b]
    return [{"begin_offset": a, "end_offset": b - 1, "train": train} for a, b, train in ranges]


def _block(files: tuple[str, ...], plan: Plan) -> dict[str, Any]:
    """One entry of `datasets`: a folder and the files of one split in it."""
    block: dict[str, Any] = {
        "path": "./" + files[0].rpartition("/")[0],
        "ds_type": "parquet",
        "data_files": [f.rpartition("/")[2] for f in files],
        "split": "train",  # the name the loader gives to files that are listed
        "type": "chat_template",
        "field_messages": "messages",
        "message_property_mappings": {"role": "role", "content": "content"},
    }
    if _masking(plan):
        block |= {"chat_template": "chatml", "roles_to_train": ["assistant"]}
        block["message_field_training_detail"] = "train_detail"
    elif plan.thinking == "inline":
        block["split_thinking"] = True
    if plan.thinking not in ("inline", "none"):
        block["message_property_mappings"]["reasoning_content"] = plan.thinking
    return block


def _snippet(_name: str, place: Place, plan: Plan) -> dict[str, str]:
    """Return `axolotl.yaml`: the `datasets` block, paths relative to the dataset folder."""
    parts: dict[str, Any] = {}
    for split, files in place.files.items():
        parts.setdefault("datasets" if split == "train" else "test_datasets", []).append(_block(files, plan))
    text = "# Lines for your axolotl configuration; run axolotl from this folder.\n"
    return {"axolotl.yaml": text + yaml.safe_dump(parts, sort_keys=False, allow_unicode=True)}


FORMATS = (
    Format(
        "axolotl", "axolotl", "SFT, `messages` for `type: chat_template`", _schema, _record, THINKING,
        sft_needs, files=_snippet, masks=True,
    ),
)  # fmt: skip
