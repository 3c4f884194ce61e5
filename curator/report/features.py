"""What the report draws of a run's features: read from a sample of its rows, bounded at any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator import table
from curator.errors import InputError
from curator.rows import quote

ROWS = 4000  # the first by hash of the id: a picture of more would look the same
POINTS = 1500  # of the map
DRAWS = 10  # of equal n in each round


@dataclass
class Picture:
    """What is drawn. `points`: x, y, sparse; `rounds`: round, rows so far, score, score at `equal` rows."""

    on: str
    n: int = 0
    d: int = 0
    sampled: bool = False
    vendi: float = math.nan
    spectrum: Sequence[float] = ()
    points: list[tuple[float, float, bool]] = field(default_factory=list)
    variance: tuple[float, float] = (0.0, 0.0)
    clustered: bool = False
    rounds: list[tuple[int, int, float, float]] = field(default_factory=list)
    equal: int = 0
    refused: str = ""


def column_of(schema: pa.Schema) -> str | None:
    """Return the column of features of these rows: grad, one with a name before it, or embedding."""
    from curator.diversity.features import is_vector

    names = [f.name for f in schema if is_vector(f.type)]
    grads = [n for n in names if n == "grad" or n.endswith("_grad")]
    return next(iter([*grads, *(n for n in names if n == "embedding")]), None)


def picture(con: Any, files: list[Path], schema: pa.Schema) -> Picture | None:
    """Return the pictures of a step's rows, of this schema; None where they have no features."""
    import pyarrow.compute as pc

    from curator.diversity.features import hold, source_columns
    from curator.diversity.vendi import spectrum as spectrum_of
    from curator.diversity.vendi import vendi

    on = column_of(schema)
    if on is None or "row_id" not in schema.names:
        return None
    source = table.sql_files(files)
    ((there,),) = con.execute(f'select count("{on}") from {source}').fetchall()
    extra = [n for n in ("round", "cluster_sparse") if n in schema.names]
    names = ["row_id", on, *source_columns(on, schema.names), *extra]
    query = (
        f"select {', '.join(map(quote, names))} from {source} where row_id in (select row_id from {source} "
        f"where {quote(on)} is not null order by md5(row_id::varchar), row_id limit {ROWS})"
    )
    rows = con.sql(query).to_arrow_table()
    found = Picture(on, sampled=there > ROWS, clustered="cluster_sparse" in extra)
    try:
        held = hold(rows.to_batches(), on, "report")
    except InputError as e:
        found.refused = str(e).removeprefix("report: ")
        return found
    if not len(held.x):
        return None
    found.n, found.d = held.x.shape
    found.spectrum = spectrum_of(held.x)
    found.vendi = vendi(found.spectrum)
    at = pc.index_in(held.ids, rows["row_id"].combine_chunks()) if extra else None
    values = {n: rows[n].take(at).to_pylist() for n in extra}
    _map(found, held.x, values.get("cluster_sparse"))
    if "round" in values:
        _rounds(found, held.x, values["round"])
    return found


def _map(found: Picture, x: Any, sparse: list[bool | None] | None) -> None:
    """The first two principal components; each points to where its largest coefficient is positive."""
    import numpy as np

    if len(x) < 3 or x.shape[1] < 2:
        return
    centred = x.astype(np.float64) - x.mean(0, dtype=np.float64)
    values, axes = np.linalg.eigh(centred.T @ centred)
    axes = axes[:, :-3:-1]
    axes *= np.sign(axes[np.abs(axes).argmax(0), [0, 1]])
    total = values.sum()
    if total <= 0:
        return
    found.variance = (float(values[-1] / total), float(values[-2] / total))
    marked = [bool(s) for s in sparse] if sparse else [False] * len(x)
    found.points = [(float(a), float(b), m) for (a, b), m in zip(centred @ axes, marked, strict=True)][:POINTS]


def _rounds(found: Picture, x: Any, rounds: list[int | None]) -> None:
    """The score of the rows of all rounds so far, and its mean over draws of as many rows as the first round has."""
    import numpy as np

    from curator.diversity.vendi import spectrum, vendi

    number = np.array([-1 if r is None else r for r in rounds])
    seen = sorted(set(number[number >= 0].tolist()))
    if len(seen) < 2:
        return
    found.equal = int((number == seen[0]).sum())
    chance = np.random.default_rng(0)
    for r in seen:
        rows = np.flatnonzero((number >= 0) & (number <= r))
        draws = [chance.choice(rows, found.equal, replace=False) for _ in range(DRAWS if r > seen[0] else 1)]
        same = float(np.mean([vendi(spectrum(x[d])) for d in draws]))
        found.rounds.append((r, len(rows), vendi(spectrum(x[rows])), same))
