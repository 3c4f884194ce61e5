"""Marking rows by the runs of 20 tokens that come more than 20 times in a corpus: rows a second on one core.

    python benchmarks/repeated_ngrams.py [--rows 200000] [--words 120] [--repeat 3] [--cpu] [--workdir FOLDER]

The rows are generated, as long as those of `ngram_decontamination.py`; one in fifty carries one of 10 boilerplate
sentences of 25 words. Parquet to Parquet: read, mark, write. The peer is what people write: a Counter of tuples over
`str.split()`, on a part of the rows, because it holds every run of the corpus. Both must mark the same rows of that
part. One thread each, alternating, medians; `--cpu` counts CPU seconds, for a shared machine. A second entry marks real
traces over and over (`traces/saturn_math500_*`, about 1,500 words a row), where it is there.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

N, LIMIT = 20, 20
PART = 20_000  # rows that the peer is given
REAL = Path(__file__).resolve().parents[2] / "shared/data/traces/saturn_math500_r1_distill_qwen_7b.parquet"


def corpus(rows: int, words: int) -> pa.Table:
    rng = random.Random(0)
    vocabulary = [f"w{i}" for i in range(5000)]
    boiler = [" ".join(rng.choices(vocabulary, k=25)) for _ in range(10)]
    texts = []
    for i in range(rows):
        text = " ".join(rng.choices(vocabulary, k=rng.randrange(words // 2, words * 3 // 2)))
        texts.append(f"{text} {rng.choice(boiler)}" if i % 50 == 0 else text)
    return pa.table({"row_id": [f"r{i}" for i in range(rows)], "trace": texts})


def ours(given: Path, out: Path) -> list[bool]:
    from curator.ops.mark import mark
    from curator.table import TableView

    view = TableView([given], out.parent / "spill", threads=1)
    try:
        split = mark(ngram=N, ngram_more_than=LIMIT)(view)
        reader = view.con.sql(split.out).to_arrow_reader(2048)
        flagged: dict[str, bool] = {}
        with pq.ParquetWriter(out, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
                counts = batch["flags"].value_lengths().to_pylist()
                flagged.update(zip(batch["row_id"].to_pylist(), map(bool, counts), strict=True))
        return [flagged[i] for i in pq.read_table(given, columns=["row_id"])["row_id"].to_pylist()]
    finally:
        view.close()


def peer(given: Path, out: Path) -> list[bool]:
    table = pq.read_table(given)
    runs = [[tuple(t[i : i + N]) for i in range(len(t) - N + 1)] for t in map(str.split, table["trace"].to_pylist())]
    counts = Counter(run for row in runs for run in row)
    marked = [any(counts[run] > LIMIT for run in row) for row in runs]
    pq.write_table(table.append_column("flagged", pa.array(marked)), out, compression="zstd")
    return marked


def measure(clock: Any, function: Any, *given: Any) -> tuple[float, list[bool]]:
    start = clock()
    found = function(*given)
    return clock() - start, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--words", type=int, default=80)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="CPU seconds instead of wall seconds")
    parser.add_argument("--workdir", type=Path)
    args = parser.parse_args()
    clock = time.process_time if args.cpu else time.perf_counter
    with tempfile.TemporaryDirectory(dir=args.workdir) as folder:
        work = Path(folder)
        table = corpus(args.rows, args.words)
        pq.write_table(table, work / "all.parquet", compression="zstd")
        pq.write_table(table.slice(0, PART), work / "part.parquet", compression="zstd")
        sets = {"generated": (work / "all.parquet", args.rows)}
        if REAL.exists():
            texts = pq.read_table(REAL, columns=["output"])["output"].to_pylist()
            some = [f"{k} {t}" for k in range(20) for t in texts]
            real = pa.table({"row_id": [f"r{i}" for i in range(len(some))], "trace": some})
            pq.write_table(real, work / "real.parquet", compression="zstd")
            sets["real traces"] = (work / "real.parquet", len(some))
        ours(work / "part.parquet", work / "out.parquet")  # compiles
        times: dict[str, list[float]] = {}
        for _ in range(args.repeat):
            for name, (file, _) in sets.items():
                times.setdefault(name, []).append(measure(clock, ours, file, work / "out.parquet")[0])
            seconds, mine = measure(clock, ours, work / "part.parquet", work / "out.parquet")
            times.setdefault("part, ours", []).append(seconds)
            seconds, theirs = measure(clock, peer, work / "part.parquet", work / "peer.parquet")
            times.setdefault("part, Counter", []).append(seconds)
            assert mine == theirs, "the two mark different rows"
        size = {**{name: rows for name, (_, rows) in sets.items()}, "part, ours": PART, "part, Counter": PART}
        speed = {name: round(size[name] / statistics.median(t)) for name, t in times.items()}
        nbytes = {name: file.stat().st_size for name, (file, _) in sets.items()}
    result = {
        "clock": "cpu" if args.cpu else "wall", "rows": args.rows, "words_a_row": args.words, "rows_per_second": speed,
        "asked": {"rows_per_second": 50_000}, "parquet_bytes": nbytes, "marked_of_part": sum(mine),
        "speed_up_over_counter": round(speed["part, ours"] / speed["part, Counter"], 1),
    }  # fmt: skip
    Path(__file__).with_name("results").joinpath("repeated_ngrams.json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
