"""The output layer and the loss, by hand: logits of completions only, and never more than a bounded number of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from curator.gradients.projection import Projector
from curator.gradients.room import Room
from curator.gradients.texts import Text


class _Piece(NamedTuple):
    """Tokens `first` to `last` of the completion of one text."""

    text: int
    first: int
    last: int


class Head:
    """Linear output layer and mean cross-entropy of completions."""

    def __init__(self, layer: Any, places: Mapping[Any, int], project: Projector, room: Room) -> None:
        self._layer, self._places, self._projector, self._room = layer, places, project, room

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def __call__(self, hidden: Tensor, texts: Sequence[Text], out: Tensor) -> tuple[list[float], Tensor]:
        """Return the losses and their gradient at `hidden` [texts, tokens, width]; project the layer's own to `out`."""
        back = torch.zeros_like(hidden)
        losses = [0.0] * len(texts)
        for pieces in _pieces(texts, max(1, self._room.logits // self._layer.out_features)):
            rows = torch.cat([hidden[_where(texts, p)] for p in pieces]).float()
            nats, change = self._loss(rows, texts, pieces)
            change_at = (change @ self._layer.weight.float()).to(back.dtype)
            sizes = [p.last - p.first for p in pieces]
            for piece, told, part in zip(pieces, nats.split(sizes), change_at.split(sizes), strict=True):
                losses[piece.text] += float(told.double().sum()) / len(texts[piece.text].completion)
                back[_where(texts, piece)] = part
            first, last = pieces[0].text, pieces[-1].text + 1
            self._project(rows.split(sizes), change.split(sizes), out[first:last])
        return losses, back

    def _loss(self, rows: Tensor, texts: Sequence[Text], pieces: Sequence[_Piece]) -> tuple[Tensor, Tensor]:
        """Return the loss of each token, and the gradient of each text's mean loss at the logits."""
        wanted = [i for p in pieces for i in texts[p.text].completion[p.first : p.last]]
        shares = [1 / len(texts[p.text].completion) for p in pieces for _ in range(p.first, p.last)]
        target = torch.tensor(wanted, device=rows.device)[:, None]
        bias = self._layer.bias
        logits = torch.nn.functional.linear(rows, self._layer.weight.float(), None if bias is None else bias.float())
        total = logits.logsumexp(-1, keepdim=True)
        nats = (total - logits.gather(1, target))[:, 0]
        change = logits.sub_(total).exp_()
        change.scatter_add_(1, target, torch.full_like(total, -1.0))
        return nats, change.mul_(torch.tensor(shares, device=rows.device)[:, None])

    def _project(self, rows: Sequence[Tensor], changes: Sequence[Tensor], out: Tensor) -> None:
        layer, size = self._layer, rows[0].shape[1]
        start, step = self._places[layer.weight], max(1, self._room.piece // (len(rows) * size))
        for at in range(0, layer.out_features, step):
            width = min(step, layer.out_features - at)
            part = rows[0].new_empty(len(rows), width, size)
            for to, read, change in zip(part, rows, changes, strict=True):
                torch.mm(change[:, at : at + width].T, read, out=to)
            self._projector.add(out, part.flatten(1), start + at * size)
        if layer.bias is not None:
            self._projector.add(out, torch.stack([c.sum(0) for c in changes]), self._places[layer.bias])


def _where(texts: Sequence[Text], piece: _Piece) -> tuple[int, slice]:
    """Return the places of the hidden states that predict a piece: each stands one before its token."""
    before = len(texts[piece.text].prompt) - 1
    return piece.text, slice(before + piece.first, before + piece.last)


def _pieces(texts: Sequence[Text], room: int) -> Iterator[list[_Piece]]:
    """Yield all completions in order, in groups of at most `room` tokens; a longer one is cut."""
    group: list[_Piece] = []
    used = 0
    for i, text in enumerate(texts):
        length = len(text.completion)
        if group and used + length > room:
            yield group
            group, used = [], 0
        if length > room:
            yield from ([_Piece(i, at, min(at + room, length))] for at in range(0, length, room))
            continue
        group.append(_Piece(i, 0, length))
        used += length
    if group:
        yield group
