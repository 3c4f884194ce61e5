"""A tiny random model for engine tests, and the pocket model where it has been trained."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

CHAT = (
    "{%- for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{%- endfor %}"
    "{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TEXT = "But wait. Let me think step by step: 2 + 2 = 4, so the answer is \\boxed{4}. Hmm, é 漢 👍\n"


def build_model(folder: Path, *, context: int = 256) -> Path:
    """Write a random two-layer Qwen2 with a byte-level ChatML tokenizer into `folder`."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator([TEXT] * 50, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=context, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id, initializer_range=0.3,
    )  # fmt: skip
    model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """A folder with the random model."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return build_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def some_model(tiny_model, tmp_path_factory) -> Path:
    """The pocket model (a copy: a training may write a new one meanwhile), or the random one where there is none."""
    from curator.pocket import MODEL_DIR

    if not (MODEL_DIR / "model.safetensors").exists():
        return tiny_model
    return Path(shutil.copytree(MODEL_DIR, tmp_path_factory.mktemp("pocket") / "model"))
