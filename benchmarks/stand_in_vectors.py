"""Vectors of texts without a model: TF-IDF of character 3- to 5-grams, cut to 256 dimensions by SVD.

A stand-in for an embedding model where none can be downloaded. It sees letters, not meaning: what a real model finds
among paraphrases is not what this finds, and no number made with it says anything of a real model.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

SLOTS, DIMENSIONS = 1 << 16, 256


@lru_cache(maxsize=8)
def counts(texts: tuple[str, ...]) -> Any:
    """Return a sparse matrix float[texts, SLOTS] of 1 + log(count) of hashed character n-grams."""
    from scipy.sparse import csr_matrix

    rows, columns, values = [], [], []
    for row, text in enumerate(texts):
        clean = f" {' '.join(text.lower().split())} "
        found = Counter(clean[i : i + n] for n in (3, 4, 5) for i in range(len(clean) - n + 1))
        for gram, count in found.items():
            rows.append(row)
            columns.append(zlib.crc32(gram.encode()) % SLOTS)
            values.append(1 + np.log(count))
    return csr_matrix((values, (rows, columns)), (len(texts), SLOTS))


class StandIn:
    """Vectors as the items' own vocabulary makes them."""

    def __init__(self, items: Sequence[str]) -> None:
        from scipy.sparse.linalg import svds

        found = counts(tuple(items))
        self.rarity = np.log((1 + len(items)) / (1 + np.asarray((found > 0).sum(0)).ravel())) + 1
        dimensions = min(DIMENSIONS, len(items) - 1)
        _, _, self.axes = svds(self._weighed(found), dimensions, random_state=0)

    def _weighed(self, found: Any) -> Any:
        from scipy.sparse import diags

        weighed = found @ diags(self.rarity)
        norms = np.sqrt(np.asarray(weighed.multiply(weighed).sum(1)).ravel())
        return diags(1 / np.where(norms > 0, norms, 1)) @ weighed

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return float32[texts, dimensions]."""
        return np.asarray(self._weighed(counts(tuple(texts))) @ self.axes.T, np.float32)
