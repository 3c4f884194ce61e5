"""`python -m curator.pocket.train`: makes the pocket reasoner from nothing (`make pocket`).

Data is made on the fly from the step's number, so a run needs no file, and one that was killed goes on from its last
checkpoint as if nothing had happened.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import math
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from curator import prompts

from . import MODEL_DIR, tasks, tokenizer, traces
from .network import Network, Shape
from .optim import StackedMuon
from .sharing import shared


@dataclass(frozen=True)
class Recipe:
    """How a run is made; every number is unpublished, ours.

    `curriculum` and `copying` are steps: until then problems grow harder, and plain copying takes a falling share. The
    first is what solving rests on, the second what everything rests on. `sharing` lists steps and how many heads of
    keys and values there are from then on (`sharing.shared`): fewer make generation quicker. Each of these parts has
    weights of its own for the tasks (`tasks.TASKS`).
    """

    seed: int = 0
    steps: int = 6200
    sharing: tuple[tuple[int, int], ...] = ((4200, 2), (5200, 1))
    examples: int = 20
    lr_matrices: float = 6e-3
    lr_rest: float = 3e-3
    warmup: int = 60
    decay_from: float = 0.35
    decay_drop: float = 0.5
    curriculum: int = 1000
    copying: int = 350
    share_rate: float = 0.3
    length_power: float = 0.75

    def part(self, step: int) -> int:
        """Return which part of training a step belongs to, from 0: how often heads have begun to share by then."""
        return sum(step >= at for at, _ in self.sharing)


def _id(tok: Tokenizer, mark: str) -> int:
    number = tok.token_to_id(mark)
    assert number is not None, mark
    return number


STATED = 0.1
"""Weight of a token of a stated problem beside a token of the reply (ours)."""


def encode(tok: Tokenizer, example: traces.Example) -> tuple[list[int], list[float]]:
    """Return token ids of the whole conversation and the weight of each as a target.

    1 for the reply (0 for its slips) and its end, `STATED` for problem texts in the prompt, 0 for everything else.
    """
    text = f"<|im_start|>user\n{example.prompt}<|im_end|>\n<|im_start|>assistant\n"
    encoded = tok.encode(text)
    ids, weights = encoded.ids, [0.0] * len(encoded.ids)
    spans = [(at, at + len(one)) for one in example.stated if (at := text.find(one)) >= 0]
    for k, (start, _) in enumerate(encoded.offsets):
        if any(low < start < high for low, high in spans):
            weights[k] = STATED
    encoded = tok.encode("".join(part.text for part in example.parts))
    ends, at = [], 0
    for part in example.parts:
        at += len(part.text)
        ends.append((at, float(part.taught)))
    k = 0
    for token, (start, _) in zip(encoded.ids, encoded.offsets, strict=True):
        while k + 1 < len(ends) and start >= ends[k][0]:
            k += 1
        ids.append(token)
        weights.append(ends[k][1])
    return [*ids, _id(tok, "<|im_end|>")], [*weights, 1.0]


class Batch(NamedTuple):
    """The examples of a step, end to end: ids (N,), weights (N,), and length and task of each."""

    ids: torch.Tensor
    weights: torch.Tensor
    lengths: list[int]
    tasks: list[str]


def batch(tok: Tokenizer, recipe: Recipe, step: int, context: int) -> Batch:
    """Return the examples of a step: a function of the recipe's seed and the step alone."""
    rng = random.Random(f"{recipe.seed}/{step}")
    part = recipe.part(step)
    hardness = min(1.0, 0.1 + 0.9 * step / max(1, recipe.curriculum))
    copying = max(0.0, 0.8 * (1 - step / max(1, recipe.copying)))
    all_ids: list[int] = []
    all_weights: list[float] = []
    lengths: list[int] = []
    names: list[str] = []
    while len(lengths) < recipe.examples:
        example = tasks.example(rng, hardness, copying, part=part)
        ids, weights = encode(tok, example)
        if len(ids) <= context:
            all_ids += ids
            all_weights += weights
            lengths.append(len(ids))
            names.append(example.task)
    return Batch(torch.tensor(all_ids), torch.tensor(all_weights), lengths, names)


def rate(recipe: Recipe, step: int) -> float:
    """Return the factor on the learning rates: warm-up, constant, then a drop and a linear decay to 1 %.

    Whenever heads begin to share it warms up again and decays from `share_rate` until the next time.
    """
    starts = [0, *(at for at, _ in recipe.sharing), recipe.steps]
    part = recipe.part(step)
    start, end = starts[part], starts[part + 1]
    done = (step - start) / (end - start)
    if part:
        return max(0.01, recipe.share_rate * (1 - done) * min(1.0, (step - start + 1) / recipe.warmup))
    if step < recipe.warmup:
        return (step + 1) / recipe.warmup
    return 1.0 if done < recipe.decay_from else max(0.01, recipe.decay_drop * (1 - done) / (1 - recipe.decay_from))


KINDS = {"bf16": torch.bfloat16, "fp32": torch.float32}


def products() -> str:
    """Return in what the products are computed: bf16 where this processor multiplies it at once, else fp32."""
    cpu = torch.cpu
    return "bf16" if cpu._is_amx_tile_supported() or cpu._is_avx512_bf16_supported() else "fp32"


class Run:
    """A training run: network, optimisers, counters; saves and loads all of it."""

    def __init__(self, recipe: Recipe, tok: Tokenizer, shape: Shape | None = None) -> None:
        self.recipe, self.tok = recipe, tok
        self.step, self.tokens, self.seconds = 0, 0, 0.0
        self.recent: dict[str, float] = {}
        self.products = products()
        self._take(Network(shape or Shape(vocab=-(-tok.get_vocab_size() // 32) * 32), recipe.seed))

    def _take(self, net: Network) -> None:
        """Train this network from now on."""
        self.net, recipe = net, self.recipe
        body = [p for n, p in self.net.named_parameters() if p.ndim == 2 and "embed" not in n]
        rest = [p for n, p in self.net.named_parameters() if p.ndim != 2 or "embed" in n]
        self.optimisers: list[torch.optim.Optimizer] = [
            StackedMuon(body, lr=recipe.lr_matrices, kind=KINDS[self.products]),
            torch.optim.AdamW(rest, lr=recipe.lr_rest, betas=(0.9, 0.95), weight_decay=0.0),
        ]

    def advance(self) -> float:
        """Do one step; return the mean weighted loss per example."""
        start = time.perf_counter()
        if self.step in (heads := dict(self.recipe.sharing)):
            self._take(shared(self.net, heads[self.step]))
        made = batch(self.tok, self.recipe, self.step, self.net.shape.context)
        counts = torch.stack([one.sum() for one in made.weights.split(made.lengths)])
        sums = self.net.losses(made.ids, made.weights, made.lengths, KINDS[self.products])
        loss = (sums / counts**self.recipe.length_power).mean()
        loss.backward()
        for name, value in zip(made.tasks, (sums.detach() / counts).tolist(), strict=True):
            self.recent[name] = 0.98 * self.recent.get(name, value) + 0.02 * value
        self.tokens += len(made.ids)
        factor = rate(self.recipe, self.step)
        for optimiser, lr in zip(self.optimisers, (self.recipe.lr_matrices, self.recipe.lr_rest), strict=True):
            for group in optimiser.param_groups:
                group["lr"] = lr * factor
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
        self.step += 1
        self.seconds += time.perf_counter() - start
        return float(loss.detach())

    def save(self, path: Path) -> None:
        """Write a checkpoint, atomically."""
        state = {
            "recipe": asdict(self.recipe), "shape": self.net.shape.as_dict(), "net": self.net.state_dict(),
            "optimisers": [o.state_dict() for o in self.optimisers], "step": self.step, "tokens": self.tokens,
            "seconds": self.seconds, "recent": self.recent, "tokenizer": self.tok.to_str(),
        }  # fmt: skip
        unfinished = path.with_suffix(".partial")
        torch.save(state, unfinished)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path, **changes: Any) -> Run:
        """Return the run of a checkpoint; `changes` replace fields of its recipe."""
        state = torch.load(path, weights_only=True)
        known = {name: value for name, value in state["recipe"].items() if name in Recipe.__dataclass_fields__}
        recipe = replace(Recipe(**known), **changes)
        run = cls(recipe, Tokenizer.from_str(state["tokenizer"]), Shape(**state["shape"]))
        run.net.load_state_dict(state["net"])
        for optimiser, saved in zip(run.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(saved)
        run.step, run.tokens, run.seconds = state["step"], state["tokens"], state["seconds"]
        run.recent = state["recent"]
        return run

    def export(self, folder: Path) -> None:
        """Write what transformers and vLLM load: weights, configuration, tokenizer, and `train.json`."""
        tokenizer.save(self.tok, folder)
        end, pad = (_id(self.tok, mark) for mark in ("<|im_end|>", "<|endoftext|>"))
        config = self.net.shape.config(end, pad)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        generation = {"eos_token_id": end, "pad_token_id": pad, "do_sample": False}
        (folder / "generation_config.json").write_text(json.dumps(generation, indent=2) + "\n")
        weights = folder / "model.safetensors"
        save_file(self.net.export_state(), weights, metadata={"format": "pt"})
        weights.chmod(0o644)
        record = {
            "recipe": asdict(self.recipe), "steps_done": self.step, "tokens": self.tokens,
            "minutes": round(self.seconds / 60, 1), "parameters": sum(p.numel() for p in self.net.parameters()),
            "products": self.products, "prompts_fingerprint": prompts.fingerprint(), "torch": torch.__version__,
        }  # fmt: skip
        (folder / "train.json").write_text(json.dumps(record, indent=2) + "\n")


def train(run: Run, checkpoint: Path, every: int = 100) -> None:
    """Go on until the last step of the recipe; a line of log and a checkpoint each `every` steps."""
    losses = []
    while run.step < run.recipe.steps:
        losses.append(run.advance())
        if run.step % 20 == 0 or not math.isfinite(losses[-1]):
            each = " ".join(f"{name} {value:.3f}" for name, value in sorted(run.recent.items()))
            mean = sum(losses) / len(losses)
            speed = run.tokens / run.seconds
            line = f"{run.step} loss {mean:.4f} {each} | {run.tokens / 1e6:.2f} M, {speed:.0f}/s"
            print(line, flush=True)  # noqa: T201
            losses = []
        if run.step % every == 0:
            run.save(checkpoint)
    run.save(checkpoint)


def keep_memory() -> None:
    """Tell glibc to keep freed blocks: every step has other sizes, and page faults would double its time."""
    if sys.platform == "linux":
        try:
            libc = ctypes.CDLL("libc.so.6")
            for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28), (-8, 1)):  # no mmap, no trim, pad, one arena
                libc.mallopt(option, value)
        except OSError:
            return  # another C library: slower, not wrong


def main() -> None:
    """Command line: train (or resume) and export into the package."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=MODEL_DIR, help="folder for the model")
    parser.add_argument("--checkpoint", type=Path, default=Path("build/pocket.pt"), help="resumed when it exists")
    parser.add_argument("--steps", type=int, help="total steps (default: the recipe's)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh", action="store_true", help="ignore the checkpoint")
    parser.add_argument("--export-only", action="store_true", help="only write the model of the checkpoint")
    parser.add_argument("--threads", type=int, default=0, help="of torch (default: its own choice)")
    args = parser.parse_args()
    args.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    if args.fresh:
        args.checkpoint.unlink(missing_ok=True)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8192")  # products compiled once, not at every length
    keep_memory()
    if args.threads:
        torch.set_num_threads(args.threads)
    changes = {} if args.steps is None else {"steps": args.steps}
    if args.checkpoint.exists():
        run = Run.load(args.checkpoint, **changes)
    else:
        run = Run(Recipe(seed=args.seed, **changes), tokenizer.build(seed=args.seed))
    if not args.export_only:
        train(run, args.checkpoint)
    run.export(args.out)


if __name__ == "__main__":
    main()
