"""Which models the fast decoder takes, and their weights laid out for its kernel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator.engines.fast.kernel import CHUNK
from curator.engines.fast.tile import PANEL

LIMIT = 64_000_000  # parameters; beyond, reading the weights is the work, and the library's threads share one reading

Floats = NDArray[np.float32]


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
    """

    arrays: tuple[Floats, ...]
    heads: int
    kv_heads: int
    depth: int
    eps: np.float32
    vocabulary: int
    rope: Any

    @property
    def layers(self) -> int:
        """Number of layers."""
        return int(self.arrays[1].shape[0])

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

    def angles(self, positions: int) -> tuple[Floats, Floats]:
        """Return cosine and sine [positions, depth / 2] of the rotary embedding, by the library's own code."""
        import torch

        with torch.inference_mode():
            cos, sin = self.rope(torch.zeros(1), torch.arange(positions)[None])
        half = self.depth // 2
        return (
            np.ascontiguousarray(cos[0, :, :half].float().numpy()),
            np.ascontiguousarray(sin[0, :, :half].float().numpy()),
        )


def _array(p: Any) -> Floats:
    out: Floats = p.detach().numpy()
    return out


def _panels(weight: Floats) -> Floats:
    """Turn a library's [columns, depth] into [columns / PANEL rounded up, depth, PANEL]."""
    columns, depth = weight.shape
    count = -(-columns // PANEL)
    out = np.zeros((count * PANEL, depth), np.float32)
    out[:columns] = weight
    return np.ascontiguousarray(out.reshape(count, PANEL, depth).transpose(0, 2, 1))


def _bias(parts: list[Any], weights: list[Any]) -> Floats:
    width = sum(w.shape[0] for w in weights)
    out = np.zeros(-(-width // PANEL) * PANEL, np.float32)
    if all(p is not None for p in parts):
        out[:width] = np.concatenate([_array(p) for p in parts])
    return out


def _gate_and_up(mlp: Any) -> Floats:
    """Return both matrices side by side, each rounded up to panels, so that the halves stay apart."""
    return np.concatenate([_panels(_array(mlp.gate_proj.weight)), _panels(_array(mlp.up_proj.weight))])


def net_of(model: Any) -> Net:
    """Lay out the weights of a model that `refusal` lets pass. Copies them; tied ones twice."""
    layers, config = model.model.layers, model.config
    norms, qkv, qkv_bias, out, out_bias, up, down = [], [], [], [], [], [], []
    for layer in layers:
        a = layer.self_attn
        norms.append(np.stack([_array(layer.input_layernorm.weight), _array(layer.post_attention_layernorm.weight)]))
        projections = [a.q_proj, a.k_proj, a.v_proj]
        qkv.append(_panels(np.concatenate([_array(p.weight) for p in projections])))
        qkv_bias.append(_bias([p.bias for p in projections], [p.weight for p in projections]))
        out.append(_panels(_array(a.o_proj.weight)))
        bias = a.o_proj.bias
        out_bias.append(np.zeros(a.o_proj.weight.shape[0], np.float32) if bias is None else _array(bias))
        up.append(_gate_and_up(layer.mlp))
        down.append(_panels(_array(layer.mlp.down_proj.weight)))
    head = _panels(_array(model.lm_head.weight))
    stacked = (np.ascontiguousarray(np.stack(p), np.float32) for p in (norms, qkv, qkv_bias, out, out_bias, up, down))
    arrays = (np.array(_array(model.model.embed_tokens.weight)), *stacked, np.array(_array(model.model.norm.weight)))
    attention = layers[0].self_attn
    return Net(
        (*arrays, head), config.num_attention_heads, config.num_key_value_heads, int(attention.head_dim),
        np.float32(config.rms_norm_eps), int(config.vocab_size), model.model.rotary_emb,
    )  # fmt: skip
