"""Does the thinking reach the training text? Render rows by a chat template and look for every thinking text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from curator.text import split_think

_ROLES = {"human": "user", "gpt": "assistant"}
_KEYS = ("reasoning_content", "thinking", "reasoning")


class Loss(NamedTuple):
    """A text that the rendered training text lacks: row and message number, `thinking` or `answer`, and the text."""

    row: int
    message: int
    part: str
    text: str


def thinking_survives(rows: Iterable[Mapping[str, Any]], tokenizer: Any, **template: Any) -> list[Loss]:
    """Return every thinking and every answer that the chat template of `tokenizer` drops; an empty list is good news.

    Args:
        rows: exported rows: `messages`, `prompt` and `completion` or `chosen`, or sharegpt `conversations`. For the
            rejected side of a pair put it in the place of `chosen`. Thinking is looked for in `reasoning_content`,
            `thinking` or `reasoning` of a message, or in `<think>` tags of its content.
        tokenizer: a transformers tokenizer with a chat template, or a function from messages to the training text.
        template: passed on to `apply_chat_template`, for example `enable_thinking=True`.

    A text counts as found only behind what came before it in the conversation, so that a problem that happens to
    contain the thinking does not hide its loss. Blank lines and spaces at the ends do not count. Qwen3's template, for
    one, keeps thinking in the last turn only: rows of several turns show up here.
    """
    render = _renderer(tokenizer, template)
    losses: list[Loss] = []
    for number, row in enumerate(rows):
        messages = conversation(row)
        text = render(messages)
        at = 0
        for i, message in enumerate(messages):
            lost, at = _look(text, at, *_parts(message))
            if message["role"] == "assistant":
                losses += [Loss(number, i, part, wanted) for part, wanted in lost]
    return losses


def _look(text: str, at: int, thinking: str, answer: str) -> tuple[list[tuple[str, str]], int]:
    """Look for both texts of a message from `at` on, in this order; return what is missing and where to go on."""
    thought = text.find(thinking, at)
    said = text.find(answer, thought + len(thinking)) if thought >= 0 else -1
    if said >= 0:
        return [], said + len(answer)
    said = text.find(answer, at)
    if said >= 0:  # what looked like the thinking, if anything did, is the answer itself
        return [("thinking", thinking)], said + len(answer)
    if thought >= 0:
        return [("answer", answer)], thought + len(thinking)
    return [("thinking", thinking), ("answer", answer)], at


def conversation(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the chat messages of an exported row, keys without a value left out.

    Raises:
        KeyError: the row has none of the columns a conversation lies in.
    """
    if row.get("conversations") is not None:
        said = [*row["conversations"], *([row["chosen"]] if row.get("chosen") else [])]
        turns = [{"role": _ROLES.get(t["from"], t["from"]), "content": t["value"]} for t in said]
        return [{"role": "system", "content": row["system"]}, *turns] if row.get("system") else turns
    if row.get("messages") is not None:
        found = row["messages"]
    elif isinstance(row.get("prompt"), list) and isinstance(row.get("completion", row.get("chosen")), list):
        found = [*row["prompt"], *row.get("completion", row.get("chosen"))]
    else:
        msg = f"no conversation in columns {sorted(row)}; looked for messages, prompt and completion, conversations"
        raise KeyError(msg)
    return [{k: v for k, v in message.items() if v is not None} for message in found]


def _renderer(tokenizer: Any, template: Mapping[str, Any]) -> Callable[[list[dict[str, Any]]], str]:
    if hasattr(tokenizer, "apply_chat_template"):
        return lambda messages: str(tokenizer.apply_chat_template(messages, tokenize=False, **template))
    return lambda messages: str(tokenizer(messages))


def _parts(message: Mapping[str, Any]) -> tuple[str, str]:
    """Return thinking and answer of a message without the space around them; empty where there is none."""
    content = str(message.get("content") or "")
    thinking = next((str(message[k]) for k in _KEYS if message.get(k)), None)
    if thinking is None and message["role"] == "assistant":
        split = split_think(content)
        thinking, content = split.think, split.response
    return (thinking or "").strip(), content.strip()
