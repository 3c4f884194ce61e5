"""Which models the fast decoder takes, and their weights laid out for its kernel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator.engines.fast.kernel import CHUNK
from curator.engines.fast.tile import PANEL

LIMIT = 64_000_000  # parameters; beyond, reading the weights is the work, and the library's threads share one reading

Floats = NDArray[np.float32]
Weights = Mapping[str, Floats]


def refusal(model: Any) -> str | None:
    """Return why a model of the transformers library is not for the fast decoder, or None where it is."""
    import torch

    config = model.config
    if type(model).__name__ not in ("LlamaForCausalLM", "Qwen2ForCausalLM"):
        return f"architecture {type(model).__name__}"
    parameters = list(model.parameters())
    if any(p.device.type != "cpu" or p.dtype != torch.float32 for p in parameters):
        return "not float32 on a CPU"
    if (count := sum(p.numel() for p in parameters)) > LIMIT:
        return f"{count:,} parameters, more than {LIMIT:,}"
    if set(getattr(config, "layer_types", None) or ("full_attention",)) != {"full_attention"}:
        return "sliding windows"
    rope = getattr(model.model.rotary_emb, "rope_type", "default")
    if rope not in ("default", "linear", "llama3"):
        return f"positions of type {rope}"
    layer = model.model.layers[0]
    if config.hidden_act != "silu" or layer.mlp.gate_proj.bias is not None:
        return "another feed-forward layer"
    if any(type(m).__name__ not in _PARTS for m in model.modules()):
        return "changed layers"
    return None


_PARTS = frozenset(
    [f"{kind}{part}" for kind in ("Llama", "Qwen2") for part in
     ("ForCausalLM", "Model", "DecoderLayer", "Attention", "MLP", "RMSNorm", "RotaryEmbedding")]
    + ["Embedding", "ModuleList", "Linear", "SiLU", "SiLUActivation"]
)  # fmt: skip


@dataclass(frozen=True)
class Net:
    """A model as the kernel reads it. Matrices are panels [.., columns / PANEL, depth, PANEL], float32.

    `arrays`: embedding [vocabulary, width], norms [layers, 2, width], queries-keys-values with their bias, output with
    its bias, gate and up, down, last norm, output matrix: the order in which `kernel.forward` takes them.
    `angles(positions)`: cosine and sine [positions, depth / 2] of the rotary embedding.
    """

    arrays: tuple[Floats, ...]
    heads: int
    kv_heads: int
    depth: int
    eps: np.float32
    vocabulary: int
    angles: Callable[[int], tuple[Floats, Floats]]

    @property
    def layers(self) -> int:
        """Number of layers."""
        return int(self.arrays[1].shape[0])

    @property
    def width(self) -> int:
        """Numbers of a hidden state."""
        return int(self.arrays[1].shape[2])

    @property
    def logits_width(self) -> int:
        """The vocabulary, rounded up to panels."""
        return int(self.arrays[9].shape[0]) * PANEL

    def work(self, room: int) -> tuple[Floats, ...]:
        """Return what one thread computes in: `room` is the most steps a row can look at, a multiple of PANEL."""
        _, norms, wqkv, _, wo, _, wgu, _, _, _ = self.arrays
        width, wide = norms.shape[2], -(-self.depth // PANEL)
        shapes = (
            (CHUNK, wo.shape[1] * PANEL),
            (CHUNK, width),
            (CHUNK, wqkv.shape[1] * PANEL),
            (CHUNK, self.heads * self.depth),
            (CHUNK, wgu.shape[1] * PANEL),
            (self.heads, room),
            (self.heads, wide * PANEL + PANEL),  # the last panel holds one over the sum of the weights
        )
        return tuple(np.zeros(s, np.float32) for s in shapes)


def _panels(weight: Floats) -> Floats:
    """Turn a library's [columns, depth] into [columns / PANEL rounded up, depth, PANEL]."""
    columns, depth = weight.shape
    count = -(-columns // PANEL)
    out = np.zeros((count * PANEL, depth), np.float32)
    out[:columns] = weight
    return np.ascontiguousarray(out.reshape(count, PANEL, depth).transpose(0, 2, 1))


def _attention(weights: Weights, layer: str) -> tuple[Floats, Floats]:
    """Return the matrices and biases (0 where there are none) of queries, keys and values, side by side."""
    names = [f"{layer}.self_attn.{x}_proj" for x in "qkv"]
    matrix = np.concatenate([weights[f"{n}.weight"] for n in names])
    bias = np.zeros(-(-len(matrix) // PANEL) * PANEL, np.float32)
    if f"{names[0]}.bias" in weights:
        bias[: len(matrix)] = np.concatenate([weights[f"{n}.bias"] for n in names])
    return _panels(matrix), bias


def assemble(weights: Weights, config: Any, depth: int, angles: Callable[[int], tuple[Floats, Floats]]) -> Net:
    """Lay weights out for the kernel. Copies them; a matrix that is both embedding and output twice.

    Args:
        weights: float32 arrays by the names that the library gives them.
        config: the model's configuration.
        depth: width of an attention head.
        angles: see `Net`.
    """
    norms, qkv, qkv_bias, out, out_bias, up, down = [], [], [], [], [], [], []
    for i in range(config.num_hidden_layers):
        layer = f"model.layers.{i}"
        norms.append(np.stack([weights[f"{layer}.{x}_layernorm.weight"] for x in ("input", "post_attention")]))
        matrix, bias = _attention(weights, layer)
        qkv.append(matrix)
        qkv_bias.append(bias)
        output = weights[f"{layer}.self_attn.o_proj.weight"]
        out.append(_panels(output))
        out_bias.append(weights.get(f"{layer}.self_attn.o_proj.bias", np.zeros(len(output), np.float32)))
        # Side by side, each rounded up to panels, so that the halves stay apart.
        up.append(np.concatenate([_panels(weights[f"{layer}.mlp.{x}_proj.weight"]) for x in ("gate", "up")]))
        down.append(_panels(weights[f"{layer}.mlp.down_proj.weight"]))
    embedding = np.array(weights["model.embed_tokens.weight"], np.float32)
    stacked = (np.ascontiguousarray(np.stack(p), np.float32) for p in (norms, qkv, qkv_bias, out, out_bias, up, down))
    head = _panels(weights.get("lm_head.weight", embedding))
    return Net(
        (embedding, *stacked, np.array(weights["model.norm.weight"], np.float32), head), config.num_attention_heads,
        config.num_key_value_heads, depth, np.float32(config.rms_norm_eps), int(config.vocab_size), angles,
    )  # fmt: skip


def net_of(model: Any) -> Net:
    """Lay out the weights of a model of the library that `refusal` lets pass."""
    import torch

    depth = int(model.model.layers[0].self_attn.head_dim)
    rope = model.model.rotary_emb

    def angles(positions: int) -> tuple[Floats, Floats]:
        with torch.inference_mode():
            cos, sin = rope(torch.zeros(1), torch.arange(positions)[None])
        cos, sin = (np.ascontiguousarray(x[0, :, : depth // 2].float().numpy()) for x in (cos, sin))
        return cos, sin

    weights = {name: p.detach().numpy() for name, p in model.state_dict().items()}
    return assemble(weights, model.config, depth, angles)
