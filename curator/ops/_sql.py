"""SQL that users write: parsed before it runs, confined to `rows`, its mistakes told in one line.

DuckDB's own parser gives the syntax tree (`json_serialize_sql`), so nothing here guesses at SQL by patterns.
A connection that reads Parquet cannot switch file access off, so user SQL is confined by its tree instead: the only
table is `rows`, the only table functions are those that make rows out of values.
"""

from __future__ import annotations

import importlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

from curator import rows
from curator.errors import CheckError
from curator.ops._sql_types import NULL, arrow_type, sql_type
from curator.rows import quote

if TYPE_CHECKING:  # 0.1 s that `check` need not pay where no SQL is written
    import duckdb

T = TypeVar("T")

TABLE_FUNCTIONS = frozenset({"unnest", "range", "generate_series"})
# Not volatile by DuckDB's own list, but they read the environment, the configuration or (age of one time) the clock.
OUTSIDE = frozenset({"getenv", "current_setting", "getvariable", "age"})


# What pages are mostly made of; for others DuckDB's own list is asked, which takes as long as all other questions.
_PURE = (
    "+ - * / // % ^ ** || ~~ !~~ ~~* !~~* ~ & | << >> @ abs ceil floor round trunc sqrt ln log log2 log10 exp pow "
    "power sign greatest least nullif isnan isfinite isinf length len strlen lower upper trim ltrim rtrim left right "
    "substring substr replace reverse repeat split string_split concat concat_ws contains starts_with ends_with "
    "prefix suffix position strpos instr regexp_matches regexp_full_match regexp_replace regexp_extract "
    "regexp_extract_all like_escape list_value list_contains list_has list_aggregate list_sum list_avg list_min "
    "list_max list_count list_filter list_transform list_sort list_distinct list_extract list_slice list_position "
    "array_extract array_length array_slice array_to_string list_has_any list_has_all flatten unnest struct_pack "
    "struct_extract row json_extract json_extract_string json_array_length to_json md5 count count_star sum avg min "
    "max any_value arg_min arg_max bool_and bool_or median mode quantile_cont stddev stddev_pop stddev_samp variance "
    "var_pop var_samp string_agg list array_agg first last row_number rank dense_rank lag lead ntile percent_rank "
    "cume_dist first_value last_value nth_value array_concat list_concat levenshtein jaccard chr ascii unicode format "
    "printf json_valid list_unique list_reduce regexp_split_to_array string_to_array strip_accents nfc_normalize "
    "min_by max_by"
)
PURE = frozenset(_PURE.split())


def literal(value: str) -> str:
    """Return `value` as an SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def uniform(seed: int, key: str) -> str:
    """Return SQL for a UBIGINT that is uniform over `key` and depends on nothing but `seed` and `key`.

    MD5, not DuckDB's `hash`: the latter may change between DuckDB versions, and with it the sample.
    """
    return f"md5_number_lower(concat({int(seed)}, ':', {key}))"


def one_line(error: duckdb.Error) -> str:
    """Return DuckDB's message without its picture of the query; candidate bindings stay."""
    text = str(error).split("\n\nLINE")[0]
    return re.sub(r"\s+", " ", text).strip()


_ASKING = threading.Lock()


def _duckdb() -> Any:
    """Return DuckDB's compiled part alone, which has a name of its own; the rest takes 0.1 s that few pages need."""
    name = "_duckdb" if find_spec("_duckdb") else "duckdb"
    return importlib.import_module(name)


@lru_cache(maxsize=1)
def _connection() -> duckdb.DuckDBPyConnection:
    found: duckdb.DuckDBPyConnection = _duckdb().connect(config={"threads": 1})  # 25 ms each, so one is enough; more
    return found  # threads only cost more


def _ask(question: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
    """Put a question to the one connection of this process that parses and binds; it holds no rows."""
    with _ASKING:
        return question(_connection())


@lru_cache(maxsize=256)
def tree(query: str) -> dict[str, Any]:
    """Parse one SELECT; return its syntax tree.

    Raises:
        CheckError: a syntax error, more than one statement, or not a SELECT.
    """
    ask = "select json_serialize_sql(?::varchar)"
    ((text,),) = _ask(lambda con: con.execute(ask, [query]).fetchall())
    found: dict[str, Any] = json.loads(text)
    if found["error"]:
        place = f" at character {found['position']}" if found.get("position") else ""
        msg = f"SQL: {found['error_message']}{place}, in: {shorten(query)}"
        raise CheckError(msg)
    if len(found["statements"]) != 1:
        msg = f"SQL: one SELECT is allowed, there are {len(found['statements'])}, in: {shorten(query)}"
        raise CheckError(msg)
    tree_: dict[str, Any] = found["statements"][0]["node"]
    return tree_


def shorten(text: str, limit: int = 120) -> str:
    """Return `text` on one line, cut after `limit` characters."""
    text = re.sub(r"\s+", " ", text).strip()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of a syntax tree, parents first."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from nodes(child)


@lru_cache(maxsize=1)
def _volatile() -> frozenset[str]:
    # DuckDB 2 lists even `+` and `range`, for times with a zone: those hang on the session, other operands do not.
    ask = (
        "select distinct function_name from duckdb_functions() where stability in "
        "('VOLATILE', 'CONSISTENT_WITHIN_QUERY') and function_name <> 'error' and "
        "not list_has_any(parameter_types, ['TIMESTAMP WITH TIME ZONE', 'TIMESTAMPTZ_NS'])"
    )
    found = _ask(lambda con: con.execute(ask).fetchall())
    return frozenset(name for (name,) in found) | OUTSIDE


def confine(query: str) -> None:
    """Refuse SQL that reads anything but `rows`, or whose result two runs would not share.

    Raises:
        CheckError: names the table, function or clause, and what to write instead.
    """
    root = tree(query)
    named = {e["key"] for n in nodes(root) for e in n.get("cte_map", {}).get("map", ()) if "key" in e}
    for node in nodes(root):
        kind = node.get("type")
        if kind == "BASE_TABLE" and (node["table_name"] not in {"rows", *named} or node["schema_name"]):
            msg = f"SQL: table '{node['table_name']}' is not there; the only table is rows"
            raise CheckError(msg)
        if kind == "TABLE_FUNCTION" and node["function"].get("function_name") not in TABLE_FUNCTIONS:
            msg = f"SQL: {node['function'].get('function_name')}() reads outside the table; the only table is rows"
            raise CheckError(msg)
        if node.get("class") == "FUNCTION" and (name := node.get("function_name")) not in PURE and name in _volatile():
            msg = f"SQL: {name}() differs from run to run; use md5(row_id) for chance, or a setting"
            raise CheckError(msg)
        if node.get("sample"):
            msg = "SQL: TABLESAMPLE differs from run to run; use the sample operator"
            raise CheckError(msg)


def is_column(expression: str) -> bool:
    """Whether an expression is nothing but a shared column: such a one means itself, and DuckDB need not be asked."""
    return expression in rows.COLUMNS


def columns_of(expression: str) -> tuple[str, ...]:
    """Return the columns a scalar SQL expression reads, in order of appearance.

    Raises:
        CheckError: the expression does not parse, or reaches outside `rows`.
    """
    if is_column(expression):
        return (expression,)
    query = f"select ({expression}\n) from rows"  # the line break ends a trailing comment
    confine(query)
    root = tree(query)
    bound = {ref for n in nodes(root) if n.get("type") == "LAMBDA" for ref in _refs(n["lhs"])}
    return tuple(dict.fromkeys(name for name in _refs(root["select_list"]) if name not in bound))


def _refs(node: Any) -> Iterator[str]:
    for n in nodes(node):
        if n.get("type") == "COLUMN_REF":
            path = n["column_names"]
            yield path[1] if path[0] == "rows" and len(path) > 1 else path[0]


def bind(query: str, columns: Mapping[str, pa.DataType] | pa.Schema) -> dict[str, pa.DataType]:
    """Bind a query against an empty `rows` of these columns; return the columns of its result.

    Raises:
        CheckError: DuckDB's message on one line, with its candidate bindings.
    """
    confine(query)
    schema = columns if isinstance(columns, pa.Schema) else pa.schema(list(columns.items()))
    types = {name: sql_type(kind) or _asked_type(kind) for name, kind in zip(schema.names, schema.types, strict=True)}

    def ask(con: duckdb.DuckDBPyConnection) -> dict[str, pa.DataType]:
        typed = (
            f"null::{kind} as {quote(name)}" if kind != NULL else f"null as {quote(name)}"
            for name, kind in types.items()
        )
        con.execute(f"create or replace view rows as select {', '.join(typed)} where false")
        try:
            result = con.execute(query)
            found = [(name, arrow_type(kind)) for name, kind, *_ in result.description]
            result.fetchall()  # nothing, but DuckDB 2 refuses the next statement before it is read
            if any(kind is None for _, kind in found):
                import duckdb  # noqa: F401 - it alone knows; gives `con` what is not in its compiled part

                return {f.name: f.type for f in con.sql(query).to_arrow_reader(1).schema}
            return dict(found)
        finally:
            con.execute("drop view rows")

    try:
        return _ask(ask)
    except _duckdb().Error as e:
        msg = f"SQL: {one_line(e)}"
        raise CheckError(msg) from e


def _asked_type(kind: pa.DataType) -> str:
    """Return how DuckDB names an Arrow type."""
    import duckdb  # noqa: F401 - gives `con` what is not in its compiled part

    # A reader, not an empty table: to make any array, pyarrow imports pandas where it is installed (0.5 s).
    empty = pa.RecordBatchReader.from_batches(pa.schema([("x", kind)]), [])
    return _ask(lambda con: str(con.from_arrow(empty).types[0]))


def check_where(where: str, columns: Mapping[str, pa.DataType] | pa.Schema) -> None:
    """Bind a filter; it must be a boolean.

    Raises:
        CheckError: it does not bind, or has another type.
    """
    if is_column(where) and where in (columns.names if isinstance(columns, pa.Schema) else columns):
        found = columns.field(where).type if isinstance(columns, pa.Schema) else columns[where]
    else:
        (found,) = bind(f"select ({where}\n) as value from rows", columns).values()
    if not pa.types.is_boolean(found):
        msg = f"where: '{shorten(where)}' is {found}, not a condition; compare it with something"
        raise CheckError(msg)


def ordering(expression: str) -> tuple[str, str]:
    """Split `expr`, `expr asc` or `expr desc` into (expr, direction). Ascending where nothing is said."""
    match = re.fullmatch(r"(.*\S)\s+(asc|desc)", expression.strip(), re.S | re.I)
    return (match[1], match[2].lower()) if match else (expression.strip(), "asc")


def with_columns(schema: pa.Schema, new: Mapping[str, str]) -> str:
    """Return a select list: all columns of `rows`, with `new` (name -> SQL) added, or replaced where they exist."""
    old = {k: v for k, v in new.items() if k in schema.names}
    fresh = {k: v for k, v in new.items() if k not in schema.names}
    swap = ", ".join(f"{v} as {quote(k)}" for k, v in old.items())
    add = "".join(f", {v} as {quote(k)}" for k, v in fresh.items())
    return f"rows.*{f' replace ({swap})' if swap else ''}{add}"


def evidence(columns: tuple[str, ...], **constants: str) -> str:
    """Return SQL for an evidence JSON: the constants, then the given columns of `rows` (text cut at 200 characters)."""
    fixed = [f"{quote(k)} := {literal(v)}" for k, v in constants.items()]
    values = [f"{quote(c)} := rows.{quote(c)}" for c in columns]
    packed = ", ".join([*fixed, f'"row" := struct_pack({", ".join(values)})'] if values else fixed)
    return f"to_json(struct_pack({packed}))::varchar"
