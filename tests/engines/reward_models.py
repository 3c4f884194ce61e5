"""A tiny sequence classifier with random weights and the pocket model's own tokenizer and template."""

from __future__ import annotations

import shutil
from pathlib import Path

from curator.pocket import MODEL_DIR

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")


def build_reward(folder: Path, *, heads: tuple[str, ...] = ("reward",), context: int = 512, width: int = 32) -> Path:
    """Write a two-layer LlamaForSequenceClassification with these heads into `folder`; vLLM wants a width of 128."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForSequenceClassification

    folder.mkdir(exist_ok=True)
    for name in TOKENIZER:
        if (MODEL_DIR / name).exists():
            shutil.copy(MODEL_DIR / name, folder / name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=width, intermediate_size=2 * width,
        num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=context, num_labels=len(heads), initializer_range=0.5,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
        id2label=dict(enumerate(heads)), label2id={h: i for i, h in enumerate(heads)},
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(folder)
    return folder
