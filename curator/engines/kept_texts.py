"""What is known about given texts, behind the response store and the budget: scores, vectors and gradients alike."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from curator.engines import answers
from curator.engines.protocol import Message, Request

if TYPE_CHECKING:
    from curator.engines.managed import Managed

T = TypeVar("T")

UNICODE = "the text is not valid Unicode (a lone surrogate)"


class Kept:
    """Where something about a text lies in the store: a text read whole serves every context, a cut one only its own.

    Args:
        engine: whose store it is.
        messages: what the text answers.
        text: what was read.
        what: `score`, `embed` or `gradient`.
        also: what else decides it.
        cut_at: limits beside the context that a text may be cut at.

    Raises TypeError where a text is not valid Unicode.
    """

    def __init__(
        self, engine: Managed, messages: tuple[Message, ...], text: str, what: str,
        also: frozenset[str] = frozenset(), cut_at: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self._engine, self._given, self._what = engine, (Request(messages), text), what
        self._also, self._cut_at = also, cut_at
        self._whole = self._key(also)

    def _key(self, also: frozenset[str]) -> bytes:
        return answers.score_key(self._engine.identity, *self._given, also, self._what)

    def _cut(self) -> bytes:
        """Return the key of a cut text. Only here the context is asked for: some engines load a configuration then."""
        return self._key(self._also | self._cut_at | {f"context {self._engine.max_context}"})

    def stored(self, serves: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any] | None:
        """Return what is stored, and count it. `serves`: whether what lies there of the whole text does."""
        store = self._engine.store
        if store is None:
            return None
        payload = store.get(self._whole, 0)
        if payload is None or not serves(payload):
            payload = store.get(self._cut(), 0)
        self._engine.statistics.cached += payload is not None
        return payload

    def put(self, payload: Mapping[str, Any], *, cut: bool) -> None:
        """Store a payload, where there is a store."""
        if self._engine.store is not None:
            self._engine.store.put(self._cut() if cut else self._whole, payload, 0)


async def paid(
    engine: Managed, messages: tuple[Message, ...], text: str,
    ask: Callable[[], Awaitable[T]], tokens: Callable[[T], int],
) -> T:  # fmt: skip
    """Ask the inner engine about a text inside the budget. `tokens`: of an answer, that were read."""
    budget = engine.budget
    size = sum(len(m.content) for m in messages) + len(text)
    held = await budget.reserve(size + 64, 1) if budget.active else None
    used = 0
    engine.statistics.in_flight += 1
    try:
        found = await ask()
        used = tokens(found)
    finally:
        engine.statistics.in_flight -= 1
        if held is not None:
            budget.settle(held, used, 0)
    return found
