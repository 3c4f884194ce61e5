"""Peak memory of `dedup` by MinHash against the number of rows: it must stay flat, and ten million must fit.

    python benchmarks/dedup_memory.py                          # 1,000,000 and 10,000,000 rows
    python benchmarks/dedup_memory.py --rows 200000 2000000

Generated problems of about 30 words, one in ten a near copy, in Parquet files of 100,000; each size in a process of its
own. Goal: ratio at most 1.2, and ten million rows within 24 GiB.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import planted
import pyarrow as pa

FILE_ROWS = 100_000


def write_input(folder: Path, rows: int) -> None:
    words = np.array(planted.vocabulary(__import__("random").Random(0)))
    for at in range(0, rows, FILE_ROWS):
        chance = np.random.default_rng(at)
        count = min(FILE_ROWS, rows - at)
        picks = chance.integers(0, len(words), (count, 30))
        copies = chance.random(count) < 0.1
        copies[0] = False
        picks[copies] = picks[np.flatnonzero(copies) - 1]
        picks[copies, -1] = chance.integers(0, len(words), copies.sum())
        texts = [" ".join(row) for row in words[picks]]
        table = pa.table({"row_id": [f"r{at + i:09d}" for i in range(count)], "problem": texts})
        planted.write(table, str(folder / f"part-{at // FILE_ROWS:05d}.parquet"))


def one(folder: str, out: str) -> None:
    from curator.ops.dedup import dedup
    from curator.table import TableView

    files = sorted(Path(folder).glob("*.parquet"))
    with planted.Clock() as clock, tempfile.TemporaryDirectory(dir=folder) as spill:
        view = TableView(files, Path(spill), threads=1)
        split = dedup(method="minhash")(view)
        view.con.execute(f"copy ({split.out}) to '{out}' (format parquet, compression snappy)")
        ((lost,),) = view.con.execute("select count(*) from dedup_result where dup_of is not null").fetchall()
        view.close()
    clock.told(dropped=lost)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000, 10_000_000])
    parser.add_argument("--only")
    parser.add_argument("--out")
    args = parser.parse_args()
    if args.only:
        one(args.only, args.out)
        return
    runs = {}
    for rows in args.rows:
        with tempfile.TemporaryDirectory() as folder:
            write_input(Path(folder), rows)
            runs[str(rows)] = planted.child(__file__, "--only", folder, "--out", str(Path(folder) / "out"))
        print(f"{rows} rows: {runs[str(rows)]}")
    peaks = [run["peak_mb"] for run in runs.values()]
    ratio = round(peaks[-1] / peaks[0], 3)
    print(f"peak {peaks[0]:.0f} -> {peaks[-1]:.0f} MB, ratio {ratio}")
    planted.keep("dedup_memory", {"runs": runs, "ratio": ratio}, [])


if __name__ == "__main__":
    main()
