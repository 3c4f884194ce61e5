"""`grade` over verdicts that are there: counts, intervals, spread, bands, in SQL.

Sums are taken over sorted lists, so that they do not depend on the order of rows, not even in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curator.difficulty.intervals import METHODS
from curator.op import Split, TableFn, View
from curator.ops._grade_settings import REST, SPREAD, Settings, adds, band_table, named
from curator.ops._sql import literal, with_columns
from curator.rows import quote

_RATES = """count(c)::int as n, count(*) filter (c)::int as n_ok, (count(*) - count(c))::int as n_undecided,
    n_ok / nullif(n, 0) as pass_rate"""
_VALUES = "list(v order by v) filter (v is not null)"


def table_function(settings: Settings) -> TableFn:
    """Return the function of the step."""

    def run(view: View) -> Split:
        _judge(view, settings)
        _grade(view, settings)
        _intervals(view, settings)
        counts = {"problems": 0.0, "all_undecided": 0.0, **_prior(view)}
        ((counts["problems"], counts["all_undecided"]),) = view.con.execute(
            "select count(*)::double, count(*) filter (n = 0)::double from grade_groups"
        ).fetchall()
        if settings["models"]:
            _by_model(view, settings)
        select = with_columns(view.schema, _columns(settings))
        more = "left join grade_models m using (grade_key)" if settings["models"] else ""
        return Split(
            f"select {select} from rows join grade_samples s using (row_id) left join grade_groups g using (grade_key) "
            + more,
            None,
            counts,
        )

    return run


def _judge(view: View, settings: Settings) -> None:
    """Fill grade_samples(row_id, grade_key, counted, v, threshold, said, model, length, c): one row a sample."""
    score = settings["score"]
    said = f"{quote(settings['correct'])}::boolean" if settings["correct"] in view.schema.names else "null::boolean"
    if settings["unparseable"] == "incorrect":
        said = f"coalesce({said}, case when verdict = 'unparseable' then false end)"
    value = f"{quote(score)}::double" if score else f"({said})::int::double"
    limit = by_category(settings["threshold"], settings["category"])
    correct = f"v {'>=' if settings['inclusive'] else '>'} threshold" if settings["threshold"] is not None else "said"
    model = f"{quote(settings['models'])}::varchar" if settings["models"] else "null::varchar"
    length = f"{quote(settings['length'])}::double" if settings["length"] else "null::double"
    counted = f"(({settings['where']}\n) is true)" if settings["where"] else "true"
    view.con.execute(f"""
        create or replace temp table grade_samples as select *, {correct} as c from (
            select row_id, coalesce({quote(settings["by"])}::varchar, row_id) as grade_key, {counted} as counted,
                case when isfinite({value}) then {value} end as v, {limit}::double as threshold, {said} as said,
                {model} as model, {length} as length from rows)""")


def _spread(ddof: int) -> str:
    """SQL for mean, deviation, maximum and their quotient over `values`, a sorted list."""
    n = "len(values)"
    same = "values[1] = values[-1]"
    squares = "list_sum(list_transform(values, lambda x: (x - score_mean) * (x - score_mean)))"
    return f"""case when {same} then values[1] else list_sum(values) / {n} end as score_mean,
        case when {n} <= {ddof} then null when {same} then 0.0 else sqrt({squares} / ({n} - {ddof})) end as score_std,
        values[-1] as score_max, case when score_mean != 0 then score_std / score_mean end as cv"""


def _grade(view: View, settings: Settings) -> None:
    """Fill grade_groups: one row a problem."""
    view.con.execute(f"""
        create or replace temp table grade_groups as select * exclude (values), {_spread(settings["ddof"])}
        from (select grade_key, {_RATES}, {_VALUES} as values, max(threshold) as threshold,
            list_avg(list(length order by length)) as length_mean from grade_samples where counted group by grade_key)
        """)


def _by_model(view: View, settings: Settings) -> None:
    """Fill grade_models(grade_key, solved_by, model_rates)."""
    packed = ", ".join(f"{n} := {n}" for n in ("model", "n", "n_ok", "n_undecided", "pass_rate", "cv"))
    view.con.execute(f"""
        create or replace temp table grade_models as
        select grade_key, coalesce(list(model order by model) filter (n_ok > 0), []) as solved_by,
            list(struct_pack({packed}) order by model) as model_rates
        from (select *, {_spread(settings["ddof"])} from (select grade_key, model, {_RATES}, {_VALUES} as values
            from grade_samples where counted and model is not null group by all)) group by grade_key""")


def _intervals(view: View, settings: Settings) -> None:
    """Fill grade_intervals(n, n_ok, low, high): as many rows as there are different counts."""
    found = view.con.execute("select distinct n, n_ok from grade_groups where n > 0 order by all").fetchall()
    ends = [METHODS[settings["interval"]](k, n, settings["confidence"]) for n, k in found]
    columns = [[f[0] for f in found], [f[1] for f in found], [e[0] for e in ends], [e[1] for e in ends]]
    types = (pa.int32(), pa.int32(), pa.float64(), pa.float64())
    names = ("n", "n_ok", "pass_rate_low", "pass_rate_high")
    table = pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})
    view.con.register("grade_ends", table)
    view.con.execute(
        "create or replace temp table grade_groups as "
        "select g.*, e.pass_rate_low, e.pass_rate_high from grade_groups g left join grade_ends e using (n, n_ok)"
    )
    view.con.unregister("grade_ends")


def _prior(view: View) -> dict[str, float]:
    """Return the Beta prior that fits the problems, for later adaptive sampling; nothing where there are too few."""
    from curator.difficulty.adaptive import fit_prior

    found = view.con.execute("select n_ok, n, count(*) from grade_groups where n > 0 group by all order by all")
    fitted = fit_prior({(k, n): times for k, n, times in found.fetchall()})
    return {} if fitted is None else {"prior_a": fitted[0], "prior_b": fitted[1]}


def _columns(settings: Settings) -> dict[str, str]:
    """Return name -> SQL over g (the problem), s (the sample) and m (the models)."""
    new = {column: f"g.{column}" for column in ("pass_rate", "pass_rate_low", "pass_rate_high", "length_mean", *SPREAD)}
    # A problem of which no sample counts has no row in g.
    new |= {column: f"coalesce(g.{column}, 0)" for column in ("n", "n_ok", "n_undecided")}
    new["passed"] = "s.c"
    if settings["cv_min"] is not None:
        new["decision"] = _decision(settings)
    if settings["models"]:
        new |= {"solved_by": "coalesce(m.solved_by, [])", "model_rates": "coalesce(m.model_rates, [])"}
    if settings["bands"]:
        new["band"] = _band(settings)
    if settings["bins"]:
        easy, hard = settings["bins"]["easy"], settings["bins"]["hard"]
        new["difficulty"] = (
            f"case when g.pass_rate >= {easy} then 'easy' when g.pass_rate < {hard} then 'hard' "
            "when g.pass_rate is not null then 'medium' end"
        )
        new["difficulty_source"] = "case when g.pass_rate is not null then 'pass_rate' end"
    return {named(settings, n): sql for n, sql in new.items() if named(settings, n) in adds(settings)}


def _decision(settings: Settings) -> str:
    limit = by_category(settings["cv_min"], settings["category"])
    above = "" if settings["inclusive"] else "when g.score_max = g.threshold then 'none_above_threshold' "
    return (
        f"case when g.score_max is null or g.threshold is null then null when g.score_max < g.threshold then "
        f"'max_below_threshold' {above}when g.cv > {limit} then 'cv_high' else 'cv_low' end"
    )


def _band(settings: Settings) -> str:
    value = f"coalesce(g.{settings['band_of']}, 0)" if settings["band_of"] == "n_ok" else f"g.{settings['band_of']}"
    tables = band_table(settings)

    def pick(bands: Any) -> str:
        return "case " + " ".join(f"when {b.condition.format(value)} then {literal(b.name)}" for b in bands) + " end"

    if None in tables:
        return pick(tables[None])
    return by_category({str(k): pick(v) for k, v in tables.items()}, settings["category"])


def by_category(value: float | Mapping[str, Any] | None, category: str) -> str:
    """Return SQL for a value that is one for all, or one by category; null where a category has none."""
    if value is None:
        return "null"
    if not isinstance(value, Mapping):
        return repr(float(value)) if math.isfinite(value) else f"'{value}'::double"
    cases = " ".join(f"when {literal(name)} then {v}" for name, v in value.items() if name != REST)
    rest = f" else {value[REST]}" if REST in value else ""
    return f"(case {'rows.' + quote(category)} {cases}{rest} end)" if cases else f"({value[REST]})"
