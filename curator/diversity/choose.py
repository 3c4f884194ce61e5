"""Choose m of n rows so that their Vendi score is large: greedily by order 2, then by exchanges for order 1.

Finding the best m rows is hard, so nothing here claims to be it. What is done, none of it published for G-Vendi:

1. `greedy` adds the row that raises the score of order 2 most. V_2 = m^2 / ||sum of g g^T||^2 (Frobenius), and a row's
   outer product raises that norm by 2 * cost + 1 with cost(g) = g^T (sum) g = sum over chosen h of (g . h)^2: an exact
   rank-one update. Costs only grow, so most rows need not be looked at for each choice; the result is that of looking
   at all (up to rounding), for n m d multiplications in blocks.
2. `exchange` makes the score of order 1 larger. The entropy S of C is concave with gradient - ln C, so a row outside
   with a large surprise - g^T ln(C) g is put in the place of one inside with a small one, many at a time; a step that
   does not raise the true score is halved.
3. `bound`: the same concavity bounds every choice. For any density matrix D and any m rows T, S(T) <= mean over T of
   - g^T ln(D) g (Klein's inequality), so the mean of the m largest of all rows is a limit that no choice passes. The
   limit is brought down by moving D towards the matrix of those m rows (Frank and Wolfe 1956).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from curator.diversity.kmeans import cluster
from curator.diversity.vendi import Moments, entropy

CANDIDATES = 2048  # rows with the least cost, among which the next choices are looked for
STEP = 256  # choices after which the costs of all rows are brought up to date, at the latest
ROWS = 4096  # of a block
ROUNDS = 12  # exchanges that are tried
MIXES = 15  # moves that bring the bound down
FIRST, SHRINK = 0.3, 0.8  # how far the first of them goes, and each against the one before (as good as a line search)
ENOUGH = 0.001  # a move that brings the entropy's bound down by less is the last
LAST = 0.002  # a smaller share of the choice is not exchanged


class Choice(NamedTuple):
    """rows int64[m], ascending; their score of order 1; a score that no m rows pass, NaN where not asked for."""

    rows: Any
    vendi: float
    bound: float


def choose(x: Any, m: int, how: str = "greedy") -> Choice:
    """Return m of the unit rows, float32[n, d], that lie in an order by chance: ties go to the first.

    Args:
        x: the rows.
        m: how many; all of them where there are fewer.
        how: `greedy`: steps 1 and 2 above. `random`: the first m. `kmeans`: the row nearest to each of m centroids.
    """
    n = len(x)
    if m >= n:
        rows = np.arange(n)
    elif how == "random":
        rows = np.arange(m)
    elif how == "kmeans":
        rows = medoids(x, m)
    else:
        return exchange(x, greedy(x, m))
    return Choice(rows, Moments().add(x[rows]).vendi(), math.nan)


def greedy(x: Any, m: int) -> Any:
    """Return int64[m]: rows in the order in which the score of order 2 rises most; the first row is the first."""
    n, d = x.shape
    cost, done = np.zeros(n), 0  # cost[i]: of row i by the first `done` choices
    chosen = np.empty(m, np.int64)
    size = 0
    while size < m:
        if size > done:
            _raise(cost, x, x[chosen[done:size]])
            done = size
        cost[chosen[:size]] = math.inf
        some = _cheapest(cost, CANDIDATES)
        limit = math.inf if len(some) == n - size else float(np.partition(cost, len(some))[len(some)])
        near, costs = x[some], cost[some]
        for _ in range(min(STEP, m - size)):
            at = int(np.argmin(costs))
            if costs[at] > limit and size > done:
                break
            chosen[size] = some[at]
            size += 1
            products = near @ near[at]
            costs += products.astype(np.float64) ** 2
            costs[at] = math.inf
    return chosen


def _cheapest(cost: Any, k: int) -> Any:
    """Return the k rows of least cost in their own order; ties to the first."""
    free = np.flatnonzero(np.isfinite(cost))
    if len(free) <= k:
        return free
    limit = np.partition(cost[free], k - 1)[k - 1]
    below, at = free[cost[free] < limit], free[cost[free] == limit]
    return np.sort(np.concatenate([below, at[: k - len(below)]]))


def _raise(cost: Any, x: Any, new: Any) -> None:
    for at in range(0, len(x), ROWS):
        products = x[at : at + ROWS] @ new.T
        np.square(products, out=products)
        cost[at : at + ROWS] += products.sum(1, dtype=np.float64)


def exchange(x: Any, chosen: Any) -> Choice:
    """Return a choice of order 1 at least as good as `chosen`, and the bound on every choice of as many rows."""
    n, m = len(x), len(chosen)
    inside = np.zeros(n, bool)
    inside[chosen] = True
    total = Moments().add(x[inside]).total
    best, surprise, bound = _look(x, total, m)
    share = 0.1
    for _ in range(ROUNDS):
        ins, outs = np.flatnonzero(~inside), np.flatnonzero(inside)
        count = min(max(1, int(share * m)), len(ins))
        take = ins[np.argsort(-surprise[ins], kind="stable")[:count]]
        give = outs[np.argsort(surprise[outs], kind="stable")[:count]]
        worth = surprise[take] > surprise[give]
        take, give = take[worth], give[worth]
        if not len(take):
            break
        other = total + Moments().add(x[take]).total - Moments().add(x[give]).total
        if _entropy(other, m) > best:
            total, inside[take], inside[give] = other, True, False
            best, surprise, limit = _look(x, total, m)
            bound = min(bound, limit)
        else:
            share /= 4
            if share < LAST:
                break
    rows = np.flatnonzero(inside)
    limit = math.exp(_tighten(x, total, m, bound, surprise))
    return Choice(rows, Moments().add(x[rows]).vendi(), min(limit, float(m), float(x.shape[1])))


def _tighten(x: Any, total: Any, m: int, bound: float, surprise: Any) -> float:
    """Return a bound on the entropy of every choice of m rows, below `bound`, the one at these moments."""
    for k in range(MIXES):
        toward = Moments().add(x[np.argsort(-surprise, kind="stable")[:m]]).total
        step = FIRST * SHRINK**k
        total = (1 - step) * total + step * toward
        _, surprise, limit = _look(x, total, m)
        better, bound = bound - limit, min(bound, limit)
        if 0 <= better < ENOUGH:
            break
    return bound


def _entropy(total: Any, m: int) -> float:
    values = np.linalg.eigvalsh(total / m)
    return entropy(values[values > 0])


def _look(x: Any, total: Any, m: int) -> tuple[float, Any, float]:
    """Return the entropy of the m rows with these moments, the surprise of all rows, and the bound on the entropy.

    Eigenvalues below 1 / (e m) count as that: a direction that nothing chosen has is worth what one row there adds, and
    - ln of its share would be without limit. What is added so to the trace is paid for in the bound.
    """
    values, axes = np.linalg.eigh(total / m)
    raised = np.maximum(values, 1 / (math.e * m))
    logs = -np.log(np.minimum(raised, 1))
    turned = (axes * np.sqrt(logs)).astype(np.float32)
    surprise = np.empty(len(x))
    for at in range(0, len(x), ROWS):
        part = x[at : at + ROWS] @ turned
        np.square(part, out=part)
        surprise[at : at + ROWS] = part.sum(1, dtype=np.float64)
    largest = np.partition(surprise, len(x) - m)[len(x) - m :]
    return entropy(values[values > 0]), surprise, float(largest.mean()) + math.log(float(raised.sum()))


def medoids(x: Any, m: int, iterations: int = 5) -> Any:
    """Return the row nearest to each of m centroids of k-means, and the first rows left where a cluster has none."""
    found = cluster(x, m, iterations=iterations)
    order = np.lexsort((np.arange(len(x)), -found.cosines, found.labels))
    _, first = np.unique(found.labels[order], return_index=True)
    rows = order[first]
    rest = np.setdiff1d(np.arange(len(x)), rows)
    return np.sort(np.concatenate([rows, rest[: m - len(rows)]]))
