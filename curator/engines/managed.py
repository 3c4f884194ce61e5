"""An engine as operators get it: a raw engine behind the response store, the budget and the error share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from curator.engines import answers as kept
from curator.engines.around import Around
from curator.engines.budget import Budget, Limits, Price, Statistics
from curator.engines.protocol import Completion, Embedding, Engine, Gradient, Message, Request, Reward, TextScore
from curator.engines.store import Store
from curator.errors import EngineError

if TYPE_CHECKING:
    import asyncio

# What is being asked, by key and limit -> those who wait for the same answer. None: the asker gave up.
_Pending = dict[tuple[bytes, int], "list[asyncio.Future[Completion | None]]"]
_Found = list[Completion | None]
_ONE = range(1)
_SHARE_AFTER = 20  # samples before the error share means anything (unpublished, ours: one error in ten is two)


class Managed(Around):
    """A raw engine with memory and limits; it satisfies `Engine` itself.

    Each sample is looked up by its key; only missing ones are asked, in runs of consecutive sample numbers. Requests
    for one key that overlap share one question. Errors are never stored. An answer that was cut at `max_tokens` is
    asked again where there is more room, one that the context cut in every other context.
    """

    def __init__(
        self, raw: Engine, kind: str, store: Store | None, limits: Limits, price: Price | None, note: str = ""
    ) -> None:
        """Wrap `raw`. `kind` is recorded with each answer; `note` says why there is no price, where there is none.

        Raises:
            CheckError: `max_cost` is set and there is no price.
        """
        self.inner, self.store, self.limits, self.note = raw, store, limits, note
        self.statistics = Statistics(cost=0.0 if price else None)
        self.kind, self._model = kind, raw.model
        self.budget = Budget(raw.alias, limits.max_tokens_total, limits.max_cost, price)
        self._price = price
        self._identity = dict(raw.identity)
        self._head = kept.key_head(self._identity)
        self._cap: int | None = getattr(raw, "max_tokens", None)
        self._pending: _Pending = {}
        self._asked = 0
        self._errors = 0

    @property
    def identity(self) -> Mapping[str, str]:
        """What decides the text beside the request, as it was when the engine was opened."""
        return self._identity

    @property
    def price(self) -> tuple[float, float] | None:
        """Dollars per million prompt and completion tokens; None where unknown."""
        return (self._price.input, self._price.output) if self._price else None

    async def close(self) -> None:
        """Close the raw engine; the store stays open, others may use it."""
        await self.inner.close()

    async def generate(self, request: Request) -> list[Completion]:
        """Return stored answers where there are any, and ask for the rest. See `Engine.generate`."""
        if self._cap is not None and request.sampling.max_tokens > self._cap:
            request = replace(request, sampling=replace(request.sampling, max_tokens=self._cap))
        try:
            keys = kept.sample_keys(self._head, request)
        except TypeError:
            return [_failed("the prompt is not valid Unicode (a lone surrogate)")] * request.n
        limit = request.sampling.max_tokens
        found: _Found = [self._stored(key, limit) for key in keys]
        if request.n == 1 and found[0] is None and (keys[0], limit) not in self._pending:
            await self._ask_one(request, keys, found, limit)  # nearly all requests, in a third of the steps
            return found  # type: ignore[return-value]
        gaps = [i for i, c in enumerate(found) if c is None]
        self.statistics.cached += request.n - len(gaps)
        while gaps:
            await self._fill(request, keys, found, gaps)
            gaps = [i for i in gaps if found[i] is None]
        return found  # type: ignore[return-value]

    async def _ask_one(self, request: Request, keys: list[bytes], found: _Found, limit: int) -> None:
        name = keys[0], limit
        self._pending[name] = []
        try:
            await self._ask(request, keys, found, _ONE)
        finally:
            if waiting := self._pending.pop(name):
                _tell(waiting, None)

    async def _fill(self, request: Request, keys: list[bytes], found: _Found, gaps: list[int]) -> None:
        """Fill gaps: ask what nobody is asking, then wait for what others ask. A gap stays where an asker gave up."""
        import asyncio  # 0.03 s that `check` need not pay

        limit, pending = request.sampling.max_tokens, self._pending
        others, mine = [], []
        for i in gaps:
            name = keys[i], limit
            if name in pending:
                answer: asyncio.Future[Completion | None] = asyncio.get_running_loop().create_future()
                pending[name].append(answer)
                others.append((i, answer))
            else:
                pending[name] = []
                mine.append(i)
        try:
            await self._ask_runs(request, keys, found, mine)
        finally:
            for i in mine:
                _tell(pending.pop((keys[i], limit)), None)
        for i, answer in others:
            got = await answer
            found[i] = got if got is None or got.error else replace(got, cached=True)

    async def _ask_runs(self, request: Request, keys: list[bytes], found: _Found, mine: list[int]) -> None:
        """Ask for samples, each run of consecutive ones in one request; where one fails, the others are waited for."""
        import asyncio  # 0.03 s that `check` need not pay

        if mine and mine[-1] - mine[0] == len(mine) - 1:
            await self._ask(request, keys, found, range(mine[0], mine[-1] + 1))
        elif mine:
            asked = (self._ask(request, keys, found, run) for run in _runs(mine))
            for failed in await asyncio.gather(*asked, return_exceptions=True):
                if failed is not None:
                    raise failed

    async def _ask(self, request: Request, keys: list[bytes], found: _Found, run: range) -> None:
        limit, pending, stats = request.sampling.max_tokens, self._pending, self.statistics
        part = request
        if len(run) != request.n:
            part = replace(request, n=len(run), first_sample=request.first_sample + run.start)
        stats.in_flight += len(run)
        try:
            answers = await (self._paid(part) if self.budget.active else self.inner.generate(part))
            failed = self._count(answers)
            for i, answer in zip(run, answers, strict=True):
                if answer.finish_reason != "error":
                    self._keep(keys[i], answer, limit)
                found[i] = answer
                if waiting := pending[keys[i], limit]:
                    _tell(waiting, answer)
            if failed:
                self._watch_errors([c.error for c in failed])
        except Exception as e:
            for future in (f for i in run for f in pending[keys[i], limit] if not f.done()):
                future.set_exception(e)
                future.exception()  # seen, also where its waiter was cancelled meanwhile
            raise
        finally:
            stats.in_flight -= len(run)

    async def _paid(self, request: Request) -> list[Completion]:
        """Ask the raw engine inside the budget."""
        prompt = sum(len(m.content) for m in request.messages) + len(request.prefix)
        # One token a character is the safe side of every tokenizer (bytes of rare scripts aside); plus the template.
        estimate = prompt if "tokenize" not in self.capabilities else self._exact(request)
        held = await self.budget.reserve(estimate + 64, request.n * request.sampling.max_tokens)
        used = (0, 0)
        try:
            answers = await self.inner.generate(request)
            used = _tokens(answers)
        finally:
            self.budget.settle(held, *used)
        return answers

    def _exact(self, request: Request) -> int:
        count = self.inner.count_tokens
        return sum(count(m.content) for m in request.messages) + count(request.prefix)

    def _count(self, answers: list[Completion]) -> list[Completion]:
        """Count the answers of one request; return those that speak against the engine."""
        stats = self.statistics
        tokens_in, tokens_out = _tokens(answers)
        failed = [c for c in answers if c.finish_reason == "error"]
        asked = len(answers)
        if failed:
            asked -= sum(c.too_long for c in failed)
            failed = [c for c in failed if not c.too_long]
        stats.requests += asked
        self._asked += asked
        stats.tokens_in += tokens_in
        stats.tokens_out += tokens_out
        if self._price:
            stats.cost = (stats.cost or 0.0) + self._price.of(tokens_in, tokens_out)
        return failed

    def _keep(self, key: bytes, answer: Completion, limit: int) -> None:
        if self.store is None:
            return
        if answer.finish_reason == "length" and answer.n_tokens < limit:  # not the request's limit has cut it
            key = kept.cut_key(key, self.max_context)
        self.store.put(key, kept.pack(answer, self.kind, self._model), limit)

    def _stored(self, key: bytes, limit: int) -> Completion | None:
        if self.store is None:
            return None
        payload = self.store.get(key, limit)
        if payload is None and (context := self.max_context) is not None:
            payload = self.store.get(kept.cut_key(key, context), limit)
        return None if payload is None else kept.unpack(payload)

    def counted(self, tokens: int, error: str | None) -> None:
        """Count one answer about a given text. Raises EngineError where too large a share has failed."""
        self.statistics.requests += 1
        self._asked += 1
        self.statistics.tokens_in += tokens
        if self._price:
            self.statistics.cost = (self.statistics.cost or 0.0) + self._price.of(tokens, 0)
        if error is not None:
            self._watch_errors([error])

    def _watch_errors(self, bad: list[str | None]) -> None:
        """Count errors. Raises EngineError where too large a share has failed."""
        self.statistics.errors += len(bad)
        self._errors += len(bad)
        share = self.limits.error_share
        if self._asked >= _SHARE_AFTER and self._errors > share * self._asked:
            msg = (
                f"engine '{self.alias}': {self._errors} of {self._asked} samples failed, more than max_error_share "
                f"{share:g}; last: {bad[-1]}; answers are kept, run again to go on"
            )
            raise EngineError(msg)

    async def score(self, messages: tuple[Message, ...], text: str, also: frozenset[str] = frozenset()) -> TextScore:
        """Return the stored score of `text`, or ask for it. See `Engine.score`."""
        from curator.engines.kept_scores import score

        return await score(self, messages, text, also)

    async def embed(self, messages: tuple[Message, ...], text: str) -> Embedding:
        """Return the stored vector of `text`, or ask for it. See `Embedder.embed`."""
        from curator.engines.kept_scores import embed

        return await embed(self, messages, text)

    async def gradient(self, messages: tuple[Message, ...], text: str, projection: str, max_tokens: int) -> Gradient:
        """Return the stored gradient of `text`, or ask for it. See `Differentiable.gradient`."""
        from curator.engines.kept_gradients import gradient

        return await gradient(self, messages, text, projection, max_tokens)

    async def rewards(self, messages: tuple[Message, ...]) -> Reward:
        """Return the stored reward of a conversation, or ask for it. See `RewardModel.rewards`."""
        from curator.engines.kept_rewards import rewards

        return await rewards(self, messages)


def _tokens(answers: list[Completion]) -> tuple[int, int]:
    """Return prompt and completion tokens of the samples of one request; the prompt counts once."""
    if len(answers) == 1:
        return answers[0].n_prompt_tokens, answers[0].n_tokens
    tokens_in = tokens_out = 0
    for c in answers:
        tokens_out += c.n_tokens
        tokens_in = max(tokens_in, c.n_prompt_tokens)
    return tokens_in, tokens_out


def _tell(waiting: list[asyncio.Future[Completion | None]], answer: Completion | None) -> None:
    for future in waiting:
        if not future.done():
            future.set_result(answer)


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
