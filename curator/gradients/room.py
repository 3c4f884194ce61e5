"""How much is held at a time: bounds of memory, and sizes at which a device is quick."""

from __future__ import annotations

from typing import NamedTuple

import torch


class Room(NamedTuple):
    """Bounds of one pass.

    `memory`: bytes that are kept for the backward pass, about. `tokens`: of a pass, padding included. `logits`: values
    that are held. `piece`: numbers of gradients that are made before they are projected.
    """

    memory: int
    tokens: int
    logits: int
    piece: int


CPU = Room(memory=1 << 30, tokens=2048, logits=1 << 26, piece=1 << 19)  # a piece stays in the cache
GPU = Room(memory=8 << 30, tokens=16384, logits=1 << 28, piece=1 << 26)  # not measured: none was at hand


def room(device: torch.device) -> Room:
    """Return the bounds for a device."""
    return CPU if device.type == "cpu" else GPU
