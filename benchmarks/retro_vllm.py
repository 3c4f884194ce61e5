"""Retro-Search on a real vLLM: tokens a second through the operator, and of the bare engine at the same batch.

Asked: >= 0.9 of the bare engine. vLLM decodes `batch` rows together. First the operator revises `QUEUE` times as many
traces of the pocket world (written by program, with needless checks and detours), all at the same time, as a run keeps
several shards under way; what it asked is recorded. Then vLLM's own `AsyncLLM` gets the very same requests, already
rendered and tokenised, from as many tasks as there were live traces. Seeds are the same, so both
sides generate the same number of tokens, and the benchmark stops where they do not. Prefix caching is on; the cache is
emptied before each side. Each round has traces of its own; the side that begins changes; median of the ratios.

Run with an interpreter that has vLLM: python benchmarks/retro_vllm.py [batch] [rounds] [model]
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import serving

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "retro_vllm.json"

QUEUE = 4  # live traces for each place in the batch


def table(live: int, round_: int) -> Any:
    """Return `live` right traces with detours, other ones each round."""
    import pyarrow as pa

    from curator.pocket import traces, world

    rows = []
    for i in range(live):
        problem = world.make("pocket", round_ * live + i, seed=7, n_ops=4)
        parts = traces.long_trace(problem, random.Random(f"{round_}-{i}"))
        text = "".join(p.text for p in traces.reply(parts, problem.answer))
        rows.append({"row_id": f"r{i}", "problem": problem.text, "answer": problem.answer, "trace": text})
    return pa.Table.from_pylist(rows)


def recording(inner: Any) -> Any:
    """Return an engine around another that keeps every request."""
    from curator.engines.around import Around

    class Recording(Around):
        def __init__(self) -> None:
            self.inner, self.asked, self.tokens = inner, [], 0

        async def generate(self, request: Any) -> Any:
            self.asked.append(request)
            found = await inner.generate(request)
            assert all(c.finish_reason != "error" for c in found), found[0]
            self.tokens += sum(c.n_tokens for c in found)
            return found

    return Recording()


async def through_us(engine: Any, rows: Any) -> tuple[float, int, list[Any]]:
    from curator.ops.retro_search import retro_search

    watched = recording(engine)
    begun = time.perf_counter()
    result = await retro_search(engine=watched, max_tokens=512)(rows)
    took = time.perf_counter() - begun
    assert sum(result.table["n_rollouts"].to_pylist()) > 0
    return took, watched.tokens, watched.asked


async def bare(raw: Any, asked: list[Any], live: int) -> tuple[float, int]:
    ready = [(raw.chat.prompt(r.messages, r.prefix), r) for r in asked]
    ready = [(p, raw._parameters(r, raw._room(p, r.sampling.max_tokens))) for p, r in ready]
    waiting, tokens = iter(enumerate(ready)), 0

    async def work() -> None:
        nonlocal tokens
        for number, (prompt, parameters) in waiting:
            last = None
            async for out in raw._llm.generate({"prompt_token_ids": prompt}, parameters, f"bare-{id(asked)}-{number}"):
                last = out
            tokens += sum(len(o.token_ids) for o in last.outputs)

    begun = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(live)))
    return time.perf_counter() - begun, tokens


async def compare(model: str, batch: int, rounds: int) -> dict[str, Any]:
    from curator.engines import open_engine
    from curator.engines.store import Store

    settings = {"model": model, "dtype": "float32", "max_context": 1024, "max_num_seqs": batch, "enforce_eager": True}
    live = QUEUE * batch
    ratios, rates = [], {"retro_search": [], "bare": []}
    with tempfile.TemporaryDirectory() as folder:
        engine = open_engine("v", "vllm", settings, store=Store(folder))
        raw = engine.inner
        await through_us(engine, table(4, 10**4))  # starts vLLM
        for round_ in range(rounds):
            rows = table(live, round_)
            if round_ % 2:  # what is asked must be known first; the raw engine leaves no answers in the store
                _, _, asked = await through_us(engine.inner, rows)
                await raw._llm.reset_prefix_cache()
                other, count = await bare(raw, asked, live)
                await raw._llm.reset_prefix_cache()
                took, tokens, _ = await through_us(engine, rows)
            else:
                await raw._llm.reset_prefix_cache()
                took, tokens, asked = await through_us(engine, rows)
                await raw._llm.reset_prefix_cache()
                other, count = await bare(raw, asked, live)
            if abs(tokens - count) > 0.02 * tokens:
                raise SystemExit(f"unequal work: {tokens} tokens through retro_search, {count} by the bare engine")
            rates["retro_search"].append(tokens / took)
            rates["bare"].append(count / other)
            ratios.append(rates["retro_search"][-1] / rates["bare"][-1])
            print(
                f"round {round_}: {rates['retro_search'][-1]:,.0f} tokens/s, bare {rates['bare'][-1]:,.0f}", flush=True
            )
        await engine.close()
    medians = {side: round(statistics.median(r), 1) for side, r in rates.items()}
    out = {"batch": batch, "live": live, "rounds": rounds, "tokens_per_s": medians}
    out |= {"ratio": round(statistics.median(ratios), 3), "ratios": [round(r, 3) for r in ratios]}
    return out | {"cores": os.cpu_count(), "load_1min": round(os.getloadavg()[0], 1)}


def main(batch: int, rounds: int, model: Path) -> None:
    serving.vllm_environment()
    out = asyncio.run(compare(str(model), batch, rounds))
    print(f"ratio {out['ratio']} of the bare engine at a batch of {batch}; rounds {out['ratios']}")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    if serving.has_vllm("retro_vllm"):
        numbers = [int(a) for a in sys.argv[1:3]]
        numbers += [64, 5][len(numbers) :]
        main(*numbers, Path(sys.argv[3]) if len(sys.argv) > 3 else ROOT / "curator" / "pocket" / "model")
