"""Verdicts in batches: every case gets its own, however they come in, and a failure reaches those who wait."""

import asyncio
import threading

import pytest

from curator.retro import judging as module
from curator.retro.judging import BATCH, THREADS, Judging
from curator.verdicts.case import Case, Outcome
from curator.verdicts.rules import Rules


def test_a_case_that_comes_as_all_workers_end_is_not_left_behind(monkeypatch):
    """Four batches end at the same moment; whoever hears of it asks again before the workers are known to be gone."""
    monkeypatch.setattr(module, "BATCH", 1)
    together = threading.Barrier(THREADS)

    async def run():
        def judge(cases):
            together.wait(30)
            return [Outcome("correct") for _ in cases]

        judging = Judging(judge)

        async def chain(name):
            for i in range(300):
                await judging(Case(f"{name}-{i}", "t", "a"))

        await asyncio.wait_for(asyncio.gather(*(chain(k) for k in range(THREADS))), 120)

    asyncio.run(run())


def test_every_case_gets_its_own_outcome():

    async def run():
        sizes = []

        def judge(cases):
            sizes.append(len(cases))
            return [Outcome("correct", c.row_id) for c in cases]

        judging = Judging(judge)

        async def chain(name):
            for i in range(60):
                case = Case(f"{name}-{i}", "t", "a")
                assert (await judging(case)).detail == case.row_id

        await asyncio.wait_for(asyncio.gather(*(chain(k) for k in range(64))), 120)
        return sizes

    sizes = asyncio.run(run())
    assert sum(sizes) == 60 * 64
    assert max(sizes) <= BATCH


def test_one_slow_batch_does_not_hold_up_the_others():
    async def run():
        gate, loop = asyncio.Event(), asyncio.get_running_loop()

        def judge(cases):
            if cases[0].row_id == "slow":
                asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
            return [Outcome("correct") for _ in cases]

        judging = Judging(judge)
        slow = asyncio.create_task(judging(Case("slow", "t", "a")))
        await asyncio.sleep(0)
        for i in range(3 * THREADS):
            await asyncio.wait_for(judging(Case(str(i), "t", "a")), 60)
        assert not slow.done()
        gate.set()
        await slow

    asyncio.run(run())


def test_a_failure_reaches_those_who_wait_and_nobody_else():
    async def run():
        def judge(cases):
            if any(c.row_id == "bad" for c in cases):
                raise RuntimeError("no such thing")
            return [Outcome("correct") for _ in cases]

        judging = Judging(judge)
        with pytest.raises(RuntimeError, match="no such thing"):
            await judging(Case("bad", "t", "a"))
        assert (await judging(Case("good", "t", "a"))).verdict == "correct"

    asyncio.run(run())


def test_what_is_judged_at_once_is_judged_alike():
    answers = [("7", "7"), ("7", "8"), ("1/2", "0.5"), ("x^2+1", "1+x^2"), ("7", "4+^"), ("", "7"), ("7", None)]
    rules, quick = Rules(), 0
    for gold, said in answers:
        trace = (
            "<think>\na\n</think>\n\nno idea\nat all" if said is None else f"<think>\na\n</think>\n\n\\boxed{{{said}}}"
        )
        case = Case("r", trace, gold)
        found = rules.quick("math", case)
        quick += found is not None
        assert found in (None, *rules.judge("math", [case]))
    assert quick >= 5
    assert rules.quick("code", Case("r", "x", None)) is None
