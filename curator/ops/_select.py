"""What stands behind `select`: its parts, one after the other, over the rows that are left.

Every part makes a temp table of fates: row_id, and for rows that go the reason and the evidence. Texts are read by one
part only, group by group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from curator.difficulty.draw import by_length, shares
from curator.errors import CheckError
from curator.op import Split, TableFn, View
from curator.ops._select_settings import Settings, likelihood, listed
from curator.ops._sql import columns_of, evidence, literal, ordering, shorten, uniform
from curator.rows import quote

_SPAN = 2**64


class Left:
    """The rows that are left, and why the others went. `rows` of the view and `live` are joined by row_id."""

    def __init__(self, view: View) -> None:
        self.view, self.con = view, view.con
        self.dropped: list[str] = []
        self.counts: dict[str, float] = {}
        self._parts = 0
        self.live = "select row_id from rows"

    def part(self, fates: str) -> str:
        """Apply a part, return its table. `fates`: SQL for (row_id, reason, evidence), no reason where a row stays."""
        self._parts += 1
        name = f"select_part_{self._parts}"
        self.con.execute(f"create or replace temp table {name} as {fates}")
        self.live = f"select row_id from {name} where reason is null"
        self.dropped.append(f"select row_id, reason, evidence from {name} where reason is not null")
        return name

    @property
    def rows(self) -> str:
        """SQL for the rows that are left, all columns."""
        return f"(select rows.* from rows semi join ({self.live}) using (row_id)) as rows"

    @property
    def ties(self) -> str:
        """What orders rows that are equal otherwise."""
        return "sample_idx nulls last, row_id" if "sample_idx" in self.view.schema.names else "row_id"

    def split(self) -> Split:
        """Return what the step gives back."""
        dropped = " union all ".join(self.dropped) if self.dropped else None
        return Split(f"select rows.* from rows semi join ({self.live}) using (row_id)", dropped, self.counts)


def table_function(settings: Settings) -> TableFn:
    """Return the function of the step."""

    def run(view: View) -> Split:
        left = Left(view)
        if settings["where"]:
            _where(left, settings)
        if settings["chance"] is not None:
            _chance(left, settings)
        if settings["best"]:
            _best(left, settings)
        if settings["diverse"]:
            from curator.ops._select_diverse import diverse

            diverse(left, settings)
        if settings["quota"] is not None or (settings["strata"] and settings["n"] is not None):
            _strata(left, settings)
        if settings["balanced"]:
            _balanced(left, settings)
        elif settings["n"] is not None:
            _first(left, settings)
        return left.split()

    return run


def _where(left: Left, settings: Settings) -> None:
    where = settings["where"]
    why = evidence(columns_of(where), where=shorten(where, 500))
    passed = f"({where}\n) is true"
    left.part(f"""select row_id, case when not ({passed}) then 'where' end as reason,
        case when not ({passed}) then {why} end as evidence from rows""")


def _chance(left: Left, settings: Settings) -> None:
    given = settings["chance"]
    if isinstance(given, Mapping):
        limit = _by_value(listed(settings["strata"])[0], {k: _limit(v) for k, v in given.items()}, _limit(1.0))
    else:
        limit = _limit(given)
    unit = f"coalesce({quote(settings['chance_by'])}::varchar, row_id)"
    drawn = f"(({settings['chance_where']}\n) is true)" if settings["chance_where"] else "true"
    kept = f"not {drawn} or {uniform(settings['seed'] or 0, unit)} < {limit}"
    told = literal(f'{{"chance": {given}}}') if not isinstance(given, Mapping) else "'{}'"
    left.part(f"select row_id, case when not ({kept}) then 'not_drawn' end as reason, {told} as evidence "
              f"from {left.rows}")  # fmt: skip


def _limit(share: float) -> str:
    return f"{int(share * _SPAN)}::hugeint"


def _by_value(column: str, table: Mapping[str, str], rest: str) -> str:
    cases = " ".join(f"when {literal(name)} then {value}" for name, value in table.items() if name != "*")
    rest = table.get("*", rest)
    return f"(case {quote(column)}::varchar {cases} else {rest} end)" if cases else rest


def _best(left: Left, settings: Settings) -> None:
    value, direction = ordering(settings["best"])
    groups = ", ".join(map(quote, listed(settings["per"])))
    read = likelihood(settings)
    length = _length(left, settings, read) if read else "null"
    k, before = settings["k"], left.rows
    left.con.execute(f"""
        create or replace temp table select_place as select row_id, {value} as value, ({length})::double as length,
            row_number() over (partition by {groups} order by {value} {direction} nulls last, {left.ties}) as place,
            row_number() over (partition by {groups} order by length desc nulls last, {left.ties}) as longest,
            row_number() over (partition by {groups} order by length nulls last, {left.ties}) as shortest
        from {before}""")
    packed = f"best := {literal(settings['best'])}, value := value, place := place, k := {k}"
    left.part(f"""select row_id, case when place > {k} then 'not_best' end as reason,
        case when place > {k} then to_json(struct_pack({packed}))::varchar end as evidence from select_place""")
    if read:
        left.counts |= _control(left, k)


def _length(left: Left, settings: Settings, read: str) -> str:
    """SQL of a row's length, for the control of a choice by the likelihood column `read`."""
    names = left.view.schema.names
    found = [n for n in names if n.endswith("n_scored") and not n.startswith("span") and "span_" not in n]
    mine = sorted(found, key=lambda n: (not read.startswith(n.removesuffix("n_scored")), n))
    if settings["length"]:
        return str(settings["length"])
    if "n_tokens" in names or mine:
        return quote("n_tokens" if "n_tokens" in names else mine[0])
    msg = f"select: best reads {read}, and its length-only control wants a length; set length: length(trace)"
    raise CheckError(msg)


def _control(left: Left, k: int) -> dict[str, float]:
    """Return what choosing by length alone would have kept, beside what was kept."""
    names = ("picked", "same_as_longest", "same_as_shortest", "mean_length_picked", "mean_length_longest",
             "mean_length_shortest", "mean_length_offered")  # fmt: skip
    (found,) = left.con.execute(f"""
        select count(*) filter (place <= {k}), count(*) filter (place <= {k} and longest <= {k}),
            count(*) filter (place <= {k} and shortest <= {k}), avg(length) filter (place <= {k}),
            avg(length) filter (longest <= {k}), avg(length) filter (shortest <= {k}), avg(length)
        from select_place""").fetchall()
    return {f"control_{name}": float(v) for name, v in zip(names, found, strict=True) if v is not None}


def order_of(settings: Settings, left: Left) -> str:
    """SQL for the order in which quotas and n take rows."""
    if settings["rank"]:
        value, direction = ordering(settings["rank"])
        return f"{value} {direction} nulls last, {left.ties}"
    # By problem, not by row: the runner feeds problems in this order and stops when n are found (run/refill.py).
    unit = "coalesce(problem_id, row_id)" if "problem_id" in left.view.schema.names else "row_id"
    return f"{uniform(settings['seed'] or 0, unit)}, row_id"


def _strata(left: Left, settings: Settings) -> None:
    columns = listed(settings["strata"])
    groups, quota = ", ".join(map(quote, columns)), settings["quota"]
    if quota is None:
        found = left.con.execute(f"select to_json(struct_pack({_packed(columns)}))::varchar, count(*) from {left.rows} "
                                 "group by 1").fetchall()  # fmt: skip
        limit = _of_stratum(columns, shares(dict(found), settings["n"]))
    elif isinstance(quota, Mapping):
        limit = _by_value(columns[0], {k: str(v) for k, v in quota.items()}, "9223372036854775807")
    else:
        limit = str(quota)
    told = f"to_json(struct_pack({_packed(columns)}, rows := places))::varchar"
    left.part(f"""
        select row_id, case when place > places then 'over_quota' end as reason,
            case when place > places then {told} end as evidence
        from (select row_id, {groups}, {limit}::bigint as places,
            row_number() over (partition by {groups} order by {order_of(settings, left)}) as place from {left.rows})""")


def _packed(columns: tuple[str, ...]) -> str:
    return ", ".join(f"{quote(c)} := {quote(c)}" for c in columns)


def _of_stratum(columns: tuple[str, ...], counts: Mapping[str, int]) -> str:
    """SQL for the rows of each stratum, which is named by the JSON of its values."""
    cases = " ".join(f"when {literal(name)} then {n}" for name, n in counts.items())
    return f"(case to_json(struct_pack({_packed(columns)}))::varchar {cases} else 0 end)" if cases else "0"


def _balanced(left: Left, settings: Settings) -> None:
    domain = quote(settings["balanced"])
    length = settings["length"] or ("n_tokens" if "n_tokens" in left.view.schema.names else "")
    if not length:
        raise CheckError("select: balanced prefers long rows and wants their length; set length: length(trace)")
    found = left.con.execute(f"select {domain}::varchar, row_id from {left.rows} order by ({length})::double desc "
                             f"nulls last, {left.ties}")  # fmt: skip
    domains: dict[str, list[str]] = {}
    for name, row in _many(found):
        domains.setdefault("" if name is None else name, []).append(row)
    chosen = by_length(domains, settings["n"], settings["seed"] or 0, settings["weights"])
    left.con.register("select_drawn", pa.table({"row_id": pa.array([row for row, _ in chosen], pa.string())}))
    told = literal(f'{{"balanced": "{settings["balanced"]}", "n": {settings["n"]}}}')
    left.part(f"""select row_id, case when drawn is null then 'not_balanced' end as reason, {told} as evidence
        from ({left.live}) left join (select row_id, true as drawn from select_drawn) using (row_id)""")
    left.con.unregister("select_drawn")
    left.counts["short_by"] = float(settings["n"] - len(chosen))


def _many(found: Any) -> Iterator[tuple[Any, ...]]:
    while rows := found.fetchmany(10_000):
        yield from rows


def _first(left: Left, settings: Settings) -> None:
    n = settings["n"]
    told = literal(f'{{"n": {n}}}')
    name = left.part(f"""
        select row_id, case when place > {n} then 'not_needed' end as reason, {told} as evidence from (
            select row_id, row_number() over (order by {order_of(settings, left)}) as place from {left.rows})""")
    ((kept,),) = left.con.execute(f"select count(*) from {name} where reason is null").fetchall()
    left.counts["short_by"] = float(n - kept)
