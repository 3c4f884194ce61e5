"""The local engine's compiled forward against the library's: `python benchmarks/local_engine.py [rounds] [threads]`.

Asked: >= 5,000 tokens/s at batch 64 with 256 new tokens on two cores, and the model loaded within 3 s of the imports.
Both decoders write exactly 64 x 256 tokens (no end token) for 64 problems of the pocket world, at the default sampling,
one after the other in each round; medians. On a busy machine only tokens per CPU second and ratios mean something. A
last line goes through the whole engine: 50 problems, 4 samples each, until they end.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from pathlib import Path
from typing import Any

BATCH, NEW = 64, 256


def problems(count: int) -> list[str]:
    from curator.pocket.world import rows

    return [str(row["problem"]) for row in rows("pocket", count)]


def load(threads: int | None) -> tuple[Any, Any, float]:
    """The model, its tokenizer, and the seconds from imports done to a first token decoded.

    transformers imports a model's own code only when that model is asked for: it counts as an import here.
    """
    import torch
    import transformers.models.llama.modeling_llama  # noqa: F401
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import curator.engines.fast.batch  # noqa: F401 - an import, not loading
    from curator.engines.chat import Chat
    from curator.engines.forward import Row, decoder_for
    from curator.pocket import MODEL_DIR

    if threads:
        torch.set_num_threads(threads)
    start = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()
    chat = Chat(AutoTokenizer.from_pretrained(MODEL_DIR), "benchmark")
    decoder = decoder_for(model, BATCH, frozenset(), 0)
    decoder.join([Row([1, 2, 3], 2, 0.6, 0.95, 0, 0)])
    decoder.step()
    return model, chat, time.perf_counter() - start


def write(model: Any, prompts: list[list[int]], *, library: bool) -> tuple[float, float]:
    """Seconds of wall and of CPU for all tokens, prefill included."""
    from curator.engines.forward import Row, decoder_for

    decoder = decoder_for(model, BATCH, frozenset(), 0, library=library)
    rows = [Row(p, NEW, 0.6, 0.95, 0, i) for i, p in enumerate(prompts)]
    wall, cpu = time.perf_counter(), time.process_time()
    decoder.join(rows)
    while decoder.active:
        decoder.step()
    assert all(len(r.ids) == NEW for r in rows)
    return time.perf_counter() - wall, time.process_time() - cpu


def first_token(threads: int | None) -> float:
    """Seconds from the pocket engine's construction to a first token; it needs neither torch nor transformers."""
    from curator.engines.pocket import PocketEngine
    from curator.engines.protocol import Message, Request, Sampling

    async def main() -> float:
        start = time.perf_counter()
        engine = PocketEngine(threads=threads)
        await engine.generate(Request((Message("user", "Compute 1 + 2."),), Sampling(max_tokens=1, seed=1)))
        wall = time.perf_counter() - start
        await engine.close()
        return wall

    return asyncio.run(main())


def whole(texts: list[str], threads: int | None) -> dict[str, float]:
    """Through the engine: requests, chat template, seeds, batch kept full, text."""
    from curator.engines.pocket import PocketEngine
    from curator.engines.protocol import Message, Request, Sampling

    async def main() -> dict[str, float]:
        engine = PocketEngine(threads=threads)
        asked = [Request((Message("user", t),), Sampling(max_tokens=1024, seed=1), n=4) for t in texts]
        await engine.generate(asked[0])  # loads the model
        wall, cpu = time.perf_counter(), time.process_time()
        told = await asyncio.gather(*(engine.generate(r) for r in asked))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        await engine.close()
        tokens = sum(c.n_tokens for completions in told for c in completions)
        return {"tokens": tokens, "tokens/s": round(tokens / wall), "tokens/cpu s": round(tokens / cpu)}

    return asyncio.run(main())


def main(rounds: int, threads: int | None) -> None:
    from curator.engines.protocol import Message

    model, chat, loaded = load(threads)
    texts = problems(BATCH)
    prompts = [chat.prompt((Message("user", t),)) for t in texts]
    times: dict[str, list[tuple[float, float]]] = {"compiled": [], "library": []}
    for _ in range(rounds):
        for name, found in times.items():
            found.append(write(model, prompts, library=name == "library"))
    tokens, result = BATCH * NEW, {"batch": BATCH, "new tokens": NEW, "load s": round(loaded, 2)}
    result["load s, pocket engine"] = round(first_token(threads), 2)
    for name, found in times.items():
        wall, cpu = (statistics.median(column) for column in zip(*found, strict=True))
        result[name] = {"tokens/s": round(tokens / wall), "tokens/cpu s": round(tokens / cpu)}
    result["ratio (cpu)"] = round(result["compiled"]["tokens/cpu s"] / result["library"]["tokens/cpu s"], 2)
    result["ratio (wall)"] = round(result["compiled"]["tokens/s"] / result["library"]["tokens/s"], 2)
    result["engine, 50 x 4 until they end"] = whole(texts[:50], threads)
    for name, value in result.items():
        print(f"{name:<32} {value}")
    out = Path(__file__).parent / "results" / "local_engine.json"
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:]]
    main(numbers[0] if numbers else 3, numbers[1] if numbers[1:] else None)
