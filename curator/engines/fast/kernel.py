"""A step of a Llama- or Qwen2-type model, all layers in one compiled call that holds no interpreter lock.

Rows are (token, place, position). A step of decoding has one row a sample; a prefill has one a token of the prompt:
the same code, because keys and values of a chunk are written before anything of it looks back.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from curator.engines.fast.jit import kernel, part
from curator.engines.fast.tile import PANEL, ROWS, exp2, tile

CHUNK = 64  # rows that go through the layers together: their activations stay in the second-level cache
_LOG2E = np.float32(math.log2(math.e))

_jit = part()
_loose = part(fastmath=True)  # sums in any order


@_jit
def _address(array: Any) -> Any:  # pragma: no cover - compiled
    """Return where an array begins, signed: with unsigned addresses each sum of both kinds would be a float."""
    return np.int64(array.ctypes.data)


# Loops instead of slices on both sides: their error messages about shapes take 3 s to compile.


@_jit
def _copy(source: Any, width: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write the first `width` values, and 0 after them."""
    for i in range(width):
        out[i] = source[i]
    for i in range(width, out.size):
        out[i] = 0


@_jit
def _add(source: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Add all of `source` to the head of `out`."""
    for i in range(source.size):
        out[i] += source[i]


@_jit
def project(x: Any, rows: Any, depth: Any, w: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Add `x[:rows, :depth] @ w` to `out`. `w`: float32[panels, depth, PANEL]; all in C order."""
    ldx, ldo, size = x.shape[1], out.shape[1], 4 * depth * PANEL
    start, first, target = _address(x), _address(w), _address(out)
    for p in range(w.shape[0]):
        panel = first + p * size
        ahead = panel + size
        for m in range(0, rows, ROWS):
            source = start + 4 * m * ldx
            tile(min(ROWS, rows - m), source, ldx, panel, depth, target + 4 * m * ldo, ldo, ahead)
            ahead += 64 * depth
        target += 4 * PANEL


@_loose
def _norm(x: Any, scale: Any, eps: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Root-mean-square norm of one row."""
    total = np.float32(0)
    for i in range(scale.size):
        total += x[i] * x[i]
    r = np.float32(1) / np.sqrt(total / np.float32(scale.size) + eps)
    for i in range(scale.size):
        out[i] = x[i] * r * scale[i]


@_loose
def _soften(scores: Any, n: Any) -> Any:  # pragma: no cover - compiled
    """Turn the first n scores, in powers of two, into weights; return their sum."""
    top = scores[0]
    for t in range(n):
        top = max(top, scores[t])
    total = np.float32(0)
    for t in range(n):
        w = exp2(scores[t] - top)
        scores[t] = w
        total += w
    return total


@_loose
def _gate(gu: Any, width: Any, rows: Any) -> None:  # pragma: no cover - compiled
    """SwiGLU in place: gu[:, :width] = silu(gu[:, :width]) * gu[:, width:]."""
    for m in range(rows):
        row = gu[m]
        for i in range(width):
            g = row[i]
            row[i] = g / (np.float32(1) + exp2(-g * _LOG2E)) * row[width + i]


@_jit
def _rotate(head: Any, at: Any, cos: Any, sin: Any, scale: Any) -> None:  # pragma: no cover - compiled
    """Turn one head by the angles of its position: first half against second half."""
    half = cos.shape[1]
    for i in range(half):
        a, b = head[i], head[i + half]
        head[i] = (a * cos[at, i] - b * sin[at, i]) * scale
        head[i + half] = (b * cos[at, i] + a * sin[at, i]) * scale


@_jit
def _remember(  # pragma: no cover - compiled
    qkv: Any,
    rows: Any,
    layer: Any,
    pages: Any,
    place: Any,
    at: Any,
    cos: Any,
    sin: Any,
    keys: Any,
    values: Any,
    heads: Any,
) -> None:
    """Rotate queries and keys of a chunk, and write keys and values into their pages."""
    depth, kv = keys.shape[3], keys.shape[2]
    scale = np.float32(_LOG2E / math.sqrt(depth))
    for m in range(rows):
        row, page = qkv[m], pages[place[m], at[m] // PANEL]
        slot = at[m] % PANEL
        for h in range(heads):
            _rotate(row[h * depth : (h + 1) * depth], at[m], cos, sin, scale)
        for j in range(kv):
            key = row[(heads + j) * depth : (heads + j + 1) * depth]
            _rotate(key, at[m], cos, sin, np.float32(1))
            value = row[(heads + kv + j) * depth : (heads + kv + j + 1) * depth]
            for i in range(depth):
                keys[page, layer, j, i, slot] = key[i]
                values[page, layer, j, i // PANEL, slot, i % PANEL] = value[i]


@_jit
def _attend(  # pragma: no cover - compiled
    qkv: Any,
    m: Any,
    layer: Any,
    pages: Any,
    n: Any,
    following: Any,
    keys: Any,
    values: Any,
    heads: Any,
    scores: Any,
    mixed: Any,
    out: Any,
) -> None:
    """Let the queries of one row look at n steps; write [heads * depth] to `out`.

    Each page is asked for while the one before it is read: a step waits for memory more than for anything else. So the
    first page of values is asked for with the last keys, and the keys of page `following`, the next row's, at the end.
    """
    kv, depth = keys.shape[2], keys.shape[3]
    wide, group = values.shape[3], heads // kv
    used = (n + PANEL - 1) // PANEL
    room, broad = scores.shape[1], mixed.shape[1]
    scores[:, : used * PANEL] = 0
    mixed[:] = 0
    q, s, mixed_at = _address(qkv) + 4 * m * qkv.shape[1], _address(scores), _address(mixed)
    for b in range(used):  # page by page, all heads of a page, because they lie side by side
        key = _address(keys[pages[b], layer])
        after = _address(keys[pages[b + 1], layer]) if b + 1 < used else _address(values[pages[0], layer])
        for h in range(0, heads, group):
            for g in range(h, h + group, ROWS):
                r = min(ROWS, h + group - g)
                tile(r, q + 4 * g * depth, depth, key, depth, s + 4 * (g * room + b * PANEL), room, after)
            key += 4 * depth * PANEL
            after += 4 * depth * PANEL
    for h in range(heads):
        mixed[h, broad - 1] = np.float32(1) / _soften(scores[h], n)
    for b in range(used):
        value = _address(values[pages[b], layer])
        after = _address(values[pages[b + 1], layer]) if b + 1 < used else _address(keys[following, layer])
        steps = min(PANEL, n - b * PANEL)
        for h in range(0, heads, group):
            for p in range(wide):
                for g in range(h, h + group, ROWS):
                    r = min(ROWS, h + group - g)
                    target = mixed_at + 4 * (g * broad + p * PANEL)
                    tile(r, s + 4 * (g * room + b * PANEL), room, value, steps, target, broad, after)
                value += 4 * PANEL * PANEL
                after += 4 * PANEL * PANEL
    for h in range(heads):
        for d in range(depth):
            out[h * depth + d] = mixed[h, d] * mixed[h, broad - 1]


@kernel
def forward(  # pragma: no cover - compiled
    token: Any,
    place: Any,
    at: Any,
    want: Any,
    pages: Any,
    net: Any,
    eps: Any,
    heads: Any,
    cos: Any,
    sin: Any,
    keys: Any,
    values: Any,
    work: Any,
    logits: Any,
    hidden: Any,
) -> None:
    """Run rows through all layers, write their keys and values, and the logits of those wanted.

    Args:
        token: int64[rows].
        place: int64[rows], the row of `pages` that lists a row's pages.
        at: int64[rows], positions from 0; a place's rows come in the order of their positions.
        want: bool[rows], whose logits are wanted.
        pages: int32[places, most pages], page numbers by position.
        net: see `weights.Net`.
        eps: of the norms.
        heads: of the queries.
        cos: float32[positions, depth / 2].
        sin: the same.
        keys: float32[pages, layers, kv heads, depth, PANEL], written.
        values: float32[pages, layers, kv heads, depth / PANEL rounded up, PANEL, PANEL], written.
        work: see `Net.work`.
        logits: float32[wanted, vocabulary rounded up to panels], written.
        hidden: float32[rows, width], written with the normed last states; or of no rows, and then it is not.
    """
    embed, norms, wqkv, bqkv, wo, bo, wgu, wd, last, head = net
    x, h, qkv, mix, gu, scores, mixed = work
    width, depth, done = norms.shape[2], keys.shape[3], 0
    for c in range(0, token.size, CHUNK):
        rows = min(CHUNK, token.size - c)
        for m in range(rows):
            _copy(embed[token[c + m]], width, x[m])
        for layer in range(norms.shape[0]):
            for m in range(rows):
                _norm(x[m], norms[layer, 0], eps, h[m])
                _copy(bqkv[layer], bqkv.shape[1], qkv[m])
            project(h, rows, width, wqkv[layer], qkv)
            _remember(qkv, rows, layer, pages, place[c:], at[c:], cos, sin, keys, values, heads)
            for m in range(rows):
                own = pages[place[c + m]]
                following = pages[place[c + min(m + 1, rows - 1)], 0]
                _attend(qkv, m, layer, own, at[c + m] + 1, following, keys, values, heads, scores, mixed, mix[m])
                _add(bo[layer], x[m])
            project(mix, rows, heads * depth, wo[layer], x)
            for m in range(rows):
                _norm(x[m], norms[layer, 1], eps, h[m])
            gu[:rows] = 0
            project(h, rows, width, wgu[layer], gu)
            _gate(gu, gu.shape[1] // 2, rows)
            project(gu, rows, wd.shape[2], wd[layer], x)
        wanted: Any = np.int64(0)
        for m in range(rows):
            if hidden.shape[0] > 0:
                _norm(x[m], last, eps, hidden[c + m])
            if want[c + m]:
                _norm(x[m], last, eps, h[wanted])
                wanted += 1
        if wanted:
            out = logits[done : done + wanted]
            out[:] = 0
            project(h, wanted, width, head, out)
            done += wanted
