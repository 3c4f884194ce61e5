"""Rewards behind the response store: no conversation is read twice by the same reward model."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from curator.engines import answers as kept
from curator.engines.protocol import Message, Request, Reward, RewardModel, TextScore

if TYPE_CHECKING:
    from curator.engines.managed import Managed


async def rewards(engine: Managed, messages: tuple[Message, ...]) -> Reward:
    """Return the stored reward of a conversation, or ask the inner engine. Errors are never stored."""
    try:
        key = kept.score_key(engine.identity, Request(messages), "\x00rewards")
    except TypeError:
        return Reward({}, 0, "the conversation is not valid Unicode (a lone surrogate)")
    payload = engine.store.get(key, 0) if engine.store is not None else None
    if payload is not None:
        engine.statistics.cached += 1
        held = kept.unpack_score(payload)
        return Reward(dict(zip(held.tokens, held.logprobs, strict=True)), held.offsets[0])
    engine.statistics.in_flight += 1
    try:
        found = await cast(RewardModel, engine.inner).rewards(messages)
    finally:
        engine.statistics.in_flight -= 1
    engine.statistics.requests += 1
    engine.statistics.tokens_in += found.n_tokens
    if engine.store is not None and found.error is None:
        # In the form of a score: heads for tokens, logits for log-probabilities, the length as the first offset.
        score = TextScore(tuple(found.scores), tuple(found.scores.values()), (found.n_tokens,))
        engine.store.put(key, kept.pack_score(score, engine.kind, engine.model), 0)
    return found
