"""`sql` and the helpers for SQL that users write."""

from __future__ import annotations

import threading

import pyarrow as pa
import pytest
from tableview import ids, step

from curator import rows
from curator.errors import CheckError, InputError
from curator.ops import sql as module
from curator.ops._sql import bind, check_where, columns_of, confine, is_column, ordering
from curator.ops.sql import sql

TABLE = pa.table({
    "row_id": ["a", "b", "c"],
    "parent_id": pa.array([None, "a", None], pa.string()),
    "problem": ["one", "three", None],
    "tags": [["x", "y"], [], None],
})  # fmt: skip


def test_where_drops_with_the_query_as_evidence():
    out, dropped, _ = step(sql(where="length(problem) > 3"), TABLE)
    assert ids(out) == ["b"]
    assert [(r["row_id"], r["reason"]) for r in dropped] == [("a", "sql"), ("c", "sql")]
    assert "length(problem)" in dropped[0]["evidence"]["query"]


def test_query_may_add_columns_and_aggregate_over_all():
    out, dropped, _ = step(sql(query="select *, count(*) over () as total from rows;"), TABLE)
    assert [r["total"] for r in out] == [3, 3, 3]
    assert dropped == []


def test_query_may_make_rows_with_a_parent():
    query = "select row_id || '/' || t as row_id, row_id as parent_id, t from (select *, unnest(tags) as t from rows)"
    out, dropped, _ = step(sql(query=query), TABLE)
    assert ids(out) == ["a/x", "a/y"]
    assert ids(dropped) == ["b", "c"]


def test_a_child_that_stays_does_not_save_its_parent():
    out, dropped, _ = step(sql(where="row_id <> 'a'"), TABLE)  # b has parent_id a, from an earlier step
    assert (ids(out), ids(dropped)) == (["b", "c"], ["a"])


@pytest.mark.parametrize(("query", "told"), [
    ("select problem from rows", "must return row_id"),
    ("select 'x' as row_id from rows", "x (3 times)"),
    ("select null::varchar as row_id", "null (1 times)"),
    ("select 'new' as row_id", "new come from no row"),
    ("select 'new' as row_id, 'zzz' as parent_id", "new come from no row"),
    ("select row_id, problm from rows", 'Candidate bindings: "problem"'),
])  # fmt: skip
def test_a_query_that_breaks_the_law(query, told):
    with pytest.raises(InputError) as caught:
        step(sql(query=query), TABLE)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("query", "told"), [
    ("select * from 'secret.parquet'", "only table is rows"),
    ("select * from read_csv('/etc/passwd')", "read_csv() reads outside"),
    ("select * from rows, (select * from glob('*'))", "glob() reads outside"),
    ("select * from information_schema.tables", "only table is rows"),
    ("select * from rows where row_id in (select content from read_text('x'))", "read_text() reads outside"),
    ("copy rows to 'x.csv'", "SQL:"),
    ("drop table rows", "SQL:"),
    ("select 1; select 2", "one SELECT"),
    ("select * from rows where random() < 0.5", "differs from run to run"),
    ("select *, now() from rows", "differs from run to run"),
    ("select getenv('HOME') from rows", "differs from run to run"),
    ("select * from rows using sample 10%", "sample operator"),
    ("select * from rows where", "syntax error"),
])  # fmt: skip
def test_a_query_that_reads_elsewhere_is_refused(query, told):
    with pytest.raises(CheckError, match="SQL") as caught:
        sql(query=query)
    assert told in str(caught.value)


def test_a_query_may_name_its_parts():
    confine("with t as (select * from rows) select * from t join rows using (row_id), range(3)")


def test_exactly_one_of_query_and_where():
    for settings in ({}, {"query": "select * from rows", "where": "true"}):
        with pytest.raises(CheckError, match="exactly one"):
            sql(**settings)


def test_columns_of_an_expression():
    assert columns_of("a > 1 and rows.b = 'x' -- note") == ("a", "b")
    assert columns_of("list_filter(tags, lambda t: t > low)") == ("tags", "low")
    assert columns_of("meta.level = 3") == ("meta",)
    with pytest.raises(CheckError, match="syntax error"):
        columns_of("a >")


def test_what_check_says():
    columns = {"row_id": pa.string(), "n": pa.int32()}
    assert module.output({"query": None, "where": "n > 1"}, columns) == columns
    assert module.output({"query": "select row_id, n / 2 as half from rows"}, columns)["half"] == pa.float64()
    with pytest.raises(CheckError, match="must return row_id"):
        module.output({"query": "select n from rows"}, columns)
    with pytest.raises(CheckError, match="Candidate bindings"):
        check_where("m > 1", columns)
    with pytest.raises(CheckError, match="not a condition"):
        check_where("n + 1", columns)


def test_ordering():
    assert ordering("n_tokens") == ("n_tokens", "asc")
    assert ordering(" score * 2 DESC ") == ("score * 2", "desc")
    assert ordering("describe") == ("describe", "asc")


@pytest.mark.parametrize("name", rows.COLUMNS)
def test_the_name_of_a_shared_column_means_that_column(name):
    assert is_column(name)
    assert columns_of(f"({name})") == columns_of(name) == (name,)  # in brackets DuckDB says so, without we do
    kind = rows.COLUMNS[name].type
    assert bind(f"select {name} from rows", {name: kind}) == {name: kind}


def test_a_condition_that_is_a_column_must_be_boolean_and_there():
    check_where("correct", {"correct": pa.bool_()})
    check_where("correct", pa.schema([("correct", pa.bool_())]))
    with pytest.raises(CheckError, match="where: 'score' is double, not a condition"):
        check_where("score", {"score": pa.float64()})
    with pytest.raises(CheckError, match="correct"):
        check_where("correct", {"score": pa.float64()})


def test_questions_from_many_threads_do_not_mix():
    found = {}

    def ask(i):
        for j in range(20):
            schema = {f"a{i}": pa.int64(), f"b{j}": pa.string()}
            found[i, j] = bind(f"select a{i} + {j} as x, b{j} from rows", schema)

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 80
    assert all(v == {"x": pa.int64(), f"b{j}": pa.string()} for (_, j), v in found.items())


def test_a_mistake_leaves_nothing_behind_for_the_next_question():
    with pytest.raises(CheckError, match="nope"):
        bind("select nope from rows", {"a": pa.int64()})
    assert bind("select b from rows", {"b": pa.string()}) == {"b": pa.string()}


def test_sums_are_no_chance():
    """DuckDB lists `+` as depending on the session, for times with a zone."""
    out, _, _ = step(sql(query="select row_id, 1 + 2 - 3 * 4 as n from rows"), pa.table({"row_id": ["a"]}))
    assert out == [{"row_id": "a", "n": -9}]
    with pytest.raises(CheckError, match="differs from run to run"):
        sql(query="select row_id, age(timestamp '2020-01-01') from rows")


def test_a_query_may_name_rows_twice():
    query = "select * from rows where row_id in (select row_id from rows where problem is not null)"
    assert list(module.output({"query": query}, {f.name: f.type for f in TABLE.schema})) == TABLE.column_names
    assert ids(step(sql(query=query), TABLE)[0]) == ["a", "b"]


def test_binding_keeps_every_type():
    kinds = {
        "row_id": pa.string(), "n": pa.int32(), "x": pa.float64(), "ok": pa.bool_(), "open": pa.null(),
        "list": pa.list_(pa.string()), "end": pa.list_(pa.struct([("start", pa.int32()), ("end", pa.int32())])),
    }  # fmt: skip
    found = bind("select * from rows", kinds)
    assert found == {**kinds, "open": found["open"]}
    query = "select \"end\"[1].\"end\" + n as k, open > 1 as a, open = 'x' as b from rows"
    assert bind(query, kinds)["k"] == pa.int32()  # and a column whose type is not known fits both


def test_arithmetic_and_rows_named_twice():
    """DuckDB 2 calls `+` of a time and an interval inconsistent; and a sub-query reads `rows` again."""
    columns = {"row_id": pa.string(), "n": pa.int32()}
    for query in ("select *, n + 1 - 2 as m from rows", "select * from rows where n in (select max(n) from rows)"):
        assert "row_id" in bind(query, columns)
