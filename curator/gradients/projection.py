"""Random projections of gradients: which one, and what adds the projection of a slice.

Both keep inner products in expectation, with variance about (|a|^2 |b|^2 + <a, b>^2) / d (Johnson-Lindenstrauss):

- `rademacher`: a dense matrix of signs over sqrt(d). d additions a parameter.
- `countsketch`: one bucket and one sign a parameter (Charikar, Chen and Farach-Colton 2002; Weinberger et al. 2009).
  One addition a parameter, so it is the one for a CPU.

Signs and buckets are functions of the seed and of the parameter's place in the flat vector of all parameters, sorted by
name, tied ones once. Nothing is stored, and any slice of the vector can be projected alone, on any device.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

KINDS = ("countsketch", "rademacher")


@dataclass(frozen=True)
class Projection:
    """A projection to `d` numbers. Its text, such as `countsketch:1024:0`, says all that decides it."""

    kind: str
    d: int
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}:{self.d}:{self.seed}"

    @classmethod
    def parse(cls, text: str) -> Projection:
        """Return the projection of a text. Raises ValueError for anything else."""
        kind, d, seed = text.split(":")
        if kind not in KINDS or int(d) < 1:
            msg = f"no projection '{text}'; it is KIND:D:SEED with KIND one of {', '.join(KINDS)}"
            raise ValueError(msg)
        return cls(kind, int(d), int(seed))

    def key(self, stream: str) -> int:
        """Return the 64-bit key of a stream of random words."""
        return int.from_bytes(hashlib.sha256(f"{self}:{stream}".encode()).digest()[:8], "little")


def band(n: int, d: int) -> float:
    """Return the error of inner products of `n` vectors of length 1 that some projection to `d` numbers keeps to.

    The eps with d = 4 ln n / (eps^2 / 2 - eps^3 / 3) (Dasgupta and Gupta 2003); 1 where there is none below.
    """
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        enough = d * (middle**2 / 2 - middle**3 / 3) >= 4 * math.log(n)
        low, high = (low, middle) if enough else (middle, high)
    return high


class Projector(Protocol):
    """Adds projections of slices of gradients to rows of features."""

    def add(self, out: Tensor, values: Tensor, start: int) -> None:
        """Add to each row of `out` [k, d] the projection of its slice, `values` [k, n], which begins at `start`."""
        ...

    def scatter(self, out: Tensor, values: Tensor, starts: Tensor, owners: Tensor) -> None:
        """Add the projection of each slice [n] of `values` [k, n] that begins at `starts` [k] to row `owners` [k].

        Owners ascend.
        """
        ...

    def finish(self, out: Tensor) -> Tensor:
        """Return the features, once every slice was added: what is left to scale is scaled."""
        ...


def projector(projection: Projection, device: torch.device) -> Projector:
    """Return what computes a projection on a device: compiled kernels on a CPU, torch's operations elsewhere."""
    if device.type == "cpu":
        from curator.gradients.compiled import CompiledCountSketch, CompiledRademacher

        return CompiledCountSketch(projection) if projection.kind == "countsketch" else CompiledRademacher(projection)
    from curator.gradients.tensors import CountSketch, Rademacher

    return (CountSketch if projection.kind == "countsketch" else Rademacher)(projection, device)
