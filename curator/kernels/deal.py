"""Entries dealt into partitions by their keys: one pass to count, one to place. Pure arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import kernel

BITS = np.uint64(0xFFFFF)


@kernel
def deal(entries: Any, shift: Any, parts: Any, out: Any, edges: Any) -> None:  # pragma: no cover - compiled
    """Put entries of one partition side by side, in the order in which they come.

    Args:
        entries: uint64[k, width]; column 0 is the key. Read-only, so that one machine code serves all callers.
        shift: of the 20 bits of a key that decide, modulo `parts`.
        parts: partitions, at most 2^20.
        out: uint64[k, width], written.
        edges: int64[parts + 1], written: partition p is `out[edges[p]:edges[p + 1]]`.
    """
    down, many = np.uint64(shift), np.uint64(parts)
    edges[:] = 0
    for i in range(entries.shape[0]):
        edges[(entries[i, 0] >> down & BITS) % many + np.uint64(1)] += 1
    for p in range(parts):
        edges[p + 1] += edges[p]
    for i in range(entries.shape[0]):
        p = (entries[i, 0] >> down & BITS) % many
        at = edges[p]
        edges[p] += 1
        for j in range(entries.shape[1]):
            out[at, j] = entries[i, j]
    for p in range(parts, 0, -1):
        edges[p] = edges[p - 1]
    edges[0] = 0
