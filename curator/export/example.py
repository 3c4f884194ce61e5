"""A row of the table as a trainer sees it: a question and one assistant turn, its thinking apart from its answer.

All formats are rendered from this one pair, so that a text that is lost in one of them is lost in none silently:
a row that cannot become a training example is a `Refusal` with a reason, never an empty string.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Literal, NamedTuple

from curator.spans.edits import Edit, shifted
from curator.spans.inserted import entries, fits, known, within
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
    "inserted": "part of the text is no model's (a hint, an output), and this format cannot keep training off it",
    "inserted_moved": "the trace was changed after text was put into it, so where that text lies is not known",
    "no_pair": "a format for pairs needs a rejected side, and the row has none",
    "no_label": "a format for preferences needs a label, or one label a step",
    "no_answer": "a format for reinforcement learning needs a reference answer",
}


class Turn(NamedTuple):
    """One assistant turn: `reasoning` is None where the model did not think; `short` is true for a rewrite.

    `in_reasoning`, `in_response`: the parts of either that no model wrote, which training must not learn.
    """

    reasoning: str | None
    response: str
    short: bool
    in_reasoning: tuple[Edit, ...] = ()
    in_response: tuple[Edit, ...] = ()


class Refusal(NamedTuple):
    """Why a row is not in the output: a code of `REASONS` and the evidence, plain text."""

    reason: str
    evidence: str


def columns(use: Use) -> tuple[str, ...]:
    """Columns that `turn` reads where they exist."""
    long = ("trace", "think", "response", "finish_reason", "error")
    short = ("short_cot", "short_solution", "verified")
    return short if use == "short" else long if use == "long" else short + long


def turn(row: Mapping[str, Any], use: Use, learn: Container[str] = ()) -> Turn | Refusal:
    """Return the assistant turn of `row`, or why there is none.

    `auto` takes the short trace where the rewrite was verified and the long trace elsewhere; `short` takes the short
    trace only (verified, or from a table that has no `verified` column); `long` never looks at it. `learn`: kinds of
    parts that training may learn although no model wrote them.
    """
    if use != "long":
        found = _short(row)
        if found is not None:
            return found
        if use == "short":
            return Refusal("no_short", f"verified: {row.get('verified')}")
    long = _long(row)
    return long if isinstance(long, Refusal) else _placed(long, row, learn)


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


def _placed(found: Turn, row: Mapping[str, Any], learn: Container[str]) -> Turn | Refusal:
    """Return the turn with the parts that no model wrote, where they lie in it. White space alone is no part."""
    own = entries(row.get("inserted"))
    if not (own or row.get("edit_log")) or row.get("trace") is None:
        return Refusal("inserted_moved", "trace is null") if own else found
    trace = row["trace"]
    if not fits(own, trace):
        return Refusal("inserted_moved", next(p.text for p in own if not fits([p], trace))[:80])
    parts = [p for p in known(row, "trace") or () if p.kind not in learn]
    at = trace.find(found.reasoning or ""), trace.rfind(found.response)
    if parts and min(at) < 0:
        return Refusal("inserted_moved", "think or response is not in the trace")
    texts = ((found.reasoning or "", at[0]), (found.response, at[1]))
    there = [tuple(p for p in within(parts, a, a + len(text)) if p.text.strip()) for text, a in texts]
    return found._replace(in_reasoning=there[0], in_response=there[1])


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


def off(turn: Turn, thinking: Thinking) -> list[Edit] | None:
    """Return the parts of the message's content that no model wrote; None where a key beside it is in the way."""
    if thinking == "none":
        return list(turn.in_response)
    if thinking != "inline":  # and with thinking in front, trainers do not find a place in the content by its number
        return None if turn.in_reasoning or (turn.in_response and turn.reasoning) else list(turn.in_response)
    head = f"{THINK_OPEN}\n"
    behind = 0 if turn.reasoning is None else len(head) + len(turn.reasoning) + len(f"\n{THINK_CLOSE}\n\n")
    return [*(shifted(p, len(head)) for p in turn.in_reasoning), *(shifted(p, behind) for p in turn.in_response)]
