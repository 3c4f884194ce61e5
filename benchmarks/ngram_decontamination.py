"""N-gram decontamination: ours against Python sets and polars; CPU seconds of one core, recall and precision.

    python benchmarks/ngram_decontamination.py [--rows 200000] [--items 6000] [--repeat 3] [--data FOLDER]

The items are the benchmarks found in `--data`, then generated ones; the rows are generated and, one in fifty, an
item with 5 % of its words edited. Two rules: `plain` (any shared 8-gram, as the peers) and our default.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import statistics
import time
from pathlib import Path

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

N = 8
WORDS = "find the sum of all positive integers such that point circle prime root value largest equals minimum".split()  # noqa: SIM905 - a list of words reads better as words


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


def ours(rows: list[str], path: str, **rule) -> list[bool]:
    from curator.ops.decontaminate import decontaminate

    function = decontaminate(against=path, action="mark", **rule)
    table = pa.table({"row_id": [str(i) for i in range(len(rows))], "problem": rows})
    found = []
    for start in range(0, len(rows), 8192):
        found += function(table.slice(start, 8192)).table.column("contaminated").to_pylist()
    return found


def grams(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + N]) for i in range(len(words) - N + 1)}


def python_sets(rows: list[str], items: list[str]) -> list[bool]:
    known = set().union(*map(grams, items))
    return [not known.isdisjoint(grams(row)) for row in rows]


def polars_join(rows: list[str], items: list[str]) -> list[bool]:
    def shingles(texts: list[str]) -> pl.LazyFrame:
        words = pl.DataFrame({"t": texts}).lazy().with_row_index("i").with_columns(
            pl.col("t").str.to_lowercase().str.extract_all(r"\w+").alias("w")
        ).select("i", "w").explode("w")  # fmt: skip
        gram = pl.concat_str([pl.col("w").shift(-k).over("i") for k in range(N)], separator=" ").hash()
        last = pl.col("w").shift(-(N - 1)).over("i").is_not_null()
        return words.select("i", gram.alias("g"), last.alias("whole")).filter("whole")

    known = shingles(items).select("g").unique()
    hits = set(shingles(rows).join(known, on="g", how="semi").select("i").unique().collect()["i"].to_list())
    return [i in hits for i in range(len(rows))]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=6_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data" / "benchmarks")
    args = parser.parse_args()
    items = items_of(args.data, args.items)
    rows, planted = rows_of(items, args.rows)
    path = Path(os.environ.get("TMPDIR", "/tmp")) / f"items-{os.getpid()}.jsonl"
    path.write_text("".join(json.dumps({"problem": t}) + "\n" for t in items))
    print(f"{len(rows)} rows, {sum(map(len, rows)) / 1e6:.0f} MB, {len(items)} items, {sum(planted)} planted")
    runs = {
        "curator plain": lambda: ours(rows, str(path), min_coverage=0, numbers=False),
        "curator default": lambda: ours(rows, str(path)),
        "Python sets": lambda: python_sets(rows, items),
        "polars": lambda: polars_join(rows, items),
    }
    ours(rows[:50], str(path))  # compile once
    took: dict[str, list[float]] = {name: [] for name in runs}
    found: dict[str, list[bool]] = {}
    for _ in range(args.repeat):
        for name, function in runs.items():
            start = time.process_time()
            found[name] = function()
            took[name].append(time.process_time() - start)
    path.unlink()
    base = statistics.median(took["curator plain"])
    for name, times in took.items():
        right = sum(p and f for p, f in zip(planted, found[name], strict=True))
        recall, precision = right / max(1, sum(planted)), right / max(1, sum(found[name]))
        middle = statistics.median(times)
        print(
            f"{name:16} {middle:7.2f} CPU s  {middle / base:5.2f} x   recall {recall:.4f}   precision {precision:.4f}"
        )
    assert found["curator plain"] == found["Python sets"], "not the same rows as the oracle"


if __name__ == "__main__":
    main()
