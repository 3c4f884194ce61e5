"""The training network: Qwen2's architecture written by hand for small batches on a CPU, products in bf16 or fp32.

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
    heads: int = 4
    kv_heads: int = 4
    head: int = 64
    ffn: int = 448
    context: int = 2048
    theta: float = 10000.0

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
    """Weights of causal attention with rotary positions."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head)
        self.o_proj = nn.Linear(shape.heads * shape.head, shape.width, bias=False)


class Mlp(nn.Module):  # type: ignore[misc]
    """Weights of SwiGLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.ffn, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.ffn, bias=False)
        self.down_proj = nn.Linear(shape.ffn, shape.width, bias=False)


class Block(nn.Module):  # type: ignore[misc]
    """One pre-norm layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.self_attn = Attention(shape)
        self.mlp = Mlp(shape)
        self.input_layernorm = nn.RMSNorm(shape.width, eps=1e-6)
        self.post_attention_layernorm = nn.RMSNorm(shape.width, eps=1e-6)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, lengths: list[int]) -> Tensor:
        """Map (N, width) to the same shape; `cos`, `sin` are (N, 1, head / 2) in the type of the products."""
        a, m, s, kind = self.self_attn, self.mlp, self.shape, cos.dtype
        into = torch.cat([a.q_proj.weight, a.k_proj.weight, a.v_proj.weight]).to(kind)
        bias = torch.cat([a.q_proj.bias, a.k_proj.bias, a.v_proj.bias]).to(kind)
        y = F.linear(Normed.apply(x, self.input_layernorm.weight, kind), into, bias)
        seen = CausalAttention.apply(y.unflatten(1, (-1, s.head)), cos, sin, lengths, s.heads)
        x = x + F.linear(seen.flatten(1), a.o_proj.weight.to(kind))
        wide = torch.cat([m.gate_proj.weight, m.up_proj.weight]).to(kind)
        y = F.linear(Normed.apply(x, self.post_attention_layernorm.weight, kind), wide)
        return x + F.linear(Gated.apply(y), m.down_proj.weight.to(kind))


EPS = 1e-6


class Normed(torch.autograd.Function):  # type: ignore[misc]
    """RMS norm of the fp32 stream, given in the type of the products; torch's own takes thrice the passes on a CPU."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, kind: torch.dtype) -> Tensor:
        """Return x / rms(x) * weight."""
        scale = torch.linalg.vector_norm(x, dim=1, keepdim=True).square_().div_(x.shape[1]).add_(EPS).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight).to(kind)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of x and of the weight."""
        x, weight, scale = ctx.saved_tensors
        grad = grads[0].float()
        unit = x * scale
        moved = grad * unit
        to_weight = moved.sum(0)
        along = (moved @ weight).div_(x.shape[1]).unsqueeze(1)
        return (grad * weight).addcmul_(unit, along, value=-1).mul_(scale), to_weight, None


class Gated(torch.autograd.Function):  # type: ignore[misc]
    """silu(gate) * up of the two halves of a row, without autograd's copies of the halves."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        """Map (N, 2 ffn) to (N, ffn)."""
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        """Return the gradient of both halves."""
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        out = torch.empty_like(both)
        to_gate, to_up = out.chunk(2, -1)
        torch.mul(F.silu(gate), grads[0], out=to_up)
        to_gate.copy_(torch.ops.aten.silu_backward(grads[0] * up, gate))
        return out


def _turn(to: Tensor, x: Tensor, cos: Tensor, sin: Tensor) -> None:
    """Write the rotary rotation of x into `to`, which may have other strides."""
    low, high = x.chunk(2, -1)
    one, two = to.chunk(2, -1)
    torch.mul(low, cos, out=one).addcmul_(high, sin, value=-1)
    torch.mul(high, cos, out=two).addcmul_(low, sin)


QUERIES = 256
"""Queries of one piece of the backward pass: its scores stay in the cache, and most of what is masked is skipped."""


class CausalAttention(torch.autograd.Function):  # type: ignore[misc]
    """Causal attention of sequences end to end; the backward pass computes the probabilities again, piece by piece.

    torch's own backward of attention took 40 % of a step in bf16 on a CPU; this takes a third of that.
    """

    @staticmethod
    def forward(ctx: Any, both: Tensor, cos: Tensor, sin: Tensor, lengths: list[int], heads: int) -> Tensor:
        """Map queries, keys and values, (N, heads + 2 kv heads, head), not yet rotated, to (N, heads, head)."""
        n, every, size = both.shape
        turned = (heads + every) // 2
        kept = both.new_empty(every, n, size)
        _turn(kept[:turned].transpose(0, 1), both[:, :turned], cos, sin)
        kept[turned:].transpose(0, 1).copy_(both[:, turned:])
        ctx.save_for_backward(kept, cos, sin)
        ctx.lengths, ctx.heads = lengths, heads
        out = both.new_empty(n, heads, size)
        for place, one in zip(out.split(lengths), kept.split(lengths, 1), strict=True):
            q, k, v = one.unsqueeze(0).split([heads, turned - heads, turned - heads], 1)
            seen = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            place.copy_(seen[0].transpose(0, 1))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        """Return the gradient of queries, keys and values."""
        kept, cos, sin = ctx.saved_tensors
        every, n, size = kept.shape
        heads, turned = ctx.heads, (ctx.heads + every) // 2
        groups = heads // (turned - heads)
        grad = grads[0].transpose(0, 1).contiguous()
        change = kept.new_empty(3 * heads, n, size)
        for one, given, to in zip(*(x.split(ctx.lengths, 1) for x in (kept, grad, change)), strict=True):
            q, k, v = one[:heads], one[heads:turned], one[turned:]
            k, v = k.repeat_interleave(groups, 0), v.repeat_interleave(groups, 0)
            _attention_gradients(q * size**-0.5, k, v, given, *to.chunk(3))
        change[:heads] *= size**-0.5
        if groups > 1:
            change = torch.cat([change[:heads], change[heads:].unflatten(0, (-1, groups)).sum(1)])
        out = kept.new_empty(n, every, size)
        _turn(out[:, :turned], change[:turned].transpose(0, 1), cos, -sin)
        out[:, turned:].copy_(change[turned:].transpose(0, 1))
        return out, None, None, None, None


def _attention_gradients(q: Tensor, k: Tensor, v: Tensor, grad: Tensor, dq: Tensor, dk: Tensor, dv: Tensor) -> None:
    """Write the gradients of one sequence into dq, dk and dv; all are (heads, n, head), q scaled."""
    short = q.shape[1] <= QUERIES
    to_keys, to_values = (dk, dv) if short else (torch.zeros(k.shape), torch.zeros(v.shape))
    for at in range(0, q.shape[1], QUERIES):
        asked, given = q[:, at : at + QUERIES], grad[:, at : at + QUERIES]
        end = at + asked.shape[1]
        scores = asked @ k[:, :end].transpose(1, 2)
        scores[:, :, at:] += torch.full((end - at, end - at), -torch.inf, dtype=q.dtype).triu_(1)
        seen = scores.softmax(-1)
        change = torch._softmax_backward_data(given @ v[:, :end].transpose(1, 2), seen, -1, seen.dtype)
        dq[:, at:end] = change @ k[:, :end]
        for total, piece in ((to_keys, change.transpose(1, 2) @ asked), (to_values, seen.transpose(1, 2) @ given)):
            total.copy_(piece) if short else total[:, :end].add_(piece)
    if not short:
        dk.copy_(to_keys)
        dv.copy_(to_values)


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
        for head, back in enumerate(range(1, min(4, self.shape.heads))):
            self._look_back(head, back)

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def _look_back(self, head: int, back: int, pairs: int = 8, size: float = 6.0) -> None:
        """Let a head of the first layer begin as one that sees the token `back` places before.

        Copying needs such a head and another that uses it, and neither is worth anything alone: a small model can wait
        long for both. Biases on the fastest rotary pairs make the first one (ours, unpublished).
        """
        s, first = self.shape, self.model.layers[0].self_attn
        angle = back / s.theta ** (torch.arange(pairs, dtype=torch.float32) * 2 / s.head)
        low, high = (slice(head * s.head + start, head * s.head + start + pairs) for start in (0, s.head // 2))
        first.k_proj.bias[low] = size
        first.q_proj.bias[low], first.q_proj.bias[high] = size * angle.cos(), -size * angle.sin()

    def export_state(self) -> dict[str, Tensor]:
        """Return the weights as `LlamaForCausalLM` wants them: with an output bias of zero."""
        state = {name: value.contiguous() for name, value in self.state_dict().items()}
        for i in range(self.shape.layers):
            state[f"model.layers.{i}.self_attn.o_proj.bias"] = torch.zeros(self.shape.width)
        return state

    def hidden(
        self, ids: Tensor, lengths: list[int], kind: torch.dtype = torch.float32
    ) -> Tensor:
        """Return the last hidden states (N, width) of the token ids (N,) of sequences of `lengths`, end to end.

        Products and attention are computed in `kind`, the residual stream and the weights stay in fp32.
        """
        s = self.shape
        frequency = 1.0 / s.theta ** (torch.arange(0, s.head, 2, dtype=torch.float32) / s.head)
        angle = torch.outer(torch.arange(max(lengths), dtype=torch.float32), frequency)
        positions = torch.cat([torch.arange(length) for length in lengths])
        cos, sin = (table[positions].unsqueeze(1).to(kind) for table in (angle.cos(), angle.sin()))
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, cos, sin, lengths)
        return self.model.norm(x)

    def losses(
        self, ids: Tensor, weights: Tensor, lengths: list[int], kind: torch.dtype = torch.float32
    ) -> Tensor:
        """Return the summed weight x cross-entropy (nats) of each sequence; `weights` (N,) of the tokens as targets."""
        where = weights.nonzero()[:, 0]
        own = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
        even, place = _evened(lengths, own)
        padded = torch.zeros(sum(even), dtype=ids.dtype).index_copy(0, place, ids)
        spare = torch.zeros(-len(where) % TOTALS, dtype=where.dtype)
        hidden = self.hidden(padded, even, kind)[place[torch.cat([where - 1, spare])]].to(kind)
        logits = F.linear(hidden, self.model.embed_tokens.weight.to(kind))[: len(where)].float()
        each = F.cross_entropy(logits, ids[where], reduction="none")
        return torch.zeros(len(lengths)).index_add(0, own[where], each * weights[where])


LENGTHS, TOTALS = 16, 256
"""Sequences and steps are filled up to multiples of these: a product of a new shape has to be compiled first."""


def _evened(lengths: list[int], own: Tensor) -> tuple[list[int], Tensor]:
    """Return the lengths filled up, and where each token (of sequence `own`) then stands."""
    even = [n + -n % LENGTHS for n in lengths]
    even[-1] += -sum(even) % TOTALS
    gaps = torch.tensor(even) - torch.tensor(lengths)
    return even, torch.arange(len(own)) + (gaps.cumsum(0) - gaps)[own]
