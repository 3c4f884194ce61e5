"""`sql`: one read-only SELECT over the table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator.errors import CheckError, InputError
from curator.op import Names, Split, TableFn, View, operator
from curator.ops._sql import bind, check_where, columns_of, confine, literal, one_line, shorten

if TYPE_CHECKING:
    import duckdb


def _query(settings: Mapping[str, Any]) -> str:
    where, query = settings.get("where"), settings.get("query")
    if (where is None) == (query is None):
        raise CheckError("sql: give exactly one of query and where")
    return str(query).strip().rstrip(";") if query is not None else f"select * from rows where ({where}\n)"


def _needs(settings: Mapping[str, Any]) -> Names:
    read = columns_of(settings["where"]) if settings.get("where") else ()
    return tuple(dict.fromkeys(("row_id", *read)))


def output(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Return the columns after this step, given those before it.

    Raises:
        CheckError: the query does not bind, or loses `row_id`.
    """
    if settings.get("where"):
        check_where(settings["where"], columns)
    found = bind(_query(settings), columns)
    if "row_id" not in found:
        msg = f"sql: the query must return row_id; it returns {', '.join(found)}. Add row_id to its select list"
        raise CheckError(msg)
    return found


@operator("table", effect="shapes", version=1, needs=_needs, reasons={"sql": "the query does not return the row"})
def sql(*, query: str | None = None, where: str | None = None) -> TableFn:
    """Run one SELECT over the table `rows`; rows that it does not return are dropped with reason `sql`.

    The query must keep `row_id`, unique and not null. It may make rows (`unnest`, joins of `rows` with itself):
    give them a new `row_id` and the old one as `parent_id`. It sees no other table and no file, and
    may call no function that differs from run to run. `limit` without `order by` depends on row order: order by
    row_id first.

    Args:
        query: a SELECT, e.g. `select *, length(problem) as problem_chars from rows`.
        where: short for `select * from rows where ...`.

    Raises:
        CheckError: not exactly one of the two, not one SELECT, or it reads something else.
        InputError: a column that is not there, a row_id that is lost, null or not unique.
    """
    text = _query({"query": query, "where": where})
    confine(text)

    def run(view: View) -> Split:
        import duckdb

        con = view.con
        try:
            con.execute(f"create or replace temp table sql_out as {text}")
        except duckdb.Error as e:
            msg = f"sql: {one_line(e)}"
            raise InputError(msg) from e
        names = [name for (name, *_) in con.execute("describe sql_out").fetchall()]
        _check_ids(con, names)
        seen = "select row_id from sql_out"
        if "parent_id" in names:
            seen += " union select o.parent_id from sql_out o anti join rows using (row_id)"
        told = literal('{"query": ' + _json(shorten(text, 500)) + "}")
        dropped = f"select row_id, 'sql' as reason, {told} as evidence from rows anti join ({seen}) using (row_id)"
        return Split("select * from sql_out", dropped)

    return run


def _json(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


def _check_ids(con: duckdb.DuckDBPyConnection, names: list[str]) -> None:
    if "row_id" not in names:
        msg = f"sql: the query must return row_id; it returns {', '.join(names)}. Add row_id to its select list"
        raise InputError(msg)
    bad = con.execute(
        "select row_id, count(*) as times from sql_out group by all having times > 1 or row_id is null "
        "order by all limit 3"
    ).fetchall()
    if bad:
        told = ", ".join(f"{'null' if i is None else i} ({c} times)" for i, c in bad)
        msg = f"sql: row_id must be unique and not null; {told}. For made rows: row_id || '/' || i, parent_id = row_id"
        raise InputError(msg)
    if "parent_id" in names:
        lost = con.execute(
            "select o.row_id from sql_out o anti join rows using (row_id) "
            "where o.parent_id is null or o.parent_id not in (select row_id from rows) order by 1 limit 3"
        ).fetchall()
    else:
        lost = con.execute("select row_id from sql_out anti join rows using (row_id) order by 1 limit 3").fetchall()
    if lost:
        told = ", ".join(i for (i,) in lost)
        msg = f"sql: rows {told} come from no row of the input; set parent_id to the row_id they were made from"
        raise InputError(msg)
