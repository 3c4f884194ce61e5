"""Per-sample gradients of many samples in one pass, for decoders of the Llama kind.

The weights are frozen, so torch's backward pass computes gradients of activations only: two thirds of the work of a
training step. Hooks see what goes into each layer and the gradient of what comes out, and make the last third sample by
sample: the gradient of a linear layer is the product of the two over a sample's tokens. These products cost what the
sum over the batch would have cost; they are made in pieces that stay in the cache, projected, and forgotten. Building
the product and adding it up is far cheaper than projecting an outer product a token, which touches every weight once a
token. (Sketches that never build it, such as TensorSketch's, are other projections.)
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from curator.gradients.head import Head
from curator.gradients.layout import by_parameter
from curator.gradients.projection import Projection, projector
from curator.gradients.room import room
from curator.gradients.texts import Text, Told

ARCHITECTURES = frozenset({"LlamaForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM", "MistralForCausalLM"})


def refusal(model: Any) -> str | None:
    """Return why the gradients of a model must be computed one by one, or None where they need not."""
    if type(model).__name__ not in ARCHITECTURES:
        return f"architecture {type(model).__name__}"
    for module in model.modules():
        if next(module.parameters(recurse=False), None) is not None and not _known(module):
            return f"layers of type {type(module).__name__}"
    if sum(isinstance(m, nn.Embedding) for m in model.modules()) != 1:
        return "more than one embedding"
    return None


def _norm(module: nn.Module) -> bool:
    return type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon")


def _known(module: nn.Module) -> bool:
    return type(module) in (nn.Linear, nn.Embedding) or _norm(module)


class Batched:
    """Gradients of a model in eval mode for which `refusal` is None. One thread at a time."""

    def __init__(self, model: Any, projection: Projection) -> None:
        self._model, self._d = model, projection.d
        self._decoder, self._embedding = model.get_decoder(), model.get_input_embeddings()
        self._places = by_parameter(model)
        self._projector = projector(projection, model.device)
        self._room = room(model.device)
        self._head = Head(model.get_output_embeddings(), self._places, self._projector, self._room)
        self._out = torch.zeros(0)
        self._fitting = self._room.memory // _bytes_a_token(model)
        self.tokens = max(1, min(self._room.tokens, self._fitting))

    def __call__(self, texts: Sequence[Text]) -> Told:
        """Return features and losses of texts, all in one pass."""
        self._model.requires_grad_(False)  # noqa: FBT003 - torch's own
        self._out = torch.zeros(len(texts), self._d, device=self._model.device)
        ids = torch.zeros(len(texts), max(t.read for t in texts), dtype=torch.long)
        for row, text in zip(ids, texts, strict=True):
            row[: text.read] = torch.tensor((text.prompt + text.completion)[:-1])
        ids = ids.to(self._model.device)
        whole = ids.numel() <= self._fitting
        losses, back = (self._at_once if whole else self._layer_by_layer)(self._embedding(ids).detach(), texts)
        self._look_up(ids, back, texts)
        return Told(self._projector.finish(self._out).cpu(), losses)

    # Padding is on the right, where causal attention does not look, so no mask is needed.

    def _at_once(self, embedded: Tensor, texts: Sequence[Text]) -> tuple[list[float], Tensor]:
        """Return the losses and their gradient at the embedded tokens; project what lies between."""
        with torch.enable_grad(), self._watched(self._decoder):
            hidden = self._decoder(inputs_embeds=embedded.requires_grad_(), use_cache=False).last_hidden_state
        losses, change = self._head(hidden.detach(), texts, self._out)
        return losses, torch.autograd.grad(hidden, embedded, change)[0]

    def _layer_by_layer(self, embedded: Tensor, texts: Sequence[Text]) -> tuple[list[float], Tensor]:
        """Do the same and keep only what goes into each layer: one more forward pass, a tenth of the memory."""
        calls: list[tuple[Any, Tensor, dict[str, Any]]] = []
        handles = [
            layer.register_forward_pre_hook(lambda m, given, more: calls.append((m, given[0], more)), with_kwargs=True)
            for layer in (*self._decoder.layers, self._decoder.norm)
        ]
        try:
            with torch.no_grad():
                hidden = self._decoder(inputs_embeds=embedded, use_cache=False).last_hidden_state
        finally:
            for handle in handles:
                handle.remove()
        losses, change = self._head(hidden, texts, self._out)
        while calls:
            layer, read, more = calls.pop()
            with torch.enable_grad(), self._watched(layer):
                wrote = layer(read.requires_grad_(), **more)
            (change,) = torch.autograd.grad(wrote, read, change)
        return losses, change

    @contextmanager
    def _watched(self, part: Any) -> Iterator[None]:
        handles = []
        for module in part.modules():
            if isinstance(module, nn.Linear):
                handles.append(module.register_forward_hook(partial(_on_backward, self._linear)))
            elif _norm(module):
                handles.append(module.register_forward_hook(partial(_on_backward, self._scale)))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _linear(self, module: Any, read: Tensor, change: Tensor) -> None:
        """Project the gradient of a linear layer: change^T read, sample by sample."""
        read, change = read.float(), change.float()
        size, width = read.shape[-1], max(1, self._room.piece // (len(read) * read.shape[-1]))
        start = self._places[module.weight]
        for at in range(0, change.shape[-1], width):
            part = torch.bmm(change[:, :, at : at + width].transpose(1, 2), read)
            self._projector.add(self._out, part.flatten(1), start + at * size)
        if module.bias is not None:
            self._projector.add(self._out, change.sum(1), self._places[module.bias])

    def _scale(self, module: Any, read: Tensor, change: Tensor) -> None:
        """Project the gradient of the weight of an RMS norm."""
        read = read.float()
        unit = read * (read.square().mean(-1, keepdim=True) + module.variance_epsilon).rsqrt_()
        self._projector.add(self._out, (unit * change).flatten(1, -2).sum(1), self._places[module.weight])

    def _look_up(self, ids: Tensor, back: Tensor, texts: Sequence[Text]) -> None:
        """Project the gradient of the embedding: one row a token."""
        real = torch.arange(ids.shape[1], device=ids.device) < torch.tensor([[t.read] for t in texts]).to(ids.device)
        if self._embedding.padding_idx is not None:  # torch gives that row no gradient, so neither do we
            real &= ids != self._embedding.padding_idx
        starts = self._places[self._embedding.weight] + ids[real] * back.shape[-1]
        self._projector.scatter(self._out, back[real].float(), starts, real.nonzero()[:, 0])


def _on_backward(project: Any, module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
    """Call `project` with what went into a module and the gradient of what came out, once that is known."""
    read = given[0].detach()
    out.register_hook(lambda change: project(module, read, change))


def _bytes_a_token(model: Any) -> int:
    """Return about how much a pass keeps of each token: what goes into and comes out of each linear layer, twice."""
    sizes = [m.in_features + m.out_features for m in model.get_decoder().modules() if isinstance(m, nn.Linear)]
    return 8 * int(sum(sizes))
