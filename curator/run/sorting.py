"""Sorting more rows than fit into memory: keys first, then rows bucket by bucket.

DuckDB's sort carries whole rows and needs more memory than a small limit gives once rows hold long traces. So it
sorts keys only, which says for each row which bucket of the sorted order it belongs to; one pass deals the rows into
bucket files, and each bucket, small enough by construction, is sorted by itself. Two passes, whatever the size.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curator import table
from curator.run.whole import Stop

BUCKET_BYTES = 64 << 20  # uncompressed rows of a bucket: DuckDB's default limit of 512 MB holds several copies
FLUSH_ROWS = 2_000  # rows a bucket holds back before it writes: few row groups, little memory


def sorted_batches(
    view: table.TableView, names: Sequence[str], scratch: Path, stop: Stop, bucket_bytes: int = BUCKET_BYTES
) -> Iterator[pa.Table]:
    """Yield all rows of `view` ordered by `names` (see `table.sort_key`), one table a bucket.

    Args:
        view: the rows; its connection gets a temporary table `places`.
        names: key columns, most significant first; together they must be unique for a determined order.
        scratch: folder for bucket files; made here, removed at the end.
        stop: asked between batches.
        bucket_bytes: uncompressed bytes of a bucket, about.
    """
    keys = ", ".join(table.sort_key(view.schema, names)) or "1"
    size = max(1, bucket_bytes // max(1, _bytes_per_row(view.files)))
    files = table.sql_files(view.files)[: -len(")")]
    view.con.execute(
        "create or replace temp table places as select filename, file_row_number as place, "
        f"((row_number() over (order by {keys})) - 1) // {size} as bucket "
        f"from {files}, filename = true, file_row_number = true)"
    )
    scratch.mkdir(parents=True)
    try:
        for path in _deal(view, scratch, stop):
            stop.check()
            yield view.con.sql(f"select * from {table.sql_files([path])} order by {keys}").to_arrow_table()
            path.unlink()
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _bytes_per_row(files: Sequence[Path]) -> int:
    size = rows = 0
    for path in files:
        meta = pq.read_metadata(path)
        rows += meta.num_rows
        size += sum(meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    return -(-size // max(1, rows))


def _deal(view: table.TableView, scratch: Path, stop: Stop) -> list[Path]:
    """Write each row into the file of its bucket; return the files in the order of the buckets."""
    (last,) = view.con.execute("select coalesce(max(bucket), -1) from places").fetchall()[0]
    paths = [scratch / f"bucket-{b:05d}.parquet" for b in range(last + 1)]
    writers = [pq.ParquetWriter(p, view.schema, compression="lz4") for p in paths]
    held: list[list[pa.Table]] = [[] for _ in paths]

    def flush(bucket: int) -> None:
        if held[bucket]:
            writers[bucket].write_table(pa.concat_tables(held[bucket]))
            held[bucket] = []

    try:
        for path in view.files:
            query = "select bucket from places where filename = ? order by place"
            buckets = view.con.execute(query, [str(path)]).fetchnumpy()["bucket"]
            at = 0
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(table.BATCH_ROWS, use_threads=False):
                    stop.check()
                    rows = pa.Table.from_batches([batch]).select(view.schema.names).cast(view.schema)
                    here = buckets[at : at + len(batch)]
                    at += len(batch)
                    for bucket in np.unique(here):
                        held[bucket].append(rows.take(pa.array(np.flatnonzero(here == bucket), pa.int64())))
                        if sum(map(len, held[bucket])) >= FLUSH_ROWS:
                            flush(bucket)
        for bucket in range(len(paths)):
            flush(bucket)
    finally:
        for writer in writers:
            writer.close()
    return paths
