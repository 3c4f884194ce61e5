"""Store, budget and error share around a raw engine."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.engines.budget import Limits, Price
from curator.engines.managed import Managed, _runs
from curator.engines.protocol import Completion, Embedding, Message, Request, Sampling, TextScore, too_long
from curator.engines.store import Store
from curator.errors import BudgetSpent, CheckError, EngineError


@dataclass
class Fake:
    """A raw engine that notes what it is asked. Samples are numbered; `finish` and `fails` decide how they end."""

    alias: str = "t"
    model: str = "m"
    delay: float = 0.0
    finish: str = "stop"
    fails: object = lambda _r: False
    asked: list[Request] = field(default_factory=list)
    identity = {"kind": "fake", "model": "m"}
    capabilities = frozenset({"generate"})
    max_context = None

    def count_tokens(self, text: str) -> int:
        return len(text)

    async def generate(self, request: Request) -> list[Completion]:
        self.asked.append(request)
        await asyncio.sleep(self.delay)
        if failed := self.fails(request):
            return [failed if isinstance(failed, Completion) else Completion("", "error", error="no")] * request.n
        text = request.messages[0].content
        return [Completion(f"{text}/{request.first_sample + i}", self.finish, 10, 5) for i in range(request.n)]

    async def score(self, messages, text):
        self.asked.append(text)
        return TextScore((text,), (-1.0,), (0,))

    async def embed(self, messages, text):
        self.asked.append(text)
        return Embedding((1.0,), len(text))

    async def close(self) -> None: ...


def ask(text: str = "q", **rest) -> Request:
    sampling = Sampling(max_tokens=rest.pop("max_tokens", 100))
    return Request((Message("user", text),), sampling, **rest)


def managed(raw: Fake, store: Store | None = None, price: Price | None = None, **limits) -> Managed:
    return Managed(raw, "fake", store, Limits(**limits), price)


def go(engine: Managed, *requests: Request):
    async def main():
        return await asyncio.gather(*(engine.generate(r) for r in requests), return_exceptions=True)

    return asyncio.run(main())


def test_an_answer_is_asked_once_in_this_run_and_the_next(tmp_path):
    raw = Fake()
    first = managed(raw, Store(tmp_path))
    (a,) = go(first, ask())
    (b,) = go(first, ask(key="other row"))
    (c,) = go(managed(raw, Store(tmp_path)), ask())
    assert len(raw.asked) == 1
    assert [x[0].cached for x in (a, b, c)] == [False, True, True]
    assert a[0].text == b[0].text == c[0].text
    assert (first.statistics.requests, first.statistics.cached) == (1, 1)


def test_more_samples_pay_only_for_the_new_ones(tmp_path):
    raw = Fake()
    engine = managed(raw, Store(tmp_path))
    go(engine, ask(n=2))
    go(engine, ask(n=1, first_sample=4))
    (found,) = go(engine, ask(n=7))
    assert [c.text for c in found] == [f"q/{i}" for i in range(7)]
    assert sorted((r.first_sample, r.n) for r in raw.asked) == [(0, 2), (2, 2), (4, 1), (5, 2)]


def test_a_raised_max_tokens_asks_only_truncated_answers(tmp_path):
    raw = Fake(finish="length")
    engine = managed(raw, Store(tmp_path))
    go(engine, ask("cut", max_tokens=10))
    raw.finish = "stop"
    go(engine, ask("whole", max_tokens=10))
    go(engine, ask("cut", max_tokens=20), ask("whole", max_tokens=20))
    assert [r.messages[0].content for r in raw.asked] == ["cut", "whole", "cut"]


def test_another_context_asks_only_what_the_context_had_cut(tmp_path):
    """An answer of 10 tokens: cut by the context where 100 were asked for, by its own limit where 10 were."""
    raw = Fake(finish="length")
    asked = [ask("by context", max_tokens=100), ask("by limit", max_tokens=10)]
    for context, n_asked in ((15, 2), (15, 2), (30, 3), (30, 3), (15, 3)):
        raw.max_context = context
        go(managed(raw, Store(tmp_path)), *asked)
        assert len(raw.asked) == n_asked, context
    assert raw.asked[-1].messages[0].content == "by context"


def test_what_an_unknown_context_has_cut_is_not_asked_again(tmp_path):
    raw = Fake(finish="length")
    for _ in range(2):
        go(managed(raw, Store(tmp_path)), ask(max_tokens=100))
    assert len(raw.asked) == 1


def test_duplicates_under_way_share_one_question():
    raw = Fake(delay=0.02)
    found = go(managed(raw), *[ask(n=2)] * 5, ask("other"))
    assert len(raw.asked) == 2
    assert len({f[1].text for f in found[:5]}) == 1


def test_a_cancelled_asker_does_not_take_the_others_with_it():
    raw = Fake(delay=0.5)
    engine = managed(raw)

    async def main():
        first = asyncio.create_task(engine.generate(ask()))
        await asyncio.sleep(0.01)
        second = asyncio.create_task(engine.generate(ask()))
        await asyncio.sleep(0.01)
        first.cancel()
        return await second

    (found,) = asyncio.run(main())
    assert found.text == "q/0"
    assert len(raw.asked) == 2


def test_duplicates_share_the_gaps_between_stored_answers(tmp_path):
    raw = Fake(delay=0.02)
    engine = managed(raw, Store(tmp_path))
    go(engine, ask(first_sample=1))
    found = go(engine, *[ask(n=3)] * 4)
    assert [[c.text for c in f] for f in found] == [["q/0", "q/1", "q/2"]] * 4
    assert sorted((r.first_sample, r.n) for r in raw.asked) == [(0, 1), (1, 1), (2, 1)]


def test_what_was_asked_beside_a_failure_is_kept(tmp_path):
    class Half(Fake):
        async def generate(self, request):
            if request.first_sample == 0:
                raise EngineError("gone")
            return await super().generate(request)

    raw = Half(delay=0.02)
    engine = managed(raw, Store(tmp_path))
    go(engine, ask(first_sample=2))
    (failed,) = go(engine, ask(n=5))
    assert str(failed) == "gone"
    assert len(Store(tmp_path)) == 3  # samples 2, 3 and 4
    assert engine.statistics.in_flight == 0
    assert not engine._pending


def test_errors_are_not_stored(tmp_path):
    raw = Fake(fails=lambda r: True)
    engine = managed(raw, Store(tmp_path))
    (bad,) = go(engine, ask())
    raw.fails = lambda r: False
    (good,) = go(engine, ask())
    assert (bad[0].finish_reason, good[0].finish_reason) == ("error", "stop")
    assert engine.statistics.errors == 1


def test_too_many_errors_stop_the_step():
    raw = Fake(fails=lambda r: int(r.messages[0].content) % 5 == 0)
    found = go(managed(raw), *[ask(str(i)) for i in range(40)])
    stopped = [f for f in found if isinstance(f, EngineError)]
    assert "more than max_error_share 0.1" in str(stopped[0])
    few = go(managed(raw), *[ask("0") for _ in range(19)])
    assert all(f[0].finish_reason == "error" for f in few)  # too few to judge
    many = go(managed(raw, error_share=0.25), *[ask(str(i)) for i in range(40)])
    assert not any(isinstance(f, EngineError) for f in many)


def test_rows_that_no_context_holds_say_nothing_about_the_engine(tmp_path):
    def fits(r: Request) -> bool:
        return int(r.messages[0].content) % 10 == 0

    engine = managed(Fake(fails=lambda r: None if fits(r) else too_long(5000, 2048)), Store(tmp_path))
    found = go(engine, *[ask(str(i)) for i in range(40)])
    assert sum(f[0].too_long for f in found) == 36
    assert (engine.statistics.requests, engine.statistics.errors) == (4, 0)
    assert len(Store(tmp_path)) == 4  # a failure is not remembered
    # Nor do they hide that all the others fail.
    engine = managed(Fake(fails=lambda r: fits(r) or too_long(5000, 2048)))
    assert any(isinstance(f, EngineError) for f in go(engine, *[ask(str(i)) for i in range(200)]))


def test_a_token_budget_is_never_passed_and_is_used_up(tmp_path):
    raw = Fake(delay=0.001)
    engine = managed(raw, Store(tmp_path), max_tokens_total=400)
    found = go(engine, *[ask(str(i), max_tokens=50) for i in range(60)])
    spent = engine.statistics.tokens_in + engine.statistics.tokens_out
    done = sum(isinstance(f, list) for f in found)
    assert spent <= 400
    assert spent >= 400 - 50 - 5 - 64 - 10
    assert any(isinstance(f, BudgetSpent) for f in found)
    assert "max_tokens_total 400" in str(next(f for f in found if isinstance(f, BudgetSpent)))
    assert len(Store(tmp_path)) == done  # what was answered is kept


@pytest.mark.parametrize("what", ["score", "embed"])
def test_reading_texts_stays_within_the_budget(tmp_path, what):
    raw = Fake()
    engine = managed(raw, Store(tmp_path), max_tokens_total=100)

    async def main():
        for i in range(100):
            await getattr(engine, what)((Message("user", "q"),), f"text {i:03}")

    with pytest.raises(BudgetSpent):
        asyncio.run(main())
    assert 0 < len(raw.asked) < 100
    done = len(raw.asked)
    asyncio.run(getattr(engine, what)((Message("user", "q"),), "text 000"))  # what is stored costs nothing
    assert len(raw.asked) == done


def test_a_money_budget_is_never_passed():
    engine = managed(Fake(delay=0.001), price=Price(1.0, 10.0), max_cost=0.005)
    go(engine, *[ask(str(i), max_tokens=30) for i in range(200)])
    assert 0.003 < engine.statistics.cost <= 0.005


def test_a_money_budget_needs_a_price():
    with pytest.raises(CheckError, match="no price is known"):
        managed(Fake(), max_cost=1.0)
    assert managed(Fake()).statistics.cost is None


def test_stored_answers_cost_no_budget(tmp_path):
    raw = Fake()
    go(managed(raw, Store(tmp_path)), *[ask(str(i)) for i in range(20)])
    found = go(managed(raw, Store(tmp_path), max_tokens_total=1), *[ask(str(i)) for i in range(20)])
    assert all(isinstance(f, list) for f in found)


def test_scores_are_kept_as_well(tmp_path):
    raw = Fake()
    engine = managed(raw, Store(tmp_path))
    messages = (Message("user", "q"),)
    first = asyncio.run(engine.score(messages, "4"))
    assert asyncio.run(managed(raw, Store(tmp_path)).score(messages, "4")) == first
    assert raw.asked == ["4"]


def test_an_engine_limit_on_tokens_is_part_of_what_was_asked(tmp_path):
    raw = Fake(finish="length")
    raw.max_tokens = 20
    go(managed(raw, Store(tmp_path)), ask(max_tokens=4096))
    raw.max_tokens = 40
    go(managed(raw, Store(tmp_path)), ask(max_tokens=4096))
    assert [r.sampling.max_tokens for r in raw.asked] == [20, 40]  # the raised limit asks again


def test_a_lone_surrogate_is_an_error_of_its_row():
    (found,) = go(managed(Fake()), ask("\ud800"))
    assert found[0].finish_reason == "error"
    assert "surrogate" in found[0].error


def test_an_engine_error_reaches_everybody_who_waits():
    class Broken(Fake):
        async def generate(self, request):
            await asyncio.sleep(0.01)
            raise EngineError("gone")

    found = go(managed(Broken()), ask(), ask())
    assert [str(f) for f in found] == ["gone", "gone"]


@given(st.sets(st.integers(0, 40)))
def test_runs_cover_the_gaps_exactly(numbers):
    runs = _runs(sorted(numbers))
    assert [i for run in runs for i in run] == sorted(numbers)
    assert all(b.start > a.stop for a, b in zip(runs, runs[1:], strict=False))


def test_replace_keeps_requests_frozen():
    assert replace(ask(), n=2).n == 2
