"""What a search did to a trace, for people: lines for `curator why`, pieces for the page that shows both versions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SHOWN = 80  # characters of a rollout in a line
Row = Mapping[str, Any]


class Piece(NamedTuple):
    """Part of a revised trace. `rollout`: number of the rollout that wrote it, from 1; 0 for the original."""

    rollout: int
    text: str


def pieces(trace: str, rollouts: Sequence[Row]) -> list[Piece]:
    """Return the revised trace in pieces by who wrote them: the accepted rollouts of the audit, replayed in order."""
    held = [Piece(0, trace)]
    for number, r in enumerate(rollouts, 1):
        if r["accepted"]:
            left, kept = r["start"], []
            for p in held:
                kept += [Piece(p.rollout, p.text[:left])] if left > 0 else []
                left -= len(p.text)
            held = [*kept, Piece(number, r["text"])]
    return held


def cut(trace: str, rollouts: Sequence[Row]) -> tuple[str, str]:
    """Return the original as (what is still there, what was cut)."""
    first = pieces(trace, rollouts)[0]
    kept = first.text if first.rollout == 0 else ""
    return kept, trace[len(kept) :]


def lines(row: Row) -> Iterator[str]:
    """Yield what happened to a row: a summary, then a line for each rollout."""
    if row.get("start_thought") is None:
        yield f"not searched: {row.get('stop_reason')}"
        return
    told = [f"{what} {row[f'{name}_before']} -> {row[f'{name}_after']}" for what, name in _COUNTED]
    n = f"{row['n_rollouts']} rollouts, {row['n_correct_rollouts']} right, {row['n_accepted']} accepted"
    yield f"searched from thought {row['start_thought']}: {n}; {', '.join(told)}; ended: {row['stop_reason']}"
    for number, r in enumerate(row["rollouts"], 1):
        yield f"rollout {number} {outcome(r)}: {_beginning(r['text'])}"


_COUNTED = (("thoughts", "n_thoughts"), ("steps", "n_steps"), ("tokens", "tokens"))


def outcome(r: Row) -> str:
    """Return the outcome of a rollout in words."""
    where = f"after thought {r['position']}" + (f" (pass {r['sweep'] + 1})" if r["sweep"] else "")
    why = f" ({r['why']})" if r["why"] and r["why"] != r["verdict"] else ""
    end = "accepted" if r["accepted"] else f"not accepted{why}"
    return f"{where}, {r['verdict']}, {r['steps_new']} steps instead of {r['steps_old']}, {end}"


def _beginning(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
