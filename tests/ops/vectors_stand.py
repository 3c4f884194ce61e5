"""Rows with feature columns as `score: {kind: gradient}` writes them, of vectors by chance."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def unit(n: int, d: int, seed: int = 0, groups: int = 0, spread: float = 0.3) -> np.ndarray:
    """Unit float32[n, d] by chance; with `groups`, around so many centres of falling weight."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(n, d))
    if groups:
        centres = chance.normal(size=(groups, d))
        weights = 1 / np.arange(1, groups + 1)
        x = centres[chance.choice(groups, n, p=weights / weights.sum())] + spread * x
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def featured(x, ids=None, on="grad", proxy="pocket", projection=None, nulls=(), **more) -> pa.Table:
    """The table: row_id, the vectors as lists, and what made them."""
    n, d = x.shape
    projection = projection or f"countsketch:{d}:0"
    there = [i not in nulls for i in range(n)]
    lists = [row.tolist() if t else None for row, t in zip(np.asarray(x, np.float32), there, strict=True)]
    grad = pa.array(lists, pa.list_(pa.float32()))

    def made(value):
        values = value if isinstance(value, list) else [value] * n
        return pa.array([v if t else None for v, t in zip(values, there, strict=True)], pa.string())

    return pa.table({
        "row_id": ids or [f"r{i:05}" for i in range(n)], on: grad, f"{on}_proxy": made(proxy),
        f"{on}_projection": made(projection), **more,
    })  # fmt: skip
