"""An engine as operators get it: a raw engine behind the response store, the budget and the error share."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

from curator.engines import store as stores
from curator.engines.budget import Budget, Price, Statistics
from curator.engines.protocol import Completion, Engine, Message, Request, Sampling, TextScore
from curator.engines.store import Store
from curator.errors import EngineError

_Pending = dict[tuple[bytes, int], "asyncio.Future[Completion]"]
_SHARE_AFTER = 20  # samples before the error share means anything (unpublished, ours: one error in ten is two)


@dataclass(frozen=True)
class Limits:
    """What the user allows. `error_share`: part of the samples asked that may fail before the step stops."""

    max_tokens_total: int | None = None
    max_cost: float | None = None
    error_share: float = 0.1


class Managed:
    """A raw engine with memory and limits; it satisfies `Engine` itself.

    Each sample is looked up by its key; only missing ones are asked, in runs of consecutive sample numbers. Requests
    for one key that overlap share one question. Errors are never stored.
    """

    def __init__(
        self, raw: Engine, kind: str, store: Store | None, limits: Limits, price: Price | None, note: str = ""
    ) -> None:
        """Wrap `raw`. `kind` is recorded with each answer; `note` says why there is no price, where there is none.

        Raises:
            CheckError: `max_cost` is set and there is no price.
        """
        self.raw, self.store, self.limits, self.note = raw, store, limits, note
        self.statistics = Statistics(cost=0.0 if price else None)
        self._kind = kind
        self._budget = Budget(raw.alias, limits.max_tokens_total, limits.max_cost, price)
        self._price = price
        self._identity = dict(raw.identity)
        self._cap: int | None = getattr(raw, "max_tokens", None)
        self._pending: _Pending = {}
        self._asked = 0
        self._errors = 0

    @property
    def alias(self) -> str:
        """The name the pipeline gives it."""
        return self.raw.alias

    @property
    def model(self) -> str:
        """Model name and revision."""
        return self.raw.model

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides the text beside the request."""
        return self._identity

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do."""
        return self.raw.capabilities

    @property
    def max_context(self) -> int | None:
        """Longest prompt plus completion, in tokens."""
        return self.raw.max_context

    @property
    def price(self) -> tuple[float, float] | None:
        """Dollars per million prompt and completion tokens; None where unknown."""
        return (self._price.input, self._price.output) if self._price else None

    def count_tokens(self, text: str) -> int:
        """Tokens of `text`."""
        return self.raw.count_tokens(text)

    async def close(self) -> None:
        """Close the raw engine; the store stays open, others may use it."""
        await self.raw.close()

    async def generate(self, request: Request) -> list[Completion]:
        """Return stored answers where there are any, and ask for the rest. See `Engine.generate`."""
        if self._cap is not None and request.sampling.max_tokens > self._cap:
            request = replace(request, sampling=replace(request.sampling, max_tokens=self._cap))
        try:
            keys = stores.keys(self._identity, request)
        except TypeError:
            return [_failed("the prompt is not valid Unicode (a lone surrogate)")] * request.n
        found: list[Completion | None] = [self._stored(key, request.sampling) for key in keys]
        self.statistics.cached += sum(c is not None for c in found)
        while None in found:
            await self._fill(request, keys, found)
        return [c for c in found if c is not None]

    async def _fill(self, request: Request, keys: list[bytes], found: list[Completion | None]) -> None:
        """Fill gaps: ask what nobody is asking, then wait for what others ask. A gap stays where an asker gave up."""
        limit = request.sampling.max_tokens
        mine, others = [], []
        for i, c in enumerate(found):
            if c is None:
                pending = self._pending.get((keys[i], limit))
                if pending is None:
                    mine.append(i)
                else:
                    others.append((i, pending))
        runs = _runs(mine)
        if len(runs) == 1:
            await self._ask(request, keys, found, runs[0])
        elif runs:
            await asyncio.gather(*(self._ask(request, keys, found, run) for run in runs))
        for i, pending in others:
            try:
                answer = await asyncio.shield(pending)
                found[i] = answer if answer.error else replace(answer, cached=True)
            except asyncio.CancelledError:
                if not pending.cancelled():
                    raise  # we are cancelled, not the asker

    async def _ask(self, request: Request, keys: list[bytes], found: list[Completion | None], run: range) -> None:
        loop = asyncio.get_running_loop()
        names = [(keys[i], request.sampling.max_tokens) for i in run]
        futures: list[asyncio.Future[Completion]] = [loop.create_future() for _ in names]
        self._pending.update(zip(names, futures, strict=True))
        part = request
        if len(run) != request.n:
            part = replace(request, n=len(run), first_sample=request.first_sample + run.start)
        stats = self.statistics
        stats.in_flight += len(run)
        try:
            answers = await self._paid(part)
            for i, name, future, answer in zip(run, names, futures, answers, strict=True):
                self._keep(name[0], request.sampling, answer)
                found[i] = answer
                future.set_result(answer)
            self._watch_errors(answers)
        except Exception as e:
            for future in futures:
                if not future.done():
                    future.set_exception(e)
                    future.exception()  # seen, also where nobody else waits
            raise
        finally:
            stats.in_flight -= len(run)
            for name, future in zip(names, futures, strict=True):
                future.cancel()
                self._pending.pop(name, None)

    async def _paid(self, request: Request) -> list[Completion]:
        """Ask the raw engine inside the budget, and count."""
        if not self._budget.active:
            answers = await self.raw.generate(request)
            self._count(request, answers)
            return answers
        prompt = sum(len(m.content) for m in request.messages) + len(request.prefix)
        # One token a character is the safe side of every tokenizer (bytes of rare scripts aside); plus the template.
        estimate = prompt if "tokenize" not in self.capabilities else self._exact(request)
        held = await self._budget.reserve(estimate + 64, request.n * request.sampling.max_tokens)
        used = (0, 0)
        try:
            answers = await self.raw.generate(request)
            used = self._count(request, answers)
        finally:
            self._budget.settle(held, *used)
        return answers

    def _exact(self, request: Request) -> int:
        return sum(self.raw.count_tokens(m.content) for m in request.messages) + self.raw.count_tokens(request.prefix)

    def _count(self, request: Request, answers: list[Completion]) -> tuple[int, int]:
        stats = self.statistics
        tokens_in = max((c.n_prompt_tokens for c in answers), default=0)
        tokens_out = sum(c.n_tokens for c in answers)
        stats.requests += request.n
        stats.tokens_in += tokens_in
        stats.tokens_out += tokens_out
        stats.errors += sum(c.finish_reason == "error" for c in answers)
        if self._price:
            stats.cost = (stats.cost or 0.0) + self._price.of(tokens_in, tokens_out)
        return tokens_in, tokens_out

    def _stored(self, key: bytes, sampling: Sampling) -> Completion | None:
        payload = self.store.get(key, sampling.max_tokens) if self.store is not None else None
        return None if payload is None else stores.unpack(payload)

    def _keep(self, key: bytes, sampling: Sampling, answer: Completion) -> None:
        if self.store is not None and answer.finish_reason != "error":
            self.store.put(key, stores.pack(answer, self._kind, self.model), sampling.max_tokens)

    def _watch_errors(self, answers: list[Completion]) -> None:
        bad = [c for c in answers if c.finish_reason == "error"]
        self._asked += len(answers)
        self._errors += len(bad)
        share = self.limits.error_share
        if bad and self._asked >= _SHARE_AFTER and self._errors > share * self._asked:
            msg = (
                f"engine '{self.alias}': {self._errors} of {self._asked} samples failed, more than max_error_share "
                f"{share:g}; last: {bad[-1].error}; answers are kept, run again to go on"
            )
            raise EngineError(msg)

    async def score(self, messages: tuple[Message, ...], text: str) -> TextScore:
        """Return the stored score of `text`, or ask for it. See `Engine.score`."""
        key = stores.score_key(self._identity, Request(messages), text)
        payload = self.store.get(key, 0) if self.store is not None else None
        if payload is not None:
            self.statistics.cached += 1
            return stores.unpack_score(payload)
        self.statistics.in_flight += 1
        try:
            result = await self.raw.score(messages, text)
        finally:
            self.statistics.in_flight -= 1
        self.statistics.requests += 1
        self.statistics.tokens_in += len(result.tokens)
        if self.store is not None:
            self.store.put(key, stores.pack_score(result, self._kind, self.model), 0)
        return result


def _failed(why: str) -> Completion:
    return Completion("", "error", error=why)


def _runs(numbers: list[int]) -> list[range]:
    """Return ascending numbers as runs of consecutive ones."""
    out: list[range] = []
    for i in numbers:
        if out and out[-1].stop == i:
            out[-1] = range(out[-1].start, i + 1)
        else:
            out.append(range(i, i + 1))
    return out
