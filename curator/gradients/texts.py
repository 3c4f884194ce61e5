"""What gradients are computed of: a prompt and its completion as token ids, in groups that fit into one pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import Tensor


class Text(NamedTuple):
    """The ids of a prompt and of its completion; neither is empty."""

    prompt: list[int]
    completion: list[int]

    @property
    def read(self) -> int:
        """How many tokens the model reads: the last one is only predicted."""
        return len(self.prompt) + len(self.completion) - 1


class Told(NamedTuple):
    """What was computed of some texts, in their order.

    `features`: float32[n, d] on the CPU, projected, not yet scaled to length 1. `losses`: mean nats a completion token.
    """

    features: Tensor
    losses: list[float]


def passes(texts: Sequence[Text], tokens: int) -> Iterator[list[int]]:
    """Yield the texts, by index, in groups of like length: at most `tokens` tokens with padding, or one text."""
    group: list[int] = []
    for i in sorted(range(len(texts)), key=lambda i: texts[i].read):
        if group and (len(group) + 1) * texts[i].read > tokens:
            yield group
            group = []
        group.append(i)
    if group:
        yield group
