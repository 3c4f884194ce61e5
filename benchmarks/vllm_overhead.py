"""What is lost around vLLM: tokens a second of the bare engine, and of the same engine through ours.

Asked: >= 0.97 of the bare engine, in process (against vLLM's own `AsyncLLM`) and served (against plain aiohttp
requests to the same server). The sides take turns on one engine; medians of rounds; greedy, a fixed length, so that
both do the same work. The response store is on.

Run with an interpreter that has vLLM: python benchmarks/vllm_overhead.py [prompts] [tokens] [rounds] [model]
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "vllm_overhead.json"
CONTEXT = 1024


def requests(prompts: int, tokens: int, round_: int) -> list[Any]:
    """Return one request a prompt; no two rounds share one, so that neither store nor prefix cache helps."""
    from curator.engines.protocol import Message, Request, Sampling

    sampling = Sampling(temperature=0.0, max_tokens=tokens)
    texts = [f"{round_}.{i}: Ann has {i + 3} apples and buys {i % 7 + 2} more. How many?" for i in range(prompts)]
    return [Request((Message("user", t),), sampling) for t in texts]


async def through_us(engine: Any, asked: list[Any]) -> int:
    found = await asyncio.gather(*(engine.generate(r) for r in asked))
    assert all(c.finish_reason != "error" for (c,) in found), found[0]
    return sum(c.n_tokens for (c,) in found)


async def bare(llm: Any, chat: Any, asked: list[Any]) -> int:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    async def one(number: int, request: Any) -> int:
        parameters = SamplingParams(
            temperature=0.0, max_tokens=request.sampling.max_tokens, output_kind=RequestOutputKind.FINAL_ONLY
        )
        name, last = f"bare-{time.monotonic_ns()}-{number}", None
        prompt = {"prompt_token_ids": chat.prompt(request.messages)}
        async for out in llm.generate(prompt, parameters, name):
            last = out
        return len(last.outputs[0].token_ids)

    return sum(await asyncio.gather(*(one(i, r) for i, r in enumerate(asked))))


async def posted(session: Any, url: str, asked: list[Any]) -> int:
    async def one(request: Any) -> int:
        messages = [{"role": m.role, "content": m.content} for m in request.messages]
        body = {"model": "m", "messages": messages, "temperature": 0, "max_tokens": request.sampling.max_tokens}
        async with session.post(url + "/chat/completions", json=body) as response:
            return (await response.json())["usage"]["completion_tokens"]

    return sum(await asyncio.gather(*(one(r) for r in asked)))


async def compare(name: str, sides: dict[str, Callable[[list[Any]], Awaitable[int]]], size: tuple[int, ...]) -> dict:
    """Run the sides in turns. Returns tokens a second of each and the ratio of the medians and of the pairs."""
    prompts, tokens, rounds = size
    seen: dict[str, list[float]] = {side: [] for side in sides}
    for round_ in range(-1, rounds):  # the first warms up
        order = list(sides.items())[:: 1 if round_ % 2 else -1]
        for k, (side, run) in enumerate(order):
            asked = requests(prompts, tokens, round_ * 2 + k)
            start = time.perf_counter()
            done = await run(asked)
            if round_ >= 0:
                seen[side].append(done / (time.perf_counter() - start))
    rates = {side: round(statistics.median(s), 1) for side, s in seen.items()}
    ratio = statistics.median(a / b for a, b in zip(seen["curator"], seen["bare"], strict=True))
    print(f"{name:<10} bare {rates['bare']:8.1f} tokens/s   curator {rates['curator']:8.1f}   ratio {ratio:.3f}")
    return {"tokens_per_s": rates, "ratio": round(ratio, 3)}


async def in_process(model: str, folder: str, size: tuple[int, ...]) -> dict:
    from curator.engines import open_engine
    from curator.engines.store import Store

    settings = {"model": model, "dtype": "float32", "max_context": CONTEXT, "max_num_seqs": 64, "enforce_eager": True}
    engine = open_engine("v", "vllm", settings, store=Store(folder))
    await through_us(engine, requests(1, 1, 999))
    raw = engine.inner
    sides = {"bare": lambda r: bare(raw._llm, raw.chat, r), "curator": lambda r: through_us(engine, r)}
    try:
        return await compare("in process", sides, size)
    finally:
        await engine.close()


async def over_http(model: str, folder: str, size: tuple[int, ...]) -> dict:
    import aiohttp

    from curator.engines import open_engine
    from curator.engines.store import Store

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port), "--host",
        "127.0.0.1", "--served-model-name", "m", "--max-model-len", str(CONTEXT), "--dtype", "float32",
        "--max-num-seqs", "64", "--enforce-eager", "--uvicorn-log-level", "warning",
    ]  # fmt: skip
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
                break
            except OSError:
                await asyncio.sleep(0.5)
        url = f"http://127.0.0.1:{port}/v1"
        settings = {"model": "m", "base_url": url, "flavour": "vllm", "max_concurrency": 256}
        engine = open_engine("s", "openai", settings, store=Store(folder))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            sides = {"bare": lambda r: posted(session, url, r), "curator": lambda r: through_us(engine, r)}
            try:
                return await compare("served", sides, size)
            finally:
                await engine.close()
    finally:
        server.terminate()
        server.wait()


def main(prompts: int, tokens: int, rounds: int, model: str) -> None:
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    size = (prompts, tokens, rounds)
    out: dict[str, Any] = {"prompts": prompts, "tokens": tokens, "rounds": rounds, "cores": os.cpu_count()}
    out["load_1min"] = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        out["in_process"] = asyncio.run(in_process(model, folder + "/a", size))
        out["served"] = asyncio.run(over_http(model, folder + "/b", size))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    import importlib.util

    if importlib.util.find_spec("vllm") is None:
        print("vllm_overhead: this interpreter has no vllm; run it with one that has (make test-vllm builds it)")
    else:
        numbers = [int(a) for a in sys.argv[1:4]]
        numbers += [128, 64, 5][len(numbers) :]
        main(*numbers, sys.argv[4] if len(sys.argv) > 4 else str(ROOT / "curator" / "pocket" / "model"))
