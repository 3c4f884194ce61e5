"""Tiny random models of several architectures, and texts of ragged lengths for them."""

from __future__ import annotations

import random

from curator.gradients.texts import Text

VOCABULARY = 90
SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "initializer_range": 0.3,
    "bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip


def model(kind: str = "Llama", **settings):
    """Return a random model in eval mode; norms and biases random too, or their gradients could hide mistakes."""
    import torch
    import transformers

    torch.manual_seed(5)
    config = getattr(transformers, f"{kind}Config")(**{**SHAPE, **settings})
    made = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * (0.3 if "norm" in name else 0.1))
    return made


def texts(count: int = 7, seed: int = 0, longest: int = 30) -> list[Text]:
    """Return texts with tokens that repeat, the padding token among them, and one of a single completion token."""
    chance = random.Random(seed)

    def ids(most: int) -> list[int]:
        return [chance.choice((0, 5, chance.randrange(VOCABULARY))) for _ in range(chance.randint(1, most))]

    return [Text(ids(longest // 3), ids(1 if i == 0 else longest)) for i in range(count)]
