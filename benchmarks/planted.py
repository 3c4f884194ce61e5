"""Corpora with planted, known edits, and how the benchmarks of `dedup` time and tell. Runs nothing by itself."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

RESULTS = Path(__file__).parent / "results"
BASE = [
    "find",
    "the",
    "sum",
    "of",
    "all",
    "positive",
    "integers",
    "such",
    "that",
    "point",
    "circle",
    "prime",
    "root",
    "value",
    "largest",
    "equals",
    "minimum",
    "triangle",
    "length",
    "side",
    "angle",
    "area",
    "square",
    "number",
    "many",
    "ways",
    "choose",
    "probability",
    "expressed",
    "relatively",
    "form",
    "digits",
    "product",
    "divide",
    "remainder",
    "sequence",
    "polynomial",
    "real",
    "solutions",
    "distinct",
    "consecutive",
    "average",
    "speed",
    "minutes",
    "miles",
    "total",
    "cost",
    "each",
    "students",
    "boxes",
    "red",
    "blue",
    "green",
    "marbles",
    "drawn",
    "without",
    "replacement",
    "expected",
    "game",
    "wins",
    "player",
    "turn",
    "coin",
]  # noqa: E501, SIM905


def vocabulary(rng: random.Random) -> list[str]:
    letters = "etaoinshrdlucmfwypvbgkqjxz"
    return BASE + ["".join(rng.choice(letters[:18]) for _ in range(rng.randrange(3, 10))) for _ in range(20_000)]


def edited(words: list[str], edits: int, words_of: list[str], rng: random.Random) -> list[str]:
    """Replace, delete or insert words at `edits` places."""
    out = list(words)
    for _ in range(edits):
        at = rng.randrange(len(out))
        kind = rng.random()
        if kind < 0.5:
            out[at] = rng.choice(words_of)
        elif kind < 0.75 and len(out) > 8:
            del out[at]
        else:
            out.insert(at, rng.choice(words_of))
    return out


def corpus(rows: int, length: int, *, seed: int = 0, dup: float = 0.3) -> tuple[pa.Table, list[tuple[int, int]]]:
    """Return a table of about `length` words a row, and the planted pairs (row, row it was made from).

    Three rows in ten are made from an earlier one: same words in other case and punctuation, or one edit for every 1 % to
    12 % of the words. One row in twenty has letters beyond ASCII; one word in eight is a number.
    """  # noqa: E501
    rng = random.Random(seed)
    words_of = vocabulary(rng)
    kept: list[list[str]] = []
    texts: list[str] = []
    pairs: list[tuple[int, int]] = []
    for i in range(rows):
        if i > 50 and rng.random() < dup:
            source = rng.randrange(i)
            edits = rng.choice([0, 1, 1, 2, 3, 5, 8, 12]) * length // 100
            words = edited(kept[source], edits, words_of, rng)
            pairs.append((i, source))
        else:
            size = max(6, int(rng.gauss(length, length / 4)))
            words = [str(rng.randrange(1000)) if rng.random() < 0.12 else rng.choice(words_of) for _ in range(size)]
            if rng.random() < 0.05:
                words[rng.randrange(size)] = rng.choice(["naïve", "≤", "π", "Gauß", "中文", "x²", "élève"])
        kept.append(words)
        text = " ".join(words)
        texts.append(text if rng.random() < 0.8 else text.replace(" ", ", ", 3).capitalize() + ".")
    ids = [f"r{i:08d}" for i in range(rows)]
    return pa.table({"row_id": ids, "problem": pa.array(texts, pa.string())}), pairs


def grams(text: str, n: int = 5) -> frozenset[tuple[str, ...]]:
    """Word n-grams by plain Python: the oracle."""
    words = [w.lower() for w in re.findall(r"\w+", text)]
    return frozenset(zip(*(words[k:] for k in range(n)), strict=False)) or frozenset([tuple(words)])


def jaccard(a: str, b: str, n: int = 5) -> float:
    x, y = grams(a, n), grams(b, n)
    return len(x & y) / len(x | y) if x | y else 0.0


def figures(text: str) -> list[str]:
    """Numbers in their order; these texts have no operators."""
    return re.findall(r"\d+", text.replace("²", "2"))


def quality(clusters: list[int], texts: list[str], pairs: list[tuple[int, int]], sure: list[float]) -> dict[str, float]:
    """Recall of the planted pairs at J >= .8; precision: share of found rows with J >= .5 to a row of their cluster."""
    wanted = [(a, b) for (a, b), j in zip(pairs, sure, strict=True) if j >= 0.8]
    hit = sum(clusters[a] == clusters[b] for a, b in wanted)
    members: dict[int, list[int]] = {}
    for row, cluster in enumerate(clusters):
        members.setdefault(cluster, []).append(row)
    several = [m for m in members.values() if len(m) > 1]
    random.Random(1).shuffle(several)
    right = all_of = 0
    for group in several[:4000]:
        sets = [grams(texts[r]) for r in group[:40]]
        for k, one in enumerate(sets[1:], 1):
            right += any(len(one & o) >= 0.5 * len(one | o) for i, o in enumerate(sets) if i != k)
            all_of += 1
    return {"recall": round(hit / max(1, len(wanted)), 4), "precision": round(right / max(1, all_of), 4)}


class Forest:
    """Union-find for the peers that leave it to the user."""

    def __init__(self, size: int) -> None:
        self.parent = list(range(size))

    def find(self, x: int) -> int:  # noqa: D102
        while self.parent[x] != x:
            self.parent[x] = self.parent[self.parent[x]]
            x = self.parent[x]
        return x

    def join(self, a: int, b: int) -> None:  # noqa: D102
        a, b = self.find(a), self.find(b)
        self.parent[max(a, b)] = min(a, b)

    def clusters(self) -> list[int]:  # noqa: D102
        return [self.find(x) for x in range(len(self.parent))]


def installed(name: str) -> str | None:
    """Version of a distribution, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def child(script: str, *args: str) -> dict[str, object]:
    """Run one contender in a process of its own, so that its peak memory is its own; return the JSON of its last line."""  # noqa: E501
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1", "DAFT_PROGRESS_BAR": "0"}
    environment["DAFT_ANALYTICS_ENABLED"] = environment["DO_NOT_TRACK"] = "0"
    done = subprocess.run([sys.executable, script, *args], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{args}: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


class Clock:
    """CPU and wall seconds of a block, and the peak memory of the process at its end."""

    def __enter__(self) -> Clock:
        self._cpu, self._wall = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.cpu, self.wall = time.process_time() - self._cpu, time.perf_counter() - self._wall
        self.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

    def told(self, **more: object) -> None:  # noqa: D102
        print(json.dumps({"cpu": self.cpu, "wall": self.wall, "peak_mb": self.peak, **more}))


def alternate(script: str, contenders: list[str], repeats: dict[str, int], args: list[str]) -> dict[str, dict]:
    """Run the contenders in turns; return medians of CPU and wall seconds, the greatest peak, and what they told."""
    runs: dict[str, list[dict]] = {name: [] for name in contenders}
    for turn in range(max(repeats.values())):
        for name in contenders:
            if turn < repeats.get(name, 1):
                runs[name].append(child(script, "--only", name, *args))
    out = {}
    for name, found in runs.items():
        last = {k: v for k, v in found[-1].items() if k not in ("cpu", "wall", "peak_mb")}
        out[name] = {"cpu": round(statistics.median(r["cpu"] for r in found), 3),
                     "wall": round(statistics.median(r["wall"] for r in found), 3),
                     "peak_mb": round(max(r["peak_mb"] for r in found)), "runs": len(found), **last}  # fmt: skip
    return out


def keep(name: str, result: dict[str, object], packages: list[str]) -> None:
    """Write results with versions and hardware."""
    cpu = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.processor()) if Path("/proc/cpuinfo").exists() else ""  # fmt: skip  # noqa: E501
    versions = {p: installed(p) for p in [*packages, "numba", "numpy", "pyarrow", "duckdb"]}
    told = {
        "hardware": {"cpu": cpu, "cores": os.cpu_count()},
        "python": platform.python_version(),
        "versions": versions,
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({**result, **told}, indent=1, ensure_ascii=False) + "\n")


def run_ours(path: str, out: str, columns: str = "row_id, cluster_id", **settings: object) -> pa.Table:
    """Parquet to Parquet through the operator, as the runner calls it; return `columns` of the rows in clusters.

    What stays is streamed to Arrow's writer, as in a run; snappy, as the peers' output.
    """
    from curator.ops.dedup import dedup
    from curator.table import BATCH_ROWS, TableView

    with tempfile.TemporaryDirectory() as spill:
        view = TableView([Path(path)], Path(spill), threads=1)
        split = dedup(**settings)(view)
        reader = view.con.sql(split.out).to_arrow_reader(BATCH_ROWS)
        with pq.ParquetWriter(out, reader.schema, compression="snappy") as file:
            for batch in reader:
                file.write_batch(batch)
        found = view.con.sql(f"select {columns} from dedup_result").to_arrow_table()
        view.close()
    return found


def write(table: pa.Table, path: str) -> None:
    pq.write_table(table, path, compression="zstd", compression_level=1, row_group_size=20_000)


def head(path: str, rows: int = 300) -> pa.Table:
    """The first rows of a file, without reading the others: they would count in the peak memory."""
    with pq.ParquetFile(path) as file:
        return pa.Table.from_batches([next(file.iter_batches(rows))])


def have(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
