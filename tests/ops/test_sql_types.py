"""What is said of types and functions without asking DuckDB is what DuckDB says."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator import rows
from curator.ops import _sql
from curator.ops._sql_types import SCALARS, arrow_type, sql_type

SCALAR = st.sampled_from(
    [pa.string(), pa.large_string(), pa.string_view(), pa.bool_(), pa.int8(), pa.int16(), pa.int32(), pa.int64()]
    + [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.float32(), pa.float64(), pa.binary(), pa.large_binary()]
    + [pa.binary(16), pa.date32(), pa.timestamp("us"), pa.timestamp("ns"), pa.timestamp("us", "UTC"), pa.time64("us")]
    + [pa.decimal128(5, 2), pa.decimal128(38, 0), pa.null(), pa.map_(pa.string(), pa.int32()), pa.list_(pa.int8(), 3)]
)
NAME = st.sampled_from(["a", "B", "b c", 'q"q', "end", "é"])
KINDS = st.recursive(
    SCALAR,
    lambda inner: st.one_of(
        inner.map(pa.list_), inner.map(pa.large_list),
        st.lists(st.tuples(NAME, inner), min_size=1, max_size=3, unique_by=lambda f: f[0].lower()).map(pa.struct),
    ),
    max_leaves=4,
)  # fmt: skip
NAMED = ["json", "uuid", "hugeint", "time", "timestamptz", "interval", "bit", "decimal(4,1)", "integer[3]"]


@pytest.fixture(scope="module")
def con():
    with duckdb.connect() as con:
        yield con


def asked(con, query: str):
    """(DuckDB's own type, its Arrow type) of the one column of a query."""
    result = con.execute(query)
    found = result.description[0][1]
    result.fetchall()
    return found, con.sql(query).to_arrow_reader(1).schema.field(0).type


@settings(deadline=None, max_examples=150)
@given(kind=KINDS)
def test_types_there_and_back(con, kind):
    theirs = con.from_arrow(pa.RecordBatchReader.from_batches(pa.schema([("x", kind)]), [])).types[0]
    ours = sql_type(kind)
    assert ours is None or con.sqltype(ours) == theirs
    found, arrow = asked(con, f"select null::{theirs} as x")
    assert arrow_type(found) in (None, arrow)
    assert _sql.bind("select x, 1 as y from rows", {"x": kind}) == {"x": arrow, "y": pa.int32()}


@pytest.mark.parametrize("name", [*SCALARS, *NAMED, *(f"{n}[]" for n in NAMED)])
def test_every_name_of_a_type(con, name):
    found, arrow = asked(con, f"select null::{name} as x")
    assert arrow_type(found) == arrow if name in SCALARS else arrow_type(found) in (None, arrow)
    assert _sql.bind(f"select null::{name} as x from rows", {"a": pa.string()}) == {"x": arrow}


def test_shared_columns_need_no_asking():
    assert [name for name, column in rows.COLUMNS.items() if sql_type(column.type) is None] == []


def test_functions_that_are_not_asked_about_are_there_and_not_volatile(con):
    there = {name for (name,) in con.execute("select distinct function_name from duckdb_functions()").fetchall()}
    assert there >= _sql.PURE
    assert not _sql.PURE & _sql._volatile()
