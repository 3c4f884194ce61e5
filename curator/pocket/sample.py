"""Batched generation for training checks and evaluation: chat template, sampling, banned first words.

The engines of `curator.engines` do this for pipelines; this small copy keeps `curator.pocket` free of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from .decode import decode
from .network import Network, Shape
from .traces import SWITCHES


@dataclass
class Output:
    """One reply: the new text, how many tokens it has, and whether it ended by itself."""

    text: str
    tokens: int
    ended: bool


class Sampler:
    """The pocket model with its tokenizer, fp32 on the CPU."""

    def __init__(self, folder: Path) -> None:
        start = time.perf_counter()
        self.tok: Any = AutoTokenizer.from_pretrained(folder)
        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.load_seconds = time.perf_counter() - start
        config = self.model.config
        self.net = Network(Shape(vocab=config.vocab_size, kv_heads=config.num_key_value_heads)).eval()
        self.net.load_state_dict(self.model.state_dict(), strict=False)
        self.end = self.model.generation_config.eos_token_id
        self.switches = [self.tok.convert_tokens_to_ids(word) for word in SWITCHES]

    def render(self, prompt: str, prefix: str = "") -> str:
        """Return the chat as text; with `prefix` the assistant's reply has begun with it."""
        messages = [{"role": "user", "content": prompt}]
        if not prefix:
            return str(self.tok.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))
        messages.append({"role": "assistant", "content": prefix})
        return str(self.tok.apply_chat_template(messages, tokenize=False, continue_final_message=True))

    def count(self, text: str) -> int:
        """Return the number of tokens of a plain text."""
        return len(self.tok.encode(text, add_special_tokens=False))

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def reference(self, texts: list[str], cap: int, *, least: int = 0) -> list[str]:
        """Return greedy replies to rendered texts by transformers' own `generate`, for comparison and for speed."""
        inputs = self.tok(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
        length = inputs["input_ids"].shape[1]
        out = self.model.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
            max_new_tokens=cap, min_new_tokens=least, do_sample=False,
        )  # fmt: skip
        return [str(self.tok.decode(row, skip_special_tokens=True)) for row in out[:, length:]]

    def generate(
        self, prompts: list[str], *, cap: int = 768, temperature: float = 0.0, seed: int = 0, batch: int = 192,
        prefixes: list[str] | None = None, ban_first: bool = False,
    ) -> list[Output]:  # fmt: skip
        """Return a reply for each prompt, in order (batches are formed by length); temperature 0 is greedy."""
        torch.manual_seed(seed)
        texts = [self.render(p, prefix) for p, prefix in zip(prompts, prefixes or [""] * len(prompts), strict=True)]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        results: dict[int, Output] = {}
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            ids = [self.tok.encode(texts[i], add_special_tokens=False) for i in some]
            banned = self.switches if ban_first else None
            made = decode(self.net, ids, cap=cap, end=self.end, temperature=temperature, banned=banned)
            results.update(zip(some, map(self._output, made), strict=True))
        return [results[i] for i in range(len(texts))]

    def _output(self, new: list[int]) -> Output:
        ended = new[-1:] == [self.end]
        return Output(self.tok.decode(new, skip_special_tokens=True), len(new), ended)
