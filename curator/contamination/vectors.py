"""Nearest items by cosine: vectors from a column, or of a sentence-transformers model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curator.diversity.features import is_vector
from curator.errors import CheckError, InputError

BLOCK = 4096  # rows of a product
INSTALL = "pip install 'trace-curator[embed]'"


def matrix(column: Any, where: str) -> Any:
    """Return float32[rows, dimension], each row of length 1; rows that are null are all zero.

    Args:
        column: Arrow lists of numbers.
        where: how messages call it.

    Raises:
        InputError: no lists of numbers, lists of several lengths, or a value that is not finite.
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
        column = column.chunk(0) if isinstance(column, pa.ChunkedArray) and column.num_chunks == 1 else column
    kind = column.type
    if not is_vector(kind):
        msg = f"{where}: vectors are {kind}; they must be lists of numbers of one length"
        raise InputError(msg)
    sizes = _sizes(column)
    there = sizes[~np.asarray(column.is_null())]
    if len(set(there.tolist())) > 1:
        several = sorted(set(there.tolist()))[:4]
        msg = f"{where}: vectors have {', '.join(map(str, several))} numbers; all must have as many"
        raise InputError(msg)
    width = int(there[0]) if len(there) else 0
    found = np.zeros((len(column), width), np.float32)
    flat = column.drop_null().flatten().to_numpy(zero_copy_only=False).astype(np.float64)
    if flat.size and not np.isfinite(flat).all():
        at = int(np.flatnonzero(~np.asarray(column.is_null()))[int(np.argmin(np.isfinite(flat))) // max(1, width)])
        msg = f"{where}: the vector of row {at} holds NaN, null or infinity; leave such rows without a vector"
        raise InputError(msg)
    values = flat.reshape(-1, width) if width else flat.reshape(0, 0)
    norms = np.linalg.norm(values, axis=1, keepdims=True)
    found[~np.asarray(column.is_null())] = values / np.where(norms > 0, norms, 1.0)
    return found


def _sizes(column: Any) -> Any:
    import pyarrow.compute as pc

    return pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)


def same_width(rows: Any, items: Any, where: str) -> None:
    """Raise an InputError where rows and items have vectors of different dimension."""
    if rows.shape[1] and items.shape[1] and rows.shape[1] != items.shape[1]:
        msg = (
            f"{where}: rows have vectors of {rows.shape[1]} numbers, items of {items.shape[1]}; use one model for both"
        )
        raise InputError(msg)


def nearest(rows: Any, items: Any, k: int) -> Iterator[tuple[int, list[tuple[float, int]]]]:
    """Yield (row, its k nearest items as (cosine, item), best first) by exact blocked products.

    Cosines are rounded to four decimals, so that how rows are cut into blocks cannot show; equal ones go by item.

    Args:
        rows: float32[rows, dimension], of length 1.
        items: float32[items, dimension], of length 1.
        k: neighbours.
    """
    if not rows.shape[1] or not items.shape[1]:
        return
    for start in range(0, len(rows), BLOCK):
        cosines = np.round(rows[start : start + BLOCK] @ items.T, 4)
        for at, found in enumerate(cosines):
            order = (
                np.lexsort((np.arange(len(found)), -found))[:k] if k < len(found) else np.argsort(-found, kind="stable")
            )
            yield start + at, [(float(found[i]), int(i)) for i in order]


class Encoder:
    """A sentence-transformers model, loaded on first use.

    Raises:
        CheckError: the package is not there, or the model cannot be loaded.
    """

    def __init__(self, model: str) -> None:
        import importlib.util

        self.model = model
        if importlib.util.find_spec("sentence_transformers") is None:
            msg = f"decontaminate: model '{model}' needs the package sentence-transformers: {INSTALL}"
            raise CheckError(msg)
        self._loaded: Any = None

    def __call__(self, texts: Sequence[str]) -> Any:
        """Return float32[texts, dimension], each of length 1; empty texts are all zero."""
        if self._loaded is None:
            from sentence_transformers import SentenceTransformer

            try:
                self._loaded = SentenceTransformer(self.model)
            except Exception as e:  # the hub, torch and the model's own code raise what they like
                told = " ".join(str(e).split())[:200]
                msg = f"decontaminate: cannot load the embedding model '{self.model}': {told}"
                raise CheckError(msg) from e
        found = np.asarray(
            self._loaded.encode(list(texts), normalize_embeddings=True, show_progress_bar=False), np.float32
        ).reshape(len(texts), -1)
        found[[not t.strip() for t in texts]] = 0
        return found
