"""Sorting by buckets gives what sorting everything at once gives."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import table
from curator.run.sorting import sorted_batches
from curator.run.whole import Stop

row = st.tuples(st.one_of(st.none(), st.text("ab\u00e9", max_size=3)), st.one_of(st.none(), st.integers(0, 3)))


@settings(deadline=None, max_examples=25)
@given(st.lists(row, max_size=40), st.integers(1, 7), st.sampled_from([1, 200, 1 << 20]))
def test_buckets_agree_with_one_sort(tmp_path_factory, rows, per_file, bucket_bytes):
    folder = tmp_path_factory.mktemp("sorting")
    schema = pa.schema([("problem_id", pa.string()), ("sample_idx", pa.int32()), ("row_id", pa.string())])
    cells = [{"problem_id": p, "sample_idx": i, "row_id": f"r{n}"} for n, (p, i) in enumerate(rows)]
    files = []
    for at in range(0, max(1, len(cells)), per_file):
        files.append(folder / f"part-{at:05d}.parquet")
        pq.write_table(pa.Table.from_pylist(cells[at : at + per_file], schema=schema), files[-1])
    view = table.TableView(files, folder / "spill")
    names = ["problem_id", "sample_idx", "row_id"]
    tables = list(sorted_batches(view, names, folder / "scratch", Stop(), bucket_bytes))
    got = [r for t in tables for r in t.to_pylist()]

    def rank(value):
        return (value is None, len(value.encode()) if isinstance(value, str) else 0, value if value is not None else 0)

    assert got == sorted(cells, key=lambda r: tuple(rank(r[n]) for n in names))
    assert not (folder / "scratch").exists()
    view.close()
