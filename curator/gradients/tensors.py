"""Projections on any device, by torch's operations: the same signs and buckets as the compiled kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from curator.gradients.projection import Projection
from curator.kernels.projections import FIRST, SECOND, STEP

_BLOCK = 1 << 22  # entries of the matrix of signs that are made at a time


def _signed(number: int) -> int:
    return number - (1 << 64) if number >> 63 else number


def _shifted(words: Tensor, by: int) -> Tensor:
    return (words >> by) & ((1 << (64 - by)) - 1)  # torch's shift of negative numbers brings ones in


def words(key: int, counters: Tensor) -> Tensor:
    """Return the words of a key, as the bits of int64; see `kernels.projections`."""
    found = counters * _signed(STEP) + _signed(key)
    found = (found ^ _shifted(found, 30)) * _signed(FIRST)
    found = (found ^ _shifted(found, 27)) * _signed(SECOND)
    return found ^ _shifted(found, 31)


def _sign(word: Tensor, bit: Tensor) -> Tensor:
    return 1.0 - 2.0 * ((word >> bit) & 1).float()


class CountSketch:
    """Count sketch: each run of d numbers is turned, and the runs are added."""

    def __init__(self, projection: Projection, device: torch.device) -> None:
        self._d, self._device = projection.d, device
        self._signs, self._turns = projection.key("signs"), projection.key("turns")

    def add(self, out: Tensor, values: Tensor, start: int) -> None:
        """See `Projector.add`."""
        d = self._d
        before = start % d
        blocks = -(-(before + values.shape[1]) // d)
        whole = torch.nn.functional.pad(values, (before, blocks * d - before - values.shape[1]))
        places = torch.arange(start - before, start - before + blocks * d, device=self._device)
        whole = whole * _sign(words(self._signs, places >> 6), places & 63)
        source = (torch.arange(d, device=self._device) - self._turn(places[::d] // d)[:, None]) % d
        out += whole.unflatten(1, (blocks, d)).gather(2, source.expand(len(values), -1, -1)).sum(1)

    def _turn(self, blocks: Tensor) -> Tensor:
        word = words(self._turns, blocks)
        return (_shifted(word, 1) % self._d * 2 + (word & 1)) % self._d  # the word without its sign, modulo d

    def scatter(self, out: Tensor, values: Tensor, starts: Tensor, owners: Tensor) -> None:
        """See `Projector.scatter`."""
        places = starts[:, None] + torch.arange(values.shape[1], device=self._device)
        signed = values * _sign(words(self._signs, places >> 6), places & 63)
        bucket = (places + self._turn(places // self._d)) % self._d
        out.view(-1).index_add_(0, (bucket + owners[:, None] * self._d).flatten(), signed.flatten())

    def finish(self, out: Tensor) -> Tensor:
        """See `Projector.finish`."""
        return out


class Dense:
    """Product with a dense matrix of signs over sqrt(d), made `step` rows at a time."""

    step: int

    def __init__(self, projection: Projection) -> None:
        self._d = projection.d

    def signs(self, first: int, count: int) -> Tensor:
        """Return the rows of the matrix from `first` on, float32[count, d]."""
        raise NotImplementedError

    def add(self, out: Tensor, values: Tensor, start: int) -> None:
        """See `Projector.add`."""
        for at in range(0, values.shape[1], self.step):
            part = values[:, at : at + self.step]
            out.addmm_(part, self.signs(start + at, part.shape[1]))

    def scatter(self, out: Tensor, values: Tensor, starts: Tensor, owners: Tensor) -> None:
        """See `Projector.scatter`: slices that begin at the same place are projected together."""
        places, which = starts.expand(len(values)).unique(return_inverse=True)
        for k, start in enumerate(places.tolist()):
            mine = (which == k).nonzero()[:, 0]
            whole = values.new_zeros(len(out), values.shape[1]).index_add_(0, owners[mine], values[mine])
            self.add(out, whole, start)

    def finish(self, out: Tensor) -> Tensor:
        """See `Projector.finish`."""
        return out / self._d**0.5


class Rademacher(Dense):
    """Product with a dense matrix of signs, made by torch's operations."""

    def __init__(self, projection: Projection, device: torch.device) -> None:
        super().__init__(projection)
        self._device, self._key = device, projection.key("signs")
        self._words = -(-projection.d // 64)
        self._bits = torch.arange(64, device=device)
        self.step = max(1, _BLOCK // (64 * self._words))

    def signs(self, first: int, count: int) -> Tensor:
        """See `Dense.signs`."""
        counters = torch.arange(first * self._words, (first + count) * self._words, device=self._device)
        return _sign(words(self._key, counters)[:, None], self._bits).view(count, -1)[:, : self._d]
