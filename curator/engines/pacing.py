"""How many requests may be under way: adaptive concurrency, waiting where the server says so, a circuit breaker.

Additive increase, multiplicative decrease, as TCP does it: the limit grows by one with every answer until the first
refusal (slow start), after it by one a round; a refusal (429, 503, a timeout) cuts it once a round. The constants
are unpublished, ours because they are TCP's, with a gentler cut (0.7) since a refused request is cheap.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from curator.errors import EngineError


@dataclass(frozen=True)
class Patience:
    """What a server may cost in time. Seconds, and counts of attempts."""

    first_delay: float = 0.5
    longest_delay: float = 60.0
    breaker_after: int = 20  # failures in a row, none answered between them
    probes: int = 8  # single attempts after the breaker has opened: with the delays above about a minute
    throttled: float = 900.0  # refusals (429, 503) with no answer in between


class Pacer:
    """Admission for one server. All methods are called from one event loop.

    `limit` is the present concurrency; it never leaves [1, max_concurrency].
    """

    def __init__(
        self,
        max_concurrency: int,
        patience: Patience | None = None,
        *,
        start: int = 16,
        clock: Callable[[], float] = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self.max = max(1, max_concurrency)
        self.limit = float(min(start, self.max))
        self.in_flight = 0
        self.patience = patience or Patience()
        self.broken = False
        self._clock = clock
        self._rng = rng or random.Random()  # jitter only; no output depends on it
        self._growing = True
        self._cut_at = -1.0
        self._opened_at = 0.0
        self._not_before = 0.0
        self._failures = 0
        self._probes = 0
        self._throttled_since: float | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._fatal: EngineError | None = None

    async def acquire(self) -> float:
        """Wait for a place and return the time it was given, to be handed to `release`, `refused` or `failed`.

        Raises:
            EngineError: the engine was given up while waiting.
        """
        if self._fatal:
            raise self._fatal
        now = self._clock()
        if not self._waiting and self._free(now):
            self.in_flight += 1
            return now
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self._wake()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._leave()  # given a place and cancelled in the same moment
            raise
        return self._clock()

    def release(self, _started: float) -> None:
        """The request was answered (also a 400: the server works)."""
        self._failures = self._probes = 0
        self._throttled_since = None
        if self.broken:
            self.broken = False
            self.limit, self._growing = min(4.0, self.max), True
        if self.limit < self.max:
            self.limit = min(self.max, self.limit + (1.0 if self._growing else 1.0 / self.limit))
        self._leave()

    def abandon(self) -> None:
        """The request was cancelled: its place is free, nothing was learnt."""
        self._leave()

    def refused(self, started: float, retry_after: float | None, why: str) -> None:
        """The server asked to slow down (429, 503). `retry_after`: seconds it wants to be left alone.

        Raises:
            EngineError: nothing but refusals for `patience.throttled` seconds.
        """
        now = self._clock()
        self._cut(started, 0.7)
        if retry_after is not None:
            wait = min(retry_after, self.patience.throttled)
            self._not_before = max(self._not_before, now + wait)
        self._throttled_since = self._throttled_since if self._throttled_since is not None else now
        self._leave()
        if now - self._throttled_since > self.patience.throttled:
            minutes = (now - self._throttled_since) / 60
            self.give_up(EngineError(f"nothing but refusals for {minutes:.0f} minutes, last: {why}"))

    def failed(self, started: float, why: str, *, slow: bool = False) -> None:
        """No usable answer: connection lost, 500, damaged body. `slow`: it was a timeout, so ease off.

        Raises:
            EngineError: the breaker has opened and every probe failed as well.
        """
        if slow:
            self._cut(started, 0.7)
        self._failures += 1
        if self.broken:
            if started > self._opened_at:  # not one of those that were under way when it opened
                self._probes += 1
                self._not_before = self._clock() + self._backoff(self._probes)
        elif self._failures >= self.patience.breaker_after:
            self.broken, self._opened_at = True, self._clock()
            self._not_before = self._opened_at + self.patience.first_delay
        self._leave()
        if self._probes >= self.patience.probes:
            self.give_up(EngineError(f"no answer in {self._failures} attempts, last: {why}"))

    def give_up(self, error: EngineError) -> NoReturn:
        """Fail everybody who waits, and raise `error` now and from now on."""
        self._fatal = self._fatal or error
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(self._fatal)
                place.exception()  # a waiter cancelled at the same time never looks
        raise self._fatal

    def delay(self, attempt: int) -> float:
        """Seconds before attempt `attempt` (from 1): full jitter over an exponentially growing span."""
        return self._rng.uniform(0, self._backoff(attempt))

    def _backoff(self, attempt: int) -> float:
        return min(self.patience.longest_delay, self.patience.first_delay * 2.0 ** min(attempt - 1, 30))

    def _cut(self, started: float, factor: float) -> None:
        if started > self._cut_at:  # requests sent before the last cut say nothing about the new limit
            self.limit = max(1.0, self.limit * factor)
            self._cut_at = self._clock()
            self._growing = False

    def _free(self, now: float) -> bool:
        room = 1 if self.broken else int(self.limit)
        return self.in_flight < room and now >= self._not_before

    def _leave(self) -> None:
        self.in_flight -= 1
        if self._waiting:
            self._wake()

    def _wake(self) -> None:
        now = self._clock()
        while self._waiting and self._free(now):
            place = self._waiting.popleft()
            if not place.done():
                self.in_flight += 1
                place.set_result(None)
        wait = self._not_before - now
        if self._waiting and wait > 0 and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(wait, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake()
