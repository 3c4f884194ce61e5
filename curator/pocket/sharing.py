"""Fewer key and value heads for a trained network: a smaller cache makes generation quicker.

After Ainslie et al., "GQA" (2023), section 2.1, who give a group of heads the mean of their keys and values. Heads have
bases of their own, so the mean of two is near neither. Here a group shares what holds most of all its heads (singular
vectors), and queries and outputs take over how each head differs from that (ours, unpublished). What is lost is mended
by training on.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from .network import Attention, Network


def shared(net: Network, kv_heads: int) -> Network:
    """Return the network with `kv_heads` key and value heads; as many as it has change nothing."""
    new = Network(replace(net.shape, kv_heads=kv_heads))
    new.load_state_dict({name: value for name, value in net.state_dict().items() if ".self_attn." not in name}, False)
    for old, block in zip(net.model.layers, new.model.layers, strict=True):
        _share(old.self_attn, block.self_attn, old.input_layernorm.weight, net.shape.head, kv_heads)
    return new


@torch.no_grad()  # type: ignore[untyped-decorator]
def _share(old: Attention, new: Attention, scale: Tensor, size: int, kv_heads: int) -> None:
    """Fill the weights of `new`. Rows act on normed input, so `scale`, the norm's, belongs to them here."""
    groups = old.k_proj.out_features // size // kv_heads
    each = old.q_proj.out_features // size // kv_heads
    queries, keys, values = (_rows(p, scale, size) for p in (old.q_proj, old.k_proj, old.v_proj))
    many = queries.unflatten(0, (kv_heads, each))
    asked, known, given, out = [], [], [], []
    for g, outputs in enumerate(old.o_proj.weight.double().unflatten(1, (kv_heads, each, size)).unbind(1)):
        own = slice(g * groups, (g + 1) * groups)
        basis, mix = _common_values(values[own])
        key, share = _common_keys(keys[own])
        asked.append(_real(_complex(many[g]) * share.conj().repeat_interleave(each // groups, 0)[:, :, None]))
        known.append(_real(key[None]))
        given.append(basis)
        out.append(torch.einsum("wgh,ghk->wgk", outputs, mix.repeat_interleave(each // groups, 0)).flatten(1))
    for p, rows in ((new.q_proj, asked), (new.k_proj, known), (new.v_proj, given)):
        made = torch.cat([one.reshape(-1, one.shape[-1]) for one in rows])
        p.weight.copy_(made[:, :-1] / scale)
        p.bias.copy_(made[:, -1])
    new.o_proj.weight.copy_(torch.cat(out, 1))


def _rows(p: nn.Linear, scale: Tensor, size: int) -> Tensor:
    """Return (heads, size, width + 1): the rows of each head, the bias as their last column."""
    return torch.cat([p.weight * scale, p.bias[:, None]], 1).unflatten(0, (-1, size)).double()


def _complex(rows: Tensor) -> Tensor:
    """Return rotary pairs (first half, second half) as complex rows: a rotation is a factor then."""
    return torch.complex(*rows.chunk(2, 1))


def _real(rows: Tensor) -> Tensor:
    return torch.cat([rows.real, rows.imag], 1)


def _common_values(values: Tensor) -> tuple[Tensor, Tensor]:
    """Return (size, in), the directions that hold most of all heads, and how each head is made of them."""
    basis = torch.linalg.svd(values.flatten(0, 1), full_matrices=False)[2][: values.shape[1]]
    return basis, values @ basis.T


def _common_keys(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return for each rotary pair the complex row that holds most of all heads, and the factor of each head."""
    left, size, right = torch.linalg.svd(_complex(keys).transpose(0, 1), full_matrices=False)
    root = keys.shape[0] ** 0.5
    return right[:, 0] * size[:, :1] / root, left[:, :, 0].T * root
