"""Adaptive concurrency, with a clock of our own."""

from __future__ import annotations

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.engines.pacing import Pacer, Patience
from curator.errors import EngineError


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def pacer(most: int = 64, clock: Clock | None = None, **patience) -> tuple[Pacer, Clock]:
    clock = clock or Clock()
    return Pacer(most, Patience(**patience), clock=clock, rng=random.Random(0)), clock


def test_it_doubles_each_round_until_the_first_refusal_then_creeps():
    async def main() -> None:
        p, clock = pacer(1000)
        for expected in (32, 64, 128):
            starts = [await p.acquire() for _ in range(int(p.limit))]
            clock.now += 1
            for s in starts:
                p.release(s)
            assert p.limit == expected
        p.refused(await p.acquire(), None, "429")
        cut = p.limit
        assert cut == pytest.approx(128 * 0.7)
        starts = [await p.acquire() for _ in range(int(p.limit))]
        for s in starts:
            p.release(s)
        assert cut < p.limit <= cut + 1.01

    asyncio.run(main())


def test_one_round_of_refusals_cuts_once():
    async def main() -> None:
        p, clock = pacer()
        clock.now = 1
        starts = [await p.acquire() for _ in range(10)]
        clock.now = 2
        for s in starts:
            p.refused(s, None, "429")
        assert p.limit == pytest.approx(16 * 0.7)

    asyncio.run(main())


@given(st.lists(st.sampled_from(["ok", "429", "500", "slow"]), max_size=80), st.integers(1, 40))
def test_the_limit_keeps_its_bounds_and_no_place_is_lost(events, most):
    async def main() -> None:
        p, clock = pacer(most, breaker_after=10**6)
        for event in events:
            start = await p.acquire()
            clock.now += 1
            if event == "ok":
                p.release(start)
            elif event == "429":
                p.refused(start, None, "429")
            else:
                p.failed(start, "500", slow=event == "slow")
            assert 1 <= p.limit <= most
        assert p.in_flight == 0

    asyncio.run(main())


def test_a_broken_server_gets_one_request_at_a_time():
    async def main() -> None:
        p, clock = pacer(breaker_after=3, probes=5, first_delay=0.001, longest_delay=0.001)
        starts = [await p.acquire() for _ in range(8)]
        for s in starts:  # five of them were under way when it opened: no probes
            p.failed(s, "500")
        assert p.broken
        assert p._probes == 0
        clock.now += 1
        first = await p.acquire()
        second = asyncio.ensure_future(p.acquire())
        await asyncio.sleep(0.01)
        assert not second.done()
        p.release(first)
        await second
        assert not p.broken

    asyncio.run(main())


def test_probes_that_all_fail_end_it_for_everybody():
    async def main() -> None:
        p, clock = pacer(breaker_after=2, probes=2)
        for _ in range(2):
            p.failed(await p.acquire(), "500")
        waiting = asyncio.ensure_future(p.acquire())
        clock.now += 1
        p.failed(clock.now, "500 oops")
        clock.now += 100
        with pytest.raises(EngineError, match="500 oops"):
            p.failed(clock.now, "500 oops")
        with pytest.raises(EngineError):
            await waiting
        with pytest.raises(EngineError):
            await p.acquire()

    asyncio.run(main())


def test_a_cancelled_waiter_leaves_its_place_to_the_next():
    async def main() -> None:
        p, _ = pacer(1)
        held = await p.acquire()
        first, second = asyncio.ensure_future(p.acquire()), asyncio.ensure_future(p.acquire())
        await asyncio.sleep(0)
        first.cancel()
        p.release(held)
        await asyncio.wait_for(second, 1)
        assert p.in_flight == 1

    asyncio.run(main())


def test_delays_are_jittered_and_bounded():
    p, _ = pacer(first_delay=0.5, longest_delay=4.0)
    for attempt in range(1, 40):
        assert 0 <= p.delay(attempt) <= min(4.0, 0.5 * 2 ** (attempt - 1))
