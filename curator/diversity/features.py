"""Vectors of rows as matrices: read from list columns, told from one another by what made them, held by hash of the id.

Whatever compares vectors must know that one model made them. Beside a feature column `grad` stand `grad_proxy` and
`grad_projection`; two different pairs of them are never mixed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curator.errors import InputError
from curator.rows import is_list

Source = tuple[str | None, str | None]
SOURCE = ("_proxy", "_projection")  # what the names of the columns that tell where vectors come from end in


def is_vector(kind: pa.DataType) -> bool:
    """Whether a column of this type can hold vectors: lists of numbers."""
    return is_list(kind) and bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def vectors(column: Any, name: str, ids: Any, who: str) -> Any:
    """Return float32[rows, d] of a list column; a null row is all zeros, and d is 0 where all rows are null.

    Args:
        column: an Arrow array.
        name: of the column, for messages.
        ids: of the rows, for messages.
        who: what messages begin with.

    Raises:
        InputError: not a list of numbers, rows of different length, or NaN or infinity: names the row.
    """
    import pyarrow.compute as pc  # 0.05 s that `check` need not pay

    if not is_vector(column.type):
        msg = f"{who}: column '{name}' is {column.type}; a vector column is a list of numbers"
        raise InputError(msg)
    there = np.flatnonzero(np.asarray(column.is_valid()))
    some = column.drop_null()
    sizes = np.asarray(pc.list_value_length(some)) if len(some) else np.zeros(0, np.int64)
    size = int(sizes[0]) if len(sizes) else 0
    if (odd := np.flatnonzero(sizes != size)).size:
        row, first = ids[int(there[odd[0]])].as_py(), ids[int(there[0])].as_py()
        msg = f"{who}: '{name}' of row {row} has {sizes[odd[0]]} numbers, of row {first} {size}; all must have as many"
        raise InputError(msg)
    found = some.flatten().cast(pa.float32()).to_numpy(zero_copy_only=False).reshape(len(some), size)
    if (bad := np.flatnonzero(~np.isfinite(found).all(1))).size:
        row = ids[int(there[bad[0]])].as_py()
        msg = f"{who}: '{name}' of row {row} holds NaN or infinity; drop such rows first, or set them null"
        raise InputError(msg)
    if len(some) == len(column):
        return found
    out = np.zeros((len(column), size), np.float32)
    out[there] = found
    return out


def source_columns(on: str, names: Iterable[str]) -> list[str]:
    """Return which of the columns that tell where the vectors of column `on` come from are among `names`."""
    names = set(names)
    return [on + end for end in SOURCE if on + end in names]


def same_source(found: Iterable[Source], where: str, on: str = "grad") -> Source | None:
    """Return the one (proxy, projection) that made the vectors; None where there are none.

    Args:
        found: of each row that has a vector, or each distinct one of them.
        where: what the message begins with.
        on: the column of the vectors.

    Raises:
        InputError: vectors of two proxies or of two projections: names both.
    """
    kinds = sorted(set(found), key=str)
    if len(kinds) > 1:
        said = " and of ".join(" with ".join(str(part) for part in kind) for kind in kinds[:2])
        msg = (f"{where}: '{on}' holds features of {said}, which cannot be compared; score all rows with one proxy and "
               f"one projection, or keep one kind by {on}{SOURCE[0]} and {on}{SOURCE[1]}")  # fmt: skip
        raise InputError(msg)
    return kinds[0] if kinds else None


def sources(batch: pa.RecordBatch, on: str, there: Any) -> set[Source]:
    """Return the distinct (proxy, projection) of the rows of a batch that have a vector, bool[rows]."""
    names = source_columns(on, batch.schema.names)
    if not names or not there.any():
        return set()
    keep = pa.array(there)
    columns = [batch.column(batch.schema.get_field_index(n)).filter(keep) for n in names]
    told = pa.Table.from_arrays(columns, names).group_by(names).aggregate([]).to_pylist()
    return {(row.get(on + SOURCE[0]), row.get(on + SOURCE[1])) for row in told}


def ranks(ids: Any, seed: int) -> Any:
    """Return uint64[rows]: a number for each id that depends on nothing but the id and the seed, uniform over both."""
    from curator.fold import hashes

    found = hashes(ids, ())
    mixed = found[:, 0] ^ (found[:, 1] + np.uint64((2 * seed + 1) * 0x9E3779B97F4A7C15 % 2**64))
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):  # the finish of splitmix64
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return mixed ^ (mixed >> np.uint64(31))


@dataclass(frozen=True)
class Held:
    """The rows of a table that have a vector, in the order of a hash of their ids, or as stored.

    ids: row_id of each, an Arrow array. x: float32[n, d], rows of length 1. missing: row_ids without a vector.
    zero: how many of those have a vector of zeros. source: what made the vectors.
    """

    ids: pa.Array
    x: Any
    missing: pa.Array
    zero: int
    source: Source | None


def hold(batches: Iterable[pa.RecordBatch], on: str, who: str, *, seed: int | None = 0) -> Held:
    """Return the vectors of batches of row_id, `on` and what `source_columns` names; 4 bytes a number in memory.

    Args:
        batches: record batches; row_id is their first column.
        on: the vector column.
        who: what messages begin with.
        seed: of the hash that orders rows, so that stored order and shards do not count; None keeps the stored order.

    Raises:
        InputError: see `vectors` and `same_source`.
    """
    parts: list[Any] = []
    ids: list[Any] = []
    missing: list[Any] = []
    kinds: set[Source] = set()
    zero = 0
    for batch, x, there, zeros in read(batches, on, who):
        kinds |= sources(batch, on, there)
        names = batch.column(0).cast(pa.string())
        ids.append(names.filter(pa.array(there)))
        missing.append(names.filter(pa.array(~there)))
        parts.append(x)
        zero += zeros
    source = same_source(kinds, who, on)
    size = max((p.shape[1] for p in parts), default=0)
    named = pa.chunked_array(ids, pa.string()).combine_chunks() if ids else pa.array([], pa.string())
    x = np.empty((len(named), size), np.float32)
    order = np.arange(len(named)) if seed is None else np.argsort(ranks(named, seed), kind="stable")
    place = np.empty(len(named), np.int64)
    place[order] = np.arange(len(named))
    at = 0
    for i, part in enumerate(parts):
        if len(part):
            x[place[at : at + len(part)]] = unit(part)
        at += len(part)
        parts[i] = None
    lost = pa.chunked_array(missing, pa.string()).combine_chunks() if missing else pa.array([], pa.string())
    return Held(named.take(pa.array(order)), x, lost, zero, source)


def unit(x: Any) -> Any:
    """Return rows scaled to length 1, in their own precision; lengths are taken in float64. No row may be zero."""
    return (x / np.sqrt(np.einsum("ij,ij->i", x, x, dtype=np.float64))[:, None]).astype(x.dtype, copy=False)


def read(batches: Iterable[pa.RecordBatch], on: str, who: str) -> Iterator[tuple[pa.RecordBatch, Any, Any, int]]:
    """Yield (batch, float32[k, d] as they are, bool[rows] which rows those are, vectors that are all zeros).

    Raises:
        InputError: see `vectors`; also two batches with vectors of different length.
    """
    first: tuple[int, str] | None = None
    for batch in batches:
        ids = batch.column(0)
        column = batch.column(batch.schema.get_field_index(on))
        x = vectors(column, on, ids, who)
        there, zeros = np.zeros(len(x), bool), 0
        if x.shape[1]:
            squares = np.einsum("ij,ij->i", x, x, dtype=np.float64)
            there = squares > 0
            zeros = len(x) - column.null_count - int(there.sum())
            row = ids[int(np.argmax(np.asarray(column.is_valid())))].as_py()
            if first is not None and first[0] != x.shape[1]:
                msg = (f"{who}: '{on}' of row {row} has {x.shape[1]} numbers, of row {first[1]} {first[0]}; all must "
                       "have as many")  # fmt: skip
                raise InputError(msg)
            first = first or (x.shape[1], row)
            x = x if there.all() else x[there]
        else:
            x = np.zeros((0, 0 if first is None else first[0]), np.float32)
        yield batch, x, there, zeros
