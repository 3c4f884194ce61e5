"""Candidate pairs, their exact Jaccard similarity, and union-find. Pure arrays in, arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import kernel, part


@kernel
def mark_repeated(keys: Any, once: Any, twice: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Set out where a key occurs more than once; a few that do not are set as well (both sets are hashed bits).

    Args:
        keys: uint64[keys].
        once: uint64[a power of two], zeros; scratch.
        twice: uint64 as `once`, zeros; scratch.
        out: bool[keys], written.
    """
    mask = np.uint64(once.size * 64 - 1)
    for key in keys:
        bit = (key * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(13) & mask
        word, one = bit >> np.uint64(6), np.uint64(1) << (bit & np.uint64(63))
        twice[word] |= once[word] & one
        once[word] |= one
    for i in range(keys.size):
        bit = (keys[i] * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(13) & mask
        out[i] = (twice[bit >> np.uint64(6)] >> (bit & np.uint64(63))) & np.uint64(1) != 0


@kernel
def find(parent: Any, x: Any) -> Any:  # pragma: no cover - compiled
    """Return the root of `x` in parent: int32 or int64[rows], halving the path on the way."""
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@kernel
def pair_runs(
    keys: Any, rows: Any, window: Any, inner: Any, parent: Any, state: Any, out: Any
) -> Any:  # pragma: no cover
    """Write the pairs of rows that share a key: each with its next `window`, the first `window` with all that follow.

    Args:
        keys: uint64[entries], equal keys side by side.
        rows: int64[entries].
        window: how many neighbours in a run.
        inner: rows from here on are an index: no pairs among them.
        parent: int32[all rows], union-find: rows that are joined already make no pair; or empty.
        state: int64[3], zeros at first; where to go on (run start, member, other member), written.
        out: int64[capacity, 2], written: the smaller row first.

    Returns:
        How many pairs; where it is the capacity, call again.
    """
    count, total = np.int64(0), np.int64(keys.size)
    start, i, j = state[0], state[1], state[2]
    while start < total:
        stop = start + 1
        while stop < total and keys[stop] == keys[start]:
            stop += 1
        i = max(i, start)
        while i < stop:
            last = stop if i - start < window else min(stop, i + 1 + window)
            j = max(j, i + 1)
            while j < last:
                a, b = min(rows[i], rows[j]), max(rows[i], rows[j])
                if a != b and a < inner and not (parent.size and find(parent, a) == find(parent, b)):
                    if count == out.shape[0]:
                        state[0], state[1], state[2] = start, i, j
                        return count
                    out[count, 0], out[count, 1] = a, b
                    count += 1
                j += 1
            i += 1
            j = np.int64(0)
        start = stop
    state[0] = start
    return count


@kernel
def least_first(keys: Any, rows: Any, content: Any) -> None:  # pragma: no cover - compiled
    """Bring the row with the least content, uint64, to the front of each run of equal keys; all of equal length."""
    first: Any = np.int64(0)
    for i in range(1, keys.size):
        if keys[i] != keys[first]:
            first = i
        elif content[i] < content[first]:
            rows[first], rows[i] = rows[i], rows[first]
            content[first], content[i] = content[i], content[first]


@kernel
def components(parent: Any, several: Any) -> None:  # pragma: no cover - compiled
    """Let parent, int32 or int64[rows], name each row's root; set several: bool[rows] where a component has two rows.

    A root is the smallest row of its component, so one pass from below is enough.
    """
    several[:] = False
    for x in range(parent.size):
        parent[x] = parent[parent[x]]
        if parent[x] != x:
            several[x] = several[parent[x]] = True


@kernel
def unite(parent: Any, pairs: Any) -> None:  # pragma: no cover - compiled
    """Join the two rows of each pair, int64[pairs, 2]; the smaller root stays one, so components have one form."""
    for k in range(pairs.shape[0]):
        a, b = find(parent, pairs[k, 0]), find(parent, pairs[k, 1])
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b


@kernel
def jaccard(left: Any, right: Any, table: Any, tags: Any) -> Any:  # pragma: no cover - compiled
    """Return the Jaccard similarity of two sets given as uint32 arrays with repeats; 0 where both are empty.

    table, tags: uint32 and uint8[a power of two, at least twice both sizes together]; scratch.
    """
    mask = 15
    while mask + 1 < 2 * (left.size + right.size):
        mask = 2 * mask + 1
    tags[: mask + 1] = 0
    ours = theirs = both = np.int64(0)
    for x in left:
        slot = np.int64(x * np.uint32(0x9E3779B1) >> np.uint32(3)) & mask
        while tags[slot] != 0 and table[slot] != x:
            slot = (slot + 1) & mask
        if tags[slot] == 0:
            table[slot], tags[slot] = x, 1
            ours += 1
    for x in right:
        slot = np.int64(x * np.uint32(0x9E3779B1) >> np.uint32(3)) & mask
        while tags[slot] != 0 and table[slot] != x:
            slot = (slot + 1) & mask
        if tags[slot] == 0:
            table[slot], tags[slot] = x, 2
            theirs += 1
        elif tags[slot] == 1:
            tags[slot] = 3
            both += 1
    return both / (ours + theirs) if ours + theirs else 0.0


@part
def _agreement(left: Any, right: Any) -> Any:  # pragma: no cover - compiled
    same = 0
    for k in range(left.size):
        same += left[k] == right[k]
    return same / left.size


@kernel
def similarities(
    flat: Any, begins: Any, ends: Any, pairs: Any, signed: Any, parent: Any, threshold: Any, out: Any
) -> None:  # pragma: no cover - compiled
    """Write the similarity of each pair; pairs that are joined already are not looked at.

    Args:
        flat: uint32, n-gram hashes of the rows, or their signatures.
        begins: int64[pairs, 2], where each row of a pair begins in `flat`.
        ends: int64[pairs, 2], the place after.
        pairs: int64[pairs, 2], rows.
        signed: False: Jaccard of two sets. True: share of equal places of two signatures.
        parent: int32 or int64[rows], union-find: pairs at `threshold` or above are joined, and pairs that are joined
            already are left at -1. Empty: every pair is computed and none joined.
        threshold: least similarity that joins.
        out: float64[pairs], written.
    """
    longest = np.int64(0)
    for k in range(pairs.shape[0]):
        longest = max(longest, ends[k, 0] - begins[k, 0] + ends[k, 1] - begins[k, 1])
    size = 16
    while size < 2 * longest:
        size *= 2
    size = 16 if signed else size
    table, tags = np.empty(size, np.uint32), np.empty(size, np.uint8)
    for k in range(pairs.shape[0]):
        if parent.size and find(parent, pairs[k, 0]) == find(parent, pairs[k, 1]):
            out[k] = -1.0
            continue
        left, right = flat[begins[k, 0] : ends[k, 0]], flat[begins[k, 1] : ends[k, 1]]
        out[k] = _agreement(left, right) if signed else jaccard(left, right, table, tags)
        if parent.size and out[k] >= threshold:
            a, b = find(parent, pairs[k, 0]), find(parent, pairs[k, 1])
            parent[max(a, b)] = min(a, b)


@kernel
def locate(sizes: Any, blocks: Any, stride: Any, rows: Any, begins: Any, ends: Any) -> None:  # pragma: no cover
    """Find where rows of any length lie when they are stored one after another.

    Args:
        sizes: uint32[all rows, rounded up], the length of each.
        blocks: int64, where every `stride`-th row begins.
        stride: rows in a block.
        rows: int64[k], the rows wanted.
        begins: int64[k], written.
        ends: int64[k], written.
    """
    for k in range(rows.size):
        block = rows[k] // stride
        at = blocks[block]
        for row in range(block * stride, rows[k]):
            at += np.int64(sizes[row])
        begins[k], ends[k] = at, at + np.int64(sizes[rows[k]])


@kernel
def keep_first(later: Any, earlier: Any, values: Any, greedy: Any, dup: Any, best: Any) -> None:  # pragma: no cover
    """Decide by rank which rows are lost, and to which.

    Args:
        later: int64[edges], ascending.
        earlier: int64[edges], ranks below `later`.
        values: float64[edges], similarities.
        greedy: True: only a row that is kept takes others out. False: any earlier row does.
        dup: int64[ranks], -1 at first; the earlier rank that takes a row out, most similar first, then the earliest.
        best: float64[ranks], its similarity.
    """
    for k in range(later.size):
        x, y = later[k], earlier[k]
        if greedy and dup[y] >= 0:
            continue
        if dup[x] < 0 or values[k] > best[x] or (values[k] == best[x] and y < dup[x]):
            dup[x], best[x] = y, values[k]


@kernel
def apart(parent: Any, pairs: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write out: bool[k], whether the two rows of each pair, int64[k, 2], are not joined yet."""
    for k in range(pairs.shape[0]):
        out[k] = find(parent, pairs[k, 0]) != find(parent, pairs[k, 1])
