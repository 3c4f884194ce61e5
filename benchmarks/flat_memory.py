"""Peak memory of a run against the number of its rows: it must not grow with them.

    python benchmarks/flat_memory.py                     # 100,000 and 1,000,000 rows
    python benchmarks/flat_memory.py --rows 10000 100000

Generated problems of about 300 bytes with traces of about 1 kB, one in twenty a duplicate, go through read, dedup
(exact), verify, grade, select and export. Measured: the largest sum of resident memory of the run's process and all
its children, looked at every 50 ms. Goal: ratio at most 1.2.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FILE_ROWS = 50_000
WORDS = ("train", "station", "noon", "meets", "another", "hours", "before", "line", "left", "the", "a", "two", "same")


TEXT = " ".join(random.Random(7).choices(WORDS, k=20_000))


def problem(i: int) -> str:
    at = i * 7919 % (len(TEXT) - 260)
    return f"Problem {i}: {TEXT[at : at + 260]}. What is {i} + {i % 97}?"


def trace(i: int) -> str:
    thoughts = "\n".join(problem(i + k) for k in range(3))
    return f"<think>\n{thoughts}\n</think>\nSo it is \\boxed{{{i + i % 97 + (i % 7 == 0)}}}."


def write_input(folder: Path, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True)
    for at in range(0, rows, FILE_ROWS):
        ids = range(at, min(rows, at + FILE_ROWS))
        source = [i - 1 if i % 20 == 19 else i for i in ids]  # one in twenty repeats the problem before it
        table = pa.table(
            {
                "id": [f"p-{i}" for i in ids],
                "problem": [problem(i) for i in source],
                "answer": [str(i + i % 97) for i in source],
                "trace": [trace(i) for i in source],
            }
        )
        pq.write_table(table, folder / f"part-{at // FILE_ROWS:05d}.parquet", compression="zstd")


def go(data: str, folder: str, workers: int) -> None:
    import curator as cu

    chain = (
        cu.read(path=f"{data}/*.parquet")
        | cu.dedup(on="problem")
        | cu.verify()
        | cu.grade()
        | cu.select(where="correct")
        | cu.export(to="trl")
    )
    chain.run(folder, progress=False, workers=workers)


def watch(target: Callable[..., None], args: tuple[Any, ...], folder: Path) -> dict[str, Any]:
    """Run `target` in a fresh process that writes the run `folder`; return its peak memory, time and step numbers.

    The peak is the largest sum of resident memory of the process and all its children, looked at every 50 ms.
    """
    import psutil

    child = multiprocessing.get_context("spawn").Process(target=target, args=args)
    began, peak, at_peak = time.monotonic(), 0, ""
    child.start()
    parent = psutil.Process(child.pid)
    while child.is_alive():
        total = 0
        try:
            for process in [parent, *parent.children(recursive=True)]:
                total += process.memory_info().rss
        except psutil.NoSuchProcess:
            pass
        if total > peak:
            done = sorted(p.parent.name for p in folder.glob("steps/*/receipt.json"))
            peak, at_peak = total, f"after {done[-1]}" if done else "in the first step"
        time.sleep(0.05)
    child.join()
    if child.exitcode:
        sys.exit(f"{folder.name}: the run failed with exit code {child.exitcode}")
    receipts = [json.loads(p.read_text()) for p in sorted(folder.glob("steps/*/receipt.json"))]
    return {
        "peak_mb": round(peak / 1e6), "at": at_peak, "seconds": round(time.monotonic() - began, 1),
        "out": {r["step"]: r["out"] for r in receipts}, "step_seconds": {r["step"]: r["seconds"] for r in receipts},
    }  # fmt: skip


def measure(rows: int, workers: int, keep: Path) -> dict[str, Any]:
    data, folder = keep / f"data-{rows}", keep / f"run-{rows}"
    if not data.exists():
        write_input(data, rows)
    return {"rows": rows, **watch(go, (str(data), str(folder), workers), folder)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work (kept); default: a temporary folder")
    args = parser.parse_args()
    keep = args.folder or Path(tempfile.mkdtemp(prefix="flat-memory-"))
    try:
        found = []
        for rows in args.rows:
            found.append(measure(rows, args.workers, keep))
            print(json.dumps(found[-1]), flush=True)
        print(json.dumps({"ratio": round(found[-1]["peak_mb"] / found[0]["peak_mb"], 3)}))
    finally:
        if args.folder is None:
            shutil.rmtree(keep, ignore_errors=True)


if __name__ == "__main__":
    main()
