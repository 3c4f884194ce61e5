"""The reference: the gradient of one sample at a time by torch's own backward pass, for any causal model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name

from curator.gradients.layout import layout
from curator.gradients.projection import Projection, projector
from curator.gradients.texts import Text, Told


class Single:
    """Gradients of a model in eval mode, one sample at a time."""

    tokens = 1  # of a pass: one text

    def __init__(self, model: Any, projection: Projection) -> None:
        self._model, self._d = model, projection.d
        self._places = layout(model)
        self._projector = projector(projection, model.device)

    def __call__(self, texts: Sequence[Text]) -> Told:
        """Return features and losses of all texts."""
        out = torch.zeros(len(texts), self._d, device=self._model.device)
        losses = []
        for i, text in enumerate(texts):
            loss, gradients = gradients_of(self._model, text)
            losses.append(loss)
            for name, gradient in gradients.items():
                self._projector.add(out[i : i + 1], gradient.reshape(1, -1).float(), self._places[name])
        return Told(self._projector.finish(out).cpu(), losses)


def gradients_of(model: Any, text: Text) -> tuple[float, dict[str, torch.Tensor]]:
    """Return the mean loss of a completion and its gradient for each parameter that has one, by name."""
    named = dict(model.named_parameters())
    for parameter in named.values():
        parameter.requires_grad_(True)  # noqa: FBT003 - torch's own
    ids = torch.tensor([text.prompt + text.completion], device=model.device)
    with torch.enable_grad():
        logits = model(input_ids=ids[:, :-1], use_cache=False).logits[0, len(text.prompt) - 1 :]
        loss = F.cross_entropy(logits.float(), ids[0, len(text.prompt) :])
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return float(loss.detach()), {name: g for name, g in zip(named, found, strict=True) if g is not None}
