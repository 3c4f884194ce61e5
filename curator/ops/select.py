"""`select`: a filter, the best rows of each group, and exactly N rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curator.errors import CheckError
from curator.op import Names, Split, TableFn, View, operator
from curator.ops._sql import check_where, columns_of, evidence, is_column, literal, ordering, quote, shorten, uniform

REASONS = {
    "where": "the condition is false or null",
    "not_best": "k rows of the group are better",
    "not_needed": "n rows are kept already",
}


def _list(names: str | list[str] | None) -> Names:
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def _needs(settings: Mapping[str, Any]) -> Names:
    read = [*(columns_of(settings["where"]) if settings["where"] else ())]
    read += columns_of(ordering(settings["best"])[0]) if settings["best"] else ()
    groups = _list(settings["per"]) if settings["best"] else ()
    return tuple(dict.fromkeys(["row_id", *read, *groups]))


def check(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> None:
    """Bind `where` and `best` against the columns that reach this step.

    Raises:
        CheckError: a name that is not there, or a `where` that is no condition.
    """
    if settings["where"]:
        check_where(settings["where"], columns)
    if settings["best"]:
        expression = ordering(settings["best"])[0]
        if not (is_column(expression) and expression in columns):
            check_where(f"({expression}) is not null", columns)


def _key(settings: Mapping[str, Any]) -> Names:
    if settings["n"] is not None:
        return ()
    return _list(settings["per"]) if settings["best"] else ("row_id",)


@operator(
    "table", effect="keeps", version=1, needs=_needs, reasons=REASONS, key=_key, enough=lambda settings: settings["n"]
)
def select(
    *,
    where: str | None = None,
    best: str | None = None,
    per: str | list[str] = "problem_id",
    k: int = 1,
    n: int | None = None,
    seed: int | None = None,
) -> TableFn:
    """Keep rows that meet a condition, then the best k of each group, then exactly n.

    The three parts run in this order; each may be left out. Ties go to the smallest `sample_idx`, then `row_id`, so
    the result does not depend on row order. Where fewer than `n` rows are left the receipt's count `short_by` says so.

    Args:
        where: SQL condition over the columns; null counts as false.
        best: column or SQL expression, with `asc` (default: the lowest is best) or `desc`; null is worst.
        per: the group of `best`: a column or several; null is a group of its own.
        k: rows to keep in each group.
        n: rows to keep in all, those of the problems with the lowest hash(seed, problem_id). Where only steps that
            judge problems one by one lie between, the models before are asked for no more problems than that takes.
        seed: default is the pipeline's seed.

    Raises:
        CheckError: nothing to select by, `k` or `n` out of range, or SQL that does not parse.
    """
    if where is None and best is None and n is None:
        raise CheckError("select: nothing to do; give where, best or n")
    if k < 1 or (n is not None and n < 0):
        msg = f"select: k is {k} and n is {n}; k must be at least 1, n at least 0"
        raise CheckError(msg)
    read = columns_of(where) if where else ()
    value, direction = ordering(best) if best else ("null", "asc")
    columns_of(value)
    groups = ", ".join(map(quote, _list(per)))
    passed = f"({where or 'true'}\n) is true"

    def run(view: View) -> Split:
        con = view.con
        chosen = f"select row_id from rows where {passed}"
        dropped = []
        if where:
            why = evidence(read, where=shorten(where, 500))
            dropped.append(f"select row_id, 'where' as reason, {why} as evidence from rows where not ({passed})")
        if best:
            ties = "sample_idx nulls last, row_id" if "sample_idx" in view.schema.names else "row_id"
            con.execute(f"""
                create or replace temp table select_place as select row_id, {value} as value,
                    row_number() over (partition by {groups} order by {value} {direction} nulls last, {ties}) as place
                from rows where {passed}""")
            chosen = f"select row_id from select_place where place <= {k}"
            told = f"to_json(struct_pack(best := {literal(best)}, value := value, place := place, k := {k}))::varchar"
            dropped.append(
                f"select row_id, 'not_best' as reason, {told} as evidence from select_place where place > {k}"
            )
        if n is None:
            return Split(_out(chosen), " union all ".join(dropped))
        # By problem, not by row: the runner feeds problems in this order and stops when n are found (run/refill.py).
        chance = uniform(seed or 0, "coalesce(problem_id, row_id)" if "problem_id" in view.schema.names else "row_id")
        con.execute(f"""
            create or replace temp table select_kept as
            select row_id from rows semi join ({chosen}) using (row_id) order by {chance}, row_id limit {n}""")
        spent = f'{{"n": {n}}}'
        told = f"'not_needed' as reason, {literal(spent)} as evidence"
        dropped.append(f"select row_id, {told} from ({chosen}) anti join select_kept using (row_id)")
        ((kept,),) = con.execute("select count(*) from select_kept").fetchall()
        return Split(_out("from select_kept"), " union all ".join(dropped), {"short_by": float(n - kept)})

    return run


def _out(chosen: str) -> str:
    return f"select rows.* from rows semi join ({chosen}) using (row_id)"
