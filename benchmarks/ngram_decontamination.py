"""N-gram decontamination, Parquet to Parquet: ours against Python sets, polars and pyahocorasick, in one run.

    python benchmarks/ngram_decontamination.py [--rows 200000] [--items 6061] [--repeat 3] [--cpu] [--data FOLDER]

The items are the benchmarks found in `--data`, then generated ones; the rows are generated and, one in fifty, an item
with 5 % of its words edited. Every entry reads the rows from Parquet, marks them and writes Parquet; ours includes
building its index from the items and writes the evidence of every hit. One thread each; alternating; medians. `plain`
is any shared 8-gram of `\\w+` words, as the peers, and must mark the rows that Python sets mark; `ngram` and
`recommended` are our rules, which spare what only shares boilerplate or differs in a number. `--cpu` counts CPU
seconds, for a shared machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import random
import re
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import pyarrow as pa
import pyarrow.parquet as pq

N = 8
WORDS = "find the sum of all positive integers such that point circle prime root value largest equals minimum".split()  # noqa: SIM905 - a list of words reads better as words
BATCH = 8192


def items_of(folder: Path, count: int) -> list[str]:
    found = [t for f in sorted(folder.glob("*_test.parquet")) for t in pq.read_table(f).column("question").to_pylist()]
    rng = random.Random(1)
    while len(found) < count:
        found.append(" ".join(str(rng.randrange(99)) if rng.random() < 0.3 else rng.choice(WORDS) for _ in range(40)))
    return [t for t in found if len(re.findall(r"\w+", t)) >= N][:count]


def rows_of(items: list[str], count: int) -> tuple[list[str], list[bool]]:
    rng = random.Random(0)
    rows, planted = [], []
    for _ in range(count):
        guilty = rng.random() < 0.02
        if guilty:
            parts = re.split(r"(\s+)", rng.choice(items))
            rows.append("".join("edited" if p.isalpha() and rng.random() < 0.05 else p for p in parts))
        else:
            rows.append(
                " ".join(str(rng.randrange(10**4)) if rng.random() < 0.2 else rng.choice(WORDS) for _ in range(80))
            )
        planted.append(guilty)
    return rows, planted


def ours(given: Path, items: Path, out: Path, **rule: Any) -> None:
    from curator.ops.decontaminate import decontaminate

    function = decontaminate(against=str(items), action="mark", **rule)
    writer = None
    for batch in pq.ParquetFile(given).iter_batches(BATCH):
        table = function(pa.Table.from_batches([batch])).table
        writer = writer or pq.ParquetWriter(out, table.schema)
        writer.write_table(table)
    writer.close()


def grams(text: str) -> list[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return list(zip(*(words[k:] for k in range(N)), strict=False))


def with_marks(given: Path, out: Path, marks: Callable[[list[str]], list[bool]]) -> None:
    table = pq.read_table(given)
    found = marks(table.column("problem").to_pylist())
    pq.write_table(table.append_column("contaminated", pa.array(found)), out)


def python_sets(given: Path, items: Path, out: Path) -> None:
    known = set().union(*(grams(t) for t in pq.read_table(items).column("problem").to_pylist()))
    with_marks(given, out, lambda rows: [not known.isdisjoint(grams(row)) for row in rows])


def ahocorasick(given: Path, items: Path, out: Path) -> None:
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for text in pq.read_table(items).column("problem").to_pylist():
        for gram in grams(text):
            automaton.add_word(f" {' '.join(gram)} ", True)
    automaton.make_automaton()

    def hit(row: str) -> bool:
        words = " ".join(re.findall(r"\w+", row.lower()))
        return next(automaton.iter(f" {words} "), None) is not None

    with_marks(given, out, lambda rows: [hit(row) for row in rows])


def polars_join(given: Path, items: Path, out: Path) -> None:
    import polars as pl

    def shingles(frame: Any) -> Any:
        words = frame.with_columns(pl.col("problem").str.to_lowercase().str.extract_all(r"\w+").alias("w"))
        words = words.select("i", "w").explode("w")
        gram = pl.concat_str([pl.col("w").shift(-k).over("i") for k in range(N)], separator=" ").hash()
        whole = pl.col("w").shift(-(N - 1)).over("i").is_not_null()
        return words.select("i", gram.alias("g"), whole.alias("whole")).filter("whole")

    rows = pl.scan_parquet(given).with_row_index("i")
    known = shingles(pl.scan_parquet(items).with_row_index("i")).select("g").unique()
    hits = shingles(rows).join(known, on="g", how="semi").select("i").unique().with_columns(contaminated=True)
    found = rows.join(hits, on="i", how="left", maintain_order="left")
    found = found.with_columns(pl.col("contaminated").fill_null(False))
    found.drop("i").collect().write_parquet(out)


ENTRIES: dict[str, Callable[[Path, Path, Path], None]] = {
    "curator plain": lambda *p: ours(*p, method="ngram", min_coverage=0, numbers=False, latex=False),
    "curator ngram": lambda *p: ours(*p, method="ngram"),
    "curator recommended": lambda *p: ours(*p, method="recommended"),
    "polars": polars_join,
    "Python sets": python_sets,
    "pyahocorasick": ahocorasick,
}
NEEDS = {"polars": "polars", "pyahocorasick": "ahocorasick"}


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    items = items_of(args.data, args.items)
    rows, planted = rows_of(items, args.rows)
    given, reference, out = (folder / name for name in ("rows.parquet", "items.parquet", "out.parquet"))
    pq.write_table(pa.table({"row_id": [str(i) for i in range(len(rows))], "problem": rows}), given)
    pq.write_table(pa.table({"problem": items}), reference)
    size = sum(map(len, rows)) / 1e6
    print(f"{len(rows)} rows, {size:.0f} MB, {len(items)} items, {sum(planted)} planted")
    small = folder / "small.parquet"
    pq.write_table(pa.table({"row_id": ["a", "b"], "problem": [items[0], "é \\left"]}), small)
    entries = {}
    for name, function in ENTRIES.items():
        if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
            print(f"{name:20} skipped: not installed")
            continue
        entries[name] = function
        function(small, reference, out)  # compile once
    clock = time.process_time if args.cpu else time.perf_counter
    took: dict[str, list[float]] = {name: [] for name in entries}
    found: dict[str, list[bool]] = {}
    for _ in range(args.repeat):
        for name, function in entries.items():
            start = clock()
            function(given, reference, out)
            took[name].append(clock() - start)
            found[name] = pq.read_table(out, columns=["contaminated"]).column(0).to_pylist()
    assert found["curator plain"] == found["Python sets"], "not the rows that the oracle marks"
    base = statistics.median(took.get("polars", took["Python sets"]))
    results: dict[str, Any] = {"rows": len(rows), "mb": round(size), "items": len(items), "planted": sum(planted)}
    for name, times in took.items():
        right = sum(p and f for p, f in zip(planted, found[name], strict=True))
        middle = statistics.median(times)
        results[name] = {
            "seconds": round(middle, 3), "polars over it": round(base / middle, 2),
            "recall": round(right / max(1, sum(planted)), 4), "precision": round(right / max(1, sum(found[name])), 4),
        }  # fmt: skip
        told = "  ".join(f"{k} {v}" for k, v in results[name].items())
        print(f"{name:20} {told}")
    return results


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=6_061)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "benchmarks")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "ngram_decontamination.json")
    args = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as folder:
        results = measure(args, Path(folder))
    packages = ("numba", "pyarrow", "polars", "pyahocorasick")
    versions = {p: importlib.metadata.version(p) for p in packages if importlib.util.find_spec(NEEDS.get(p, p))}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    about = {
        "clock": "CPU" if args.cpu else "wall",
        "peak_mb": peak,
        "python": platform.python_version(),
        "versions": versions,
    }
    told = {"machine": platform.processor() or platform.machine(), **about, **results}
    args.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
