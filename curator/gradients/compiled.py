"""Projections on a CPU: compiled kernels on the memory of torch's tensors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from curator.gradients.projection import Projection
from curator.gradients.tensors import Dense
from curator.kernels import projections

_SHARE = 1 << 18  # numbers that are worth a thread of their own
_BLOCK = 1 << 18  # entries of the matrix of signs that are made at a time: they stay in the cache


class CompiledCountSketch:
    """Count sketch of float32 slices."""

    def __init__(self, projection: Projection) -> None:
        self._keys = np.array([projection.key("signs"), projection.key("turns")], np.uint64)
        self._pool: ThreadPoolExecutor | None = None

    def add(self, out: Tensor, values: Tensor, start: int) -> None:
        """See `Projector.add`."""
        self._sketch(out.numpy(), values, np.array([start]), np.arange(len(values)))

    def scatter(self, out: Tensor, values: Tensor, starts: Tensor, owners: Tensor) -> None:
        """See `Projector.scatter`."""
        self._sketch(out.numpy(), values, starts.numpy(), owners.numpy())

    def finish(self, out: Tensor) -> Tensor:
        """See `Projector.finish`."""
        return out

    def _sketch(self, out: Any, values: Tensor, starts: Any, owners: Any) -> None:
        rows = values.contiguous().numpy()
        threads = min(torch.get_num_threads(), len(out), max(1, rows.size // _SHARE))

        def part(begin: int, end: int) -> None:
            at = starts if starts.size == 1 else starts[begin:end]
            scratch = np.empty(out.shape[1] + projections.SPARE, np.float32)
            projections.countsketch(rows[begin:end], at, owners[begin:end], self._keys, scratch, out)

        if threads == 1:
            part(0, len(rows))
            return
        # Each row of `out` is one thread's; owners ascend.
        cuts = np.searchsorted(owners, [len(out) * i // threads for i in range(threads + 1)]).tolist()
        self._pool = self._pool or ThreadPoolExecutor()
        list(self._pool.map(part, cuts[:-1], cuts[1:]))


class CompiledRademacher(Dense):
    """Product with a dense matrix of signs."""

    def __init__(self, projection: Projection) -> None:
        super().__init__(projection)
        width = -(-projection.d // 64) * 64
        self._key = np.uint64(projection.key("signs"))
        self._block = np.empty((max(1, _BLOCK // width), width), np.float32)
        self.step = len(self._block)

    def signs(self, first: int, count: int) -> Tensor:
        """See `Dense.signs`; the next call overwrites them."""
        projections.rademacher(first, self._key, self._block[:count])
        return torch.from_numpy(self._block[:count, : self._d])
