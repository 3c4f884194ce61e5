"""Muon for stacks of equal matrices, with AdamW for everything else.

`torch.optim.Muon` orthogonalises in bfloat16, one matrix at a time; on a CPU without bf16 instructions that costs a
third of the step. Here all matrices of one shape go through one batched iteration, in the type that the processor
multiplies fastest; momentum and weights stay in fp32. Update rule: Nesterov
momentum .95, five Newton-Schulz steps, size matched to AdamW's (0.2 sqrt(longer side)), as torch's
`match_rms_adamw`. Learning rates 6e-3 and 3e-3: the trial of the issue.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(stack: Tensor, iterations: int = 5, kind: torch.dtype = torch.float32) -> Tensor:
    """Return matrices (N, rows, columns) with singular values pushed towards 1 (Newton-Schulz, quintic), in `kind`."""
    a, b, c = _COEFFICIENTS
    tall = stack.shape[1] > stack.shape[2]
    x = stack.transpose(1, 2) if tall else stack
    x = (x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)).to(kind)
    for _ in range(iterations):
        gram = x @ x.transpose(1, 2)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.transpose(1, 2) if tall else x).to(stack.dtype)


class StackedMuon(torch.optim.Optimizer):  # type: ignore[misc]
    """Muon over two-dimensional parameters, batched by shape."""

    def __init__(
        self, params: Iterable[Tensor], lr: float = 6e-3, momentum: float = 0.95, decay: float = 0.05,
        kind: torch.dtype = torch.float32,
    ) -> None:  # fmt: skip
        super().__init__(params, {"lr": lr, "momentum": momentum, "decay": decay})
        self.kind = kind

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: Any = None) -> None:
        """Apply one update."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                shapes[p.shape].append(p)
            for shape, members in shapes.items():
                gradient = torch.stack([p.grad for p in members])
                state = self.state[members[0]]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(gradient)
                state["momentum"].lerp_(gradient, 1 - group["momentum"])
                update = orthogonalise(gradient.lerp(state["momentum"], group["momentum"]), kind=self.kind)
                size = group["lr"] * 0.2 * max(shape) ** 0.5
                for p, u in zip(members, update, strict=True):
                    p.mul_(1 - group["lr"] * group["decay"]).add_(u, alpha=-size)
