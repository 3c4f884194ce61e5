"""How long the doors take: `curator --help`, `import curator`, `curator check` of every published page.

Asked: --help <= 0.2 s, check <= 0.5 s. Medians of wall and of CPU time (user + system); on a busy machine only the
latter means something. Bytecode is compiled once into a folder of its own, as an installation does: the numbers do
not depend on what this environment says about writing it. "floor" is the libraries alone, nothing of ours.
Run: python benchmarks/startup.py [times]
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIBRARIES = "import typer, yaml, pyarrow"
SQL = """\
steps:
  - read: {path: builtin:pocket}
  - sql: {where: length(problem) > 20 and problem is not null}
  - select: {where: n_ops > 2, best: length(problem) desc, per: answer}
  - sql: {query: "select *, upper(problem) as loud from rows"}
"""


def once(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Seconds of wall and of CPU that one fresh interpreter takes."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(times: int, folder: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    (folder / "sql.yaml").write_text(SQL)
    doors = {
        "python": ["-c", "pass"],
        "floor": ["-c", LIBRARIES],
        "import curator": ["-c", "import curator"],
        "curator --help": ["-m", "curator.cli", "--help"],
        "curator ops": ["-m", "curator.cli", "ops"],
        "curator check (SQL in three steps)": ["-m", "curator.cli", "check", str(folder / "sql.yaml")],
    }
    for page in sorted((ROOT / "pipelines").rglob("*.yaml")):
        name = page.relative_to(ROOT).as_posix()
        doors[f"curator check {name}"] = ["-m", "curator.cli", "check", name]
    results = {}
    for door, arguments in doors.items():
        once(arguments, environment)  # compiles what was never compiled
        wall, cpu = zip(*(once(arguments, environment) for _ in range(times)), strict=True)
        results[door] = {"wall": round(statistics.median(wall), 3), "cpu": round(statistics.median(cpu), 3)}
        print(f"{door:<44} wall {results[door]['wall']:.3f} s   cpu {results[door]['cpu']:.3f} s   median of {times}")
    out = ROOT / "benchmarks" / "results" / "startup.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 9, Path(scratch))
