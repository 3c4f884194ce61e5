"""Vendi scores: the effective number of different rows, from the eigenvalues of their similarities.

Friedman and Dieng, "The Vendi Score" (TMLR 2023), orders q: Pasarkar and Dieng, "Cousins of the Vendi Score" (AISTATS
2024). G-Vendi (Jung et al., arXiv 2505.20161) is the Vendi score of order 1 of unit gradient features. With rows g of
length 1 and C = sum of g g^T / n, the eigenvalues l of C are those of the similarities' matrix over n, and sum to 1:

    V_q = (sum of l^q) ^ (1 / (1 - q));   V_1 = exp(- sum of l ln l);   V_inf = 1 / largest l

C is a sum over rows: `Moments` of shards are added, in any order, and one pass over any number of rows holds d x d
numbers. V lies between 1 and min(n, d) and grows with n, so two sets are compared at equal n only (`compare`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

ORDERS = (0.5, 1.0, 2.0, math.inf)
BLOCK = 4096  # rows turned to float64 at a time
TINY = 1e-12  # an eigenvalue below this share of the largest is rounding, whichever route it came by


@dataclass
class Moments:
    """Number of rows and sum of the outer products of their unit vectors, in float64; made to be added up.

    Sums in another order differ in their last bits: about 1e-15 of a score.
    """

    n: int = 0
    zero: int = 0
    total: Any = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def d(self) -> int:
        """Numbers of a vector; 0 before the first."""
        return len(self.total)

    def add(self, rows: Any) -> Moments:
        """Add rows, float[k, d] of any length; rows of zeros have no direction and are only counted."""
        if rows.size and not self.d:
            self.total = np.zeros((rows.shape[1], rows.shape[1]))
        for at in range(0, len(rows), BLOCK):
            self._add(rows[at : at + BLOCK].astype(np.float64))
        return self

    def _add(self, x: Any) -> None:
        length = np.sqrt(np.einsum("ij,ij->i", x, x))
        there = length > 0
        if not there.all():
            x, length = x[there], length[there]
            self.zero += int(len(there) - there.sum())
        x /= length[:, None]
        self.n += len(x)
        if len(x):
            self.total += x.T @ x  # numpy sees the symmetry and computes half

    def merge(self, other: Moments) -> Moments:
        """Return the moments of both sets of rows."""
        if self.d and other.d and self.d != other.d:
            msg = f"vectors of {self.d} and of {other.d} numbers"
            raise ValueError(msg)
        total = self.total + other.total if self.d and other.d else (self.total if self.d else other.total).copy()
        return Moments(self.n + other.n, self.zero + other.zero, total)

    def spectrum(self) -> Any:
        """Return the eigenvalues of C, largest first, as `clean` leaves them; empty where there are no rows."""
        if not self.n:
            return np.zeros(0)
        return clean(np.linalg.eigvalsh(self.total / self.n), min(self.n, self.d))

    def vendi(self, q: float = 1.0) -> float:
        """Return the Vendi score of order q; NaN where there are no rows."""
        return vendi(self.spectrum(), q)


def clean(eigenvalues: Any, most: int) -> Any:
    """Return the eigenvalues that are no rounding error, largest first: at most `most` of them.

    Rows of rank r have r; orders below 1 would count every other one, as the square root of an error.
    """
    found = np.sort(eigenvalues)[::-1][:most]
    return found[found > TINY * found[0]] if len(found) else found


def vendi(eigenvalues: Any, q: float = 1.0) -> float:
    """Return the Vendi score of order q of eigenvalues that sum to 1; NaN where there are none."""
    if not len(eigenvalues):
        return math.nan
    if q == 1:
        return math.exp(entropy(eigenvalues))
    if q == math.inf:
        return float(1 / eigenvalues.max())
    return float(np.sum(eigenvalues**q) ** (1 / (1 - q)))


def entropy(eigenvalues: Any) -> float:
    """Return - sum of l ln l, in nats: the logarithm of the score of order 1."""
    return float(-np.sum(eigenvalues * np.log(eigenvalues)))


def kernel_spectrum(kernel: Any) -> Any:
    """Return the eigenvalues of a similarity matrix, float[n, n] with ones on the diagonal, over n."""
    return clean(np.linalg.eigvalsh(np.asarray(kernel, np.float64) / len(kernel)), len(kernel))


def spectrum(rows: Any) -> Any:
    """Return the eigenvalues of rows by the cheaper route: their similarities where n < d, else their moments."""
    n, d = rows.shape
    if n >= d:
        return Moments().add(rows).spectrum()
    x = rows.astype(np.float64)
    length = np.sqrt(np.einsum("ij,ij->i", x, x))
    x = x[length > 0] / length[length > 0, None]
    return kernel_spectrum(x @ x.T) if len(x) else np.zeros(0)
