"""Tokens and labels of exported rows, for trainers that know no mask inside a message but take tokens (TRL)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

IGNORED = -100  # what the loss of the transformers library passes over


def token_labels(rows: Iterable[Mapping[str, Any]], tokenizer: Any, **template: Any) -> Iterator[dict[str, list[int]]]:
    """Yield `input_ids` and `labels` of each row of the format `axolotl`; the last message is learned but for its mask.

    A token is learned where all of it lies in text that the model wrote, or behind it in the same turn (its end mark).
    So, unlike axolotl, a token that lies across an edge is not learned.

    Args:
        rows: with `messages`, as `export: {to: axolotl}` writes them (thinking inline).
        tokenizer: of the transformers library, a fast one (it must tell offsets), with a chat template.
        template: further arguments of `apply_chat_template`.

    Raises:
        ValueError: the template does not write a message as it is, so the mask would lie elsewhere.
    """
    for number, row in enumerate(rows):
        messages = [{k: v for k, v in m.items() if k in ("role", "content")} for m in row["messages"]]
        content, detail = messages[-1]["content"], row["messages"][-1].get("train_detail") or []
        text = tokenizer.apply_chat_template(messages, tokenize=False, **template)
        at = text.rfind(content)
        if at < 0:
            said = " ".join(content.split())[:60]
            msg = f"row {number}: the chat template changes the answer ({said}...); take one that writes it as it is"
            raise ValueError(msg)
        masked = [(at + d["begin_offset"], at + d["end_offset"] + 1) for d in detail if not d["train"]]
        told = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        labels = [
            token if a >= at and not any(a < end and b > start for start, end in masked) else IGNORED
            for token, (a, b) in zip(told["input_ids"], told["offset_mapping"], strict=True)
        ]
        yield {"input_ids": list(told["input_ids"]), "labels": labels}
