"""Data sets side by side at equal n: every measure over draws of as many rows of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from curator.diversity import features
from curator.diversity.measure import Asked, Dataset
from curator.diversity.spread import Equal, equal
from curator.diversity.texts import measures
from curator.diversity.vendi import ORDERS, spectrum, vendi
from curator.errors import InputError

AT = 5000  # rows of a draw, at most by default: the score of order 1 costs n d^2 + d^3 each time
ORDER_NAMES = {0.5: "vendi_q0.5", 1.0: "vendi", 2.0: "vendi_q2", math.inf: "vendi_qinf"}


def compare(
    found: Sequence[Dataset], asked: Asked, *, at: int | None = None, draws: int = 20
) -> tuple[int, list[Equal]]:
    """Return rows of a draw, and every measure of all data sets at as many rows each; see `spread.equal`.

    Args:
        found: the data sets; differences are to the first. One alone is measured once, as it is.
        asked: what was measured.
        at: rows of a draw; default half of the rows of the smallest, so that its draws differ, and at most `AT`.
        draws: how many.

    Raises:
        InputError: vectors of two proxies or projections, or of two lengths; fewer rows than `at`.
    """
    kinds: list[tuple[str, list[Any]]] = []
    for on in asked.vectors:
        held = [f.vectors[on] for f in found]
        features.same_source((v.source for v in held if v.source is not None), _names(found), on)
        if len({v.d for v in held if v.n}) > 1:
            sizes = " and ".join(f"{v.d} ({f.name})" for f, v in zip(found, held, strict=True))
            msg = f"'{on}' has vectors of {sizes} numbers, which cannot be compared; use one model for all"
            raise InputError(msg)
        if all(v.n for v in held):
            kinds.append((on, [v.x for v in held]))
    if asked.text is not None and all(f.texts is not None for f in found):
        kinds.append(("", [f.texts for f in found]))
    least = min((len(pool) for _, pools in kinds for pool in pools), default=0)
    m = at if at is not None else (least if len(found) == 1 else min(least // 2, AT))
    if m > least:
        few = min(found, key=lambda f: min((v.n for v in f.vectors.values()), default=f.rows))
        msg = f"{few.name} has {least:,} rows to draw from, {m:,} are asked for; lower --at"
        raise InputError(msg)
    draws = 1 if len(found) == 1 else draws
    told = [e for on, pools in kinds for e in (_at(on, pools, m, draws, asked.seed) if m else [])]
    return m, told


def _names(found: Sequence[Dataset]) -> str:
    return " and ".join(f.name for f in found)


def _at(on: str, pools: Sequence[Any], m: int, draws: int, seed: int) -> list[Equal]:
    chance = np.random.default_rng([seed, m])
    drawn: list[dict[str, list[float]]] = [{} for _ in pools]
    for _ in range(draws):
        chosen = [np.sort(chance.choice(len(pool), m, replace=False)) for pool in pools]
        for held, values in zip(drawn, _values(on, pools, chosen), strict=True):
            for name, value in values.items():
                held.setdefault(name, []).append(value)
    sizes = [len(pool) for pool in pools]
    return [equal(name, [held[name] for held in drawn], sizes, m) for name in drawn[0]]


def _values(on: str, pools: Sequence[Any], chosen: Sequence[Any]) -> list[dict[str, float]]:
    if on:
        spectra = [spectrum(pool[rows]) for pool, rows in zip(pools, chosen, strict=True)]
        return [{f"{on}_{ORDER_NAMES[q]}": vendi(s, q) for q in ORDERS} for s in spectra]
    some = [pool.take(rows) for pool, rows in zip(pools, chosen, strict=True)]
    words = min(len(s.words) for s in some)
    return [measures(s, words) for s in some]
