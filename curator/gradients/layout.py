"""Where each parameter lies in the flat vector of all of them."""

from __future__ import annotations

from typing import Any

from torch import nn


def layout(model: Any) -> dict[str, int]:
    """Return name -> place of its first number: parameters sorted by name, each row by row, tied ones once."""
    found, at = {}, 0
    for name, parameter in sorted(model.named_parameters()):
        found[name] = at
        at += parameter.numel()
    return found


def by_parameter(model: Any) -> dict[nn.Parameter, int]:
    """Return parameter -> place of its first number."""
    places = layout(model)
    return {parameter: places[name] for name, parameter in model.named_parameters()}
