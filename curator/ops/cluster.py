"""`cluster`: spherical k-means of a vector column, and which clusters are sparse."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pyarrow as pa

from curator import rows
from curator.bounds import Ge
from curator.errors import CheckError, InputError
from curator.near import hint
from curator.op import Split, TableFn, View, operator
from curator.ops import _against, _features
from curator.ops._sql import with_columns

if TYPE_CHECKING:
    from curator.diversity.features import Held
    from curator.diversity.kmeans import Clusters

ADDS = ("cluster_id", "cluster_size", "cluster_cosine", "cluster_sparse")


def check(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> None:
    """Check the type of the vector column. Raises CheckError."""
    _features.check(settings, columns, "cluster")


def inputs(settings: Mapping[str, Any]) -> list[str]:
    """Return the files of the pool, for the step's key."""
    return _against.files(settings["against"], "cluster")


@operator(
    "table",
    effect="marks",
    version=1,
    needs=_features.needs,
    adds=ADDS,
    reports={
        "clusters": "select cluster_sparse as sparse, count(distinct cluster_id) as clusters, count(*) as rows, "
        "min(cluster_size) as smallest, median(cluster_size) as median, max(cluster_size) as largest, "
        "round(avg(cluster_cosine), 3) as mean_cosine from rows group by all order by all"
    },
)
def cluster(
    *,
    on: str = "grad",
    k: Annotated[int, Ge(1)] | None = None,
    iterations: Annotated[int, Ge(1)] = 20,
    init: Literal["hash", "first_k"] | None = None,
    ratio: float = 0.5,
    against: str | list[str] | None = None,
    legacy: bool = False,
    seed: int | None = None,
) -> TableFn:
    """Mark each row with its cluster by cosine, and whether that cluster is sparse.

    Spherical k-means (Dhillon and Modha 2001) with the settings of Prismatic Synthesis (arXiv 2505.20161, its released
    code): a tenth as many clusters as rows, 20 iterations, the smaller half of the clusters is sparse. Where the
    release depends on the order of rows, or on luck, ours does not (unpublished, ours): the first centroids are the
    first rows by hash(row_id, seed), an empty cluster is given the row that fits worst, and the ceil(ratio * k)
    smallest clusters are sparse, ties to the smaller number, where the released rule may select none. `legacy: true`
    is the release.

    The result depends on no order of rows or shards. Rows whose vector is null or zero get nulls and are counted. All
    vectors are held in memory, 4 bytes a number (twice that while they are read). Vectors of two proxies or projections
    are refused (`grad_proxy`, `grad_projection`).

    With `against`, the pool there is clustered and the rows are only assigned to its centroids: sizes, and what is
    sparse, are the pool's. A step `select: {where: cluster_sparse}` then keeps what falls where the pool is thin.

    Args:
        on: column of vectors, such as those of `score: {kind: gradient}`, or an embedding.
        k: clusters; default a tenth of the rows, at least 2.
        iterations: updates of the centroids, at most; it ends early where none moves.
        init: first centroids: `hash`, or `first_k`, the first rows as stored. Default hash; with `legacy` first_k.
        ratio: share of the clusters that counts as sparse, 0 to 1; 0.5 in the released code.
        against: the pool: a folder or files of Parquet with row_id and the same column.
        legacy: the released code to the letter: int(0.1 n) clusters, zero centroids for empty ones, labels from before
            the last update, sparse strictly below the size at place int(k * ratio).
        seed: of the hash; default the pipeline's seed.

    Raises:
        CheckError: a ratio out of range.
        InputError: more clusters than rows with a vector, vectors that cannot be compared, a pool that cannot be read.
    """
    if not 0 <= ratio <= 1 or (legacy and ratio == 1):
        msg = f"cluster: ratio is {ratio}, it must lie between 0 and 1{' (below 1 with legacy)' if legacy else ''}"
        raise CheckError(msg)
    order = None if (init or ("first_k" if legacy else "hash")) == "first_k" else seed or 0

    def run(view: View) -> Split:
        from curator.diversity import features, kmeans

        held = _features.held(view, on, "cluster", order)
        pool = held
        if against is not None:
            files = _against.files(against, "cluster")
            pool = features.hold(_pool(files, on), on, f"cluster: {_name(files)}", seed=order)
            _comparable(held, pool, on, _name(files))
        n = len(pool.x)
        counts = {"clusters": 0.0, "no_vector": float(len(held.missing)), "zero_vectors": float(held.zero)}
        marks: list[Any] = [pa.array([], rows.COLUMNS[name].type) for name in ADDS]
        if n or against is not None:
            number = _number(k, n, legacy=legacy)
            found = kmeans.cluster(pool.x, number, iterations=iterations, legacy=legacy)
            counts |= {"clusters": float(number), "iterations": float(found.iterations), "pool": float(n),
                       "empty": float((found.sizes == 0).sum())}  # fmt: skip
            marks = _marks(held, pool, found, ratio, legacy=legacy)
        view.give_back()
        _features.told(view, "cluster_told", {"row_id": held.ids, **dict(zip(ADDS, marks, strict=True))})
        columns = with_columns(view.schema, {name: f"t.{name}" for name in ADDS})
        return Split(f"select {columns} from rows left join cluster_told t using (row_id)", None, counts)

    return run


def _number(k: int | None, n: int, *, legacy: bool) -> int:
    """Return how many clusters n rows are cut into. Raises InputError."""
    from curator.diversity.kmeans import count

    number = k if k is not None else (count(n, legacy=legacy) if legacy else min(n, count(n)))
    if not 1 <= number <= n:
        way = "set k" if k is None else f"lower k to {n} or less"
        msg = f"cluster: {number} clusters of {n} rows with a vector cannot be; {way if n else 'the pool has none'}"
        raise InputError(msg)
    return number


def _marks(held: Held, pool: Held, found: Clusters, ratio: float, *, legacy: bool) -> list[Any]:
    """Return the columns `ADDS` of the rows of `held`."""
    import numpy as np

    from curator.diversity import kmeans

    labels, cosines = found.labels, found.cosines
    order = np.lexsort((np.arange(len(labels)), -cosines, labels))
    numbers, first = np.unique(labels[order], return_index=True)
    stands = np.full(len(found.sizes), -1)
    stands[numbers] = order[first]
    sparse = kmeans.sparse(found.sizes, ratio, legacy=legacy)
    if held is not pool:
        labels, cosines = kmeans.nearest(held.x, found.centroids, joinable=None if legacy else found.sizes > 0)
    names = pool.ids.take(pa.array(stands[labels], mask=stands[labels] < 0))
    return [names, pa.array(found.sizes[labels].astype(np.int32)), pa.array(cosines), pa.array(sparse[labels])]


def _pool(files: list[str], on: str) -> Iterator[pa.RecordBatch]:
    """Yield the batches of a pool. Raises InputError where a file is not whole Parquet or lacks a column."""
    import pyarrow.parquet as pq

    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                wanted = _features.columns_of(on, names)
                lacking = [n for n in wanted if n not in names]
                if lacking:
                    msg = f"cluster: the pool {path} has no column {lacking[0]}{hint(lacking[0], names)}"
                    raise InputError(msg)
                for batch in file.iter_batches(2048, columns=wanted, use_threads=False):
                    yield batch.select(wanted)
        except (OSError, pa.ArrowInvalid) as e:
            first = str(e).splitlines()[0][:160] if str(e) else type(e).__name__
            msg = f"cluster: cannot read the pool {path}: not a whole Parquet file ({first})"
            raise InputError(msg) from e


def _name(files: list[str]) -> str:
    return Path(files[0]).name if len(files) == 1 else f"{Path(files[0]).parent.name} ({len(files)} files)"


def _comparable(held: Held, pool: Held, on: str, name: str) -> None:
    """Refuse a pool whose vectors another proxy made, or of another length. Raises InputError."""
    from curator.diversity.features import same_source

    same_source((s for s in (held.source, pool.source) if s is not None), f"cluster: with the pool {name}", on)
    a, b = held.x.shape[1], pool.x.shape[1]
    if a and b and a != b:
        msg = f"cluster: '{on}' has {a} numbers, in the pool {name} {b}; use one model for both"
        raise InputError(msg)
