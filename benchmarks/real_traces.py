"""The main job on real input with the embedded model: 500 recorded R1-distill traces of MATH-500.

The pocket model knows only its own small world and 2,048 tokens, so it rewrites none of them: what is asked is that
nothing crashes or hangs and that every row is accounted for. Traces longer than its context are refused unread with
the reason `too_long`, what it writes for the others is refused by the checks, and all of them keep their long trace.

Run: python benchmarks/real_traces.py [rows] [retries]     (all 500: about four minutes of CPU)
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"
TRACES = SHARED / "traces" / "saturn_math500_r1_distill_qwen_7b.parquet"
NAMES = ("aime24_test", "aime25_test", "amc23_test", "olympiadbench_oe_to_maths_en_test")
PAGE = """
name: real-traces
engines:
  teacher: {{kind: pocket}}
steps:
  - read: {{path: "{traces}", columns: {{problem: problem, answer: gold, trace: output}}, n: {rows}}}
  - dedup: {{on: problem}}
  - decontaminate: {{against: [{benchmarks}]}}
  - verify:
  - grade:
  - select: {{where: correct, best: n_tokens, per: problem_id}}
  - compress: {{engine: teacher, retries: {retries}}}
  - export: {{to: trl}}
"""


def page(rows: int, retries: int) -> str:
    """Return the pipeline: the operators of pipelines/litecot.yaml, the traces read instead of generated."""
    benchmarks = ", ".join(f'"{SHARED / "benchmarks" / n}.parquet"' for n in NAMES)
    return PAGE.format(traces=TRACES, benchmarks=benchmarks, rows=rows, retries=retries)


def account(done: Any) -> dict[str, Any]:
    """Return the numbers of each step, and what became of each row; raises where a row is unaccounted for."""
    steps = {}
    for r in done.receipts:
        if r["rows_in"] + r["made"] != r["out"] + r["dropped"]:
            raise SystemExit(f"{r['step']}: {r['rows_in']} + {r['made']} rows, but {r['out']} + {r['dropped']}")
        steps[r["step"]] = {k: r[k] for k in ("rows_in", "out", "dropped", "reasons") if r[k]}
    kept = done.table("compress").to_arrow_table().select(["row_id", "verified", "reject_reason"]).to_pylist()
    ends = [r["row_id"] for r in kept]
    for step in done.steps:
        if step["kind"] != "sink":
            ends += [r["row_id"] for r in done.table(step["label"], dropped=True).to_arrow_table().to_pylist()]
    read = [r["row_id"] for r in done.table("read").to_arrow_table().to_pylist()]
    if sorted(ends) != sorted(read):
        raise SystemExit(f"{len(read)} rows came in and {len(ends)} came to an end")
    fates = Counter("rewritten" if r["verified"] else f"long trace kept: {r['reject_reason']}" for r in kept)
    compress = next(r for r in done.receipts if r["op"] == "compress")
    return {
        "rows": len(read), "steps": steps, "compress": dict(sorted(fates.items())),
        "counts": compress["counts"], "engine": compress["engines"]["teacher"],
    }  # fmt: skip


def main(rows: int, retries: int) -> None:
    from curator.check import load
    from curator.run.local import run

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "page.yaml"
        file.write_text(page(rows, retries))
        start = time.perf_counter()
        found = account(run(load(file), Path(folder) / "run", progress="lines"))
        found["seconds"] = round(time.perf_counter() - start, 1)
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    found["cpu_seconds"] = round(sum(u.ru_utime + u.ru_stime for u in used), 1)
    found["retries"] = retries
    print(json.dumps(found, indent=1))
    (ROOT / "benchmarks" / "results" / "real_traces.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    if not TRACES.exists():
        print("real_traces: ../shared/data is not there")
    else:
        numbers = [int(a) for a in sys.argv[1:3]]
        main(*numbers, *[500, 2][len(numbers) :])
