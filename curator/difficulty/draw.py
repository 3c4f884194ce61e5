"""Drawing by number and by share, repeatable: chance is a hash of the seed and of what is drawn for."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def chance(seed: int, *parts: object) -> float:
    """Return a number in [0, 1) that depends on the seed and the parts alone."""
    text = "\x00".join(map(str, (seed, *parts)))
    return int.from_bytes(hashlib.md5(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64


def length_weights(lengths: Sequence[float]) -> list[float]:
    """Return the weight of each length within its domain: 2^-rank, rank 0 the longest, summing to 1 (s1K)."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    raw = {i: 2.0**-rank for rank, i in enumerate(order)}
    return [raw[i] / sum(raw.values()) for i in range(len(lengths))]


def by_length(
    domains: Mapping[K, Sequence[str]], n: int, seed: int, weights: Mapping[K, float] | None = None
) -> list[tuple[str, K]]:
    """Draw n rows as s1K does: a domain at random, in it a row with weight 2^-rank; an emptied domain is left out.

    The rule is that of simplescaling/s1 (`data/filter.ipynb`); its generator is not seeded, so its thousand rows cannot
    be drawn again. Ranks are those of the rows that are left.

    Args:
        domains: name -> ids, the longest first.
        n: rows to draw; all of them where there are fewer.
        seed: of the draws.
        weights: of the domains; all alike where None. A domain without one, or with 0, is never drawn.
    """
    left = {d: list(ids) for d, ids in domains.items() if ids and (weights is None or weights.get(d, 0) > 0)}
    names = sorted(left, key=str)
    out: list[tuple[str, K]] = []
    while names and len(out) < n:
        domain = _pick(names, [1.0 if weights is None else weights[d] for d in names], chance(seed, len(out), "domain"))
        rows = left[domain]
        out.append((rows.pop(_rank(len(rows), chance(seed, len(out), "row"))), domain))
        if not rows:
            names.remove(domain)
    return out


def _pick(names: Sequence[K], weights: Sequence[float], u: float) -> K:
    passed, mark = 0.0, u * sum(weights)
    for name, weight in zip(names, weights, strict=True):
        passed += weight
        if mark < passed:
            return name
    return names[-1]


def _rank(count: int, u: float) -> int:
    """Return the rank in 0 .. count - 1 with weights 2^-rank: how often what is left can be halved."""
    whole = 2.0 - 2.0 ** (1 - count)
    passed = 0.0
    for rank in range(min(count, 60)):
        passed += 2.0**-rank
        if u * whole < passed:
            return rank
    return min(count, 60) - 1


def shares(sizes: Mapping[K, int], n: int) -> dict[K, int]:
    """Split n over strata in proportion to their sizes by largest remainders; ties to the larger, then by name.

    No stratum gets more than it has.
    """
    total = sum(sizes.values())
    if total == 0:
        return dict.fromkeys(sizes, 0)
    n = min(n, total)
    out = {name: size * n // total for name, size in sizes.items()}
    order = sorted(sizes, key=lambda name: (-(sizes[name] * n % total), -sizes[name], str(name)))
    for name in order[: n - sum(out.values())]:
        out[name] += 1
    return out
