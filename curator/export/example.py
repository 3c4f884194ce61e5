"""A row of the table as a trainer sees it: a question and one assistant turn, its thinking apart from its answer.

All formats are rendered from this one pair, so that a text that is lost in one of them is lost in none silently:
a row that cannot become a training example is a `Refusal` with a reason, never an empty string.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from curator.text import THINK_CLOSE, THINK_OPEN, split_think

Use = Literal["auto", "short", "long"]
Thinking = Literal["inline", "reasoning_content", "thinking", "none"]
THINKING: tuple[Thinking, ...] = ("inline", "reasoning_content", "thinking", "none")

REASONS: dict[str, str] = {
    "no_problem": "the problem is null or empty",
    "no_trace": "no assistant text: the sample failed or was never asked for",
    "no_short": "use is short and the row has no verified short trace",
    "unfinished": "the text was cut off (finish_reason length, or thinking that was never closed)",
    "no_response": "there is thinking and no text after it",
    "stray_tag": "a think tag inside the text, so inline tags would not say where the thinking ends",
    "no_pair": "a format for pairs needs a rejected side, and the row has none",
    "no_label": "a format for preferences needs a label, or one label a step",
    "no_answer": "a format for reinforcement learning needs a reference answer",
}


class Turn(NamedTuple):
    """One assistant turn: `reasoning` is None where the model did not think; `short` is true for a rewrite."""

    reasoning: str | None
    response: str
    short: bool


class Refusal(NamedTuple):
    """Why a row is not in the output: a code of `REASONS` and the evidence, plain text."""

    reason: str
    evidence: str


def columns(use: Use) -> tuple[str, ...]:
    """Columns that `turn` reads where they exist."""
    long = ("trace", "think", "response", "finish_reason", "error")
    short = ("short_cot", "short_solution", "verified")
    return short if use == "short" else long if use == "long" else short + long


def turn(row: Mapping[str, Any], use: Use) -> Turn | Refusal:
    """Return the assistant turn of `row`, or why there is none.

    `auto` takes the short trace where the rewrite was verified and the long trace elsewhere; `short` takes the short
    trace only (verified, or from a table that has no `verified` column); `long` never looks at it.
    """
    if use != "long":
        found = _short(row)
        if found is not None:
            return found
        if use == "short":
            return Refusal("no_short", f"verified: {row.get('verified')}")
    return _long(row)


def _short(row: Mapping[str, Any]) -> Turn | None:
    solution = row.get("short_solution")
    if not row.get("verified", True) or not (solution or "").strip():
        return None
    return Turn(_text(row.get("short_cot")), str(solution).strip("\n"), True)


def _long(row: Mapping[str, Any]) -> Turn | Refusal:
    trace, think = row.get("trace"), row.get("think")
    if row.get("finish_reason") in ("error", "content_filter"):
        return Refusal("no_trace", f"{row['finish_reason']}: {row.get('error') or ''}".strip())
    if think is not None and row.get("response") is not None:
        reasoning, response, closed = _text(think), row["response"], True
    elif trace is not None:
        parts = split_think(trace)
        reasoning, response, closed = _text(parts.think), parts.response, parts.closed
    elif row.get("response") is not None:
        reasoning, response, closed = None, row["response"], True
    else:
        return Refusal("no_trace", "trace is null")
    if not closed or row.get("finish_reason") == "length":
        return Refusal("unfinished", f"finish_reason: {row.get('finish_reason')}")
    if not response.strip():
        return Refusal("no_response" if reasoning else "no_trace", "no text after the thinking")
    return Turn(reasoning, response.strip("\n"), False)


def _text(value: str | None) -> str | None:
    """A thinking text without blank lines around it; None where it holds nothing (Qwen3 writes empty think blocks)."""
    return value.strip("\n") if value and value.strip() else None


def inline(turn: Turn) -> str | Refusal:
    """Return thinking and answer as one text, `<think>` tags around the thinking as R1 and Qwen3 write them."""
    for text in (turn.reasoning or "", turn.response):
        if THINK_OPEN in text or THINK_CLOSE in text:
            at = min(i for i in (text.find(THINK_OPEN), text.find(THINK_CLOSE)) if i >= 0)
            return Refusal("stray_tag", text[max(0, at - 20) : at + 28])
    if turn.reasoning is None:
        return turn.response
    return f"{THINK_OPEN}\n{turn.reasoning}\n{THINK_CLOSE}\n\n{turn.response}"


def assistant(turn: Turn, thinking: Thinking) -> dict[str, str | None] | Refusal:
    """Return the assistant message in one of the four renderings."""
    if thinking == "inline":
        content = inline(turn)
        return content if isinstance(content, Refusal) else {"role": "assistant", "content": content}
    message: dict[str, str | None] = {"role": "assistant", "content": turn.response}
    if thinking != "none":
        message[thinking] = turn.reasoning
    return message
