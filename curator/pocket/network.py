"""The training network: Qwen2's architecture written by hand for small fp32 batches on a CPU.

The parameters have the names of transformers' decoder models, so the state is loaded by transformers and vLLM (a test
compares the logits). It is saved as `LlamaForCausalLM` with `attention_bias`, which is the same function (its output
bias, which Qwen2 lacks, is zero): transformers 5 gives every model of type `qwen2` Qwen's own tokenizer class, which
would throw our pre-tokenizer away. What it saves against the library's
forward: the sequences of a step lie end to end without padding (only attention cuts them apart), logits are made only
at the taught positions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the network (unpublished, ours: the trial of the issue)."""

    vocab: int
    width: int = 192
    layers: int = 6
    heads: int = 6
    kv_heads: int = 2
    ffn: int = 512
    context: int = 2048
    theta: float = 10000.0

    @property
    def head(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads

    def config(self, eos: int, pad: int) -> dict[str, Any]:
        """Return the `config.json` of the equal LlamaForCausalLM."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "attention_bias": True,
            "mlp_bias": False,
            "head_dim": self.head,
            "vocab_size": self.vocab,
            "hidden_size": self.width,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "intermediate_size": self.ffn,
            "hidden_act": "silu",
            "max_position_embeddings": self.context,
            "rope_theta": self.theta,
            "rms_norm_eps": 1e-6,
            "tie_word_embeddings": True,
            "attention_dropout": 0.0,
            "initializer_range": 0.02,
            "bos_token_id": None,
            "eos_token_id": eos,
            "pad_token_id": pad,
            "use_cache": True,
            "torch_dtype": "float32",
        }

    def as_dict(self) -> dict[str, Any]:
        """Return the fields, for checkpoints."""
        return asdict(self)


class Attention(nn.Module):  # type: ignore[misc]
    """Grouped-query attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head)
        self.o_proj = nn.Linear(shape.heads * shape.head, shape.width, bias=False)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, lengths: list[int]) -> Tensor:
        """Map (N, width) to the same shape; `cos`, `sin` are (N, head); each of `lengths` tokens is one sequence."""
        s = self.shape
        q = self.q_proj(x).view(-1, s.heads, s.head).transpose(0, 1)
        k = self.k_proj(x).view(-1, s.kv_heads, s.head).transpose(0, 1)
        v = self.v_proj(x).view(-1, s.kv_heads, s.head).transpose(0, 1)
        q, k = _rotate(q, cos, sin), _rotate(k, cos, sin)
        groups = s.heads // s.kv_heads
        k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
        pieces = zip(*(whole.unsqueeze(0).split(lengths, 2) for whole in (q, k, v)), strict=True)
        out = torch.cat([F.scaled_dot_product_attention(a, b, c, is_causal=True) for a, b, c in pieces], 2)
        return self.o_proj(out[0].transpose(0, 1).reshape(x.shape[0], -1))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Mlp(nn.Module):  # type: ignore[misc]
    """SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.ffn, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.ffn, bias=False)
        self.down_proj = nn.Linear(shape.ffn, shape.width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., width) to the same shape."""
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):  # type: ignore[misc]
    """One pre-norm layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = Mlp(shape)
        self.input_layernorm = nn.RMSNorm(shape.width, eps=1e-6)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=1e-6)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, lengths: list[int]) -> Tensor:
        """Map (N, width) to the same shape."""
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, lengths)
        return x + self.mlp(self.post_attention_layernorm(x))


class _Body(nn.Module):  # type: ignore[misc]
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocab, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=1e-6)


class Network(nn.Module):  # type: ignore[misc]
    """The whole model; `state_dict()` has transformers' names (the tied output matrix is not stored)."""

    def __init__(self, shape: Shape, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.shape = shape
        self.model = _Body(shape)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                last = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=0.02 / (2 * shape.layers) ** 0.5 if last else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def export_state(self) -> dict[str, Tensor]:
        """Return the weights as `LlamaForCausalLM` wants them: with an output bias of zero."""
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        for i in range(self.shape.layers):
            state[f"model.layers.{i}.self_attn.o_proj.bias"] = torch.zeros(self.shape.width)
        return state

    def hidden(self, ids: Tensor, lengths: list[int]) -> Tensor:
        """Return the last hidden states (N, width) of the token ids (N,) of sequences of `lengths`, end to end."""
        s = self.shape
        frequency = 1.0 / s.theta ** (torch.arange(0, s.head, 2, dtype=torch.float32) / s.head)
        angle = torch.outer(torch.arange(max(lengths), dtype=torch.float32), frequency).repeat(1, 2)
        positions = torch.cat([torch.arange(length) for length in lengths])
        cos, sin = (table[positions].to(ids.device) for table in (angle.cos(), angle.sin()))
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin, lengths)
        return self.model.norm(x)

    def losses(self, ids: Tensor, weights: Tensor, lengths: list[int]) -> Tensor:
        """Return the summed weight x cross-entropy (nats) of each sequence; `weights` (N,) of the tokens as targets."""
        where = weights.nonzero()[:, 0]
        hidden = self.hidden(ids, lengths)[where - 1]
        each = F.cross_entropy(hidden @ self.model.embed_tokens.weight.T, ids[where], reduction="none")
        owner = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).to(ids.device)[where]
        return torch.zeros(len(lengths), device=ids.device).index_add(0, owner, each * weights[where])
