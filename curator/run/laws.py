"""The laws of rows, held against every call of an operator: none vanishes, and the declared effect is kept.

`settle` takes what an operator returned for one shard and gives back what is written: rows with the declared schema,
dropped rows with their own columns, and the numbers of the receipt. `hold_whole` checks a table operator by SQL.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curator import rows, table
from curator.errors import OperatorError
from curator.op import DROPPED, Result
from curator.shards import conform

SHOWN = 5  # offending ids in a message
LINEAGE = ("row_id", "parent_id")  # the columns that new rows always have for themselves


@dataclass(frozen=True)
class Spec:
    """A step as the workers need it: plain values and a factory that pickles by reference."""

    label: str
    name: str
    kind: str
    effect: str
    factory: Callable[..., Any]
    settings: Mapping[str, Any]
    adds: Mapping[str, pa.DataType]
    reasons: tuple[str, ...]

    @property
    def who(self) -> str:
        """How messages call the step."""
        return f"step '{self.label}'" if self.label == self.name else f"step '{self.label}' ({self.name})"


def out_schema(spec: Spec, given: pa.Schema, found: pa.Schema) -> pa.Schema:
    """Return the schema of a step's rows: input columns as they were, then what it adds, in declared types.

    A step that `shapes` decides itself which columns go on: `found` in types that are declared anywhere.
    """
    if spec.effect == "shapes":
        known = {name: column.type for name, column in rows.COLUMNS.items()}
        known |= {f.name: f.type for f in given} | dict(spec.adds)
        return pa.schema([(f.name, known.get(f.name, f.type)) for f in found])
    fields = [(f.name, spec.adds.get(f.name, f.type)) for f in given]
    return pa.schema(fields + [(n, t) for n, t in spec.adds.items() if n not in given.names])


def nothing(spec: Spec, given: pa.Schema) -> Result:
    """Return what a step makes of a shard without rows: operators need not know that there are such."""
    return Result(out_schema(spec, given, given).empty_table())


def dropped_schema(given: pa.Schema) -> pa.Schema:
    """Return the schema of dropped rows: the columns the step was given, then dropped_by, reason and evidence."""
    told = rows.types(("dropped_by", "reason", "evidence"))
    return pa.schema([f for f in given if f.name not in told] + [pa.field(n, t) for n, t in told.items()])


def settle(spec: Spec, given: pa.Table, returned: Any, where: str) -> tuple[pa.Table, pa.Table, dict[str, Any]]:
    """Return (rows to write, dropped rows to write, numbers) of one call of a row or model operator.

    Args:
        spec: the step.
        given: the rows it was given.
        returned: what its function returned.
        where: names the shard in messages.

    Raises:
        OperatorError: the result breaks the conservation law, the effect law, or the declared columns.
    """
    who = f"{spec.who}, {where}"
    result = Result(returned) if isinstance(returned, pa.Table) else returned
    if not isinstance(result, Result):
        msg = f"{who}: returned {type(returned).__name__}, not an Arrow table or a Result"
        raise OperatorError(msg)
    if "row_id" not in result.table.column_names:
        msg = f"{who}: returned rows without row_id"
        raise OperatorError(msg)
    out = conform(result.table, out_schema(spec, given.schema, result.table.schema), who)
    lost = result.dropped if result.dropped is not None else DROPPED.empty_table()
    lost = conform(lost, DROPPED, f"{who}, dropped rows")
    made = _conserved(spec, given, out, lost, who)
    _effect(spec, given, out, who)
    reasons = {v["values"].as_py(): v["counts"].as_py() for v in pc.value_counts(lost["reason"])}
    known_reasons(spec, reasons, who)
    numbers = {"rows_in": given.num_rows, "made": made, "out": out.num_rows, "dropped": lost.num_rows}
    return out, _with_columns(spec, given, lost), numbers | {"reasons": reasons, "counts": dict(result.counts)}


def known_reasons(spec: Spec, found: Mapping[str | None, int], who: str) -> None:
    """Check that an operator drops rows only for reasons it declares. Raises OperatorError."""
    unknown = [str(r) for r in found if r not in spec.reasons]
    if unknown:
        msg = f"{who}: dropped rows for {', '.join(unknown)}, which it does not declare ({', '.join(spec.reasons)})"
        raise OperatorError(msg)


def _ids(column: pa.ChunkedArray, keep: pa.Array) -> list[str]:
    return [str(v) for v in column.filter(keep).slice(0, SHOWN).to_pylist()]


def _refuse(who: str, what: str, ids: list[str]) -> None:
    if ids:
        msg = f"{who}: {what}: {', '.join(ids)}"
        raise OperatorError(msg)


def _conserved(spec: Spec, given: pa.Table, out: pa.Table, lost: pa.Table, who: str) -> int:
    """Check that each row given is in the output, the parent of rows in it, or dropped once; return rows made."""
    given_ids, out_ids, lost_ids = given["row_id"], out["row_id"], lost["row_id"]
    _refuse(who, "null row_id in its rows", ["null"] if out_ids.null_count else [])
    for ids, what in ((out_ids, "the same row_id twice in its rows"), (lost_ids, "dropped the same row twice")):
        if pc.count_distinct(ids).as_py() != len(ids):
            counts = pc.value_counts(ids)
            _refuse(who, what, [c["values"].as_py() for c in counts if c["counts"].as_py() > 1][:SHOWN])
    _refuse(who, "dropped rows it was not given", _ids(lost_ids, pc.invert(pc.is_in(lost_ids, given_ids))))
    new = pc.invert(pc.is_in(out_ids, given_ids))
    made = pc.sum(new).as_py() or 0
    if spec.effect == "shapes":
        return int(out.num_rows + lost.num_rows - given.num_rows)
    if made and spec.effect in ("marks", "keeps"):
        _refuse(who, f"declares that it {spec.effect} rows, but returned new ones", _ids(out_ids, new))
    parents = pa.chunked_array([[]], pa.string())
    if made:
        if "parent_id" not in out.column_names:
            _refuse(who, "made rows without parent_id", _ids(out_ids, new))
        parents = out["parent_id"].filter(new)
        orphans = pc.invert(pc.is_in(parents, given_ids))
        _refuse(who, "made rows whose parent_id it was not given", _ids(out_ids.filter(new), orphans))
    there = pc.or_(pc.is_in(given_ids, out_ids), pc.is_in(given_ids, parents))
    gone = pc.is_in(given_ids, lost_ids)
    _refuse(who, "rows vanished: neither returned, nor made from, nor dropped",
            _ids(given_ids, pc.invert(pc.or_(there, gone))))  # fmt: skip
    _refuse(who, "rows both returned and dropped", _ids(given_ids, pc.and_(there, gone)))
    if spec.effect == "marks" and lost.num_rows:
        _refuse(who, "declares that it marks rows, but dropped some", _ids(lost_ids, pc.is_valid(lost_ids)))
    return int(out.num_rows + lost.num_rows - given.num_rows)


def _effect(spec: Spec, given: pa.Table, out: pa.Table, who: str) -> None:
    """Check that the columns the step does not declare are as they were, and for `marks` the order of rows too."""
    if spec.effect == "shapes":
        return
    if spec.effect == "marks" and not out["row_id"].equals(given["row_id"]):
        _refuse(who, "declares that it marks rows, but returned them in another order from", [str(out["row_id"][0])])
    kept = [n for n in given.column_names if n not in spec.adds and n not in LINEAGE]
    if spec.effect == "marks":
        before = given
    else:
        at = pc.index_in(out["row_id"], given["row_id"])
        if at.null_count:
            at = pc.coalesce(at, pc.index_in(out["parent_id"], given["row_id"]))
        before = given.select([*kept, "row_id"]).take(at)
    for name in kept:
        if not _same(out[name], before[name]):
            changed = [i for i in range(out.num_rows) if not _same(out[name].slice(i, 1), before[name].slice(i, 1))]
            ids = [str(out["row_id"][i]) for i in changed[:SHOWN]]
            _refuse(who, f"declares that it {spec.effect} rows, but changed column '{name}' of", ids)


def _same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> bool:
    """Whether two columns hold the same values. Floats go through text: NaN equals NaN here."""
    if a.equals(b):
        return True
    return pa.types.is_floating(a.type) and bool(a.cast(pa.string()).equals(b.cast(pa.string())))


def _with_columns(spec: Spec, given: pa.Table, lost: pa.Table) -> pa.Table:
    """Return the dropped rows with the columns they had, as `dropped_schema` says."""
    schema = dropped_schema(given.schema)
    whole = given.take(pc.index_in(lost["row_id"], given["row_id"]))
    told = {
        "dropped_by": pa.array([spec.label] * lost.num_rows, pa.string()),
        "reason": lost["reason"],
        "evidence": lost["evidence"],
    }
    return pa.table([told[f.name] if f.name in told else whole[f.name] for f in schema], schema=schema)


def hold_whole(spec: Spec, view: table.TableView, given: pa.Schema, counts: Mapping[str, int]) -> int:
    """Check a table operator; return rows made. The connection of `view` has the views rows, out_rows and dropped_rows.

    Order is not checked: a relation has none. Old columns are compared by the sum of their row hashes, one streaming
    pass a side; only where the sums differ is the offending row looked for.

    Args:
        spec: the step.
        view: a connection with the three views.
        given: schema of the rows it was given.
        counts: `rows`, `out_rows` and `dropped_rows`.

    Raises:
        OperatorError: as `settle`.
    """
    con = view.con

    def ids(sql: str) -> list[str]:
        return [str(r[0]) for r in con.execute(f"{sql} limit {SHOWN}").fetchall()]

    twice = "select row_id from {} group by row_id having count(*) > 1 or row_id is null order by 1"
    _refuse(spec.who, "the same row_id twice in its rows, or null", ids(twice.format("out_rows")))
    _refuse(spec.who, "dropped the same row twice", ids(twice.format("dropped_rows")))
    made = counts["out_rows"] + counts["dropped_rows"] - counts["rows"]
    if spec.effect == "shapes":
        return made
    new = "select row_id from out_rows anti join rows using (row_id)"
    if spec.effect in ("marks", "keeps"):
        _refuse(spec.who, f"declares that it {spec.effect} rows, but returned new ones", ids(new))
    elif (fresh := ids(new)) and "parent_id" not in (columns := con.table("out_rows").columns):
        _refuse(spec.who, f"made rows without parent_id (columns: {', '.join(columns)})", fresh)
    orphans = f"select o.row_id from out_rows o semi join ({new}) n using (row_id) anti join rows r on "
    if spec.effect == "makes" and fresh:
        _refuse(spec.who, "made rows whose parent_id it was not given", ids(orphans + "r.row_id = o.parent_id"))
    there = "select row_id from out_rows"
    if spec.effect == "makes" and fresh:
        there += f" union all select o.parent_id from out_rows o semi join ({new}) n using (row_id)"
    vanished = f"select row_id from rows anti join ({there} union all select row_id from dropped_rows) using (row_id)"
    _refuse(spec.who, "rows vanished: neither returned, nor made from, nor dropped", ids(vanished))
    both = f"select row_id from dropped_rows semi join ({there}) using (row_id)"
    _refuse(spec.who, "rows both returned and dropped", ids(both))
    if spec.effect == "marks":
        _refuse(spec.who, "declares that it marks rows, but dropped some", ids("select row_id from dropped_rows"))
    _unchanged(spec, con, given)
    return made


def _unchanged(spec: Spec, con: Any, given: pa.Schema) -> None:
    kept = [n for n in given.names if n not in spec.adds and n != "parent_id"]
    hashed = "hash(" + ", ".join('"' + n.replace('"', '""') + '"' for n in kept) + ")"
    total = f"select coalesce(sum({hashed}::hugeint), 0) from "
    if spec.effect == "makes":
        old = "out_rows semi join rows using (row_id)"
        left, right = f"{total} {old}", f"{total} rows semi join out_rows using (row_id)"
        same = con.execute(f"select ({left}) = ({right})").fetchall()[0][0]
    else:
        sums = f"select ({total} rows) = ({total} out_rows) + ({total} dropped_rows)"
        same = con.execute(sums).fetchall()[0][0]
    if not same:
        find = (
            f"select o.row_id from (select row_id, {hashed} as h from out_rows) o join (select row_id, {hashed} as h "
            f"from rows) r using (row_id) where o.h <> r.h order by 1 limit {SHOWN}"
        )
        ids = [str(r[0]) for r in con.execute(find).fetchall()]
        _refuse(spec.who, f"declares that it {spec.effect} rows, but changed columns it does not declare of", ids)
