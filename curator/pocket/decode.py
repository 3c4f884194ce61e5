"""A small batched decoder over the training network: own key/value cache, no padding, ended rows leave the batch.

transformers' cache is copied as a whole with every token, which on a CPU costs more than the model; this loop makes an
evaluation of thousands of replies take minutes. A test holds its greedy text to be that of transformers.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor

from .network import Network


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return x * cos + torch.cat((-x[..., half:], x[..., :half]), -1) * sin


class Decoder:
    """Decodes rows of different lengths together: row b has `lengths[b]` tokens in slots 0.. of the cache."""

    def __init__(self, net: Network, prompts: list[list[int]], room: int) -> None:
        self.net, self.shape = net, net.shape
        s = self.shape
        longest = max(map(len, prompts)) + room
        frequency = 1.0 / s.theta ** (torch.arange(0, s.head, 2, dtype=torch.float32) / s.head)
        angle = torch.outer(torch.arange(longest, dtype=torch.float32), frequency).repeat(1, 2)
        self.cos, self.sin = angle.cos(), angle.sin()
        self.lengths = torch.tensor([len(p) for p in prompts])
        size = (s.layers, len(prompts), s.kv_heads, longest, s.head)
        self.keys, self.values = torch.zeros(size), torch.zeros(size)
        self.logits = self._prefill(prompts)

    def _prefill(self, prompts: list[list[int]]) -> Tensor:
        """Fill the cache, prompt by prompt; return the logits (B, V) after each."""
        last = []
        for row, prompt in enumerate(prompts):
            x = self.net.model.embed_tokens(torch.tensor(prompt))
            n = len(prompt)
            cos, sin = self.cos[:n], self.sin[:n]
            for i, layer in enumerate(self.net.model.layers):
                h, s = layer.input_layernorm(x), self.shape
                a = layer.self_attn
                k = _rotate(a.k_proj(h).view(n, s.kv_heads, s.head).transpose(0, 1), cos, sin)
                self.keys[i, row, :, :n] = k
                self.values[i, row, :, :n] = a.v_proj(h).view(n, s.kv_heads, s.head).transpose(0, 1)
                x = layer(x, cos[:, None, : s.head // 2], sin[:, None, : s.head // 2], [n])
            last.append(self.net.model.norm(x[-1]))
        return torch.stack(last) @ self.net.model.embed_tokens.weight.T

    def step(self, tokens: Tensor) -> None:
        """Append one token (B,) to each row and update `logits`."""
        s, b = self.shape, len(tokens)
        rows, at = torch.arange(b), self.lengths
        cos, sin = self.cos[at][:, None], self.sin[at][:, None]
        top = int(at.max()) + 1
        mask = (torch.arange(top)[None] <= at[:, None])[:, None, None]
        x = self.net.model.embed_tokens(tokens)
        for i, layer in enumerate(self.net.model.layers):
            h, a = layer.input_layernorm(x), layer.self_attn
            q = _rotate(a.q_proj(h).view(b, s.heads, s.head), cos, sin)
            self.keys[i, rows, :, at] = _rotate(a.k_proj(h).view(b, s.kv_heads, s.head), cos, sin)
            self.values[i, rows, :, at] = a.v_proj(h).view(b, s.kv_heads, s.head)
            seen = self.keys[i, :, :, :top], self.values[i, :, :, :top]  # views: a product of them would copy the cache
            mixed = F.scaled_dot_product_attention(q.unsqueeze(2), *seen, attn_mask=mask, enable_gqa=True)
            x = x + a.o_proj(mixed.reshape(b, -1))
            m, h = layer.mlp, layer.post_attention_layernorm(x)
            x = x + m.down_proj(F.silu(m.gate_proj(h)) * m.up_proj(h))
        self.lengths = self.lengths + 1
        self.logits = self.net.model.norm(x) @ self.net.model.embed_tokens.weight.T

    def keep(self, rows: Tensor) -> None:
        """Keep only these rows (indices)."""
        self.keys, self.values = self.keys[:, rows], self.values[:, rows]
        self.lengths, self.logits = self.lengths[rows], self.logits[rows]


@torch.inference_mode()  # type: ignore[untyped-decorator]
def decode(
    net: Network,
    prompts: list[list[int]],
    *,
    cap: int,
    end: int,
    temperature: float = 0.0,
    banned: list[int] | None = None,
) -> list[list[int]]:
    """Return the new tokens of each prompt (with the end token, if it came); `banned` may not come first."""
    decoder = Decoder(net, prompts, cap)
    out: list[list[int]] = [[] for _ in prompts]
    live = torch.arange(len(prompts))
    for count in range(cap):
        logits = decoder.logits
        if count == 0 and banned:
            logits[:, banned] = float("-inf")
        drawn = F.softmax(logits / temperature, -1).multinomial(1)[:, 0] if temperature else None
        tokens = logits.argmax(-1) if drawn is None else drawn
        for row, token in zip(live.tolist(), tokens.tolist(), strict=True):
            if not out[row] or out[row][-1] != end:
                out[row].append(token)
        going = torch.tensor([k for k, row in enumerate(live.tolist()) if out[row][-1] != end], dtype=torch.long)
        if len(going) == 0:
            break
        if len(going) < 0.8 * len(live):  # not at every end: it copies the cache
            decoder.keep(going)
            live, tokens = live[going], tokens[going]
        if count + 1 < cap:
            decoder.step(tokens)
    return out
