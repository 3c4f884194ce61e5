"""Exact dedup of normalised text: ours against polars, DuckDB and plain Python; seconds of one core, rows kept.

    python benchmarks/exact_dedup.py [--rows 600000] [--repeat 3]

The corpus is generated: `--rows` problems of about 500 characters, one in five a copy with other case and spacing, one
in twenty with non-ASCII characters. CPU seconds, because a machine may be busy with something else.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import time
import unicodedata

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import duckdb
import polars as pl
import pyarrow as pa
import xxhash

from curator import fold

NAMES = fold.chain(["nfkc", "lower", "whitespace"])
WORDS = "find the sum of all positive integers such that point circle prime root value largest equals minimum".split()  # noqa: SIM905 - a list of words reads better as words


def corpus(rows: int) -> pa.Table:
    rng = random.Random(0)
    texts: list[str] = []
    for i in range(rows):
        if i > 10 and rng.random() < 0.2:
            text = texts[rng.randrange(max(0, i - 50_000), i)]
            texts.append(
                rng.choice([text.upper, text.title, str(text).strip])().replace(" ", rng.choice([" ", "  ", "\n"]))
            )
            continue
        words = [str(rng.randrange(10**6)) if rng.random() < 0.2 else rng.choice(WORDS) for _ in range(90)]
        words += ["≤ π"] if rng.random() < 0.05 else []
        texts.append(" ".join(words))
    return pa.table({"row_id": [f"r{i:08}" for i in range(rows)], "problem": texts})


class View:
    """The runner's side of a table operator, over an Arrow table."""

    def __init__(self, table: pa.Table) -> None:
        self.table, self.schema = table, table.schema
        self.con = duckdb.connect(config={"threads": 1})
        self.con.register("rows", table)

    def batches(self, columns: list[str]):
        """Stream some columns."""
        yield from self.table.select(columns).to_batches(max_chunksize=8192)


def ours(table: pa.Table) -> int:
    from curator.ops.dedup import dedup

    view = View(table)
    split = dedup()(view)
    return view.con.sql(f"select count(*) from ({split.out})").fetchall()[0][0]


def polars_lazy(table: pa.Table) -> int:
    text = pl.col("problem").str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    frame = pl.from_arrow(table).lazy().with_columns(text.hash().alias("h"))
    return frame.sort("row_id").unique("h", keep="first").select("row_id").collect().height


def duckdb_sql(table: pa.Table) -> int:
    con = duckdb.connect(config={"threads": 1})
    con.register("rows", table)
    text = r"trim(regexp_replace(lower(nfc_normalize(problem)), '\s+', ' ', 'g'))"
    return con.sql(f"select count(*) from (select min(row_id) from rows group by md5_number({text}))").fetchall()[0][0]


def python_xxh3(table: pa.Table) -> int:
    seen: set[int] = set()
    for text in table.column("problem").to_pylist():
        plain = " ".join(unicodedata.normalize("NFKC", text).lower().split())
        seen.add(xxhash.xxh3_128_intdigest(plain.encode()))
    return len(seen)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    table = corpus(args.rows)
    print(f"{args.rows} rows, {table.nbytes / 1e6:.0f} MB")
    ours(table.slice(0, 100))  # compile once
    runs = {"curator": ours, "polars lazy": polars_lazy, "Python + xxh3": python_xxh3, "DuckDB": duckdb_sql}
    took: dict[str, list[float]] = {name: [] for name in runs}
    kept: dict[str, int] = {}
    for _ in range(args.repeat):
        for name, function in runs.items():
            start = time.process_time()
            kept[name] = function(table)
            took[name].append(time.process_time() - start)
    base = statistics.median(took["curator"])
    for name, times in took.items():
        middle = statistics.median(times)
        print(f"{name:15} {middle:7.2f} CPU s   {middle / base:5.2f} x   {kept[name]} rows kept")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB, corpus included")
    assert kept["curator"] == kept["Python + xxh3"], "not the same rows"


if __name__ == "__main__":
    main()
