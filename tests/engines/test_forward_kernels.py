"""The compiled kernels against numpy, and the drawing of tokens against `sampling.draw`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import numba  # noqa: E402

from curator.engines.fast import draw as drawing  # noqa: E402
from curator.engines.fast import kernel  # noqa: E402
from curator.engines.fast.tile import PANEL, ROWS, exp2  # noqa: E402
from curator.engines.sampling import Knobs, draw, uniform  # noqa: E402


def panels(w: np.ndarray) -> np.ndarray:
    depth, columns = w.shape
    wide = np.zeros((depth, -(-columns // PANEL) * PANEL), np.float32)
    wide[:, :columns] = w
    return np.ascontiguousarray(wide.reshape(depth, -1, PANEL).transpose(1, 0, 2))


@numba.njit
def compiled_project(x, rows, depth, w, out):  # only compiled code can call it
    kernel.project(x, rows, depth, w, out)


def project(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    p = panels(w)
    out = np.zeros((len(x), len(p) * PANEL), np.float32)
    compiled_project(x, len(x), x.shape[1], p, out)
    return out[:, : w.shape[1]]


@pytest.mark.parametrize("rows", [*range(1, 2 * ROWS + 2), 67])
@pytest.mark.parametrize(("depth", "columns"), [(1, 1), (5, PANEL), (192, 320), (33, 3 * PANEL + 1)])
def test_the_matrix_kernel_is_numpy_s_product(rows, depth, columns):
    rng = np.random.default_rng(rows)
    x = rng.standard_normal((rows, depth), np.float32)
    w = rng.standard_normal((depth, columns), np.float32)
    assert np.allclose(project(x, w), x.astype(np.float64) @ w, atol=1e-4, rtol=1e-5)


def test_a_row_s_product_does_not_depend_on_the_rows_beside_it():
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((20, 192), np.float32), rng.standard_normal((192, 64), np.float32)
    whole = project(x, w)
    for first in range(20):
        for last in range(first + 1, 21):
            assert np.array_equal(project(x[first:last].copy(), w), whole[first:last])


@numba.njit
def powers(x):
    out = np.empty_like(x)
    for i in range(x.size):
        out[i] = exp2(x[i])
    return out


def test_powers_of_two_are_good_to_float32():
    x = np.linspace(-125.9, 126.9, 2_000_003).astype(np.float32)
    exact = np.exp2(x.astype(np.float64))
    assert np.abs(powers(x) / exact - 1).max() < 3e-7
    assert powers(np.array([-1e9, 0.0, 1.0], np.float32)).tolist() == [2.0**-126, 1.0, 2.0]


def fast_draw(logits: np.ndarray, knobs: Knobs, counts: np.ndarray) -> np.ndarray:
    size = logits.shape[1]
    out, u = np.zeros(len(logits), np.int64), uniform(knobs.seed, counts).astype(np.float32)
    drawing.draw(
        logits.copy(), size, knobs.temperature, knobs.top_p, knobs.top_k, u,
        np.zeros(size, np.float32), np.zeros(size, np.int64), out,
    )  # fmt: skip
    return out


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32), temperature=st.sampled_from([0.0, 0.3, 0.6, 1.0, 3.0]),
    top_p=st.sampled_from([0.01, 0.5, 0.95, 0.999, 1.0]), top_k=st.sampled_from([0, 1, 2, 20, 1000]),
    spread=st.sampled_from([0.01, 1.0, 10.0]), banned=st.integers(0, 150),
)  # fmt: skip
def test_draws_are_those_of_the_library_s_decoder(seed, temperature, top_p, top_k, spread, banned):
    """The same random number gives the same token, but where it falls within rounding of a boundary."""
    rng = np.random.default_rng(seed)
    rows = 64
    logits = (rng.standard_normal((rows, 200)) * spread).astype(np.float32)
    logits[:, rng.permutation(200)[:banned]] = -np.inf
    full = lambda value, kind: np.full(rows, value, kind)  # noqa: E731
    knobs = Knobs(
        full(temperature, np.float32), full(top_p, np.float32), full(top_k, np.int64),
        rng.integers(0, 2**63, rows).astype(np.uint64),
    )  # fmt: skip
    counts = np.arange(rows)
    ours, theirs = fast_draw(logits, knobs, counts), draw(torch.from_numpy(logits), knobs, counts).numpy()
    assert (ours != theirs).sum() <= (1 if spread > 0.1 else 4)  # near-ties change places by rounding
    assert np.isfinite(logits[np.arange(rows), ours]).all()


def test_draws_follow_the_distribution():
    """A chi-squared test of 40,000 draws from a truncated distribution, at one in a million."""
    logits = np.array([0.0, 2.0, -1.0, 1.0, -5.0], np.float32)
    rows = 40_000
    knobs = Knobs(
        np.full(rows, 0.7, np.float32), np.full(rows, 0.95, np.float32), np.full(rows, 4, np.int64),
        np.arange(rows, dtype=np.uint64),
    )  # fmt: skip
    seen = np.bincount(fast_draw(np.tile(logits, (rows, 1)), knobs, np.zeros(rows, np.int64)), minlength=5)
    p = np.exp(logits[[1, 3, 0]] / 0.7)  # these hold 0.95 of what top-k left
    p /= p.sum()
    assert seen[2] == seen[4] == 0
    assert float(((seen[[1, 3, 0]] - rows * p) ** 2 / (rows * p)).sum()) < 27.6


def test_log_totals_are_torch_s():
    logits = np.random.default_rng(0).standard_normal((5, 40)).astype(np.float32) * 9
    out = np.zeros(5)
    drawing.log_total(logits, 30, out)
    assert out == pytest.approx(torch.logsumexp(torch.from_numpy(logits[:, :30]), -1).tolist(), abs=1e-5)
