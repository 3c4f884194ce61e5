"""Gradients behind the response store: no text is differentiated twice for the same model and projection."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from curator.engines.kept_texts import UNICODE, Kept, paid
from curator.engines.protocol import Differentiable, Gradient, Message

if TYPE_CHECKING:
    from curator.engines.managed import Managed

ROWS_OWN = frozenset({"empty", "zero_gradient"})  # errors that say something about the row and nothing about the engine


async def gradient(
    engine: Managed, messages: tuple[Message, ...], text: str, projection: str, max_tokens: int
) -> Gradient:
    """Return the stored gradient of a text, or ask the inner engine inside the budget. Errors are never stored.

    A text that was read whole is stored without the limit, and serves every limit that it stays within; a cut one
    serves the limit and the context that it was cut at.
    """
    also, limits = frozenset({projection}), frozenset({f"max_tokens {max_tokens}"})
    try:
        kept = Kept(engine, messages, text, "gradient", also, limits)
    except TypeError:
        return Gradient(b"", error=UNICODE)
    payload = kept.stored(lambda p: p["n"] <= max_tokens)
    if payload is not None:
        return _unpack(payload)
    inner = cast(Differentiable, engine.inner)
    found = await paid(
        engine, messages, text, lambda: inner.gradient(messages, text, projection, max_tokens), lambda g: g.n_tokens
    )
    engine.counted(found.n_tokens, None if found.error in ROWS_OWN else found.error)
    if found.error is None:
        kept.put(_pack(found, engine.kind, engine.model), cut=found.truncated)
    return found


def _pack(found: Gradient, kind: str, model: str) -> dict[str, Any]:
    """Return a gradient as the payload of a record; its numbers as base64, a quarter of what they take as text."""
    return {
        "gradient": base64.b64encode(found.vector).decode(), "loss": found.loss, "n": found.n_tokens,
        "truncated": found.truncated, "engine": kind, "model": model, "at": int(time.time()),
    }  # fmt: skip


def _unpack(payload: Mapping[str, Any]) -> Gradient:
    vector = base64.b64decode(payload["gradient"])
    return Gradient(vector, payload["loss"], payload["n"], payload["truncated"])
