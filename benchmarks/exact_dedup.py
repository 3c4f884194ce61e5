"""Exact dedup of normalised text, Parquet to Parquet: ours against polars, DuckDB and plain Python, one process each.

    python benchmarks/exact_dedup.py [--rows 600000] [--repeat 3] [--slow]

Generated problems of about 88 words, one in five a copy with other case and white space, one in twenty with letters
beyond ASCII. NFKC, lower case, white space. Ratios of CPU seconds; all must keep the same rows as plain Python.
`--slow` adds DuckDB and Python.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import unicodedata
from pathlib import Path

import planted
import pyarrow as pa
import pyarrow.parquet as pq


def corpus(rows: int) -> pa.Table:
    chance = random.Random(0)
    words_of = planted.vocabulary(chance)
    texts: list[str] = []
    for i in range(rows):
        if i > 10 and chance.random() < 0.2:
            text = texts[chance.randrange(max(0, i - 50_000), i)]
            text = chance.choice([text.upper, text.title, text.strip])()
            texts.append(text.replace(" ", chance.choice([" ", "  ", "\n"])))
            continue
        words = [str(chance.randrange(10**6)) if chance.random() < 0.12 else chance.choice(words_of) for _ in range(80)]
        texts.append(" ".join(words + (["≤ π"] if chance.random() < 0.05 else [])))
    return pa.table({"row_id": [f"r{i:08d}" for i in range(rows)], "problem": pa.array(texts, pa.string())})


def curator(path: str, out: str) -> None:
    planted.run_ours(path, out, method="exact")


def polars(path: str, out: str) -> None:
    import polars as pl

    text = pl.col("problem").str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()
    frame = pl.scan_parquet(path).with_columns(text.hash().alias("h"))
    frame.unique("h", keep="first", maintain_order=True).drop("h").collect().write_parquet(out, compression="snappy")


def duckdb(path: str, out: str) -> None:
    import duckdb as d

    con = d.connect(config={"threads": 1})
    text = r"trim(regexp_replace(lower(nfc_normalize(problem)), '\s+', ' ', 'g'))"
    con.execute(f"copy (select min(row_id) as row_id, min_by(problem, row_id) as problem from '{path}' "
                f"group by md5_number({text})) to '{out}' (format parquet, compression snappy)")  # fmt: skip


def python(path: str, out: str) -> None:
    import xxhash

    table, seen, kept = pq.read_table(path), set(), []
    for i, text in enumerate(table.column("problem").to_pylist()):
        plain = " ".join(unicodedata.normalize("NFKC", text).lower().split())
        key = xxhash.xxh3_128_intdigest(plain.encode())
        if key not in seen:
            seen.add(key)
            kept.append(i)
    pq.write_table(table.take(kept), out, compression="snappy")


CONTENDERS = {"curator": curator, "polars": polars, "DuckDB": duckdb, "Python + xxh3": python}
SLOW = ("DuckDB", "Python + xxh3")


def one(name: str, path: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        small, out = str(Path(folder) / "warm.parquet"), str(Path(folder) / "out.parquet")
        planted.write(planted.head(path), small)
        CONTENDERS[name](small, out)
        with planted.Clock() as clock:
            CONTENDERS[name](path, out)
        ids = sorted(pq.read_table(out, columns=["row_id"]).column(0).to_pylist())
    wanted = Path(path + ".kept").read_text().split()
    clock.told(kept=len(ids), same_rows=ids == wanted)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=600_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--path")
    args = parser.parse_args()
    if args.only:
        one(args.only, args.path)
        return
    contenders = [c for c in CONTENDERS if (args.slow or c not in SLOW) and (c != "polars" or planted.have("polars"))]
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "in.parquet")
        table = corpus(args.rows)
        planted.write(table, path)
        first: dict[str, str] = {}
        for row, text in zip(table.column(0).to_pylist(), table.column(1).to_pylist(), strict=True):
            first.setdefault(" ".join(unicodedata.normalize("NFKC", text).lower().split()), row)
        Path(path + ".kept").write_text("\n".join(sorted(first.values())))
        print(f"{args.rows} rows, {table.nbytes / 1e6:.0f} MB")
        del table, first
        repeats = {c: 1 if c in SLOW else args.repeat for c in contenders}
        found = planted.alternate(__file__, contenders, repeats, ["--path", path])
    base = found["curator"]["cpu"]
    for name, run in found.items():
        run["times_ours"] = round(run["cpu"] / base, 2)
        print(f"{name:14} {run['cpu']:7.2f} CPU s {run['wall']:7.2f} s {run['times_ours']:6.2f} x  {run['kept']} kept, "
              f"{'the same rows' if run['same_rows'] else 'OTHER ROWS'}  peak {run['peak_mb']} MB")  # fmt: skip
    planted.keep("exact_dedup", {"rows": args.rows, "runs": found}, ["polars", "xxhash"])


if __name__ == "__main__":
    main()
