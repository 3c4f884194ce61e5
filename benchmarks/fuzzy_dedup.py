"""Fuzzy dedup, Parquet to Parquet: ours against daft, datasketch (bulk) and rensa, alternating, one process each.

    python benchmarks/fuzzy_dedup.py [--short 200000] [--long 50000] [--slow]

Word 5-grams, 128 permutations, 16 bands of 8 rows for everybody; ours verifies candidates by exact Jaccard, and runs
once more as it comes (bands from the threshold, figures compared). `--slow` adds the peers that need a minute. Recall:
planted pairs with J >= .8 (for ours as it comes: of those with the same figures); precision: found rows with J >= .5 to
a row of their cluster, both by plain Python sets. A warm-up imports and compiles. Ratios of CPU seconds, since machines
are busy; wall seconds beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import tempfile
from pathlib import Path

import planted
import pyarrow.parquet as pq

BANDS, ROWS, SIZE, N = 16, 8, 128, 5


def curator(path: str, out: str, **settings: object) -> list[tuple[str, str]]:
    found = planted.run_ours(path, out, method="minhash", **settings)
    return list(zip(*(c.to_pylist() for c in found.columns), strict=True))


def daft(path: str, out: str) -> list[list[int]]:
    import daft as d
    from daft import functions as f

    with contextlib.suppress(Exception):  # only once in a process, and the warm-up was first
        d.set_runner_native(num_threads=1)
    frame = d.read_parquet(path)
    text = f.normalize(d.col("problem"), remove_punct=True, lowercase=True, nfd_unicode=True, white_space=True)
    signed = frame.select(
        "row_id", text.minhash(num_hashes=SIZE, ngram_size=N, seed=1, hash_function="xxhash").alias("s")
    )
    bands = signed.with_column("s", f.chunk(d.col("s"), ROWS))
    bands = bands.with_column("band", d.lit(list(range(BANDS)))).explode("s", "band")
    bands = bands.select("row_id", "band", f.hash(d.col("s")).alias("key"))
    groups = bands.groupby("band", "key").agg(d.col("row_id").list_agg().alias("ids"))
    groups = groups.where(d.col("ids").list_count() > 1).select("ids").to_arrow()
    found = [[int(i[1:]) for i in g] for g in groups.column("ids").to_pylist()]
    forest = planted.Forest(pq.read_metadata(path).num_rows)
    for group in found:
        for other in group[1:]:
            forest.join(group[0], other)
    kept = [f"r{i:08d}" for i, c in enumerate(forest.clusters()) if i == c]
    d.read_parquet(path).join(d.from_pydict({"row_id": kept}), on="row_id", how="semi").write_parquet(out + ".daft")
    return found


def _tokens(path: str) -> list[list[bytes]]:
    texts = pq.read_table(path, columns=["problem"]).column(0).to_pylist()
    return [[" ".join(g).encode() for g in planted.grams(t)] for t in texts]


def datasketch(path: str, out: str) -> list[list[int]]:
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(num_perm=SIZE, params=(BANDS, ROWS))
    found, kept = [], []
    for i, signature in enumerate(MinHash.generator(_tokens(path), num_perm=SIZE)):
        near = lsh.query(signature)
        lsh.insert(i, signature)
        if near:
            found.append([*near, i])
        else:
            kept.append(i)
    _write(path, out, kept)
    return found


def rensa(path: str, out: str) -> list[list[int]]:
    from rensa import RMinHash, RMinHashLSH

    lsh = RMinHashLSH(threshold=0.8, num_perm=SIZE, num_bands=BANDS)
    found, kept = [], []
    for i, tokens in enumerate(_tokens(path)):
        signature = RMinHash(num_perm=SIZE, seed=1)
        signature.update([t.decode() for t in tokens])
        near = lsh.query(signature)
        lsh.insert(i, signature)
        if near:
            found.append([*near, i])
        else:
            kept.append(i)
    _write(path, out, kept)
    return found


def _write(path: str, out: str, kept: list[int]) -> None:
    pq.write_table(pq.read_table(path).take(kept), out, compression="snappy")


CONTENDERS = {
    "curator": lambda p, o: curator(p, o, bands=BANDS, rows_per_band=ROWS, numbers=False),
    "curator as it comes": curator,
    "daft": daft,
    "datasketch": datasketch,
    "rensa": rensa,
}
SLOW = ("datasketch", "rensa")


def one(name: str, path: str) -> None:
    """Run one contender; print its seconds and its clusters' quality."""
    rows = pq.read_metadata(path).num_rows
    with tempfile.TemporaryDirectory() as folder:
        small = str(Path(folder) / "warm.parquet")  # imports, and kernels from numba's cache, as in a second run
        planted.write(planted.head(path), small)
        CONTENDERS[name](small, str(Path(folder) / "warm.out"))
        with planted.Clock() as clock:
            found = CONTENDERS[name](path, str(Path(folder) / "out.parquet"))
    forest = planted.Forest(rows)
    if name.startswith("curator"):
        for row, cluster in found:
            forest.join(int(row[1:]), int(cluster[1:]))
    else:
        for group in found:
            for other in group[1:]:
                forest.join(group[0], other)
    planted_pairs = json.loads(Path(path + ".json").read_text())
    texts = pq.read_table(path, columns=["problem"]).column(0).to_pylist()
    clusters = forest.clusters()
    pairs, sure = planted_pairs["pairs"], planted_pairs["jaccard"]
    if name == "curator as it comes":
        same = [planted.figures(texts[a]) == planted.figures(texts[b]) for a, b in pairs]
        sure = [j if s else 0.0 for j, s in zip(sure, same, strict=True)]
    clock.told(kept=len(set(clusters)), **planted.quality(clusters, texts, pairs, sure))


def compare(rows: int, length: int, contenders: list[str], repeat: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "in.parquet")
        table, pairs = planted.corpus(rows, length)
        planted.write(table, path)
        texts = table.column("problem").to_pylist()
        sure = [planted.jaccard(texts[a], texts[b]) for a, b in pairs]
        Path(path + ".json").write_text(json.dumps({"pairs": pairs, "jaccard": sure}))
        size = table.nbytes / 1e6
        del table, texts
        repeats = {c: 1 if c in SLOW else repeat for c in contenders}
        found = planted.alternate(__file__, contenders, repeats, ["--path", path])
    base = found["curator"]["cpu"]
    print(f"{rows} rows, {size:.0f} MB")
    for name, run in found.items():
        run["times_ours"] = round(run["cpu"] / base, 2)
        print(f"  {name:20} {run['cpu']:8.2f} CPU s {run['wall']:8.2f} s {run['times_ours']:7.2f} x"
              f"  recall {run['recall']:.4f}  precision {run['precision']:.4f}  kept {run['kept']}  peak {run['peak_mb']} MB")  # fmt: skip  # noqa: E501
    return {"rows": rows, "megabytes": round(size), "runs": found}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", type=int, default=200_000)
    parser.add_argument("--long", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--slow", action="store_true", help="datasketch and rensa as well")
    parser.add_argument("--only")
    parser.add_argument("--path")
    args = parser.parse_args()
    if args.only:
        one(args.only, args.path)
        return
    contenders = [
        c for c in CONTENDERS if c.startswith("curator") or (planted.have(c) and (args.slow or c not in SLOW))
    ]
    for name in CONTENDERS:
        if name not in contenders:
            print(f"{name}: {'left out, give --slow' if planted.have(name) else 'not installed, skipped'}")
    result = {}
    if args.short:
        result["short"] = compare(args.short, 88, contenders, args.repeat)
    if args.long:
        result["long"] = compare(args.long, 800, [c for c in contenders if c not in SLOW], args.repeat)
    planted.keep("fuzzy_dedup", result, ["daft", "datasketch", "rensa"])


if __name__ == "__main__":
    main()
