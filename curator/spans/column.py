"""Spans as an Arrow column: a list of (start, end, kind) a row, positions in characters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa

from curator.rows import COLUMNS
from curator.spans.cuts import Cut

SPANS = COLUMNS["spans"].type


def column(texts: Sequence[str | None], cuts: Sequence[Cut | None]) -> pa.ListArray:
    """Return the spans of each text; null where there is no text."""
    starts = [s for c in cuts if c is not None for s in c.starts]
    ends = [e for t, c in zip(texts, cuts, strict=True) if c and c.starts for e in (*c.starts[1:], len(t or ""))]
    kinds = [k for c in cuts if c is not None for k in c.kinds]
    offsets = np.fromiter(accumulate((len(c.starts) if c else 0 for c in cuts), initial=0), np.int32, len(cuts) + 1)
    fields = [pa.array(starts, pa.int32()), pa.array(ends, pa.int32()), pa.array(kinds, pa.string())]
    struct = pa.StructArray.from_arrays(fields, names=["start", "end", "kind"])
    missing = pa.array([c is None for c in cuts], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets), struct, SPANS, mask=missing)


def fits(spans: Sequence[Mapping[str, Any]] | None, text: str) -> bool:
    """Return whether spans are ordered, disjoint and cover `text`: whether they are spans of it."""
    at = 0
    for s in spans or ():
        if s["start"] != at or s["end"] <= at:
            return False
        at = s["end"]
    return spans is not None and at == len(text)
