"""Code verification: agreement with recorded verdicts, and programs/s against a plain subprocess per program.

    python benchmarks/code_verdicts.py [--rounds 3] [--sample N]

Agreement: the 487 reference solutions of `mbpp_even` (all correct) and the 1,722 recorded HumanEval verdicts of
`../shared/data/code`; 36 of those depend on packages that were not installed (`env_dependent`) and are counted apart.
Speed: the same MBPP programs with their tests, other programs each round, alternating; once one at a time, once two
at a time. The peer is the usual unsafe way: one `python -I -c` for a program with its asserts, no isolation, no limits
but a timeout. CPU seconds of all processes are given beside programs/s. Hostile: 200 programs that loop, sleep and
bomb, at once; then nothing may be left. Writes benchmarks/results/code_verdicts.json.
"""

from __future__ import annotations

import argparse
import collections
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from curator.sandbox import keeper
from curator.sandbox.extract import assemble
from curator.sandbox.judge import judge_code
from curator.sandbox.task import CodeTask

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "code"
WORD = {"pass": "correct", "fail": "incorrect", "timeout": "timeout"}
HOSTILE = (
    "while True: pass",
    "import time\ntime.sleep(10**6)",
    "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "a = []\nwhile True: a.append(bytearray(1 << 20))",
    "import threading, time\nwhile True:\n    try: threading.Thread(target=time.sleep, args=(999,)).start()\n"
    "    except RuntimeError: pass",
    "import os\nif os.fork() == 0: os.setsid()\nwhile True: pass",
    "while True: print('x' * 9999)",
)


def mbpp(sample: int) -> list[CodeTask]:
    rows = pq.read_table(DATA / "mbpp_even.parquet").to_pylist()[::sample]
    return [CodeTask(r["code"], r["test_list"], setup=r["test_setup_code"] or "") for r in rows]


def humaneval(sample: int) -> tuple[list[dict], list[CodeTask]]:
    tasks = {r["task_id"]: r for r in pq.read_table(DATA / "humaneval.parquet").to_pylist()}
    rows = pq.read_table(DATA / "humaneval_codegen16b_labelled_even_tasks.parquet").to_pylist()[::sample]
    return rows, [
        CodeTask(assemble(t["prompt"], r["completion"]), t["test"], entry_point=t["entry_point"], prompt=t["prompt"])
        for r in rows
        for t in [tasks[r["task_id"]]]
    ]


def agreement(sample: int) -> dict[str, object]:
    references = collections.Counter(v.verdict for v in judge_code(mbpp(sample)))
    rows, items = humaneval(sample)
    verdicts = judge_code(items, limit_s=3)
    decided = [(r, v) for r, v in zip(rows, verdicts, strict=True) if r["result"] in WORD]
    same = sum(WORD[r["result"]] == v.verdict for r, v in decided)
    other = collections.Counter(v.verdict for r, v in zip(rows, verdicts, strict=True) if r["result"] not in WORD)
    return {
        "mbpp": {"programs": sum(references.values()), "verdicts": dict(references)},
        "humaneval": {
            "rows": len(rows),
            "decided": len(decided),
            "agree": same,
            "agreement": round(same / len(decided), 5),
            "env_dependent": dict(other),
            "disagreements": [
                {
                    "task": r["task_id"],
                    "sample": r["sample"],
                    "recorded": r["result"],
                    "ours": v.verdict,
                    "why": v.detail,
                }
                for r, v in decided
                if WORD[r["result"]] != v.verdict
            ],
        },
    }


def plain(items: list[CodeTask], parallel: int) -> None:
    """The peer: an interpreter for each program."""

    def one(item: CodeTask) -> bool:
        code = "\n".join([item.program or "", *map(str, item.tests)])  # type: ignore[call-overload]
        try:
            done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, timeout=4, check=False)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    with ThreadPoolExecutor(parallel) as pool:
        assert all(pool.map(one, items))


def ours(items: list[CodeTask], parallel: int) -> None:
    assert {v.verdict for v in judge_code(items, parallel=parallel)} == {"correct"}


def cpu() -> float:
    """CPU seconds of this process and of every process it had or has."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    total = sum(u.ru_utime + u.ru_stime for u in used)
    for process in psutil.Process().children(recursive=True):
        times = process.cpu_times()
        total += times.user + times.system + times.children_user + times.children_system
    return total


def race(rounds: int, parallel: int) -> dict[str, object]:
    items = mbpp(1)
    size = len(items) // rounds
    work: dict[str, Callable[[list[CodeTask], int], None]] = {"ours": ours, "plain": plain}
    ours(items[:4], parallel)
    wall: dict[str, list[float]] = {name: [] for name in work}
    used: dict[str, list[float]] = {name: [] for name in work}
    for r in range(rounds):
        batch = items[r * size : (r + 1) * size]
        for name in list(work) if r % 2 == 0 else list(work)[::-1]:
            start, before = time.perf_counter(), cpu()
            work[name](batch, parallel)
            wall[name].append((time.perf_counter() - start) / size)
            used[name].append((cpu() - before) / size)
    seconds = {name: statistics.median(s) for name, s in wall.items()}
    return {
        "parallel": parallel,
        "programs_a_round": size,
        "programs_per_second": {n: round(1 / s, 1) for n, s in seconds.items()},
        "cpu_ms_per_program": {n: round(1000 * statistics.median(s), 2) for n, s in used.items()},
        "ratio": round(seconds["plain"] / seconds["ours"], 2),
        "cpu_ratio": round(statistics.median(used["plain"]) / statistics.median(used["ours"]), 2),
    }


def hostile(n: int) -> dict[str, object]:
    items = [CodeTask(HOSTILE[i % len(HOSTILE)], ["assert f()"]) for i in range(n)]
    start = time.perf_counter()
    verdicts = collections.Counter(v.verdict for v in judge_code(items, limit_s=0.2, memory_mb=128, parallel=n))
    wall = time.perf_counter() - start
    time.sleep(2)
    left = psutil.Process(keeper.shared().process.pid).children(recursive=True)
    return {"programs": n, "verdicts": dict(verdicts), "seconds": round(wall, 1), "processes_left": len(left) - 1}


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--sample", type=int, default=1, help="every Nth program")
    told = args.parse_args()
    if not DATA.exists():
        raise SystemExit(f"no data at {DATA}")
    result = {
        "speed": [race(told.rounds, parallel) for parallel in (1, 2)],
        "agreement": agreement(told.sample),
        "hostile": hostile(200),
    }
    print(json.dumps(result, indent=1))
    if told.sample == 1:
        out = ROOT / "benchmarks" / "results" / "code_verdicts.json"
        out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
