"""axolotl: `messages` for `type: chat_template`, and the lines of YAML that load them.

It reads `reasoning_content` from the message, or takes inline tags apart with `split_thinking: true` (peers 7.5).
"""

from __future__ import annotations

from typing import Any

import yaml

from curator.export.example import THINKING
from curator.export.formats import Format, Place, Plan, sft_needs
from curator.export.trl import messages_record, messages_schema


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
    if plan.thinking == "inline":
        block["split_thinking"] = True
    elif plan.thinking != "none":
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
        "axolotl", "axolotl", "SFT, `messages` for `type: chat_template`", messages_schema, messages_record, THINKING,
        sft_needs, files=_snippet,
    ),
)  # fmt: skip
