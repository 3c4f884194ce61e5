"""The chat completions protocol and its dialects: requests to JSON, JSON to completions. No network here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from curator.engines.protocol import (
    BAD_WORDS,
    GENERATE,
    LOGPROBS,
    MARGIN,
    PREFIX,
    PROMPT_LOGPROBS,
    SEED,
    Completion,
    FinishReason,
    Request,
)
from curator.text import THINK_CLOSE, THINK_OPEN

Flavour = Literal["openai", "vllm", "sglang", "deepseek"]

# What each server can do beyond plain chat, read in its documentation and, for vLLM, tested against a real one.
CAPABILITIES: dict[str, frozenset[str]] = {
    "openai": frozenset({GENERATE, LOGPROBS, SEED}),
    "vllm": frozenset({GENERATE, LOGPROBS, SEED, PREFIX, BAD_WORDS, PROMPT_LOGPROBS, MARGIN}),
    "sglang": frozenset({GENERATE, LOGPROBS, SEED, PREFIX}),
    "deepseek": frozenset({GENERATE, LOGPROBS, PREFIX}),
}
_FINISH: dict[str, FinishReason] = {"length": "length", "content_filter": "content_filter"}

# Wordings of OpenAI and DeepSeek, vLLM, SGLang.
_LIMIT = re.compile(r"(?:context length is|context length \()\D{0,3}(\d+)")
_PROMPT = re.compile(
    r"(?:messages resulted in|request has|prompt contains(?: at least)?|The input \()\s*(\d+)(?= (?:input )?tokens)"
)


class Broken(Exception):
    """An answer that is not one: empty, cut off, not JSON, or without choices. Worth another try."""


def payload(request: Request, model: str, flavour: str, extra: Mapping[str, Any], *, limit_name: str) -> dict[str, Any]:
    """Return the JSON body of a chat completion request.

    Args:
        request: what is asked.
        model: name the server knows.
        flavour: dialect, see `Flavour`.
        extra: fields added last; they win.
        limit_name: `max_tokens`, or `max_completion_tokens` where a server wants that.
    """
    s = request.sampling
    messages: list[dict[str, Any]] = [{"role": m.role, "content": m.content} for m in request.messages]
    body: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "temperature": s.temperature,
        "top_p": s.top_p,
        limit_name: s.max_tokens,
    }
    if request.n > 1:
        body["n"] = request.n
    if s.seed is not None and flavour != "deepseek":
        # vLLM gives sample i of n the seed s + i; so a later sample has the seed it would have had in one request.
        body["seed"] = (s.seed + request.first_sample) % 2**63
    if s.stop:
        body["stop"] = list(s.stop)
        if flavour == "vllm":
            body["include_stop_str_in_output"] = True
        elif flavour == "sglang":
            body["no_stop_trim"] = True
    if s.top_k and flavour in ("vllm", "sglang"):
        body["top_k"] = s.top_k
    if s.bad_words:
        body["bad_words"] = list(s.bad_words)
    if request.logprobs:
        body["logprobs"] = True
    if flavour == "vllm" and request.n > 1 and not request.logprobs:
        body["return_token_ids"] = True  # the only way to count the tokens of each sample
    if request.prefix:
        _continue(body, messages, request.prefix, flavour)
    body.update(extra)
    return body


def _continue(body: dict[str, Any], messages: list[dict[str, Any]], prefix: str, flavour: str) -> None:
    last: dict[str, Any] = {"role": "assistant", "content": prefix}
    if flavour == "deepseek":
        last["prefix"] = True
    else:
        body["continue_final_message"] = True
        body["add_generation_prompt"] = False
    messages.append(last)


def parse(body: Any, request: Request) -> list[Completion]:
    """Return the completions of a chat completion response, in order of `index`.

    Fewer than `request.n` come back where the server does not know `n`.

    Raises:
        Broken: it is not a usable response.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    if not isinstance(choices, list) or not choices:
        raise Broken(_what_else(body))
    try:
        if len(choices) > 1:
            choices = sorted(choices, key=lambda c: c.get("index", 0))[: request.n]
        usage = body.get("usage") or {}
        prompt = int(usage.get("prompt_tokens") or 0)
        total = int(usage.get("completion_tokens") or 0)
        parts = [_choice(c, request) for c in choices]
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        msg = f"a choice without a message ({e!r})"
        raise Broken(msg) from e
    if len(parts) == 1:
        text, finish, logprobs, tokens = parts[0]
        count = total or len(logprobs or ()) or (len(text) + 3) // 4
        return [Completion(text, finish, count, prompt, logprobs, tokens)]
    counts = _counts(parts, choices, total)
    return [
        Completion(text, finish, n, prompt, logprobs, tokens)
        for (text, finish, logprobs, tokens), n in zip(parts, counts, strict=True)
    ]


_Part = tuple[str, FinishReason, tuple[float, ...] | None, tuple[str, ...] | None]


def _choice(choice: Mapping[str, Any], request: Request) -> _Part:
    message = choice["message"]
    content = message.get("content")
    thinking = message.get("reasoning_content") or message.get("reasoning")
    finish = _FINISH.get(choice.get("finish_reason") or "", "stop")
    text = fold(thinking, content or message.get("refusal") or "", request.prefix, cut=finish == "length")
    if not isinstance(text, str):
        msg = "content is not text"
        raise TypeError(msg)
    matched = choice.get("stop_reason", choice.get("matched_stop"))
    if isinstance(matched, str) and matched in request.sampling.stop and not text.endswith(matched):
        text += matched
    items = (choice.get("logprobs") or {}).get("content") if request.logprobs else None
    if items is None:
        return text, finish, None, None
    return text, finish, tuple(float(i["logprob"]) for i in items), tuple(str(i["token"]) for i in items)


def fold(thinking: str | None, content: str, prefix: str, *, cut: bool) -> str:
    """Return thinking and content as one text. A prefix that has opened the thinking is not opened again.

    `cut`: the answer ended at its limit; with no content yet the thinking stays unclosed.
    """
    if not thinking:
        return content
    inside = prefix.rfind(THINK_OPEN) > prefix.rfind(THINK_CLOSE)
    head = thinking if inside else f"{THINK_OPEN}\n{thinking}"
    if cut and not content:
        return head
    gap = "" if thinking.endswith("\n") else "\n"
    return f"{head}{gap}{THINK_CLOSE}\n\n{content}"


def _counts(parts: list[_Part], choices: list[Mapping[str, Any]], total: int) -> list[int]:
    """Return the tokens of each of several samples: counted by the server, or its sum split by length of text."""
    ids = [c.get("token_ids") for c in choices]
    if all(isinstance(i, list) for i in ids):
        return [len(i) for i in ids if i is not None]
    if all(p[2] is not None for p in parts):
        return [len(p[2] or ()) for p in parts]
    lengths = [len(p[0]) + 1 for p in parts]
    ends, done = [], 0
    for length in lengths:
        done += length
        ends.append(round(total * done / sum(lengths)))
    return [b - a for a, b in zip([0, *ends], ends, strict=False)]


def _what_else(body: Any) -> str:
    if isinstance(body, dict) and body.get("error"):
        return f"an error in a good response: {message_of(body)}"
    return "an answer without choices"


def message_of(body: Any) -> str:
    """Return the error message inside an error body, one line, at most 300 characters."""
    found: Any = body
    if isinstance(body, dict):
        found = body.get("error", body.get("message", body.get("detail", body)))
        if isinstance(found, dict):
            found = found.get("message", found)
    text = " ".join(str(found).split())
    return text if len(text) <= 300 else text[:297] + "..."


def is_too_long(message: str) -> bool:
    """Say whether a refusal is about a prompt that no context of this model holds.

    Only where the message states both numbers: where prompt and `max_tokens` together are too many, the setting is at
    fault, and every row would fail.
    """
    limit, prompt = _LIMIT.search(message), _PROMPT.search(message)
    return bool(limit and prompt and int(prompt[1]) >= int(limit[1]))


def code_of(body: Any) -> str:
    """Return the machine-readable code of an error body, or an empty string."""
    error = body.get("error") if isinstance(body, dict) else None
    return str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""
