"""Projections: exactly what they are said to be, whoever computes them in whatever pieces; inner products kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from curator.gradients import projection as projections  # noqa: E402
from curator.gradients.projection import KINDS, Projection, projector  # noqa: E402
from curator.gradients.tensors import CountSketch, Rademacher, words  # noqa: E402

CPU = torch.device("cpu")
MASK = (1 << 64) - 1


def plain_word(key: int, counter: int) -> int:
    """splitmix64 in whole numbers: the oracle of all others."""
    z = (key + counter * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ z >> 30) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ z >> 27) * 0x94D049BB133111EB) & MASK
    return z ^ z >> 31


def plain(projection: Projection, values: list[float], start: int) -> list[float]:
    """The definition, number by number."""
    d, signs = projection.d, projection.key("signs")
    out = [0.0] * d
    for i, value in enumerate(values):
        p = start + i
        if projection.kind == "countsketch":
            sign = 1 - 2 * (plain_word(signs, p // 64) >> p % 64 & 1)
            out[(p + plain_word(projection.key("turns"), p // d)) % d] += sign * value
            continue
        for j in range(d):
            out[j] += (1 - 2 * (plain_word(signs, p * -(-d // 64) + j // 64) >> j % 64 & 1)) * value / math.sqrt(d)
    return out


def by_torch(projection: Projection):
    """What a GPU would run, on this machine."""
    return (CountSketch if projection.kind == "countsketch" else Rademacher)(projection, CPU)


def projected(engine, d: int, values: torch.Tensor, start: int = 0, cuts: tuple[int, ...] = ()) -> torch.Tensor:
    out = torch.zeros(len(values), d)
    ends = [0, *sorted({min(c, values.shape[1]) for c in cuts}), values.shape[1]]
    for a, b in zip(ends, ends[1:], strict=False):
        if b > a:
            engine.add(out, values[:, a:b], start + a)
    return engine.finish(out)


def whole_numbers(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Small whole numbers: their sums are exact in any order."""
    return torch.randint(-8, 9, (rows, columns), generator=torch.Generator().manual_seed(seed)).float()


def test_words_are_those_of_splitmix64():
    known = [6457827717110365317, 3203168211198807973, 9817491932198370423]  # of seed 1234567, published
    assert [plain_word(1234567, n) for n in (1, 2, 3)] == known
    assert [w & MASK for w in words(1234567, torch.tensor([1, 2, 3])).tolist()] == known


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 7, 64, 100])
def test_as_defined(kind, d):
    projection = Projection(kind, d, 3)
    values = whole_numbers(2, 230)
    for start in (0, 5, 1_000_003, 5_000_000_000):
        for engine in (projector(projection, CPU), by_torch(projection)):
            found = projected(engine, d, values, start)
            for row, told in zip(values.tolist(), found.tolist(), strict=True):
                assert told == pytest.approx(plain(projection, row, start), abs=1e-3)


@settings(deadline=None, max_examples=40)
@given(
    kind=st.sampled_from(KINDS), d=st.integers(1, 200), seed=st.integers(0, 2**40), start=st.integers(0, 10**7),
    n=st.integers(1, 700), cuts=st.tuples(st.integers(1, 700), st.integers(1, 700)),
)  # fmt: skip
def test_the_same_in_any_pieces_and_by_anyone(kind, d, seed, start, n, cuts):
    projection = Projection(kind, d, seed)
    values = whole_numbers(3, n, seed % 1000)
    whole = projected(projector(projection, CPU), d, values, start)
    assert torch.equal(whole, projected(projector(projection, CPU), d, values, start, cuts))
    assert torch.equal(whole, projected(by_torch(projection), d, values, start, cuts))
    assert torch.equal(whole[:1], projected(projector(projection, CPU), d, values[:1], start))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [50, 64])
def test_slices_that_begin_anywhere(kind, d):
    projection = Projection(kind, d, 1)
    values, starts = whole_numbers(6, 33), torch.tensor([7, 900, 7, 7, 64, 900])
    owners = torch.tensor([0, 0, 0, 1, 3, 3])
    for engine in (projector(projection, CPU), by_torch(projection)):
        expected, found = torch.zeros(4, d), torch.zeros(4, d)
        for row, start, owner in zip(values, starts.tolist(), owners.tolist(), strict=True):
            engine.add(expected[owner : owner + 1], row[None], start)
        engine.scatter(found, values, starts, owners)
        assert torch.equal(found, expected)


def test_threads_share_the_rows(monkeypatch):
    from curator.gradients import compiled

    monkeypatch.setattr(compiled, "_SHARE", 10)
    engine, values = projector(Projection("countsketch", 64, 0), CPU), whole_numbers(7, 300)
    one = projected(engine, 64, values, 11)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(projected(engine, 64, values, 11), one)


def test_a_run_meets_every_bucket_once():
    """What the proof of the sketch's variance needs, and more: no two of d neighbours share a bucket."""
    engine = projector(Projection("countsketch", 96, 0), CPU)
    sketched = projected(engine, 96, torch.eye(96 * 40)[:, : 96 * 40])
    assert torch.equal(sketched.abs().sum(1), torch.ones(96 * 40))
    bucket = sketched.abs().argmax(1).view(40, 96)
    assert torch.equal(bucket.sort(1).values, torch.arange(96).expand(40, 96))
    assert len({tuple(b.tolist()) for b in bucket}) > 25  # runs are turned differently
    assert abs(float(sketched.sum(1).mean())) < 0.06  # signs: 3,840 of them, deviation 0.016


def test_seeds_and_kinds_have_nothing_in_common():
    values = torch.randn(1, 20_000, generator=torch.Generator().manual_seed(1))
    found = [
        torch.nn.functional.normalize(projected(projector(Projection(kind, 512, seed), CPU), 512, values))
        for kind in KINDS for seed in (0, 1)
    ]  # fmt: skip
    for i, a in enumerate(found):
        for b in found[:i]:
            assert abs(float((a * b).sum())) < 0.25


def pool(kind: str, n: int, size: int) -> torch.Tensor:
    """Vectors of length 1, neighbours alike more and more: even ones, or with a few heavy places."""
    chance = torch.Generator().manual_seed(7)
    shared = torch.randn(n // 2, size, generator=chance).repeat_interleave(2, 0)
    mixed = torch.randn(n, size, generator=chance) + torch.linspace(0, 3, n)[:, None] * shared
    if kind == "heavy":  # every 500th place is 100 times as large, as activations of a few units are
        mixed[:, ::500] *= 100
    return torch.nn.functional.normalize(mixed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("vectors", ["even", "heavy"])
def test_inner_products_within_the_band(kind, vectors):
    """1,035 pairs: errors as large as theory says, no bias, and all inside the band of Dasgupta and Gupta (2003)."""
    n, size, d = 46, 100_000, 1024
    given = pool(vectors, n, size)
    found = projected(projector(Projection(kind, d, 0), CPU), d, given)
    a, b = np.triu_indices(n, 1)
    true, told = ((x @ x.T).double().numpy()[a, b] for x in (given, found))
    error = told - true
    assert len(error) >= 1000
    scaled = error / np.sqrt((1 + true**2) / d)
    assert 0.8 < scaled.std() < 1.2
    assert abs(scaled.mean()) < 0.15  # deviation 1 / sqrt(1035)
    assert np.abs(error).max() < projections.band(n, d)


def test_the_band():
    """eps with d = 4 ln n / (eps^2 / 2 - eps^3 / 3)."""
    eps = projections.band(46, 1024)
    assert 4 * math.log(46) / (eps**2 / 2 - eps**3 / 3) == pytest.approx(1024, rel=1e-6)
    assert eps == pytest.approx(0.185, abs=0.005)


def test_text_of_a_projection():
    assert str(Projection.parse("countsketch:1024:7")) == "countsketch:1024:7"
    for bad in ("gauss:8:0", "countsketch:0:0", "countsketch:8", ""):
        with pytest.raises(ValueError, match="."):
            Projection.parse(bad)
