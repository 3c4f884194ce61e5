"""The weights of a small model straight from its folder, without torch and transformers."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from curator.engines.fast.weights import Floats, Net, assemble


def net_in(folder: Path) -> Net:
    """Lay out a model that we have saved ourselves: Llama, one float32 safetensors file, plain rotary positions."""
    from safetensors.numpy import load_file

    config = SimpleNamespace(**json.loads((folder / "config.json").read_text("utf-8")))
    depth = config.head_dim

    def angles(positions: int) -> tuple[Floats, Floats]:
        frequency = np.float32(1) / np.float32(config.rope_theta) ** (np.arange(0, depth, 2, dtype=np.float32) / depth)
        angle = np.outer(np.arange(positions, dtype=np.float32), frequency)
        return np.cos(angle), np.sin(angle)

    return assemble(load_file(folder / "model.safetensors"), config, depth, angles)
