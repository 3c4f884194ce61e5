"""Bounds of shortened vectors never lie below a product, so no pair is missed."""

from __future__ import annotations

import numpy as np
import pytest

from curator.near_dup import semantic


def cloud(rows: int, size: int, fall: float, seed: int) -> np.ndarray:
    """Unit vectors; the greater `fall`, the more of their length lies in few directions."""
    chance = np.random.default_rng(seed)
    v = chance.normal(size=(rows, size)) / (1 + np.arange(size)) ** fall
    half = rows // 2
    noise = chance.normal(size=(half, size)) * 10 ** chance.uniform(-5, -1, (half, 1))
    v[half:] = v[:half] * (1 + noise)
    return (v / np.linalg.norm(v, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize(("fall", "threshold"), [(0.0, 0.9), (0.5, 0.9), (1.0, 0.97), (2.0, 0.9999), (4.0, 0.999999)])
@pytest.mark.parametrize("size", [33, 160])
def test_every_pair_is_found(fall, threshold, size):
    v = cloud(2300, size, fall, 3)
    exact = v.astype(np.float64) @ v.astype(np.float64).T
    wanted = {tuple(p) for p in np.argwhere(np.triu(exact, 1) >= threshold).tolist()}
    assert len(wanted) > 100
    found, values = (np.concatenate(c) for c in zip(*semantic._exact(v, threshold), strict=True))
    assert sorted(map(tuple, found.tolist())) == sorted(wanted)
    assert np.allclose(values, exact[found[:, 0], found[:, 1]], atol=1e-12)
    for short in semantic._shortened(v, threshold):
        assert (short @ short.T >= exact - semantic.SLACK).all()


def test_a_falling_spectrum_is_shortened():
    short, wide = semantic._shortened(cloud(2300, 160, 1.0, 4), 0.97)
    assert short.shape[1] < wide.shape[1] < 160
    assert semantic._shortened(cloud(2300, 160, 0.0, 4), 0.05)[0].shape[1] == 160
