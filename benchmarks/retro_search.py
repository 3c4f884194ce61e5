"""Retro-Search on the pocket set: tokens saved, and what that cost, full against partial, one rollout against four.

Asked: mean thinking tokens down by >= 30 %, verified accuracy of the kept traces 100 %, no trace longer than before.
The embedded model writes one trace a problem (temperature 0.8); those that are right and change their mind are revised
by the same model. Every way starts from the same traces and asks anew: there is no response store.

`read` are prompt tokens, prefixes included; `shared` those of them that earlier requests of the same trace had read or
written, `from_pages` those that the compiled engine really took from its shared pages (whole pages only, other traces'
prompts included). Cost a token saved: generated + read without a cache, generated + read - shared with one.

Run: python benchmarks/retro_search.py [problems]
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator.engines import open_engine
from curator.engines.fast.pages import Pages
from curator.ops.generate import generate
from curator.ops.retro_search import retro_search
from curator.ops.verify import verify
from curator.pocket import world

RESULTS = Path(__file__).resolve().parent / "results" / "retro_search.json"
WAYS: dict[str, dict[str, Any]] = {
    "full": {},
    "partial": {"mode": "partial"},
    "full, 4 rollouts": {"rollouts": 4, "max_rollouts": 256},
    "partial, 4 rollouts": {"mode": "partial", "rollouts": 4, "max_rollouts": 256},
    "full, until nothing changes": {"passes": 5, "max_rollouts": 256},
    "full, 4 rollouts, until nothing changes": {"rollouts": 4, "passes": 5, "max_rollouts": 256},
    "full, 8 rollouts, until nothing changes": {"rollouts": 8, "passes": 5, "max_rollouts": 512},
    "full, 16 rollouts, until nothing changes": {"rollouts": 16, "passes": 5, "max_rollouts": 1024},
}
LONG = 5  # thoughts from which on a trace counts as long


class Watch:
    """Counts what the engine takes from pages that are there already."""

    def __init__(self) -> None:
        self.asked = self.there = 0
        enter = Pages.enter

        def counted(pages: Pages, place: int, ids: Any, most: int) -> int | None:
            there = enter(pages, place, ids, most)
            if there is not None:
                self.asked += len(ids)
                self.there += there
            return there

        Pages.enter = counted  # type: ignore[method-assign]

    def since(self) -> tuple[int, int]:
        """Return (prompt tokens, those from pages) since the last call."""
        found = self.asked, self.there
        self.asked = self.there = 0
        return found


def summary(rows: list[dict], again: list[dict]) -> dict[str, Any]:
    """Return the numbers of some searched rows; `again` holds the verdicts of the revised traces."""
    sums = {k: sum(r[k] for r in rows) for k in ("tokens_before", "tokens_after", "n_rollouts", "n_correct_rollouts",
            "n_accepted", "tokens_spent", "tokens_read", "tokens_shared", "n_thoughts_before", "n_thoughts_after",
            "n_steps_before", "n_steps_after")}  # fmt: skip
    n, saved = len(rows), sums["tokens_before"] - sums["tokens_after"]
    correct = sum(bool(r["correct"]) for r in again)

    def per(tokens: int) -> float | None:
        return round(tokens / saved, 2) if saved > 0 else None

    return {
        "traces": n, "changed": round(sum(r["changed"] for r in rows) / n, 3),
        "mean_tokens_before": round(sums["tokens_before"] / n, 1),
        "mean_tokens_after": round(sums["tokens_after"] / n, 1), "saved": round(saved / sums["tokens_before"], 3),
        "correct_after": round(correct / n, 4), "longer": sum(r["tokens_after"] > r["tokens_before"] for r in rows),
        "thoughts": [round(sums[f"n_thoughts_{w}"] / n, 2) for w in ("before", "after")],
        "steps_per_thought": [round(sums[f"n_steps_{w}"] / sums[f"n_thoughts_{w}"], 2) for w in ("before", "after")],
        "rollouts_per_trace": round(sums["n_rollouts"] / n, 2),
        "correct_rollouts": round(sums["n_correct_rollouts"] / max(1, sums["n_rollouts"]), 3),
        "accepted_rollouts": round(sums["n_accepted"] / max(1, sums["n_rollouts"]), 3),
        "generated": sums["tokens_spent"], "read": sums["tokens_read"], "shared": sums["tokens_shared"],
        "generated_per_token_saved": per(sums["tokens_spent"]),
        "cost_per_token_saved_no_cache": per(sums["tokens_spent"] + sums["tokens_read"]),
        "cost_per_token_saved_prefix_cache": per(sums["tokens_spent"] + sums["tokens_read"] - sums["tokens_shared"]),
    }  # fmt: skip


async def traces(engine: Any, count: int) -> pa.Table:
    """Return right traces of the pocket's problems, written by the pocket, that have two thoughts or more."""
    problems = [{"row_id": r["id"], **r} for r in world.rows("pocket", count, 0)]
    given = pa.Table.from_pylist(problems).select(["row_id", "problem", "answer"])
    made = (await generate(engine=engine, temperature=0.8, seed=0)(given)).table
    judged = await asyncio.to_thread(verify(), made)
    return judged.filter(pa.compute.equal(judged["verdict"], "correct")).combine_chunks()


async def one(
    engine: Any, table: pa.Table, settings: dict[str, Any], watch: Watch
) -> tuple[dict, list[dict], list[dict]]:
    watch.since()
    begun = time.perf_counter()
    revised = (await retro_search(engine=engine, guard=True, **settings)(table)).table
    took = time.perf_counter() - begun
    asked, there = watch.since()
    again = await asyncio.to_thread(verify(trace="trace_revised"), revised)
    rows = [(r, a) for r, a in zip(revised.to_pylist(), again.to_pylist(), strict=True) if r["n_rollouts"]]
    found, judged = [r for r, _ in rows], [a for _, a in rows]
    told = summary(found, judged) | {"prompt_tokens": asked, "from_pages": there, "seconds": round(took, 1)}
    return told, found, judged


async def main(count: int) -> None:
    engine = open_engine("pocket", "pocket", {"threads": len(os.sched_getaffinity(0))}, store=None)
    watch = Watch()
    table = await traces(engine, count)
    out: dict[str, Any] = {"problems": count, "right": len(table), "model": engine.model, "ways": {}}
    for name, settings in WAYS.items():
        told, found, judged = await one(engine, table, settings, watch)
        long = [i for i, r in enumerate(found) if r["n_thoughts_before"] >= LONG]
        told["long"] = summary([found[i] for i in long], [judged[i] for i in long]) if long else None
        out["ways"][name] = told
        show(name, told)
    await engine.close()
    out["asked"] = {"saved": 0.3, "correct_after": 1.0, "longer": 0}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n")


def show(name: str, told: dict[str, Any]) -> None:
    keys = ("traces", "mean_tokens_before", "mean_tokens_after", "saved", "correct_after", "longer", "thoughts",
            "rollouts_per_trace", "generated_per_token_saved", "cost_per_token_saved_no_cache",
            "cost_per_token_saved_prefix_cache")  # fmt: skip
    print(f"{name}: " + ", ".join(f"{k} {told[k]}" for k in keys))
    print(f"  read {told['read']:,} prompt tokens, {told['shared']:,} shared; engine: {told['from_pages']:,} of "
          f"{told['prompt_tokens']:,} from pages; {told['seconds']} s")  # fmt: skip
    if told["long"]:
        print(
            f"  {told['long']['traces']} traces of {LONG} thoughts or more: saved {told['long']['saved']}", flush=True
        )


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
