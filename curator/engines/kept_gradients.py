"""Gradients behind the response store: no text is differentiated twice for the same model and projection."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from curator.engines import answers as kept
from curator.engines.protocol import Differentiable, Gradient, Message, Request

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

    def key(*also: str) -> bytes:
        return kept.score_key(engine.identity, Request(messages), text, frozenset({projection, *also}), "gradient")

    def cut() -> bytes:  # the context is asked for only here: some engines load a configuration to know it
        return key(f"max_tokens {max_tokens}", f"context {engine.max_context}")

    try:
        whole = key()
    except TypeError:
        return Gradient(b"", error="the text is not valid Unicode (a lone surrogate)")
    store = engine.store
    if store is not None:
        payload = store.get(whole, 0)
        if payload is None or payload["n"] > max_tokens:
            payload = store.get(cut(), 0)
        if payload is not None:
            engine.statistics.cached += 1
            return _unpack(payload)
    found = await _ask(engine, messages, text, projection, max_tokens)
    if store is not None and found.error is None:
        store.put(cut() if found.truncated else whole, _pack(found, engine.kind, engine.model), 0)
    return found


async def _ask(
    engine: Managed, messages: tuple[Message, ...], text: str, projection: str, max_tokens: int
) -> Gradient:
    budget = engine.budget
    size = sum(len(m.content) for m in messages) + len(text)
    held = await budget.reserve(size + 64, 1) if budget.active else None
    found = None
    engine.statistics.in_flight += 1
    try:
        found = await cast(Differentiable, engine.inner).gradient(messages, text, projection, max_tokens)
    finally:
        engine.statistics.in_flight -= 1
        if held is not None:
            budget.settle(held, 0 if found is None else found.n_tokens, 0)
    engine.counted(found.n_tokens, None if found.error in ROWS_OWN else found.error)
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
