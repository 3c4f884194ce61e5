"""What each teacher did on the problems: SQL over the sample rows, one pass each, bounded by teachers and problems."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pyarrow as pa

from curator import table
from curator.engines.budget import Price, load_prices, price_of
from curator.errors import CheckError, InputError
from curator.near import hint
from curator.rows import quote
from curator.teachers.diversity import TEXTS, distinct

Row = dict[str, Any]
MAX_TEACHERS = 500  # pairs of teachers are counted: a column with more values is no column of teachers
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Asked:
    """What to count.

    `by`: the column that names the teacher (None: engine, else model). `min_cover`: a teacher that has a verdict on a
    smaller share of the problems is listed and not ranked. `student`: name of the `score` step whose columns tell how
    likely the traces are under the student. `prices`: a price file.
    """

    by: str | None = None
    correct: str = "correct"
    problem: str = "problem_id"
    student: str = "student"
    min_cover: float = 0.9
    prices: Path | None = None


@dataclass
class Counted:
    """Teachers with their numbers, every pair of teachers, and how many problems they have in common."""

    teachers: list[Row]
    pairs: list[Row]
    by: str
    problems: int
    common: int
    unit: str = "tokens"
    unranked: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def measure(files: Sequence[Path], asked: Asked) -> Counted:
    """Count what every teacher did.

    Raises:
        CheckError: a column is missing, or names too many teachers.
        InputError: fewer than two teachers, or no problem that all of the ranked ones have a verdict on.
    """
    with tempfile.TemporaryDirectory(prefix="teachers-") as spill, closing(table.TableView(files, Path(spill))) as view:
        by = _columns(view.schema, asked)
        _rows(view, asked, by)
        counted = _teachers(view, asked, by)
        _common(view, counted, asked)
        _likelihood(view, counted, asked)
        _money(counted, asked)
        distinct(view, counted.teachers, counted.notes)
        counted.pairs = _pairs(view, counted)
    return counted


def _columns(schema: pa.Schema, asked: Asked) -> str:
    by = asked.by or next((n for n in ("engine", "model") if n in schema.names), None)
    if by is None:
        msg = f"teachers: no column engine or model tells teachers apart; name one: --by ({', '.join(schema.names)})"
        raise CheckError(msg)
    for name, option in ((by, "--by"), (asked.problem, "--problem"), (asked.correct, "--correct")):
        if name not in schema.names:
            msg = f"teachers: there is no column '{name}' ({option}){hint(name, schema.names)}"
            raise CheckError(msg)
    if not pa.types.is_boolean(schema.field(asked.correct).type):
        msg = f"teachers: column '{asked.correct}' is {schema.field(asked.correct).type}, not true, false or null"
        raise CheckError(msg)
    return by


def _rows(view: Any, asked: Asked, by: str) -> None:
    """Make `sample_rows` (a verdict, lengths, likelihood a sample) and `cell` (the same a teacher and problem).

    An answer that states nothing (`unparseable`) is a failure of the teacher and counts as wrong; a verdict that is
    open for another reason (a timeout of ours, no reference) is left out and counted.
    """
    have = view.schema.names

    def column(*names: str, cast: str = "double") -> str:
        found = next((n for n in names if n in have), None)
        return f"null::{cast}" if found is None else f"{quote(found)}::{cast}"

    correct = f"{quote(asked.correct)}"
    if "verdict" in have:
        correct = f"case when verdict = 'unparseable' then false else {correct} end"
    student = asked.student
    view.con.execute(f"""
        create temp table sample_rows as select {quote(by)}::varchar as teacher,
            {quote(asked.problem)}::varchar as problem, {correct} as ok, {column("sample_idx", cast="int")} as idx,
            {column("n_tokens", "output_tokens", "output_chars")} as length, {column("n_prompt_tokens")} as prompt,
            {column(f"{student}_perplexity", "perplexity")} as perplexity,
            {column(f"{student}_token_entropy", "token_entropy")} as entropy,
            {column(f"{student}_n_scored", "n_scored")} as scored,
            {column("finish_reason", cast="varchar")} as finish, {column("predicted_answer", cast="varchar")} as answer
        from rows where {quote(by)} is not null and {quote(asked.problem)} is not null""")
    if text := next((n for n in TEXTS if n in have), None):
        view.con.execute(f"""
            create temp view text_rows as select {quote(by)}::varchar as teacher,
                {quote(asked.problem)}::varchar as problem, {quote(asked.correct)} as ok,
                {column("sample_idx", cast="int")} as idx, {text} as text from rows""")
    view.con.execute("""
        create temp table cell as select teacher, problem, count(ok) as n, count(*) filter (ok) as n_ok,
            n_ok / nullif(n, 0) as rate, first(answer order by idx nulls last) as answer
        from sample_rows group by all""")


def _teachers(view: Any, asked: Asked, by: str) -> Counted:
    found = _dicts(view, """
        select teacher, count(distinct problem)::int as problems, count(*)::int as samples, count(ok)::int as decided,
            (count(*) filter (ok))::int as verified, (count(*) - count(ok))::int as undecided,
            sum(length) as tokens, sum(prompt) as prompt_tokens, avg(length) as length_mean,
            quantile_cont(length, 0.1) filter (ok) as length_p10, quantile_cont(length, 0.5) filter (ok) as length_p50,
            quantile_cont(length, 0.9) filter (ok) as length_p90,
            (count(*) filter (finish = 'length'))::int as truncated
        from sample_rows group by all order by teacher""")  # fmt: skip
    if len(found) < 2:
        who = f"only '{found[0]['teacher']}'" if found else "no teacher"
        msg = f"teachers: column '{by}' names {who}; a tournament takes two or more (another column: --by)"
        raise InputError(msg)
    if len(found) > MAX_TEACHERS:
        msg = f"teachers: column '{by}' names {len(found):,} teachers, at most {MAX_TEACHERS} are compared; see --by"
        raise CheckError(msg)
    ((problems,),) = view.con.execute("select count(distinct problem) from cell").fetchall()
    counted = Counted(found, [], by, problems, 0)
    decided = dict(view.con.execute("select teacher, count(*) from cell where n > 0 group by 1").fetchall())
    for row in found:
        row["cover"] = decided.get(row["teacher"], 0) / problems
        row["tokens_per_verified"] = _per(row["tokens"], row["verified"])
        row["length_spread"] = _per(row["length_p90"], row["length_p10"])
        if row["cover"] < asked.min_cover:
            held = decided.get(row["teacher"], 0)
            told = f"a verdict on {held:,} of {problems:,} problems, less than {asked.min_cover:.0%}"
            counted.unranked[row["teacher"]] = told
    if not {"n_tokens", "output_tokens"} & set(view.schema.names):
        counted.unit = "characters"
        if "output_chars" in view.schema.names:
            counted.notes.append("lengths are characters: there is no column n_tokens")
    return counted


def _common(view: Any, counted: Counted, asked: Asked) -> None:
    """Rates over the problems that every ranked teacher has a verdict on, with their intervals."""
    ranked = [r["teacher"] for r in counted.teachers if r["teacher"] not in counted.unranked]
    view.con.execute("create temp table ranked as select unnest(?::varchar[]) as teacher", [ranked])
    view.con.execute("""
        create temp table common as select problem from cell semi join ranked using (teacher) where n > 0 group by 1
        having count(*) = (select count(*) from ranked)""")
    ((counted.common,),) = view.con.execute("select count(*) from common").fetchall()
    if len(ranked) < 2 or not counted.common:
        msg = (
            f"teachers: no problem has a verdict of all {len(ranked)} ranked teachers; compare fewer, or raise "
            f"--min-cover (now {asked.min_cover:g}) so that those with few problems are left out"
        )
        raise InputError(msg)
    # Sums of floats depend on the order of their terms, so every one below has an order.
    own = dict(view.con.execute("select teacher, avg(rate order by problem) from cell group by 1").fetchall())
    here = {r["teacher"]: r for r in _dicts(view, """
        select teacher, count(*)::int as m, avg(rate order by problem) as rate,
            coalesce(var_samp(rate order by problem), 0) as var, sum(n)::int as n,
            (count(*) filter (n_ok > 0)) / count(*) as solved
        from cell semi join common using (problem) group by 1""")}  # fmt: skip
    alone = dict(view.con.execute("""
        select first(teacher), count(*) from (select problem, first(teacher) as teacher from cell
        semi join common using (problem) semi join ranked using (teacher) where n_ok > 0 group by 1 having count(*) = 1)
        group by teacher""").fetchall())  # fmt: skip
    for row in counted.teachers:
        found = here.get(row["teacher"])
        row["verified_rate_own"] = own.get(row["teacher"])
        ranks = found is not None and row["teacher"] not in counted.unranked
        row["verified_rate"] = found["rate"] if found is not None and ranks else None
        low, high = interval(found["rate"], found["var"], found["m"], found["n"]) if found and ranks else (None, None)
        row["verified_rate_low"], row["verified_rate_high"] = low, high
        row["solved_rate"] = found["solved"] if found is not None and ranks else None
        row["solved_alone"] = alone.get(row["teacher"], 0) if ranks else None


def interval(rate: float, variance: float, problems: int, samples: int) -> tuple[float, float]:
    """Return Wilson's interval for a mean of per-problem rates, at the effective number of samples.

    Samples of one problem are alike, so they count for less than so many independent ones: the effective number is
    rate (1 - rate) over the variance of the mean (Korn and Graubard 1998), between the problems and the samples.
    """
    z = NormalDist().inv_cdf(0.5 + CONFIDENCE / 2)
    spread = variance / problems
    n = rate * (1 - rate) / spread if spread > 0 else float(problems)
    n = min(max(n, float(problems)), float(samples)) if samples > problems else float(problems)
    middle, half = rate + z * z / (2 * n), z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    return max(0.0, (middle - half) / (1 + z * z / n)), min(1.0, (middle + half) / (1 + z * z / n))


def _likelihood(view: Any, counted: Counted, asked: Asked) -> None:
    """Entropy and perplexity of the verified traces under the student, as DED and Not-All-Correct report them."""
    found = {r["teacher"]: r for r in _dicts(view, """
        select teacher, avg(perplexity order by problem, idx, perplexity) as perplexity,
            sum(entropy * scored order by problem, idx, entropy) / sum(scored) filter (entropy is not null) as entropy
        from sample_rows where ok group by 1""")}  # fmt: skip
    for row in counted.teachers:
        held = found.get(row["teacher"], {})
        row["student_perplexity"], row["student_entropy"] = held.get("perplexity"), held.get("entropy")
    if all(row["student_perplexity"] is None for row in counted.teachers):
        counted.notes.append(f"no likelihood under the student: score the traces first, name: {asked.student}")


def _money(counted: Counted, asked: Asked) -> None:
    """Dollars by the price file; null where it has no price for the teacher."""
    prices: Mapping[str, Price] = load_prices(asked.prices)[1] if asked.prices else {}
    for row in counted.teachers:
        price = price_of(row["teacher"], prices)
        cost = price.of(row["prompt_tokens"] or 0, row["tokens"]) if price and row["tokens"] is not None else None
        row["cost"] = cost
        row["verified_per_dollar"] = _per(row["verified"], cost)
    if asked.prices is None:
        counted.notes.append("no prices given (--prices FILE): yield is per token only")
    elif missing := [r["teacher"] for r in counted.teachers if r["cost"] is None]:
        counted.notes.append(f"no price for {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}")


def _pairs(view: Any, counted: Counted) -> list[Row]:
    """Every pair of ranked teachers on the common problems: who solves what the other does not."""
    differs = "(count(*) filter (trim(a.answer) <> trim(b.answer)))::int"
    if "predicted_answer" not in view.schema.names:
        differs = "null::int"
    return _dicts(view, f"""
        with seen as (from cell semi join common using (problem) semi join ranked using (teacher))
        select a.teacher as teacher, b.teacher as other, count(*)::int as problems,
            (count(*) filter (a.n_ok > 0 and b.n_ok > 0))::int as "both",
            (count(*) filter (a.n_ok > 0 and b.n_ok = 0))::int as only_teacher,
            (count(*) filter (a.n_ok = 0 and b.n_ok > 0))::int as only_other,
            (count(*) filter (a.n_ok = 0 and b.n_ok = 0))::int as neither, {differs} as other_answer,
            avg(a.rate - b.rate order by a.problem) as difference,
            coalesce(var_samp(a.rate - b.rate order by a.problem), 0) / count(*) as variance
        from seen a join seen b on a.problem = b.problem and a.teacher <> b.teacher group by 1, 2 order by 1, 2""")


def _dicts(view: Any, query: str) -> list[Row]:
    found: list[Row] = view.con.sql(query).to_arrow_table().to_pylist()
    return found


def _per(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None
