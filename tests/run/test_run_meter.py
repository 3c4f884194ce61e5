"""Engines as a run sees them: every answer is counted once, where it belongs."""

import asyncio

from curator.engines.budget import Limits, Price
from curator.engines.managed import Managed
from curator.engines.protocol import Completion, Message, Request
from curator.engines.store import Store
from curator.run.meter import CONCURRENCY, Meter, tally

ASK = Request((Message("user", "q"),))


class Fake:
    alias, model, identity, capabilities, max_context = "t", "m", {"kind": "fake"}, frozenset({"generate"}), 99

    async def generate(self, request):
        await asyncio.sleep(0)
        bad = request.messages[0].content == "bad"
        one = Completion("", "error", error="no") if bad else Completion("x", "stop", 10, 5)
        return [one] * request.n


def test_new_stored_and_failed_answers_are_counted_apart(tmp_path):
    seen = []
    engine = Managed(Fake(), "fake", Store(tmp_path), Limits(error_share=1.0), Price(1.0, 10.0))
    meter = Meter(engine, lambda alias, use: seen.append((alias, dict(use))))

    async def main():
        with tally() as usage:
            await meter.generate(Request(ASK.messages, n=2))
            await meter.generate(Request(ASK.messages, n=3))
            await meter.generate(Request((Message("user", "bad"),)))
        await meter.generate(ASK)  # outside: watched, in no shard
        return usage

    usage = asyncio.run(main())
    assert usage == {
        "t": {
            "requests": 6, "cached": 2, "errors": 1, "tokens_in": 10, "tokens_out": 50,
            "cost": (5 + 200) / 1e6 + (5 + 300) / 1e6, "paid": (5 + 200) / 1e6 + (5 + 100) / 1e6,
        }
    }  # fmt: skip
    assert [alias for alias, _ in seen] == ["t"] * 4
    assert seen[-1][1]["cached"] == 1
    assert seen[-1][1]["paid"] == 0


def test_who_it_is_comes_from_inside():
    raw = Fake()
    meter = Meter(Managed(raw, "fake", None, Limits(), None), lambda _alias, _use: None)
    assert (meter.alias, meter.model, dict(meter.identity)) == ("t", "m", {"kind": "fake"})
    assert (meter.capabilities, meter.max_context, meter.price) == (frozenset({"generate"}), 99, None)


def test_concurrency_is_what_an_engine_inside_says():
    raw = Fake()
    meter = Meter(Managed(raw, "fake", None, Limits(), None), lambda _alias, _use: None)
    assert meter.concurrency == CONCURRENCY
    raw.max_concurrency = 7
    assert meter.concurrency == 7
