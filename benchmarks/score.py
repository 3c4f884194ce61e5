"""`score` on a CPU against a bare batched forward of the same model: time a token, in one run, alternating.

    python benchmarks/score.py [--texts 256] [--repeat 5] [--width 384] [--layers 6] [--only pocket|random]

Models: the pocket weights, and a larger random Qwen2 (`--width`, `--layers`, a vocabulary of 32,000). Engines: the
transformers engine as it chooses (for small models a compiled forward) and with the library's forward. What is timed of
`score` is the whole operator on an Arrow table: prompts rendered, texts tokenised, scored through the engine behind its
budget and counters (no store, so that every round asks), sums and columns written.

The bare forward is what one would write by hand, and best at it: ids ready, sorted by length, batches of like length up
to as many tokens as the engine takes, one call of the model, log-softmax over the positions of the text only, gathered.
Its tokenising is not timed. Ratios below 1: `score` is faster. Sums must agree within 1e-3 a text. Torch on one thread.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from curator import prompts
from curator.engines import open_engine
from curator.engines.chat import Chat
from curator.engines.protocol import Message
from curator.ops.score import score
from curator.pocket import MODEL_DIR, world

TOKENS = 1024  # of a pass, as the engine's: of 512 to 16,384 the fastest for it as well
LOGITS = 1 << 27


def rows(count: int) -> pa.Table:
    problems = list(world.rows("pocket", None, 0))
    found = []
    for i in range(count):
        row = problems[i % len(problems)]
        steps = " ".join(f"Step {k}: {row['problem']}" for k in range(1 + i % 5))
        trace = f"<think>\n{steps}\n</think>\n\n{row['answer']} ({i})"
        found.append({"row_id": f"r{i}", "problem": row["problem"], "trace": trace})
    return pa.Table.from_pylist(found)


def random_model(folder: Path, width: int, layers: int) -> Path:
    """A random Qwen2 that reads with the pocket tokenizer."""
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((MODEL_DIR / name).read_bytes())
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=32_000, hidden_size=width, intermediate_size=3 * width, num_hidden_layers=layers,
        num_attention_heads=width // 64, num_key_value_heads=max(1, width // 128), max_position_embeddings=2048,
        tie_word_embeddings=True,
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(folder)
    # The library forces Qwen's own tokenizer on that type of model; ours comes from its file.
    return folder


class Bare:
    """The forward one would write by hand."""

    def __init__(self, model: Any, pairs: list[tuple[list[int], list[int]]]) -> None:
        self.model, self.pairs = model, pairs

    @torch.inference_mode()
    def __call__(self) -> list[float]:
        """Return the sum of each text."""
        order = sorted(range(len(self.pairs)), key=lambda i: sum(map(len, self.pairs[i])))
        sums = [0.0] * len(order)
        group: list[int] = []
        for i in [*order, None]:
            longest = sum(map(len, self.pairs[i])) if i is not None else 0
            size = (len(group) + 1) * longest
            if group and (i is None or size > TOKENS or size * self.model.config.vocab_size > LOGITS):
                self._pass(group, sums)
                group = []
            if i is not None:
                group.append(i)
        return sums

    def _pass(self, group: list[int], sums: list[float]) -> None:
        texts = [self.pairs[i] for i in group]
        longest = max(len(p) + len(t) for p, t in texts)
        ids = torch.zeros((len(group), longest), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for k, (prompt, text) in enumerate(texts):
            n = len(prompt) + len(text)
            ids[k, :n], mask[k, :n] = torch.tensor(prompt + text), 1
        logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        for k, (prompt, text) in enumerate(texts):
            a, n = len(prompt), len(text)
            told = logits[k, a - 1 : a - 1 + n].log_softmax(-1).gather(-1, ids[k, a : a + n, None])
            sums[group[k]] = float(told.sum())


def compare(name: str, folder: Path, kinds: dict[str, dict], table: pa.Table, repeat: int) -> dict[str, Any]:
    from curator.engines.fast.tokens import FileTokenizer

    chat = Chat(FileTokenizer(folder), "bare")
    listed = table.to_pylist()
    pairs = [
        (chat.prompt((Message("user", prompts.fill(prompts.GENERATE, problem=r["problem"])),)), chat.ids(r["trace"]))
        for r in listed
    ]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    bare = Bare(model, pairs)
    reference = bare()
    with asyncio.Runner() as runner:
        engines = {}
        for label, settings in kinds.items():
            kind = settings.pop("kind", "transformers")
            given = settings if kind == "pocket" else {"model": str(folder), "device": "cpu", **settings}
            engines[label] = open_engine(label, kind, {"threads": 1, **given})
            engines[label].inner._chat = Chat(FileTokenizer(folder), label)
        runs = {label: (lambda e=e: runner.run(score(engine=e)(table))) for label, e in engines.items()}
        for label, run in runs.items():  # loads, compiles, and must agree
            sums = run().table["logprob_sum"].to_pylist()
            worst = max(abs(a - b) for a, b in zip(sums, reference, strict=True))
            assert worst < 1e-3 * max(len(t) for _, t in pairs), f"{name}, {label}: sums differ by {worst}"
        times: dict[str, list[float]] = {label: [] for label in ("bare", *runs)}
        for _ in range(repeat):
            for label, run in {"bare": bare, **runs}.items():
                start = time.process_time()
                run()
                times[label].append(time.process_time() - start)
        for engine in engines.values():
            runner.run(engine.close())
    tokens = sum(len(t) for _, t in pairs)
    middle = {label: statistics.median(t) for label, t in times.items()}
    return {
        "parameters": sum(p.numel() for p in model.parameters()), "texts": len(pairs), "tokens_scored": tokens,
        "tokens_per_cpu_second": {label: round(tokens / t) for label, t in middle.items()},
        "ratio_to_bare": {label: round(t / middle["bare"], 3) for label, t in middle.items() if label != "bare"},
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--width", type=int, default=384)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--only", choices=("pocket", "random"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(__file__).with_name("results") / "score.json"
    result = json.loads(path.read_text()) if path.exists() else {}
    result |= {"clock": "cpu", "asked": {"ratio_to_bare": 1.1}}
    if args.only != "random":
        kinds = {"pocket": {"kind": "pocket"}, "transformers": {}, "transformers, library": {"forward": "library"}}
        result["pocket weights"] = compare("pocket", MODEL_DIR, kinds, rows(args.texts), args.repeat)
        print(json.dumps(result["pocket weights"]), flush=True)
    if args.only != "pocket":
        with tempfile.TemporaryDirectory() as folder:
            model = random_model(Path(folder), args.width, args.layers)
            kinds = {"transformers": {}, "transformers, library": {"forward": "library"}}
            result["random qwen2"] = compare("random", model, kinds, rows(args.texts // 4), args.repeat)
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1), flush=True)


if __name__ == "__main__":
    main()
