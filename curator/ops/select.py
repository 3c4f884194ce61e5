"""`select`: a filter, the best rows of each group, and exactly N rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curator.errors import CheckError
from curator.op import Names, Split, TableFn, View, operator
from curator.ops._sql import check_where, columns_of, evidence, literal, ordering, quote, shorten, uniform

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
        check_where(f"({expression}) is not null", columns)


@operator("table", effect="keeps", version=1, needs=_needs, reasons=REASONS)
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
    rank = f"{value} {direction} nulls last"
    groups = ", ".join(map(quote, _list(per)))

    def run(view: View) -> Split:
        # By problem, not by row: the runner feeds problems in this order and stops when n are found (run/refill.py).
        owner = "coalesce(problem_id, row_id)" if "problem_id" in view.schema.names else "row_id"
        chance = uniform(seed or 0, owner)
        ties = "sample_idx nulls last, row_id" if "sample_idx" in view.schema.names else "row_id"
        passed, place = f"({where or 'true'}\n) is true", "1"
        if best:
            place = (
                f"case when passed then row_number() over (partition by passed, {groups} order by {rank}, {ties}) end"
            )
        view.con.execute(f"""
            create or replace temp table select_fate as
            with judged as (select *, {passed} as passed from rows),
            placed as (select row_id, passed, {place} as place, {chance} as chance, to_json({value})::varchar as value,
                {evidence(read, where=shorten(where or '', 500))} as why from judged as rows)
            select *, passed and place <= {k} as chosen,
                case when passed and place <= {k} then row_number() over (
                    partition by passed and place <= {k} order by chance, row_id) end as draw
            from placed""")  # fmt: skip
        limit = "true" if n is None else f"draw <= {n}"
        told = f"to_json(struct_pack(best := {literal(best or '')}, value := value::json, place := place, k := {k}))"
        out = f"select rows.* from rows semi join (from select_fate where chosen and {limit}) using (row_id)"
        dropped = f"""
            select row_id, case when not passed then 'where' when not chosen then 'not_best' else 'not_needed' end
                as reason, case when not passed then why when not chosen then {told}::varchar
                else to_json(struct_pack(n := {n or 0}, draw := draw))::varchar end as evidence
            from select_fate where not (chosen and coalesce({limit}, false))"""
        return Split(out, dropped, _shortfall(view, n))

    return run


def _shortfall(view: View, n: int | None) -> dict[str, float]:
    if n is None:
        return {}
    ((found,),) = view.con.execute("select count(*) from select_fate where chosen").fetchall()
    return {"short_by": float(max(0, n - found))}
