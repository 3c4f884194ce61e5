"""The page of a tournament of teachers: the label first, the table, and four pictures."""

from __future__ import annotations

from collections.abc import Sequence

from curator.report import plots
from curator.report.page import document
from curator.report.parts import section, text
from curator.report.style import PLOTS
from curator.teachers.measure import Row
from curator.teachers.rank import SMOKE, Tournament

SHOWN = 24  # teachers in the matrix: its cells must stay legible
HEADS: dict[str, str] = {
    "rank": "rank", "teacher": "teacher", "smoke_mean": "student's score", "verified_rate": "verified",
    "verified_rate_low": "from", "verified_rate_high": "to", "verified_rate_own": "on its own problems",
    "behind_first": "behind the first", "level_with_first": "level with it", "solved_alone": "solved alone",
    "tokens_per_verified": "tokens per verified", "verified_per_dollar": "verified per dollar",
    "length_p50": "median length", "length_spread": "90% / 10%", "student_perplexity": "student's perplexity",
    "student_entropy": "student's entropy", "distinct_4": "distinct 4-grams",
    "undecided": "undecided", "truncated": "cut off",
}  # fmt: skip
PAGE = (
    "rank", "teacher", "smoke_mean", "verified_rate", "interval", "behind_first", "solved_alone", "tokens_per_verified",
    "verified_per_dollar", "student_perplexity", "student_entropy", "distinct_4", "undecided", "truncated",
)  # fmt: skip


def columns(teachers: Sequence[Row]) -> list[str]:
    """Return the columns of the page in order: those in which some teacher has a value that says something."""
    smoke = [k for k in teachers[0] if k.startswith("smoke_score_")] if teachers else []
    held = {n for n in [*PAGE, *smoke] if any(row.get(n) not in (None, 0) for row in teachers)} | {"interval"}
    return [n for n in (*PAGE[:3], *(smoke if len(smoke) > 1 else ()), *PAGE[3:]) if n in held]


def head(name: str, unit: str = "tokens") -> str:
    """Return a column's title; `unit`: what lengths count."""
    return HEADS.get(name, name.removeprefix("smoke_score_")).replace("tokens", unit)


def render(found: Tournament, title: str) -> str:
    """Return the page: one file, no script, nothing from outside."""
    ranked = [row for row in found.teachers if row["rank"] is not None]
    said = found.verdict.removeprefix(f"{found.label} ")
    kind = "smoke" if found.label == SMOKE else "proxy"
    parts = [
        f'<header><h1>{text(title)}</h1>\n<p><span class="label-{kind}">{text(found.label)}</span> {text(said)}.</p>',
        f"<p>{text(_scope(found))}</p></header>",
        section("Teachers", _table(found)),
        section("Verified answers", _rates(ranked) + _note(_RATES)),
        section("Price", _price(ranked, found.unit)),
        section("Length of verified traces", _lengths(ranked)),
        section("Who solves what the other does not", _disagreements(found, ranked)),
        section("Notes", "<ul>" + "".join(f"<li>{text(n)}</li>" for n in _notes(found)) + "</ul>"),
    ]  # fmt: skip
    return document(f"{title} - curator teachers", "\n".join(p for p in parts if p), PLOTS)


def _scope(found: Tournament) -> str:
    ranked = sum(row["rank"] is not None for row in found.teachers)
    return (
        f"{ranked} teachers ranked on {found.common:,} problems that all of them have a verdict on, of "
        f"{found.problems:,} in all; the column '{found.by}' names the teacher."
    )


def _note(said: str) -> str:
    return f'<p class="note">{text(said)}</p>'


def _table(found: Tournament) -> str:
    names = columns(found.teachers)
    right = [n not in ("teacher", "interval") for n in names]
    mark = [' class="r"' if r else "" for r in right]
    titles = ["95 % interval" if n == "interval" else head(n, found.unit) for n in names]
    top = "".join(f"<th{m}>{text(title)}</th>" for title, m in zip(titles, mark, strict=True))
    body = "\n".join(
        f"<tr{'' if row['rank'] else OUT}>"
        + "".join(f"<td{m}>{_cell(n, row)}</td>" for n, m in zip(names, mark, strict=True))
        + "</tr>"
        for row in found.teachers
    )
    return f'<div class="wide teachers"><table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'


OUT = ' class="out"'
_SHARES = ("verified_rate", "behind_first")


def _cell(name: str, row: Row) -> str:
    if name == "interval":
        low, high = row["verified_rate_low"], row["verified_rate_high"]
        return "" if low is None else f"{low:.1%} to {high:.1%}"
    value = row.get(name)
    if value is None:
        return ""
    if name == "behind_first" and row["level_with_first"] and row["rank"] != 1:
        return f"{value:.1%} (level)"
    return f"{value:.1%}" if name in _SHARES else text(value)


_RATES = "95 % interval over the common problems; orange: cannot be told from the first."


def _rates(ranked: Sequence[Row]) -> str:
    points = [
        plots.Point(
            row["teacher"], row["verified_rate_low"], row["verified_rate"], row["verified_rate_high"],
            f"{row['verified_rate']:.1%}", bool(row["level_with_first"]),
        )
        for row in ranked
    ]  # fmt: skip
    return plots.intervals(points, "Verified answers of each teacher")


def _price(ranked: Sequence[Row], unit: str) -> str:
    priced = [r for r in ranked if r["verified_per_dollar"]]
    if len(priced) > 1:
        dollars = [(r["teacher"], 1000 / r["verified_per_dollar"], r["verified_rate"]) for r in priced]
        return plots.field(dollars, "dollars per 1,000 verified answers", "verified", "Price of verified answers")
    tokens = [(r["teacher"], r["tokens_per_verified"], r["verified_rate"]) for r in ranked if r["tokens_per_verified"]]
    return plots.field(tokens, f"{unit} per verified answer", "verified", f"{unit} per verified answer")


def _lengths(ranked: Sequence[Row]) -> str:
    points = [
        plots.Point(
            row["teacher"], row["length_p10"], row["length_p50"], row["length_p90"],
            f"{row['length_p90'] / row['length_p10']:.1f} times" if row["length_p10"] else "",
        )
        for row in ranked
        if row["length_p50"] is not None
    ]  # fmt: skip
    told = _note("10 %, median and 90 % of the traces; beside it how many times the longest tenth is the shortest.")
    return plots.intervals(points, "Lengths of verified traces", low=0) + told if points else ""


def _disagreements(found: Tournament, ranked: Sequence[Row]) -> str:
    names = [row["teacher"] for row in ranked][:SHOWN]
    share = {(p["teacher"], p["other"]): p["only_teacher"] / p["problems"] for p in found.pairs}
    cells = [[share.get((a, b)) for b in names] for a in names]
    told = "Share of the common problems, in per cent, that the row's teacher solves and the column's does not."
    if len(ranked) > SHOWN:
        told += f" The first {SHOWN} of {len(ranked)}; all are in disagreements.parquet."
    return _note(told) + plots.matrix(names, cells, "Problems that one teacher solves and another does not")


def _notes(found: Tournament) -> list[str]:
    left = [f"not ranked: {teacher}: {why}" for teacher, why in found.unranked.items()]
    return [*left, *found.notes]
