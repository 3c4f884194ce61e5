"""The report as one HTML page: no script, no outside resource, every text from the run escaped.

A content security policy forbids scripts and all loading as a second wall behind the escaping.
"""

from __future__ import annotations

from html import escape
from typing import Any

from curator.report import charts, diversity, revised
from curator.report.gather import CHARS, Story
from curator.report.parts import section, table, text
from curator.report.style import STYLE
from curator.report.terminal import show

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def render(story: Story) -> str:
    """Return the page."""
    parts = [
        _head(story), section("Rows", charts.funnel(story.receipts) + _steps(story)), _tokens(story), _reports(story),
        diversity.section(story.diversity, story.pool), _engines(story), revised.section(story), _samples(story),
        _dropped(story), _pipeline(story),
    ]  # fmt: skip
    return document(f"{story.name} - curator report", "\n".join(p for p in parts if p))


def document(title: str, body: str, style: str = "") -> str:
    """Return the whole page around a body; `style` is added to the style sheet."""
    return _PAGE.format(title=text(title), style=STYLE + style, body=body)


def _head(story: Story) -> str:
    used = story.engines.values()
    tokens = int(sum(u.get("tokens_in", 0) + u.get("tokens_out", 0) for u in used))
    tiles = [
        ("rows out", story.rows_out),
        ("rows dropped", sum(int(r.get("dropped") or 0) for r in story.receipts)),
        ("model tokens", tokens),
        ("cost", f"{sum(u.get('cost', 0) for u in used):.2f}" if any("cost" in u for u in used) else "no price"),
        ("seconds of work", float(sum(r.get("seconds") or 0 for r in story.receipts))),
    ]
    cells = "".join(f"<div><dt>{text(k)}</dt><dd>{text(v)}</dd></div>" for k, v in tiles)
    note = f'<p class="note">Not finished: {text(", ".join(story.missing))}</p>' if story.missing else ""
    return f"<header>\n<h1>{text(story.name)}</h1>\n<dl>{cells}</dl>\n{note}</header>"


def _steps(story: Story) -> str:
    rows = []
    for r in story.receipts:
        why = ", ".join(f"{reason} {n:,}" for reason, n in (r.get("reasons") or {}).items())
        counts = [int(r.get(k) or 0) for k in ("rows_in", "made", "out", "dropped")]
        rows.append((r["step"], r.get("op"), *counts, float(r.get("seconds") or 0), why))
    return table(("step", "operator", "in", "made", "out", "dropped", "seconds", "why dropped"), rows)


def _tokens(story: Story) -> str:
    if not story.tokens:
        return ""
    means = [h.mean for h in story.tokens]
    line = ", ".join(f"{h.name}: mean {h.mean:,.0f} tokens" for h in story.tokens)
    if len(means) == 2 and means[1]:
        only = "traces that were searched" if "thinking" in story.tokens[0].name else "verified rewrites"
        line += f" ({means[0] / means[1]:.1f} times shorter; {only} only)"
    return section("Tokens", f"<p>{text(line)}</p>" + charts.histogram(story.tokens))


def _reports(story: Story) -> str:
    parts = [
        f"<h3>{text(r['step'])}: {text(title)}</h3>" + table([str(k) for k in rows[0]], (row.values() for row in rows))
        for r in story.receipts
        for title, rows in (r.get("reports") or {}).items()
        if rows
    ]
    return section("What the steps report", "\n".join(parts)) if parts else ""


def _engines(story: Story) -> str:
    keys = ("requests", "cached", "tokens_in", "tokens_out", "errors", "too_long")
    rows = [
        (alias, *(int(use.get(k, 0)) for k in keys), f"{use['cost']:.4f}" if "cost" in use else "no price")
        for alias, use in story.engines.items()
    ]
    head = ("engine", "requests", "from store", "prompt tokens", "completion tokens", "errors", "too long", "cost")
    return section("Models", table(head, rows)) if rows else ""


def _block(title: str, value: Any) -> str:
    shown = show(value)
    note = ""
    if len(shown) > CHARS:
        shown, note = shown[:CHARS], '<p class="note">cut here</p>'
    return f'<div class="text"><h4>{text(title)}</h4><pre>{escape(shown)}</pre>{note}</div>'


def _samples(story: Story) -> str:
    parts = []
    for i, row in enumerate(story.samples):
        facts = [
            (k, row[k])
            for k in ("difficulty", "verdict", "answer", "predicted_answer", "tokens_long", "tokens_short", "n_tokens",
                      "verified", "reject_reason", "model")
            if row.get(k) is not None
        ]  # fmt: skip
        chips = "".join(f"<li>{text(k)} <b>{text(v)}</b></li>" for k, v in facts)
        long = row.get("trace") or row.get("response")
        short = "\n\n".join(str(row[k]) for k in ("short_cot", "short_solution") if row.get(k))
        sides = (_block("long trace", long) if long else "") + (_block("short trace", short) if short else "")
        problem = show(row.get("problem"))
        title = f"{row.get('row_id') or row.get('problem_id')}: {' '.join(problem.split())[:110]}"
        opened = " open" if i == 0 else ""
        parts.append(
            f"<details{opened}><summary>{text(title)}</summary>\n<ul class='chips'>{chips}</ul>\n"
            f"{_block('problem', problem)}\n<div class='sides'>{sides}</div></details>"
        )
    return section("Rows to read", "\n".join(parts)) if parts else ""


def _dropped(story: Story) -> str:
    parts = []
    for step, rows in story.dropped.items():
        if rows:
            shown = [(r["reason"], r["row_id"], r["evidence"], r["problem"]) for r in rows]
            inner = table(("reason", "row", "evidence", "problem"), shown)
            parts.append(f"<details><summary>{text(step)}</summary>\n{inner}</details>")
    return section("Some of the dropped rows", "\n".join(parts)) if parts else ""


def _pipeline(story: Story) -> str:
    if not story.pipeline:
        return ""
    return section(
        "Pipeline", f"<details><summary>pipeline.yaml</summary><pre>{escape(story.pipeline)}</pre></details>"
    )
