"""Reward models in a real vLLM: the same numbers as the transformers library. Run by `make test-vllm`."""

from __future__ import annotations

import asyncio
import importlib.util
import os

import pytest

from curator.engines.protocol import Message
from curator.engines.rewards import RewardEngine, VLLMRewardEngine

from .reward_models import build_reward

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="this interpreter has no vllm"),
]

TALKS = [
    (Message("user", "Ann has 3 apples and buys 4 more."), Message("assistant", text))
    for text in ("3 + 4 = 7.", "So there are 7 apples, and that is all there is to say.", "word " * 600)
]


def test_vllm_gives_the_same_logits(tmp_path):
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    folder = build_reward(tmp_path / "model", heads=("correctness", "helpfulness"), width=128)
    options = {"block_size": 32}
    engine = VLLMRewardEngine(model=str(folder), dtype="float32", max_context=512, enforce_eager=True, options=options)

    async def ask(engine):
        try:
            return await asyncio.gather(*(engine.rewards(t) for t in TALKS))
        finally:
            await engine.close()

    inside, library = asyncio.run(ask(engine)), asyncio.run(ask(RewardEngine(model=str(folder), max_context=512)))
    assert "the model's context is 512" in inside[2].error
    for ours, theirs in zip(inside[:2], library[:2], strict=True):
        assert (ours.error, list(ours.scores), ours.n_tokens) == (None, ["correctness", "helpfulness"], theirs.n_tokens)
        assert list(ours.scores.values()) == pytest.approx(list(theirs.scores.values()), abs=2e-2)
        assert max(map(abs, theirs.scores.values())) > 0.1
