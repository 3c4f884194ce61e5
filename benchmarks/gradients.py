"""Gradient features on a CPU against a bare forward and backward pass: samples a second, in one run, alternating.

    python benchmarks/gradients.py [--texts 128] [--repeat 5] [--only pocket|random|pairs] [--dense 8]

Models: the pocket weights, and a random Qwen2 of 23 million parameters (`score.random_model`: a vocabulary of 32,000).

- `bare`: what one would write by hand, and best at it: ids ready, sorted by length, the same batches as ours, logits of
  the completions only, the mean loss of each sample, summed; one backward pass to the gradients of all weights.
- `countsketch`, `rademacher`: `gradients.features` on the same texts, features of length 1 as the result.
- `operator`: the whole of `score: {kind: gradient}` on an Arrow table, with prompts rendered and texts tokenised,
  behind the engine's counters (no store, so that every round computes). Countsketch.
- `one by one`: a backward pass a sample, count sketch of its gradient.
- `one by one, dense`: a backward pass a sample, its flat gradient times a dense float32 matrix of signs. Where the
  whole matrix does not fit the free memory, a part of its columns is held and multiplied as often as it takes
  (`columns_held`).

Ratios are samples/s over those of `bare`; asked are 0.7 for countsketch, and 5 times the dense loop. Then the error of
inner products over 1,035 pairs of real gradients of the pocket model. CPU seconds, torch on one thread.
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

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from score import random_model, rows
from transformers import AutoModelForCausalLM

from curator import prompts
from curator.engines import open_engine
from curator.engines.chat import Chat
from curator.engines.fast.tokens import FileTokenizer
from curator.engines.protocol import Message
from curator.gradients.batched import Batched
from curator.gradients.features import Features
from curator.gradients.layout import layout
from curator.gradients.projection import KINDS, Projection, band, projector
from curator.gradients.single import Single, gradients_of
from curator.gradients.texts import Text, passes
from curator.ops.score import score
from curator.pocket import MODEL_DIR

D = 1024


class Bare:
    """Forward and backward as one would write them by hand."""

    def __init__(self, model: Any, texts: list[Text], tokens: int) -> None:
        self.model, self.texts, self.tokens = model, texts, tokens

    def __call__(self) -> None:
        """Do all passes."""
        self.model.requires_grad_(True)
        for group in passes(self.texts, self.tokens):
            self._pass([self.texts[i] for i in group])
            self.model.zero_grad(set_to_none=True)

    def _pass(self, texts: list[Text]) -> None:
        ids = torch.zeros((len(texts), max(t.read for t in texts)), dtype=torch.long)
        for row, text in zip(ids, texts, strict=True):
            row[: text.read] = torch.tensor((text.prompt + text.completion)[:-1])
        hidden = self.model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        parts = [hidden[k, len(t.prompt) - 1 : t.read] for k, t in enumerate(texts)]
        logits = self.model.lm_head(torch.cat(parts))
        target = torch.tensor([i for t in texts for i in t.completion])
        share = torch.tensor([1 / len(t.completion) for t in texts for _ in t.completion])
        (F.cross_entropy(logits, target, reduction="none") * share).sum().backward()


class Dense:
    """One sample at a time, with the matrix in memory."""

    def __init__(self, model: Any, texts: list[Text], columns: int) -> None:
        self.model, self.texts = model, texts
        size = sum(p.numel() for p in model.parameters())
        self.columns = columns
        while self.columns * size * 4 > 0.5 * free_memory():
            self.columns //= 2
        chance = torch.Generator().manual_seed(0)
        self.matrix = torch.empty(size, self.columns).bernoulli_(0.5, generator=chance).mul_(2).sub_(1)

    def __call__(self) -> None:
        """Make the features."""
        for text in self.texts:
            _, found = gradients_of(self.model, text)
            flat = torch.cat([found[name].flatten() for name in sorted(found)])
            vector = torch.cat([flat @ self.matrix for _ in range(D // self.columns)])
            F.normalize(vector, dim=0)


def free_memory() -> int:
    told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    return int(told["MemAvailable"].split()[0]) * 1024


def compare(
    folder: Path, kind: str, count: int, dense: int, columns: int, repeat: int, skip: list[str]
) -> dict[str, Any]:
    chat = Chat(FileTokenizer(folder), "bench")
    table = rows(count)
    texts = []
    for r in table.to_pylist():
        question = prompts.fill(prompts.GENERATE, problem=r["problem"])
        texts.append(Text(*chat.to_learn((Message("user", question),), r["trace"])))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    features = Features(model)
    sketch = Projection("countsketch", D, 0)
    tokens = Batched(model, sketch).tokens
    given = {"threads": 1} if kind == "pocket" else {"threads": 1, "model": str(folder), "device": "cpu"}
    with asyncio.Runner() as runner:
        engine = open_engine("proxy", kind, given)
        engine.inner._chat = chat
        ordered = sorted(texts, key=lambda t: t.read)  # a few that are as long as all are, on the whole
        few = [ordered[(2 * i + 1) * count // (2 * dense)] for i in range(dense)]
        slow = Dense(model, few, columns) if dense else None
        ways: dict[str, tuple[Any, int]] = {
            "bare": (Bare(model, texts, tokens), count),
            "countsketch": (lambda: list(features.of(texts, sketch)), count),
            "rademacher": (lambda: list(features.of(texts, Projection("rademacher", D, 0))), count),
            "operator": (lambda: runner.run(score(engine=engine, kind="gradient")(table)), count),
        }
        ways = {name: way for name, way in ways.items() if name not in skip}
        if slow is not None:
            ways["one by one"] = (lambda: Single(model, sketch)(few), len(few))
            ways["one by one, dense"] = (slow, len(few))
        speed: dict[str, list[float]] = {name: [] for name in ways}
        for way, _ in ways.values():
            way()  # loads and compiles
        for _ in range(repeat):
            for name, (way, n) in ways.items():
                start = time.process_time()
                way()
                speed[name].append(n / (time.process_time() - start))
        found = runner.run(score(engine=engine, kind="gradient")(table)).table["grad"].to_pylist()
        runner.run(engine.close())
    middle = {name: statistics.median(s) for name, s in speed.items()}
    reference = F.normalize(Single(model, sketch)(texts[:8]).features).numpy()
    worst = float(np.abs(np.array(found[:8]) - reference).max())
    assert worst < 1e-5, f"features differ from the reference by {worst}"
    shared = [c / b for c, b in zip(speed["countsketch"], speed["bare"], strict=True)]
    result = {
        "parameters": sum(p.numel() for p in model.parameters()), "texts": count,
        "tokens": sum(t.read for t in texts), "tokens_of_a_pass": tokens,
        "samples_per_cpu_second": {name: round(s, 2) for name, s in middle.items()},
        "ratio_to_bare": {name: round(s / middle["bare"], 3) for name, s in middle.items() if name != "bare"},
        "countsketch_to_bare_by_round": [round(s, 3) for s in shared],
        "largest_difference_to_reference": worst,
    }  # fmt: skip
    if slow is not None:
        result["texts_one_by_one"], result["columns_held"] = len(few), slow.columns
        mean = {name: round(statistics.fmean(t.read for t in some)) for name, some in (("all", texts), ("few", few))}
        result["tokens_a_text"] = mean
        result["times_the_dense_loop"] = round(middle["countsketch"] / middle["one by one, dense"], 1)
    return result


def pairs(seeds: int, count: int = 46) -> dict[str, Any]:
    """Errors of inner products of real gradients of length 1, against the whole gradients."""
    chat = Chat(FileTokenizer(MODEL_DIR), "bench")
    model = AutoModelForCausalLM.from_pretrained(MODEL_DIR, dtype=torch.float32).eval()
    places = layout(model)
    whole = torch.empty(count, sum(p.numel() for p in model.parameters()))
    for i, r in enumerate(rows(count).to_pylist()):
        question = prompts.fill(prompts.GENERATE, problem=r["problem"])
        _, found = gradients_of(model, Text(*chat.to_learn((Message("user", question),), r["trace"])))
        for name, g in found.items():
            whole[i, places[name] : places[name] + g.numel()] = g.flatten()
    F.normalize(whole, out=whole)
    a, b = np.triu_indices(count, 1)
    true = (whole @ whole.T).double().numpy()[a, b]
    result: dict[str, Any] = {
        "pairs": len(a), "d": D, "band": round(band(count, D), 4),
        "cosines": [round(float(x), 3) for x in (true.min(), true.mean(), true.max())],
    }  # fmt: skip
    for kind in KINDS:
        biggest, deviation, bias = [], [], []
        for seed in range(seeds):
            engine = projector(Projection(kind, D, seed), torch.device("cpu"))
            out = torch.zeros(count, D)
            engine.add(out, whole, 0)
            told = engine.finish(out).double()
            error = (told @ told.T).numpy()[a, b] - true
            scaled = error / np.sqrt((1 + true**2) / D)
            biggest.append(float(np.abs(error).max()))
            deviation.append(float(np.sqrt((scaled**2).mean())))
            bias.append(float(error.mean()))
        result[kind] = {
            "seeds": seeds, "largest_error": round(max(biggest), 4), "inside_the_band": max(biggest) < band(count, D),
            "rms_error_over_theory": round(float(np.sqrt(np.mean(np.square(deviation)))), 3),
            "mean_error": round(float(np.mean(bias)), 4),
        }  # fmt: skip
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--texts", type=int, default=128)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--dense", type=int, default=8, help="texts of the loops of one sample at a time; 0 is none")
    parser.add_argument("--columns", type=int, default=D, help="most columns of the dense matrix that are held")
    parser.add_argument("--seeds", type=int, default=8, help="projections whose inner products are compared")
    parser.add_argument("--skip", action="append", default=[], choices=("rademacher", "operator"))
    parser.add_argument("--only", choices=("pocket", "random", "pairs"))
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = Path(__file__).with_name("results") / "gradients.json"
    result: dict[str, Any] = {"clock": "cpu", "asked": {"countsketch_to_bare": 0.7, "times_the_dense_loop": 5}}
    if args.only in (None, "pocket"):
        result["pocket"] = compare(MODEL_DIR, "pocket", args.texts, args.dense, args.columns, args.repeat, args.skip)
        print(json.dumps(result["pocket"]), flush=True)
    if args.only in (None, "random"):
        with tempfile.TemporaryDirectory() as folder:
            model = random_model(Path(folder), 384, 6)
            result["random qwen2"] = compare(model, "transformers", args.texts // 4, 0, 0, args.repeat, args.skip)
        print(json.dumps(result["random qwen2"]), flush=True)
    if args.only in (None, "pairs"):
        result["pairs"] = pairs(args.seeds)
        print(json.dumps(result["pairs"]), flush=True)
    held = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**held, **result}, indent=1) + "\n")


if __name__ == "__main__":
    main()
