"""Traces before and after Retro-Search, side by side: what stayed, what was cut, what replaced it, every rollout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from curator.report.gather import CHARS, Story
from curator.report.parts import section as titled
from curator.report.parts import table, text
from curator.report.terminal import show
from curator.retro.story import cut, pieces

Row = Mapping[str, Any]
_FACTS = (
    "changed",
    "stop_reason",
    "answer",
    "start_thought",
    "n_rollouts",
    "n_accepted",
    "revision_model",
    "ban_route",
)
HUES = 4  # colours of rollouts that follow each other


def section(story: Story) -> str:
    """Return the section of the page, or nothing where no trace was searched."""
    return (
        titled("Revised traces", "\n".join(map(_row, story.revised, [True] + [False] * len(story.revised))))
        if story.revised
        else ""
    )


def _row(row: Row, first: bool) -> str:  # noqa: FBT001
    problem = " ".join(show(row.get("problem")).split())
    before, after = row["tokens_before"], row["tokens_after"]
    title = f"{row['row_id']}: {before} -> {after} tokens. {problem[:90]}"
    chips = "".join(f"<li>{text(k)} <b>{text(row[k])}</b></li>" for k in _FACTS if row.get(k) is not None)
    body = _versions(row) if row["changed"] else _block("trace (nothing was replaced)", [_span("", row["trace"])])
    return (
        f"<details{' open' if first else ''}><summary>{text(title)}</summary>\n<ul class='chips'>{chips}</ul>\n"
        f"{_block('problem', [_span('', row.get('problem'))])}\n{body}\n{_audit(row)}</details>"
    )


def _versions(row: Row) -> str:
    kept, gone = cut(row["trace"], row["rollouts"])
    new = [p for p in pieces(row["trace"], row["rollouts"]) if p.rollout]
    sizes = {
        when: f"{row[f'tokens_{when}']} tokens, {row[f'n_steps_{when}']} steps, {row[f'n_thoughts_{when}']} thoughts"
        for when in ("before", "after")
    }
    put = [_span(f"new h{n % HUES}", p.text, f"rollout {p.rollout}") for n, p in enumerate(new)]
    wrote = " and ".join(f"rollout {p.rollout}" for p in new)
    left = _block(f"cut from the original ({sizes['before']} in all)", [_span("cut", gone)])
    right = _block(f"put in its place by {wrote} ({sizes['after']} in all)", put)
    return f"{_block('kept', [_span('', kept.rstrip())])}\n<div class='sides'>{left}{right}</div>"


def _audit(row: Row) -> str:
    head = ("rollout", "after thought", "verdict", "steps", "instead of", "accepted", "why not", "text")
    rows = [
        (
            n, r["position"], r["verdict"], r["steps_new"], r["steps_old"], r["accepted"],
            "" if r["accepted"] else r["why"] or "", _clip(r["text"]),
        )
        for n, r in enumerate(row["rollouts"], 1)
    ]  # fmt: skip
    shown = table(head, rows[:40])
    more = f'<p class="note">and {len(rows) - 40} more</p>' if len(rows) > 40 else ""
    return f"<details><summary>rollouts ({len(rows)})</summary>\n<div class='audit'>{shown}</div>{more}</details>"


def _clip(said: str, length: int = 300) -> str:
    return said if len(said) <= length else said[:length] + "..."


def _span(mark: str, value: Any, title: str = "") -> str:
    shown = show(value)
    note = "" if len(shown) <= CHARS else "<i>... cut here</i>"
    hint = f' title="{text(title)}"' if title else ""
    body = escape(shown[:CHARS])
    return f'<span class="{mark}"{hint}>{body}</span>{note}' if mark else body + note


def _block(title: str, spans: Iterable[str]) -> str:
    return f'<div class="text"><h4>{text(title)}</h4><pre>{"".join(spans)}</pre></div>'
