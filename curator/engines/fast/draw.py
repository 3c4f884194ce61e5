"""Drawing tokens row by row, compiled: the rule of `sampling.draw`, without sorting a whole vocabulary."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from curator.engines.fast.jit import kernel, part
from curator.engines.fast.tile import exp2

_LOG2E = np.float32(math.log2(math.e))
_FIRST = np.float32(2.0**-7)  # candidates of top-p: at first those within this factor of the likeliest

_jit = part()
_loose = part(fastmath={"reassoc", "contract", "nsz"})


@_loose
def _weigh(logits: Any, size: Any, scale: Any, out: Any) -> Any:  # pragma: no cover - compiled
    """Write exp(scale * (logit - largest)), 0 where banned; return the sum."""
    top = logits[0]
    for i in range(size):
        top = max(top, logits[i])
    total = np.float32(0)
    for i in range(size):
        w = exp2((logits[i] - top) * scale) if logits[i] > -np.inf else np.float32(0)
        out[i] = w
        total += w
    return total


@_jit
def _plain(weights: Any, size: Any, total: Any, u: Any) -> Any:  # pragma: no cover - compiled
    """Return where the cumulative weight passes `u` of the whole, in the order of the vocabulary."""
    passed, chosen = np.float32(0), 0
    for i in range(size):
        if weights[i] > 0:
            chosen = i
            passed += weights[i]
            if passed > u * total:
                break
    return chosen


@_jit
def _candidates(  # pragma: no cover - compiled
    weights: Any, size: Any, total: Any, top_p: Any, top_k: Any, out: Any
) -> Any:
    """Write the ids that top-k and top-p can keep, and perhaps more; return how many. The largest weight is 1."""
    floor = _FIRST
    while True:
        count, held = 0, np.float32(0)
        for i in range(size):
            if weights[i] >= floor and weights[i] > 0:
                out[count] = i
                count += 1
                held += weights[i]
        # Top-p is a share of what top-k leaves, so with top-k all of that must be there.
        if (count >= top_k if top_k > 0 else held > top_p * total) or floor < 1e-37:
            return count
        floor *= np.float32(2.0**-7)


@_jit
def _sift(weights: Any, ids: Any, k: Any, count: Any) -> None:  # pragma: no cover - compiled
    """Let ids[k] sink in the heap ids[:count] until what is below it is less likely, or as likely with a larger id."""
    one = ids[k]
    while True:
        child = 2 * k + 1
        if child >= count:
            break
        a, b = ids[child], ids[child + 1] if child + 1 < count else ids[child]
        if weights[b] > weights[a] or (weights[b] == weights[a] and b < a):
            child, a = child + 1, b
        if weights[one] > weights[a] or (weights[one] == weights[a] and one < a):
            break
        ids[k] = a
        k = child
    ids[k] = one


@_jit
def _pop(weights: Any, ids: Any, count: Any) -> Any:  # pragma: no cover - compiled
    """Take the likeliest of the heap ids[:count] out, put it at ids[count - 1] and return it."""
    top = ids[0]
    ids[0] = ids[count - 1]
    ids[count - 1] = top
    if count > 2:
        _sift(weights, ids, np.int64(0), count - 1)
    return top


@_jit
def _truncated(  # pragma: no cover - compiled
    weights: Any, size: Any, total: Any, top_p: Any, top_k: Any, u: Any, ids: Any
) -> Any:
    """Draw from what top-k, and of that top-p, leave; likeliest first, of equals the smaller id."""
    count = _candidates(weights, size, total, top_p, top_k, ids)
    for k in range(count // 2 - 1, -1, -1):
        _sift(weights, ids, k, count)
    most = min(top_k, count) if top_k > 0 else count
    taken = 0  # the likeliest leave the heap for its end: ids[count - 1], ids[count - 2], ...
    if top_k > 0:
        total = np.float32(0)
        while taken < most:
            total += weights[_pop(weights, ids, count - taken)]
            taken += 1
    kept, below = 0, np.float32(0)
    while kept < most and (kept == 0 or below < top_p * total):
        if kept == taken:
            _pop(weights, ids, count - taken)
            taken += 1
        below += weights[ids[count - 1 - kept]]
        kept += 1
    passed = np.float32(0)
    for k in range(kept):
        passed += weights[ids[count - 1 - k]]
        if passed > u * below:
            return ids[count - 1 - k]
    return ids[count - kept]


@kernel
def draw(  # pragma: no cover - compiled
    logits: Any, size: Any, temperature: Any, top_p: Any, top_k: Any, u: Any, weights: Any, ids: Any, out: Any
) -> None:
    """Write the next token of each row; a row's token depends on its own values only.

    Args:
        logits: float32[rows, at least size], banned tokens at -inf.
        size: of the vocabulary.
        temperature: float32[rows], 0 is greedy.
        top_p: float32[rows], 1 is all.
        top_k: int64[rows], 0 is all.
        u: float32[rows] in [0, 1).
        weights: float32[size], scratch.
        ids: int64[size], scratch.
        out: int64[rows], written.
    """
    for m in range(out.size):
        row = logits[m]
        if temperature[m] <= 0:
            best = 0
            for i in range(1, size):
                if row[i] > row[best]:
                    best = i
            out[m] = best
            continue
        total = _weigh(row, size, _LOG2E / temperature[m], weights)
        if top_p[m] < 1 or top_k[m] > 0:
            out[m] = _truncated(weights, size, total, top_p[m], top_k[m], u[m], ids)
        else:
            out[m] = _plain(weights, size, total, u[m])


@kernel
def log_total(logits: Any, size: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write the log of the sum of exponentials of each row of `logits`, float64[rows]."""
    for m in range(out.size):
        row = logits[m]
        top = row[0]
        for i in range(size):
            top = max(top, row[i])
        total = 0.0
        for i in range(size):
            total += math.exp(row[i] - top)
        out[m] = top + math.log(total)


@kernel
def spread_of(logits: Any, size: Any, totals: Any, entropies: Any, margins: Any) -> None:  # pragma: no cover - compiled
    """Write, for each row of `logits`, the entropy in nats and the difference of the two largest probabilities.

    Args:
        logits: float32[rows, at least size].
        size: of the vocabulary.
        totals: float64[rows], see `log_total`.
        entropies: float64[rows], written.
        margins: float64[rows], written.
    """
    for m in range(totals.size):
        row, total = logits[m], totals[m]
        first = second = -np.inf
        mean = 0.0
        for i in range(size):
            value = row[i]
            if value > first:
                first, second = value, first
            elif value > second:
                second = value
            p = math.exp(value - total)
            if p > 0:
                mean += p * value
        entropies[m] = total - mean
        margins[m] = math.exp(first - total) - math.exp(second - total)
