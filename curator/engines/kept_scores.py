"""Scores and vectors of given texts behind the response store: no text is read twice by the same model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from curator.engines import answers as kept
from curator.engines.protocol import Embedder, Embedding, Message, Request, TextScore

if TYPE_CHECKING:
    from curator.engines.managed import Managed

_UNICODE = "the text is not valid Unicode (a lone surrogate)"


async def score(engine: Managed, messages: tuple[Message, ...], text: str, also: frozenset[str]) -> TextScore:
    """Return the stored score of a text, or ask the inner engine inside the budget. Errors are never stored.

    A text that was read whole serves every context; a cut one only the context that it was cut at.
    """
    try:
        keys = _Keys(engine, messages, text, also, "score")
    except TypeError:
        return TextScore((), (), (), error=_UNICODE)
    payload = keys.stored()
    if payload is not None:
        return kept.unpack_score(payload)
    budget = engine.budget
    prompt = sum(len(m.content) for m in messages)
    held = await budget.reserve(prompt + len(text) + 64, 1) if budget.active else None
    found = None
    engine.statistics.in_flight += 1
    try:
        # Engines from elsewhere may not know `also`.
        found = await (engine.inner.score(messages, text, also) if also else engine.inner.score(messages, text))
    finally:
        engine.statistics.in_flight -= 1
        if held is not None:
            budget.settle(held, 0 if found is None else len(found.tokens), 0)
    engine.counted(len(found.tokens), found.error)
    if engine.store is not None and found.error is None:
        engine.store.put(keys.of(cut=found.truncated), kept.pack_score(found, engine.kind, engine.model), 0)
    return found


async def embed(engine: Managed, messages: tuple[Message, ...], text: str) -> Embedding:
    """Return the stored vector of a text, or ask the inner engine. Errors are never stored; cut texts as in `score`."""
    try:
        keys = _Keys(engine, messages, text, frozenset(), "embed")
    except TypeError:
        return Embedding((), error=_UNICODE)
    payload = keys.stored()
    if payload is not None:
        held = kept.unpack_score(payload)
        return Embedding(held.logprobs, held.offsets[0], held.truncated)
    engine.statistics.in_flight += 1
    try:
        found = await cast(Embedder, engine.inner).embed(messages, text)
    finally:
        engine.statistics.in_flight -= 1
    engine.counted(found.n_tokens, found.error)
    if engine.store is not None and found.error is None:
        # In the form of a score: the vector for log-probabilities, the length as the first offset.
        packed = TextScore((), found.vector, (found.n_tokens,), found.truncated)
        engine.store.put(keys.of(cut=found.truncated), kept.pack_score(packed, engine.kind, engine.model), 0)
    return found


class _Keys:
    """Where the score of a text lies in the store. Raises TypeError where the text is not valid Unicode."""

    def __init__(
        self, engine: Managed, messages: tuple[Message, ...], text: str, also: frozenset[str], what: str
    ) -> None:
        self._engine, self._given, self._also, self._what = engine, (Request(messages), text), also, what
        self._whole = self._key(also)

    def _key(self, also: frozenset[str]) -> bytes:
        return kept.score_key(self._engine.identity, *self._given, also, self._what)

    def of(self, *, cut: bool) -> bytes:
        """Return the key; only a cut text asks for the context: some engines load a configuration to know it."""
        return self._key(self._also | {f"context {self._engine.max_context}"}) if cut else self._whole

    def stored(self) -> Mapping[str, Any] | None:
        """Return what is stored, and count it."""
        store = self._engine.store
        if store is None:
            return None
        payload = store.get(self._whole, 0)
        if payload is None or payload["truncated"]:  # cut ones lay here before the context was in their key
            payload = store.get(self.of(cut=True), 0)
        self._engine.statistics.cached += payload is not None
        return payload
