"""How long the doors take: `curator --help`, `import curator`, `curator check` of every published page.

Asked: --help <= 0.2 s, check <= 0.5 s. Medians of wall and of CPU time (user + system); on a busy machine only the
latter means something. Run: python benchmarks/startup.py [times]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def once(arguments: list[str]) -> tuple[float, float]:
    """Seconds of wall and of CPU that one fresh interpreter takes."""
    before, start = os.times(), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main(times: int) -> None:
    doors = {
        "python": ["-c", "pass"],
        "import curator": ["-c", "import curator"],
        "curator --help": ["-m", "curator.cli", "--help"],
        "curator ops": ["-m", "curator.cli", "ops"],
    }
    for page in sorted((ROOT / "pipelines").rglob("*.yaml")):
        name = page.relative_to(ROOT).as_posix()
        doors[f"curator check {name}"] = ["-m", "curator.cli", "check", name]
    results = {}
    for door, arguments in doors.items():
        once(arguments)  # compiles what was never compiled
        wall, cpu = zip(*(once(arguments) for _ in range(times)), strict=True)
        results[door] = {"wall": round(statistics.median(wall), 3), "cpu": round(statistics.median(cpu), 3)}
        print(f"{door:<44} wall {results[door]['wall']:.3f} s   cpu {results[door]['cpu']:.3f} s   median of {times}")
    out = ROOT / "benchmarks" / "results" / "startup.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 9)
