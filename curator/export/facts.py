"""What the card tells about a run: taken from the receipts and counted in the rows, nothing assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator.op import View

MAX_GROUPS = 50  # distinct sources, models or verifiers listed; the rest is counted
Row = Mapping[str, Any]


@dataclass
class Facts:
    """What the run and its rows know about themselves.

    Groups are rows of a GROUP BY with the count in `n`, at most `MAX_GROUPS` of them. `licenses`: every distinct one.
    """

    name: str = "dataset"
    seed: int = 0
    pipeline: str = ""
    receipts: Sequence[Row] = ()
    engines: Mapping[str, Any] = field(default_factory=dict)
    sources: list[dict[str, Any]] = field(default_factory=list)
    models: list[dict[str, Any]] = field(default_factory=list)
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    domains: list[dict[str, Any]] = field(default_factory=list)
    licenses: list[str | None] = field(default_factory=list)
    n_sources: int = 0

    def steps(self, op: str) -> list[Row]:
        """Receipts of the steps that ran operator `op`; of one inside a loop one for all rounds, as `loop.step`."""
        found = []
        for r in self.receipts:
            if r.get("op") == op:
                found.append(r)
            inside: dict[str, dict[str, Any]] = {}
            for label, own in ((k, v) for one in r.get("rounds") or () for k, v in one.get("steps", {}).items()):
                if own.get("op") == op:
                    held = inside.setdefault(label, {**own, "step": f"{r['step']}.{label}", "rows_in": 0, "dropped": 0})
                    held["rows_in"] += own["rows_in"]
                    held["dropped"] += own["dropped"]
            found += inside.values()
        return found


def facts_of(run: Mapping[str, Any], view: View) -> Facts:
    """Collect the facts from the run and from the rows that are about to be written."""
    have = set(view.schema.names)
    facts = Facts(
        str(run.get("name") or "dataset"), int(run.get("seed") or 0), str(run.get("pipeline") or ""),
        list(run.get("receipts") or []), dict(run.get("engines") or {}),
    )  # fmt: skip
    facts.sources, facts.n_sources = _groups(view, ["source", "license"], have)
    facts.models, _ = _groups(view, ["engine", "model"], have)
    facts.verdicts, _ = _groups(view, ["verifier", "verdict"], have)
    facts.domains, _ = _groups(view, ["domain"], have)
    if "license" in have:
        facts.licenses = [row[0] for row in view.con.execute("SELECT DISTINCT license FROM rows").fetchall()]
    return facts


def _groups(view: View, wanted: list[str], have: set[str]) -> tuple[list[dict[str, Any]], int]:
    """Count rows per value of the columns that exist, largest first, ties in order of the values; and all groups."""
    names = [n for n in wanted if n in have]
    if not names:
        return [], 0
    listed = ", ".join(names)
    order = ", ".join(f"{n} NULLS LAST" for n in names)
    query = (
        f"SELECT {listed}, n, count(*) OVER () FROM (SELECT {listed}, count(*) AS n FROM rows GROUP BY {listed}) "
        f"ORDER BY n DESC, {order} LIMIT {MAX_GROUPS}"
    )
    found = view.con.execute(query).fetchall()
    groups = [dict(zip((*names, "n"), row, strict=False)) for row in found]
    return [g for g in groups if any(g[n] is not None for n in names)], found[0][-1] if found else 0
