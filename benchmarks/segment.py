"""Thoughts and steps of 740 real traces: how fast they are cut, that nothing is lost, and what they look like.

Asked: >= 20 MB/s a core, each trace the same after its pieces are joined. Traces: R1-Distill and Saturn models of 1.5
and 7 billion parameters on MATH-500, AIME24 and AIME25, with the verdicts of their own grader. `operator` is what
`segment` does with a table, Arrow columns in and out; `segmenter` the text function alone; `split` is the yardstick:
Python's `str.split` at empty lines, which finds no words and gives no positions. CPU time, medians of turns.

Run: python benchmarks/segment.py [rounds]
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from curator.ops.segment import segment
from curator.spans import cuts, thoughts

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "segment.json"
DATA = ROOT.parent / "shared" / "data" / "traces"
FILES = ("saturn_math500_r1_distill_qwen_7b", "saturn_aime24_aime25_4models")


def traces() -> pa.Table:
    """Return the 740 traces: row_id, trace, correct, model, source."""
    found = []
    for name in FILES:
        t = pq.read_table(DATA / f"{name}.parquet", columns=["output", "correct", "model"])
        ids = pa.array([f"{name}-{i}" for i in range(len(t))])
        source = pa.array(["MATH-500" if "math500" in name else "AIME24/25"] * len(t))
        found.append(
            pa.table(
                {"row_id": ids, "trace": t["output"], "correct": t["correct"], "model": t["model"], "source": source}
            )
        )
    return pa.concat_tables(found, promote_options="permissive").combine_chunks()


def thinking(trace: str) -> str:
    """Return the thinking; the prompts of these files end with the opening tag."""
    at = cuts.frame("<think>\n" + trace)
    return "" if at is None else ("<think>\n" + trace)[at.start : at.end]


def speed(name: str, work: Callable[[], object], megabytes: float, seen: dict[str, list[float]]) -> None:
    before = time.process_time()
    work()
    seen.setdefault(name, []).append(megabytes / (time.process_time() - before))


def looks(table: pa.Table) -> list[dict]:
    """Return thoughts a trace and steps a thought, by source and verdict."""
    words = thoughts.compiled()
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for row in table.to_pylist():
        seen = thoughts.outline(thinking(row["trace"]), words)
        verdict = {True: "correct", False: "wrong", None: "contested"}[row["correct"]]
        for source in (row["source"], "all"):
            groups.setdefault((source, verdict), []).append((len(seen.thoughts), len(seen.steps)))
    out = []
    for (source, verdict), rows in sorted(groups.items()):
        n_thoughts, n_steps = (sum(r[i] for r in rows) for i in (0, 1))
        out.append({
            "source": source, "verdict": verdict, "traces": len(rows),
            "thoughts_per_trace": round(n_thoughts / len(rows), 1),
            "median_thoughts": statistics.median(r[0] for r in rows),
            "steps_per_trace": round(n_steps / len(rows), 1), "steps_per_thought": round(n_steps / n_thoughts, 2),
        })  # fmt: skip
    return out


def main(rounds: int) -> None:
    if not DATA.exists():
        print("segment: the real traces are not there (../shared/data)")
        return
    table = traces()
    texts, words, mark = table["trace"].to_pylist(), thoughts.compiled(), segment()
    megabytes = sum(len(t.encode()) for t in texts) / 1e6
    contenders: dict[str, Callable[[], object]] = {
        "operator": lambda: mark(table),
        "segmenter": lambda: [thoughts.thoughts(t, words) for t in texts],
        "split": lambda: [t.split("\n\n") for t in texts],
    }
    seen: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in contenders.items():
            speed(name, work, megabytes, seen)
    lost = sum("".join(thoughts.thoughts(t, words).pieces(t)) != t for t in texts)
    spans = mark(table)["spans"].to_pylist()
    lost += sum("".join(t[s["start"] : s["end"]] for s in ss) != t for t, ss in zip(texts, spans, strict=True))
    rates = {name: round(statistics.median(r), 1) for name, r in seen.items()}
    out = {"traces": len(texts), "megabytes": round(megabytes, 2), "rounds": rounds, "mb_per_s_a_core": rates,
           "not_lossless": lost, "table": looks(table)}  # fmt: skip
    for name, rate in rates.items():
        print(f"{name:<10} {rate:7.1f} MB/s")
    print(f"{len(texts)} traces, {lost} not the same after joining\n")
    for row in out["table"]:
        print("  ".join(f"{k} {v}" for k, v in row.items()))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
