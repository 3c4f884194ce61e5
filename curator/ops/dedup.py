"""`dedup`: one row of each set of rows that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curator import fold, rows
from curator.errors import CheckError
from curator.near import hint
from curator.op import Names, Split, TableFn, View, operator
from curator.ops._sql import columns_of, literal, ordering, with_columns

METHODS = ("exact",)
PLANNED = ("minhash", "fuzzy", "semantic")


def _columns(on: str | list[str]) -> Names:
    return (on,) if isinstance(on, str) else tuple(on)


def _needs(settings: Mapping[str, Any]) -> Names:
    keep = columns_of(ordering(settings["keep"])[0])
    return tuple(dict.fromkeys(("row_id", *_columns(settings["on"]), *keep)))


@operator(
    "table",
    effect="keeps",
    version=1,
    needs=_needs,
    adds={**rows.types(("cluster_id",)), "cluster_size": pa.int32()},
    reasons={"exact_duplicate": "another row has the same normalised text and comes first by `keep`"},
    reports={
        "duplicate clusters": "select cluster_size, count(*) as clusters from rows where cluster_size > 1 group by all "
        "order by all"
    },
)
def dedup(
    *,
    on: str | list[str] = "problem",
    method: str = "exact",
    normalise: list[str] | None = None,
    keep: str = "row_id",
) -> TableFn:
    """Keep one row of each set of duplicates; the others are dropped with the id of the row they duplicate.

    `exact`: two rows are duplicates when their normalised texts are equal (128-bit hashes of them are). Numbers and
    operators are text like any other, so problems that differ in one digit stay apart. A row whose columns are all
    null is never a duplicate. The kept row gains `cluster_id` (its own row_id) and `cluster_size` (rows of the set).

    Args:
        on: column, or columns that must all agree.
        method: `exact`; the other methods are not in this version.
        normalise: any of `nfkc` (one form of each Unicode character), `latex` (spellings of one formula), `lower`,
            `punctuation` (removed: operators and signs too), `whitespace` (runs become one space). Default: nfkc,
            lower, whitespace. They are applied in the order given here, whatever the order in the list.
        keep: SQL expression with `asc` (default) or `desc`: the row that comes first by it is kept, null last, ties to
            the smallest row_id. Never "the first in the file", which would depend on the order of rows.

    Raises:
        CheckError: a method or normaliser that is not there, `keep` that does not parse.
    """
    if method not in METHODS:
        later = f"; '{method}' is planned, not in this version" if method in PLANNED else hint(method, METHODS)
        msg = f"dedup: method '{method}' is not available, use exact{later}"
        raise CheckError(msg)
    names, columns = fold.chain(["nfkc", "lower", "whitespace"] if normalise is None else normalise), _columns(on)
    if not columns:
        raise CheckError("dedup: on is empty; name the columns that must agree")
    value, direction = ordering(keep)
    columns_of(value)

    def run(view: View) -> Split:
        _store_hashes(view, columns, names)
        view.con.execute(f"""
            create or replace temp table dedup_lost as
            select row_id, cluster_id, cluster_size from (
                select row_id, first_value(row_id) over w as cluster_id,
                    count(*) over (partition by h1, h2) as cluster_size
                from (select * from dedup_keys semi join (
                    select h1, h2 from dedup_keys group by all having count(*) > 1) using (h1, h2)) as keys
                join (select row_id, {value} as keep_value from rows) as ranked using (row_id)
                window w as (partition by h1, h2 order by keep_value {direction} nulls last, row_id))""")
        told = (
            f"to_json(struct_pack(dup_of := cluster_id, method := 'exact', \"on\" := {_sql_list(columns)}, "
            f"normalise := {_sql_list(names)}))::varchar"
        )
        new = {"cluster_id": "rows.row_id", "cluster_size": "coalesce(d.cluster_size, 1)::int"}
        return Split(
            f"select {with_columns(view.schema, new)} from rows left join dedup_lost d using (row_id) "
            "where d.cluster_id is null or d.cluster_id = rows.row_id",
            f"select row_id, 'exact_duplicate' as reason, {told} as evidence from dedup_lost "
            "where cluster_id <> row_id",
        )

    return run


def _sql_list(names: Names) -> str:
    return "[" + ", ".join(map(literal, names)) + "]::varchar[]"


def _store_hashes(view: View, columns: Names, names: Names) -> None:
    """Fill the temporary table dedup_keys(row_id, h1, h2): 16 bytes a row beside its id, which DuckDB may spill."""
    import numpy as np

    view.con.execute("create or replace temp table dedup_keys (row_id varchar, h1 ubigint, h2 ubigint)")
    for batch in view.batches(["row_id", *columns]):
        total = np.zeros((batch.num_rows, 2), np.uint64)
        empty = np.ones(batch.num_rows, bool)
        for column in columns:
            array = batch.column(batch.schema.get_field_index(column))
            empty &= np.asarray(array.is_null())
            total = total * np.uint64(0x9E3779B97F4A7C15) + fold.hashes(array, names)
        ids = batch.column(batch.schema.get_field_index("row_id"))
        table = pa.table({"row_id": ids, "h1": total[:, 0], "h2": total[:, 1]}).filter(pa.array(~empty))
        view.con.register("dedup_batch", table)
        view.con.execute("insert into dedup_keys select * from dedup_batch")
        view.con.unregister("dedup_batch")
