"""Batched generation with transformers for training checks and evaluation: left padding, sampling, banned first words.

The engines of `curator.engines` do this for pipelines; this small copy keeps `curator.pocket` free of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList

from .traces import SWITCHES


class BanFirst(LogitsProcessor):  # type: ignore[misc]
    """Forbids some tokens as the first new token (a Retro-Search rollout may not begin with a switch word)."""

    def __init__(self, banned: list[int], prompt_length: int) -> None:
        self.banned, self.prompt_length = banned, prompt_length

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores (B, V), banned tokens at -inf in the first step."""
        if input_ids.shape[1] == self.prompt_length:
            scores[:, self.banned] = float("-inf")
        return scores


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
    def _batch(self, texts: list[str], cap: int, options: dict[str, Any], *, ban_first: bool) -> list[Output]:
        inputs = self.tok(texts, return_tensors="pt", padding=True, padding_side="left", add_special_tokens=False)
        length = inputs["input_ids"].shape[1]
        extra = LogitsProcessorList([BanFirst(self.switches, length)] if ban_first else [])
        out = self.model.generate(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"],
            max_new_tokens=cap, logits_processor=extra, **options,
        )  # fmt: skip
        results = []
        for row in out[:, length:].tolist():
            ended = self.end in row
            new = row[: row.index(self.end)] if ended else row
            results.append(Output(self.tok.decode(new, skip_special_tokens=True), len(new) + ended, ended))
        return results

    def generate(
        self, prompts: list[str], *, cap: int = 768, temperature: float = 0.0, seed: int = 0, batch: int = 192,
        prefixes: list[str] | None = None, ban_first: bool = False,
    ) -> list[Output]:  # fmt: skip
        """Return a reply for each prompt, in order (batches are formed by length); temperature 0 is greedy."""
        torch.manual_seed(seed)
        options: dict[str, Any] = {"do_sample": False}
        if temperature:
            options = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        texts = [self.render(p, prefix) for p, prefix in zip(prompts, prefixes or [""] * len(prompts), strict=True)]
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        results: dict[int, Output] = {}
        for start in range(0, len(order), batch):
            some = order[start : start + batch]
            made = self._batch([texts[i] for i in some], cap, options, ban_first=ban_first)
            results.update(zip(some, made, strict=True))
        return [results[i] for i in range(len(texts))]
