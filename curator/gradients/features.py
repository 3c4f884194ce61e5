"""Features of many texts: passes of bounded size, each told as soon as it is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from curator.gradients.batched import Batched, refusal
from curator.gradients.projection import Projection
from curator.gradients.single import Single
from curator.gradients.texts import Text, passes


class Feature(NamedTuple):
    """The gradient of one text. `vector`: float32[d] of length 1, little-endian; empty where `error` says why."""

    vector: bytes
    loss: float
    error: str | None = None


class Features:
    """Gradients of one model. `refused`: why they are computed one by one; None where they are not."""

    def __init__(self, model: Any) -> None:
        self._model, self.refused = model, refusal(model)
        self._ready: dict[Projection, Batched | Single] = {}

    def of(self, texts: Sequence[Text], projection: Projection) -> Iterator[tuple[int, Feature]]:
        """Yield the index of each text and its feature, pass by pass."""
        if projection not in self._ready:
            self._ready[projection] = (Single if self.refused else Batched)(self._model, projection)
        compute = self._ready[projection]
        for group in passes(texts, compute.tokens):
            told = compute([texts[i] for i in group])
            lengths = told.features.double().norm(dim=1)
            for i, row, length, loss in zip(group, told.features, lengths.tolist(), told.losses, strict=True):
                yield i, _feature(row, length, loss)


def _feature(row: Any, length: float, loss: float) -> Feature:
    if loss != loss or abs(loss) == float("inf"):
        return Feature(b"", loss, "nan_loss")
    if length != length or length == float("inf"):
        return Feature(b"", loss, "nan_gradient")
    if length == 0:
        return Feature(b"", loss, "zero_gradient")
    unit = (row.double() / length).float()
    return Feature(unit.numpy().astype("<f4").tobytes(), loss)
