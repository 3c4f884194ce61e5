"""The main job on more problems: time in proportion, memory flat.

    python benchmarks/pocket_scale.py                       # 200 and 400 problems: a few minutes
    python benchmarks/pocket_scale.py --rows 200 5000       # the whole measurement: a quarter of an hour on two cores

Each number of problems goes through pipelines/litecot.yaml with the embedded model in a process of its own, with a
response store of its own. Measured: seconds, and the peak resident memory of the process and its children (see
flat_memory.py). Asked: seconds a problem at most 1.1 times, memory at most 1.2 times those of the first run.
Below about a thousand problems there is work for one row worker only, and the second one's memory (about 130 MB of its
own, 270 with the libraries that both map) is counted from then on: for memory compare 1000 and 5000.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from flat_memory import watch  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "pipelines" / "litecot.yaml"
RESULTS = ROOT / "benchmarks" / "results" / "pocket_scale.json"


def go(rows: int, folder: str, workers: int) -> None:
    from curator.check import load
    from curator.run.local import run

    page = load(PAGE, [f"steps.read.n={rows}"])
    run(page, folder, workers=workers, store=f"{folder}-store", progress="lines")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 400])
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    found = []
    with tempfile.TemporaryDirectory(prefix="pocket-scale-") as keep:
        for rows in args.rows:
            folder = Path(keep) / f"run-{rows}"
            seen = {"rows": rows, **watch(go, (rows, str(folder), args.workers), folder)}
            found.append({**seen, "ms_a_problem": round(1000 * seen["seconds"] / rows, 1)})
            print(json.dumps(found[-1]), flush=True)
    first, last = found[0], found[-1]
    told = {
        "memory_ratio": round(last["peak_mb"] / first["peak_mb"], 3),
        "time_a_problem_ratio": round(last["ms_a_problem"] / first["ms_a_problem"], 3),
    }
    print(json.dumps(told))
    RESULTS.write_text(json.dumps({"runs": found, **told}, indent=1) + "\n")


if __name__ == "__main__":
    main()
