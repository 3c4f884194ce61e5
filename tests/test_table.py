import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import shards, table
from curator.errors import InputError, OperatorError, OutputError
from curator.shards import ShardWriter, conform


def rows(n, width=1, start=0):
    ids = [f"r{i}" for i in range(start, start + n)]
    return pa.table({"row_id": pa.array(ids, pa.string()), "text": pa.array(["x" * width] * n, pa.string())})


@given(
    sizes=st.lists(st.integers(0, 9), max_size=6),
    per_shard=st.integers(1, 7),
    start=st.integers(0, 12),
    count=st.one_of(st.none(), st.integers(0, 12)),
)
@settings(deadline=None, max_examples=40)
def test_shards_hold_the_stream_in_order_and_slices_are_slices(tmp_path_factory, sizes, per_shard, start, count):
    folder = tmp_path_factory.mktemp("shards")
    out = ShardWriter(folder, schema=rows(0).schema, who="test", rows=per_shard)
    stream = [rows(n, start=sum(sizes[:i])) for i, n in enumerate(sizes)]
    for piece in stream:
        out.add(piece)
    parts = out.close()
    whole = pa.concat_tables([rows(0), *stream])
    assert pa.concat_tables([table.read_table(p.path) for p in parts]).equals(whole)
    assert all(p.rows <= per_shard for p in parts)
    assert parts == shards.parts(folder)
    path = folder / "whole.parquet"
    table.write_table(whole, path)
    assert table.read_table(path, start, count).equals(whole.slice(start, count))


def test_shards_and_row_groups_are_bounded_by_bytes(tmp_path):
    out = ShardWriter(tmp_path, schema=rows(0).schema, who="test", size=100_000)
    out.add(rows(1000, width=1000))
    sizes = [p.rows for p in out.close()]
    assert sum(sizes) == 1000
    assert max(sizes) <= 100
    table.write_table(rows(40, width=1 << 20), tmp_path / "long.parquet")
    meta = pq.read_metadata(tmp_path / "long.parquet")
    assert max(meta.row_group(i).num_rows for i in range(meta.num_row_groups)) <= 16


def test_one_huge_row_is_a_shard_like_any_other(tmp_path):
    out = ShardWriter(tmp_path, schema=rows(0).schema, who="test")
    out.add(rows(1, width=50_000_000))
    out.add(rows(3, start=1))
    parts = out.close()
    assert [p.rows for p in parts] == [1, 3]
    assert len(table.read_table(parts[0].path)["text"][0].as_py()) == 50_000_000


def test_the_schema_of_a_source_widens_and_older_shards_follow(tmp_path):
    out = ShardWriter(tmp_path, schema=None, who="test", rows=2)
    out.add(pa.table({"a": pa.nulls(2), "n": [1, 2]}))
    out.add(pa.table({"a": ["x", None], "n": [0.5, 1.0], "late": [1, 2]}))
    parts = out.close()
    schema = pa.schema({"a": pa.string(), "n": pa.float64(), "late": pa.int64()})
    assert table.schema_of([p.path for p in parts]).equals(schema)
    assert table.read_table(parts[0].path).to_pylist() == [
        {"a": None, "n": 1.0, "late": None},
        {"a": None, "n": 2.0, "late": None},
    ]
    with pytest.raises(InputError, match="do not share one schema: n is string, not double"):
        out.add(pa.table({"a": ["x"], "n": ["many"], "late": [1]}))


def test_conform_casts_but_never_invents():
    schema = pa.schema({"n": pa.int32(), "t": pa.string()})
    fits = pa.table({"t": pa.nulls(1), "n": pa.array([7], pa.int64())})
    assert conform(fits, schema, "it").to_pylist() == [{"n": 7, "t": None}]
    with pytest.raises(
        OperatorError, match="it: columns do not fit its declaration: lost t; returned the undeclared u"
    ):
        conform(pa.table({"n": [1], "u": [1]}), schema, "it")
    with pytest.raises(OperatorError, match="'n' is int64, declared int32"):
        conform(pa.table({"n": [2**40], "t": ["x"]}), schema, "it")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "part-00000.parquet"
    table.write_table(rows(2), path)

    def refuse(_fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(table.os, "fsync", refuse)
    with pytest.raises(OutputError, match=f"cannot write {path}: No space left on device"):
        table.write_table(rows(5), path)
    with pytest.raises(OutputError, match="No space left"):
        table.write_bytes(tmp_path / "receipt.json", b"{}")
    assert [p.name for p in tmp_path.iterdir()] == ["part-00000.parquet"]
    assert table.read_table(path).num_rows == 2


def test_a_view_streams_in_stored_order_while_its_connection_works(tmp_path):
    out = ShardWriter(tmp_path, schema=rows(0).schema, who="test", rows=10)
    out.add(rows(35))
    view = table.TableView([p.path for p in out.close()], tmp_path / "spill")
    seen = []
    for batch in view.batches(["row_id"]):
        assert batch.schema.names == ["row_id"]
        seen += batch.column(0).to_pylist()
        assert view.con.execute("select count(*) from rows").fetchall() == [(35,)]
    assert seen == [f"r{i}" for i in range(35)]
    view.close()


@pytest.mark.parametrize(("width", "most"), [(10, table.BATCH_ROWS), (1 << 16, 70), (table.BATCH_BYTES, 1)])
def test_batches_are_bounded_by_bytes(tmp_path, width, most):
    """Of the columns that are read, lists and structs too; the others do not count."""
    text = pa.array([f"{i}" + "x" * width for i in range(100)], pa.string())
    nested = pa.StructArray.from_arrays([pa.array([["a"]] * 100), text], ["tags", "text"])
    wide = rows(100).set_column(1, "nested", nested)
    table.write_table(wide, tmp_path / "part.parquet")
    view = table.TableView([tmp_path / "part.parquet"], tmp_path / "spill")
    sizes = [b.num_rows for b in view.batches(["row_id", "nested"])]
    assert sum(sizes) == 100
    assert max(sizes) <= most
    assert [b.num_rows for b in view.batches(["row_id"])] == [100]
    view.close()


def test_a_view_spills_instead_of_growing(tmp_path):
    table.write_table(rows(200_000, width=200), tmp_path / "part-00000.parquet")
    view = table.TableView([tmp_path / "part-00000.parquet"], tmp_path / "spill", memory="60MB", threads=1)
    count = view.con.execute("select count(*) from (select *, row_number() over (order by md5(row_id)) from rows)")
    assert count.fetchall() == [(200_000,)]
    with pytest.raises(duckdb.Error):
        view.con.execute("select nothing from rows")
    view.close()
