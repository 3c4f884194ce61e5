"""Engines as a run sees them: opened once, counted per step and shard, closed at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

from curator.engines.around import Around
from curator.engines.protocol import (
    Completion,
    Differentiable,
    Embedder,
    Embedding,
    Engine,
    Gradient,
    Message,
    Request,
    Reward,
    RewardModel,
    TextScore,
)
from curator.pipeline import Pipeline

Use = dict[str, float]
CONCURRENCY = 64  # of an engine that does not say its own
Usage = dict[str, Use]

# Where the numbers of the running shard go. Tasks that an operator starts inherit it, so one engine serves several
# shards at a time and each request is still counted where it belongs.
_TALLY: ContextVar[Usage | None] = ContextVar("tally", default=None)


@contextmanager
def tally() -> Iterator[Usage]:
    """Collect the use of engines made inside the block: alias -> numbers, see `Meter`."""
    usage: Usage = {}
    token = _TALLY.set(usage)
    try:
        yield usage
    finally:
        _TALLY.reset(token)


class Meter(Around):
    """An engine that counts: what it is asked goes to the inner engine unchanged.

    Numbers (sums over completions): `requests` completions asked for; `cached` of them from the response store;
    `tokens_in`, `tokens_out` of all of them; `errors` with finish_reason error; `too_long` that no
    context holds, which are neither requests nor errors (absent where there are none); `cost` the price of all of them
    and `paid` of those not from the store, both absent where the engine has no price. A prompt counts once a request,
    whatever its `n`. `cost` is the same after an interruption; `cached` and `paid` depend on it.
    """

    def __init__(self, inner: Engine, watch: Callable[[str, Mapping[str, float]], None]) -> None:
        self.inner = inner
        self._watch = watch
        self._price = _price(inner)

    @property
    def price(self) -> tuple[float, float] | None:
        """Dollars per million prompt and completion tokens; None where unknown."""
        return self._price

    @property
    def concurrency(self) -> int:
        """Requests that keep the engine busy: what it says itself, or what is behind it, else `CONCURRENCY`."""
        engine: Any = self.inner
        while engine is not None:
            for name in ("concurrency", "max_concurrency"):
                found = getattr(engine, name, None)
                if isinstance(found, int) and found > 0:
                    return found
            engine = getattr(engine, "inner", None)
        return CONCURRENCY

    async def generate(self, request: Request) -> list[Completion]:
        """Ask the inner engine and count."""
        found = await self.inner.generate(request)
        self._count(found)
        return found

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Ask the inner engine and count one request."""
        found = await (self.inner.score(messages, text, also) if also else self.inner.score(messages, text))
        self._add({"requests": 1, "tokens_in": len(found.tokens), "errors": int(found.error is not None)})
        return found

    async def embed(self, messages: tuple[Message, ...], text: str) -> Embedding:
        """Ask the inner engine and count one request."""
        found = await cast(Embedder, self.inner).embed(messages, text)
        self._add({"requests": 1, "tokens_in": found.n_tokens, "errors": int(found.error is not None)})
        return found

    async def gradient(self, messages: tuple[Message, ...], text: str, projection: str, max_tokens: int) -> Gradient:
        """Ask the inner engine and count one request."""
        found = await cast(Differentiable, self.inner).gradient(messages, text, projection, max_tokens)
        self._add({"requests": 1, "tokens_in": found.n_tokens, "errors": int(found.error is not None)})
        return found

    async def rewards(self, messages: tuple[Message, ...]) -> Reward:
        """Ask the inner engine and count one request."""
        found = await cast(RewardModel, self.inner).rewards(messages)
        self._add({"requests": 1, "tokens_in": found.n_tokens, "errors": int(found.error is not None)})
        return found

    async def close(self) -> None:
        """Nothing: the run closes what it opened."""

    def _count(self, found: list[Completion]) -> None:
        cached = tokens_in = tokens_out = errors = new_in = new_out = too_long = 0
        for c in found:
            tokens_out += c.n_tokens
            tokens_in = max(tokens_in, c.n_prompt_tokens)
            too_long += c.too_long
            errors += c.finish_reason == "error" and not c.too_long
            if c.cached:
                cached += 1
            else:
                new_out += c.n_tokens
                new_in = max(new_in, c.n_prompt_tokens)
        use: Use = {
            "requests": len(found) - too_long, "cached": cached, "errors": errors,
            "tokens_in": tokens_in, "tokens_out": tokens_out,
        }  # fmt: skip
        if too_long:
            use["too_long"] = too_long
        if self._price:
            a, b = self._price
            use["cost"] = (a * tokens_in + b * tokens_out) / 1e6
            use["paid"] = (a * new_in + b * new_out) / 1e6
        self._add(use)

    def _add(self, use: Use) -> None:
        alias = self.alias
        self._watch(alias, use)
        usage = _TALLY.get()
        if usage is not None:
            held = usage.setdefault(alias, {})
            for name, n in use.items():
                held[name] = held.get(name, 0) + n


def _price(engine: Engine) -> tuple[float, float] | None:
    """Return the engine's price per million tokens (prompt, completion), where it says one."""
    price = getattr(engine, "price", None)
    if price is None:
        return None
    if isinstance(price, Mapping):
        return float(price["input"]), float(price["output"])
    return float(price[0]), float(price[1])


class Engines:
    """The engines that the steps of a pipeline use, opened when first asked for."""

    def __init__(self, pipeline: Pipeline, store: Any, watch: Callable[[str, Mapping[str, float]], None]) -> None:
        self.pipeline, self.store, self._watch = pipeline, store, watch
        self._open: dict[str, Meter] = {}

    def get(self, alias: str) -> Meter:
        """Return the engine called `alias`. Raises what `open_engine` raises, e.g. CheckError for a missing key."""
        if alias not in self._open:
            from curator.engines import open_engine

            spec = self.pipeline.engines[alias]
            inner = open_engine(alias, spec.kind, spec.settings, store=self.store)
            self._open[alias] = Meter(inner, self._watch)
        return self._open[alias]

    def facts(self) -> dict[str, dict[str, Any]]:
        """Return alias -> kind, model and identity of the opened engines, for cards and receipts."""
        return {
            alias: {"kind": self.pipeline.engines[alias].kind, "model": e.model, "identity": dict(e.identity)}
            for alias, e in self._open.items()
        }

    async def close(self) -> None:
        """Close all of them; the first failure is raised after every engine had its turn."""
        first: Exception | None = None
        for engine in self._open.values():
            try:
                await engine.inner.close()
            except Exception as e:  # noqa: BLE001 - the others must be closed as well
                first = first or e
        self._open.clear()
        if first:
            raise first
