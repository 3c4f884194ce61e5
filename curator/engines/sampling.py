"""Drawing the next token for a batch of rows that each have their own settings and their own random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # the fast decoder takes its settings and random numbers from here, and needs no torch
    from torch import Tensor

_HEAD = 64  # candidates looked at before a full sort: almost always enough for top-p below 1


@dataclass
class Knobs:
    """Per-row settings. float32 or int64 or uint64 arrays [rows]; temperature 0 is greedy, top_k 0 is all."""

    temperature: NDArray[np.float32]
    top_p: NDArray[np.float32]
    top_k: NDArray[np.int64]
    seed: NDArray[np.uint64]

    @classmethod
    def empty(cls, rows: int) -> Knobs:
        """Return greedy settings for so many rows."""
        heat, share = np.zeros(rows, np.float32), np.ones(rows, np.float32)
        return cls(heat, share, np.zeros(rows, np.int64), np.zeros(rows, np.uint64))

    def put(self, row: int, temperature: float, top_p: float, top_k: int, seed: int) -> None:
        """Set one row."""
        self.temperature[row], self.top_p[row], self.top_k[row], self.seed[row] = temperature, top_p, top_k, seed

    def take(self, rows: NDArray[np.int64]) -> Knobs:
        """Return the settings of some rows."""
        return Knobs(self.temperature[rows], self.top_p[rows], self.top_k[rows], self.seed[rows])


def uniform(seed: NDArray[np.uint64], count: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return one number in [0, 1) a row, a function of its seed and its token's number alone (SplitMix64).

    So a row's draws do not depend on the rows it shares a batch with, nor on when it joined.
    """
    with np.errstate(over="ignore"):
        z = seed + (count.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    out: NDArray[np.float64] = (z >> np.uint64(11)).astype(np.float64) * 2.0**-53
    return out


def draw(logits: Tensor, knobs: Knobs, count: NDArray[np.int64]) -> Tensor:
    """Return the next token of each row, int64 [rows].

    Temperature, then top-k, then top-p over what top-k left, then the inverse of the cumulative distribution.

    Args:
        logits: [rows, vocabulary], float32, banned tokens already at -inf.
        knobs: settings of the rows.
        count: tokens each row has generated so far.
    """
    import torch

    greedy = knobs.temperature <= 0
    if greedy.all():
        return logits.argmax(-1)
    device = logits.device
    heat = torch.from_numpy(np.where(greedy, 1.0, knobs.temperature).astype(np.float32)).to(device)
    probs = torch.softmax(logits / heat[:, None], -1)
    u = torch.from_numpy(uniform(knobs.seed, count).astype(np.float32)).to(device)
    cut = (knobs.top_p < 1) | (knobs.top_k > 0)
    out = _truncated(probs, knobs, u) if cut.any() else None
    if out is None or not cut[~greedy].all():
        plain = _inverse(probs, u)
        out = plain if out is None else torch.where(torch.from_numpy(cut).to(device), out, plain)
    if greedy.any():
        out = torch.where(torch.from_numpy(greedy).to(device), logits.argmax(-1), out)
    return out


def _truncated(probs: Tensor, knobs: Knobs, u: Tensor) -> Tensor:
    import torch

    top_p = torch.from_numpy(knobs.top_p).to(probs.device)[:, None]
    top_k = torch.from_numpy(knobs.top_k).to(probs.device)[:, None]
    width = min(_HEAD, probs.shape[-1])
    values, ids = torch.topk(probs, width)
    # What top-p is a share of must be seen as a whole: the head alone where top-k lies in it, else everything (1).
    enough = torch.where(top_k > 0, top_k <= width, (values.sum(-1, keepdim=True) >= top_p) | (top_p >= 1))
    if not bool(enough.all()):
        values, ids = torch.sort(probs, descending=True)
    rank = torch.arange(values.shape[-1], device=probs.device)
    values = values.masked_fill((top_k > 0) & (rank >= top_k), 0.0)
    below = values.cumsum(-1) - values
    # top-p is a share of what top-k left; without top-k that is everything, also what lies beyond the head.
    total = torch.where(top_k > 0, values.sum(-1, keepdim=True), torch.ones_like(top_p))
    values = values.masked_fill((below >= top_p * total) & (rank > 0), 0.0)
    return ids.gather(-1, _inverse(values, u)[:, None])[:, 0]


def _inverse(weights: Tensor, u: Tensor) -> Tensor:
    """Return the index where the cumulative weight passes `u` of the whole; never one of weight zero."""
    import torch

    ladder = weights.cumsum(-1)
    chosen = torch.searchsorted(ladder, (u * ladder[:, -1])[:, None].contiguous(), right=True)[:, 0]
    last = weights.shape[-1] - 1 - weights.flip(-1).gt(0).int().argmax(-1)
    return torch.minimum(chosen, last)
