"""Scores and vectors of given texts behind the response store: no text is read twice by the same model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from curator.engines import answers
from curator.engines.kept_texts import UNICODE, Kept, paid
from curator.engines.protocol import Embedder, Embedding, Message, TextScore

if TYPE_CHECKING:
    from curator.engines.managed import Managed


async def score(engine: Managed, messages: tuple[Message, ...], text: str, also: frozenset[str]) -> TextScore:
    """Return the stored score of a text, or ask the inner engine inside the budget. Errors are never stored."""
    try:
        kept = Kept(engine, messages, text, "score", also)
    except TypeError:
        return TextScore((), (), (), error=UNICODE)
    payload = kept.stored(_whole)
    if payload is not None:
        return answers.unpack_score(payload)
    given = (messages, text, also) if also else (messages, text)  # engines from elsewhere may not know `also`
    found = await paid(engine, messages, text, lambda: engine.inner.score(*given), lambda s: len(s.tokens))
    engine.counted(len(found.tokens), found.error)
    if found.error is None:
        kept.put(answers.pack_score(found, engine.kind, engine.model), cut=found.truncated)
    return found


async def embed(engine: Managed, messages: tuple[Message, ...], text: str) -> Embedding:
    """Return the stored vector of a text, or ask the inner engine inside the budget. Errors are never stored."""
    try:
        kept = Kept(engine, messages, text, "embed")
    except TypeError:
        return Embedding((), error=UNICODE)
    payload = kept.stored(_whole)
    if payload is not None:
        held = answers.unpack_score(payload)
        return Embedding(held.logprobs, held.offsets[0], held.truncated)
    inner = cast(Embedder, engine.inner)
    found = await paid(engine, messages, text, lambda: inner.embed(messages, text), lambda e: e.n_tokens)
    engine.counted(found.n_tokens, found.error)
    if found.error is None:
        # In the form of a score: the vector for log-probabilities, the length as the first offset.
        packed = TextScore((), found.vector, (found.n_tokens,), found.truncated)
        kept.put(answers.pack_score(packed, engine.kind, engine.model), cut=found.truncated)
    return found


def _whole(payload: Mapping[str, Any]) -> bool:
    return not payload["truncated"]  # cut ones lay here before the context was in their key
