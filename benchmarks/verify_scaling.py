"""How `verify` scales over row workers: one worker against two, through the runner, alternating in one run.

Asked: near 2x with two processes. What two processes of this machine can gain at all is measured beside it, on work
that shares nothing: `ceiling` is a loop of Python in one process, then half of it in each of two at once. Every round
verifies rows that no round before has seen (the digits of all texts are permuted), long enough that the start of the
workers (about a second and a half of CPU each) does not decide. CPU seconds are those of the whole process tree; their
ratio, two workers over one, means something on a busy machine too: 1 says that nothing is done twice.

Run: python benchmarks/verify_scaling.py [--rounds 3] [--scale 1.0] [--only "long traces"]    (idle: ten minutes)
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from verify_sides import DATA, FILES, LONG, load, traces

import curator as cu

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"long traces": 45_000, "short answers": 120_000, "pairs that need sympy": 1_600}
LOOP = "import sys\nn = 0\nfor i in range(int(sys.argv[1])): n = (n * 31 + i) % 1000003"
STEPS = 40_000_000


def pairs(kind: str) -> list[tuple[str, str]]:
    """(gold, trace) of one kind of work."""
    if kind == "long traces":
        return [row for name in LONG for row in traces(name)[1]]
    if kind == "short answers":
        return [(str(r["gold"]), rf"\boxed{{{r['pred']}}}") for r in load(FILES[2])]
    return [(rf"\sin^2 x + {i}", rf"\boxed{{{i + 1} - \cos^2 x}}") for i in range(1000, 2000)]


def fresh(kind: str, rows: int) -> Iterator[tuple[str, str]]:
    """`rows` rows, each copy with the digits 1 to 9 of all texts permuted, the same way in gold and trace."""
    chance, given = random.Random(time.time_ns()), pairs(kind)
    while rows > 0:
        order = chance.sample("123456789", 9)
        table = str.maketrans("123456789", "".join(order))
        yield from ((g.translate(table), t.translate(table)) for g, t in given[:rows])
        rows -= len(given)


def written(kind: str, rows: int, path: Path) -> None:
    """Write the rows of one round."""
    golds, texts = zip(*fresh(kind, rows), strict=True)
    ids = [f"r{i}" for i in range(len(golds))]
    pq.write_table(pa.table({"id": ids, "problem": ids, "answer": golds, "trace": texts}), path, row_group_size=1000)


class Burnt(threading.Thread):
    """CPU seconds of this process tree, looked at every 50 ms: what the kernel adds up for a parent lacks the
    comparing processes, whose own parents are killed when the step is done.
    """

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.seen: dict[tuple[int, float], float] = {}
        self.before: dict[tuple[int, float], float] = {}
        self.over = threading.Event()

    def run(self) -> None:
        """Look until told to stop."""
        me = psutil.Process()
        while not self.over.wait(0.05):
            for process in [me, *me.children(recursive=True)]:
                with contextlib.suppress(psutil.Error):
                    key, times = (process.pid, process.create_time()), process.cpu_times()
                    self.seen[key] = times.user + times.system
                    if process.pid == me.pid:
                        self.before.setdefault(key, self.seen[key])

    def seconds(self) -> float:
        """Stop, and return the sum."""
        self.over.set()
        self.join()
        return sum(self.seen.values()) - sum(self.before.values())


def verified(path: Path, folder: Path, workers: int) -> tuple[float, float]:
    """Wall seconds of the step `verify`, the start of its workers included, and CPU seconds of the whole run."""
    burnt = Burnt()
    burnt.start()
    done = (cu.read(str(path)) | cu.verify()).run(folder, workers=workers, progress=False)
    receipt = next(r for r in done.receipts if r["step"] == "verify")
    began, ended = (datetime.fromisoformat(receipt[k]) for k in ("started", "finished"))
    return (ended - began).total_seconds(), burnt.seconds()


def loops(processes: int) -> float:
    """Seconds of the loop, cut into as many parts as there are processes."""
    start = time.perf_counter()
    running = [subprocess.Popen([sys.executable, "-c", LOOP, str(STEPS // processes)]) for _ in range(processes)]
    for process in running:
        process.wait()
    return time.perf_counter() - start


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--scale", type=float, default=1.0)
    args.add_argument("--only")
    told = args.parse_args()
    if not DATA.exists():
        raise SystemExit(f"no data at {DATA}")
    rates = [loops(1) / loops(2) for _ in range(told.rounds)]
    result: dict[str, object] = {"ceiling": round(statistics.median(rates), 2)}
    print("ceiling", [round(r, 2) for r in rates])
    for kind in [told.only] if told.only else SIZES:
        rows, seconds, cpu = int(SIZES[kind] * told.scale), {1: [], 2: []}, {1: [], 2: []}
        for r in range(told.rounds):
            for workers in (1, 2) if r % 2 == 0 else (2, 1):
                with tempfile.TemporaryDirectory() as scratch:
                    written(kind, rows, Path(scratch) / "rows.parquet")
                    wall, used = verified(Path(scratch) / "rows.parquet", Path(scratch) / "run", workers)
                seconds[workers].append(wall)
                cpu[workers].append(used)
        result[kind] = {
            "rows": rows, "speedup": round(statistics.median(seconds[1]) / statistics.median(seconds[2]), 2),
            "cpu_2_over_1": round(statistics.median(cpu[2]) / statistics.median(cpu[1]), 2),
            "seconds": {k: [round(x, 2) for x in v] for k, v in seconds.items()},
            "cpu_seconds": {k: [round(x, 2) for x in v] for k, v in cpu.items()},
        }  # fmt: skip
        print(kind, json.dumps(result[kind]))
    if not told.only:
        out = ROOT / "benchmarks" / "results" / "verify_scaling.json"
        out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
