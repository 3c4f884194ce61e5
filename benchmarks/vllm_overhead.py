"""What is lost around vLLM: tokens a second of the bare engine, and of the same engine through ours.

Asked: >= 0.97 of the bare engine, in process (against vLLM's own `AsyncLLM`) and served (against plain aiohttp
requests to the same server). Both sides do exactly the same work, and the benchmark stops where they do not: the same
prompts, greedy, and a copy of the model whose end token never comes, so that every answer has all its tokens; prefix
caching is off, so that who comes second has no help; every round has new prompts, so that the response store, which
is on, answers nothing. The sides take turns, the one that begins changes; median of the rounds' ratios.

Run with an interpreter that has vLLM: python benchmarks/vllm_overhead.py [prompts] [tokens] [rounds] [model]
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import serving

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "vllm_overhead.json"
CONTEXT = 1024


def endless(model: Path, folder: Path) -> Path:
    """Copy a model, its end token replaced by one it never writes: each answer runs to its limit, on any side."""
    folder.mkdir()
    for file in model.iterdir():
        shutil.copyfile(file, folder / file.name)
    never = json.loads((model / "config.json").read_text())["pad_token_id"]
    for name in ("config.json", "generation_config.json"):
        said = json.loads((folder / name).read_text()) | {"eos_token_id": never}
        (folder / name).write_text(json.dumps(said))
    name = "tokenizer_config.json"
    said = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(said | {"eos_token": said["pad_token"]}))
    return folder


def requests(prompts: int, tokens: int, round_: int) -> list[Any]:
    """Return one request a prompt; no two rounds share one."""
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
    """Run the sides in turns on the same prompts. Returns tokens a second of each, and the median ratio of a round."""
    prompts, tokens, rounds = size
    seen: dict[str, list[float]] = {side: [] for side in sides}
    for round_ in range(-1, rounds):  # the first warms up
        asked = requests(prompts, tokens, round_)
        for side, run in list(sides.items())[:: 1 if round_ % 2 else -1]:
            start = time.perf_counter()
            done = await run(asked)
            took = time.perf_counter() - start
            if done != prompts * tokens:
                raise SystemExit(f"{name}: {side} wrote {done} tokens, not {prompts} x {tokens}: no comparison")
            if round_ >= 0:
                seen[side].append(took)
    ratios = [b / c for b, c in zip(seen["bare"], seen["curator"], strict=True)]
    rates = {side: round(prompts * tokens / statistics.median(s), 1) for side, s in seen.items()}
    total = f"{prompts * tokens * rounds:,} tokens on each side"
    told = ", ".join(f"{r:.3f}" for r in sorted(ratios))
    ratio = statistics.median(ratios)
    print(f"{name:<10} {total}: bare {rates['bare']:,.1f} tokens/s, curator {rates['curator']:,.1f}; ratio {ratio:.3f}")
    print(f"{'':<10} ratios of the rounds: {told}", flush=True)
    return {
        "tokens": {side: prompts * tokens * rounds for side in sides}, "tokens_per_s": rates, "ratio": round(ratio, 3),
        "ratios": [round(r, 3) for r in ratios],
    }  # fmt: skip


async def in_process(model: str, folder: str, size: tuple[int, ...]) -> dict:
    from curator.engines import open_engine
    from curator.engines.store import Store

    settings = {"model": model, "dtype": "float32", "max_context": CONTEXT, "max_num_seqs": 64}
    settings |= {"enforce_eager": True, "options": {"enable_prefix_caching": False}}
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

    options = ("--max-model-len", str(CONTEXT), "--dtype", "float32", "--max-num-seqs", "64", "--enforce-eager",
               "--no-enable-prefix-caching")  # fmt: skip
    async with serving.vllm(model, Path(folder + ".log"), *options) as url:
        settings = {"model": "m", "base_url": url, "flavour": "vllm", "max_concurrency": 256}
        engine = open_engine("s", "openai", settings, store=Store(folder))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
            sides = {"bare": lambda r: posted(session, url, r), "curator": lambda r: through_us(engine, r)}
            try:
                return await compare("served", sides, size)
            finally:
                await engine.close()


def main(prompts: int, tokens: int, rounds: int, model: Path) -> None:
    serving.vllm_environment()
    size = (prompts, tokens, rounds)
    out: dict[str, Any] = {"prompts": prompts, "tokens": tokens, "rounds": rounds, "cores": os.cpu_count()}
    out["load_1min"] = round(os.getloadavg()[0], 1)
    with tempfile.TemporaryDirectory() as folder:
        copy = str(endless(model, Path(folder) / "model"))
        out["in_process"] = asyncio.run(in_process(copy, folder + "/a", size))
        out["served"] = asyncio.run(over_http(copy, folder + "/b", size))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    if serving.has_vllm("vllm_overhead"):
        numbers = [int(a) for a in sys.argv[1:4]]
        numbers += [128, 64, 5][len(numbers) :]
        main(*numbers, Path(sys.argv[4]) if len(sys.argv) > 4 else ROOT / "curator" / "pocket" / "model")
