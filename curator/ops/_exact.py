"""Exact duplicates: equal 128-bit hashes of normalised texts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from curator import fold
from curator.op import Names, View
from curator.ops import _against


def hashes(batch: pa.RecordBatch, columns: Names, names: Names) -> tuple[Any, Any]:
    """Return (uint64[rows, 2] hashes over all columns, bool[rows] whether all of them are null)."""
    import numpy as np

    total = np.zeros((batch.num_rows, 2), np.uint64)
    empty = np.ones(batch.num_rows, bool)
    for column in columns:
        array = batch.column(batch.schema.get_field_index(column))
        empty &= np.asarray(array.is_null())
        total = total * np.uint64(0x9E3779B97F4A7C15) + fold.hashes(array, names)
    return total, empty


def payload(batch: pa.RecordBatch, columns: Names, names: Names) -> Any:
    """Return what an index keeps of each row: the 16 bytes of its hash, null where all columns are."""
    import numpy as np
    import pyarrow.compute as pc  # 0.05 s that `check` need not pay

    total, empty = hashes(batch, columns, names)
    raw = pa.py_buffer(np.ascontiguousarray(total).tobytes())
    fixed = pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), batch.num_rows, [None, raw])
    return pc.if_else(pa.array(empty), None, fixed.cast(pa.binary()))


def decide(view: View, columns: Names, names: Names, keep: str, index: Iterable[pa.RecordBatch]) -> None:
    """Fill dedup_result as `near_dup.clusters.decide` does, and dedup_index(row_id, h1, h2) on the way.

    16 bytes a row beside its id, which DuckDB may spill. A row whose columns are all null is never a duplicate.
    """
    con = view.con
    _fill(con, "dedup_keys", view.batches(["row_id", *columns]), columns, names)
    _fill(con, "dedup_outside", index, columns, names)
    order = "row_id" if keep.strip() == "row_id" else f"{keep}\n, row_id"
    con.execute(f"""
        create or replace table dedup_result as
        with found as (
            select row_id, first_value(row_id) over w as first, h1, h2,
                (count(*) over (partition by dedup_h1, dedup_h2))::int as cluster_size
            from (select rows.*, h1 as dedup_h1, h2 as dedup_h2, h1, h2 from rows join (
                select * from dedup_keys semi join (
                    select h1, h2 from (from dedup_keys union all by name from dedup_outside) group by all
                    having count(*) > 1) using (h1, h2)) as keys using (row_id)) as rows
            window w as (partition by dedup_h1, dedup_h2 order by {order})),
        outside as (select h1, h2, min(row_id) as index_id from dedup_outside group by all)
        select row_id, case when index_id is not null then index_id when row_id <> first then first end as dup_of,
            coalesce(index_id, first) as cluster_id, case when dup_of is not null then 1.0 end as similarity, cluster_size,
            index_id is not null as outside
        from found left join outside using (h1, h2) where cluster_size > 1 or index_id is not null;
        drop table dedup_keys; drop table dedup_outside""")  # noqa: E501


def _fill(con: Any, table: str, batches: Iterable[pa.RecordBatch], columns: Names, names: Names) -> None:
    import numpy as np

    con.execute(f"create or replace table {table} (row_id varchar, h1 ubigint, h2 ubigint)")
    for batch in batches:
        if _against.PAYLOAD in batch.schema.names:
            held = batch.column(1)
            empty = np.asarray(held.is_null())
            total = np.frombuffer(b"".join(held.drop_null().to_pylist()), np.uint64).reshape(-1, 2)
            ids = batch.column(0).filter(pa.array(~empty))
        else:
            total, empty = hashes(batch, columns, names)
            total = total[~empty]
            ids = batch.column(batch.schema.get_field_index("row_id")).filter(pa.array(~empty))
        con.register("dedup_batch", pa.table({"row_id": ids, "h1": total[:, 0], "h2": total[:, 1]}))
        con.execute(f"insert into {table} select * from dedup_batch")
        con.unregister("dedup_batch")
