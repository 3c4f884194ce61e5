"""Is the engine kept full? 256 live traces against a server that answers after 50 ms, and the engine alone beside it.

Asked: >= 0.9 of the ideal request rate (256 / 0.05 s). `retro_search` is the operator as the runner calls it, on an
engine with response store, budget and retries; `engine` sends the same number of requests with prefixes of the same
length from 256 tasks and does nothing with the answers: what the HTTP engine allows on this machine. The traces have
24 thoughts; no rollout is ever right, so every position is tried: two requests each, the second with a longer prefix.
Before the clock starts the engine has found the server's limit (it begins with 16 requests at a time and doubles; those
four rounds would be 6 % of this short run) and has its connections. Sides take turns; medians.
CPU time is this process's alone; the server is a process of its own.

Run: python benchmarks/retro_full.py [rounds] [traces]
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

sys.path.insert(0, str(Path(__file__).resolve().parent))
import http_engine
import serving

RESULTS = Path(__file__).resolve().parent / "results" / "retro_full.json"
THOUGHTS = 24
STEP = "We add the two numbers digit by digit, carry what is left over and write it down."
SAID = "Two and two make four.\n</think>\n\nThe answer is \\boxed{4}."


def table(live: int, round_: int) -> pa.Table:
    thoughts = "\n\n".join([f"{STEP}\n\n{STEP}", *[f"Wait, {STEP}\n\n{STEP}"] * (THOUGHTS - 1)])
    trace = f"<think>\n{thoughts}\n</think>\n\nThe answer is \\boxed{{5}}."
    ids = [f"r{round_}-{i}" for i in range(live)]
    problems = [f"{http_engine.PROBLEM} ({i})" for i in ids]
    columns = {"row_id": ids, "problem": problems, "answer": ["5"] * live, "trace": [trace] * live}
    return pa.table({**columns, "correct": [True] * live})


async def opened(url: str, live: int, work: Callable[[Any], Awaitable[int]]) -> tuple[int, float, float]:
    """Requests, seconds and CPU seconds of `work` with an engine that has found its limit."""
    from curator.engines import open_engine
    from curator.engines.protocol import Message, Request, Sampling
    from curator.engines.store import Store
    from curator.run.meter import Meter

    with tempfile.TemporaryDirectory() as folder:
        settings = {"model": "m", "base_url": url, "flavour": "vllm", "max_concurrency": live}
        managed = open_engine("t", "openai", settings, store=Store(folder))
        try:
            user = Message("user", http_engine.PROBLEM)

            async def ask(n: int) -> None:
                await managed.generate(Request((user,), Sampling(max_tokens=16), first_sample=n))

            await http_engine.bounded(3 * live, live, ask)
            cpu, start = time.process_time(), time.perf_counter()
            total = await work(Meter(managed, lambda _alias, _use: None))
            return total, time.perf_counter() - start, time.process_time() - cpu
        finally:
            await managed.close()


async def searching(url: str, live: int, round_: int) -> tuple[int, float, float]:
    from curator.ops.retro_search import retro_search

    async def work(engine: Any) -> int:
        result = await retro_search(engine=engine)(table(live, round_))
        assert set(result.table["n_rollouts"].to_pylist()) == {THOUGHTS - 1}
        assert {r["verdict"] for rs in result.table["rollouts"].to_pylist() for r in rs} == {"incorrect"}
        return 2 * live * (THOUGHTS - 1)

    return await opened(url, live, work)


async def alone(url: str, live: int, round_: int) -> tuple[int, float, float]:
    from curator.engines.protocol import Message, Request, Sampling

    text, total = table(1, 0)["trace"][0].as_py(), 2 * live * (THOUGHTS - 1)

    async def work(engine: Any) -> int:
        async def ask(n: int) -> None:
            at = (1 + n // live // 2) * len(text) // THOUGHTS
            user = Message("user", f"{http_engine.PROBLEM} ({round_}, {n})")
            await engine.generate(Request((user,), Sampling(max_tokens=16384), prefix=text[:at]))

        await http_engine.bounded(total, live, ask)
        return total

    return await opened(url, live, work)


Side = Callable[[str, int, int], Awaitable[tuple[int, float, float]]]


def measure(side: Side, url: str, live: int, round_: int) -> dict[str, float]:
    total, took, cpu = asyncio.run(side(url, live, round_))
    return {"rate": total / took, "cpu_us": cpu / total * 1e6}


def main(rounds: int, live: int) -> None:
    sides = {"retro_search": searching, "engine": alone}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    with serving.own(__file__) as (url, _):
        for side in sides.values():  # imports
            measure(side, url, 8, 10**6)
        for round_ in range(rounds):
            for name, side in sides.items():
                seen[name].append(measure(side, url, live, round_))
    ideal = live / http_engine.DELAY
    out: dict[str, Any] = {"live": live, "delay_s": http_engine.DELAY, "ideal_rate": ideal, "rounds": rounds}
    out |= {"cores": len(os.sched_getaffinity(0)), "load_1min": round(os.getloadavg()[0], 1)}
    for name, runs in seen.items():
        rate, cpu = (statistics.median(r[k] for r in runs) for k in ("rate", "cpu_us"))
        out[name] = {"requests_per_s": round(rate), "of_ideal": round(rate / ideal, 3), "cpu_us": round(cpu, 1)}
        print(f"{name:<13} {rate:6.0f} requests/s   {rate / ideal:.3f} of ideal   {cpu:6.1f} us CPU a request")
    out["of_engine"] = round(out["retro_search"]["requests_per_s"] / out["engine"]["requests_per_s"], 3)
    print(f"retro_search reaches {out['of_engine']} of the engine alone; load {out['load_1min']}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n")


def serve(listening: socket.socket) -> None:
    http_engine.TEXT = SAID
    http_engine.Server(listening).run()


if __name__ == "__main__":
    if not serving.serve(sys.argv[1:], serve):
        given = [int(a) for a in sys.argv[1:]]
        main(*(given + [3, 256][len(given) :]))
