"""Vendi scores, clusters and choices: memory and speed of one pass, against numpy, faiss and simpler choices.

    python benchmarks/vendi.py                      # all parts; 4.2 GB of temporary files for `stream`
    python benchmarks/vendi.py --parts cluster choose

`stream`: 1,000,000 x 1024 features in Parquet, measured as `curator diversity` does (score, interval, sample): goal
under 2 GB. `numpy`: the same measure of 100,000 rows against the published way in one go (all rows in float64,
G^T G / n, eigvalsh), and the bare score against it. `cluster`: spherical k-means against faiss (one thread, 20
iterations, k = n / 10): CPU seconds and mean cosine. `choose`: m rows of real problems by greedy, chance and k-means of
vectors, and by counts of words; scores on both, and measures of the texts. `gradients`: G-Vendi of m rows chosen by
gradients of the pocket model, by vectors of the texts, and by chance. `large`: 10,000 of 100,000 x 1024. Each
contender in a process of its own, alternating.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import planted
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PARTS = ("stream", "numpy", "cluster", "choose", "gradients", "large")
FILE_ROWS = 50_000
BENCHMARKS = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "benchmarks"
PROBLEMS = ("math_train7474", "gsm8k_train", "college_math_test", "svamp_test", "olympiadbench_oe_to_maths_en_test",
            "minerva_math_test", "aime24_test", "amc23_test", "olymmath_en_hard")  # fmt: skip


def cloud(rows: int, d: int, seed: int, topics: int = 500) -> np.ndarray:
    """Unit float32 with a falling spectrum around topics of very unequal size, as features of a data set have."""
    chance = np.random.default_rng(seed)
    spread = (1 / np.sqrt(1 + np.arange(d) / 32)).astype(np.float32)
    centres = np.random.default_rng(12345).normal(size=(topics, d)).astype(np.float32) * spread
    weights = 1 / np.arange(1, topics + 1)
    x = centres[chance.choice(topics, rows, p=weights / weights.sum())]
    x += chance.standard_normal((rows, d), np.float32) * spread * np.float32(0.8)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def isotropic(rows: int, d: int) -> np.ndarray:
    """Rows without any structure: the hardest case for k-means that leaves work out."""
    x = np.random.default_rng(2).standard_normal((rows, d), np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def write(folder: Path, rows: int, d: int) -> None:
    for at in range(0, rows, FILE_ROWS):
        x = cloud(min(FILE_ROWS, rows - at), d, at)
        ids = [f"r{at + i:09d}" for i in range(len(x))]
        lists = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), d)
        told = {"grad_proxy": ["p"] * len(x), "grad_projection": [f"countsketch:{d}:0"] * len(x)}
        table = pa.table({"row_id": ids, "grad": lists, **told})
        pq.write_table(table, folder / f"part-{at // FILE_ROWS:04d}.parquet", compression="none", row_group_size=8192,
                       use_dictionary=["grad_proxy", "grad_projection"])  # fmt: skip


def _files(folder: str) -> list[Path]:
    return sorted(Path(folder).glob("*.parquet"))


def curator(folder: str) -> dict:
    """As `curator diversity` does: all orders, interval, sample."""
    from curator.cli.diversity import _batches, _rows
    from curator.diversity.measure import Asked, measure

    asked = Asked(("grad",), id="row_id")
    files = _files(folder)
    columns = asked.columns(["row_id", "grad", "grad_proxy", "grad_projection"])
    found = measure("x", _batches(files, columns), asked, sum(map(_rows, files))).vectors["grad"]
    low, value, high = found.scores[1.0]
    return {"rows": found.n, "vendi": value, "low": low, "high": high}


def curator_score(folder: str) -> dict:
    """The score alone."""
    from curator.cli.diversity import _batches
    from curator.diversity.features import read
    from curator.diversity.vendi import Moments

    found = Moments()
    for _, x, _, _ in read(_batches(_files(folder), ["row_id", "grad"]), "grad", "x"):
        found.add(x)
    return {"rows": found.n, "vendi": found.vendi()}


def numpy_at_once(folder: str) -> dict:
    """The published way: all rows, then the covariance."""
    column = pa.chunked_array([c for f in _files(folder) for c in pq.read_table(f, columns=["grad"])["grad"].chunks])
    x = np.concatenate([c.flatten().to_numpy().reshape(len(c), -1) for c in column.chunks]).astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(x.T @ x / len(x))
    values = values[values > 0]
    return {"rows": len(x), "vendi": float(np.exp(-(values * np.log(values)).sum()))}


def curator_kmeans(path: str) -> dict:
    from curator.diversity.kmeans import cluster

    x = np.load(path)
    found = cluster(x, len(x) // 10, iterations=20)
    return {"iterations": found.iterations, "labels": found.labels}


def faiss_kmeans(path: str) -> dict:
    import faiss

    faiss.omp_set_num_threads(1)
    x = np.load(path)
    made = faiss.Kmeans(x.shape[1], len(x) // 10, niter=20, spherical=True, min_points_per_centroid=1, seed=1)
    made.train(x)
    return {"iterations": 20, "labels": made.index.search(x, 1)[1][:, 0]}


def quality(x: np.ndarray, labels: np.ndarray) -> float:
    """Mean cosine of rows to the centroids of their clusters, in float64."""
    k = int(labels.max()) + 1
    sums = np.zeros((k, x.shape[1]))
    np.add.at(sums, labels, x)
    return float(np.linalg.norm(sums, axis=1).sum() / len(x))


CONTENDERS = {f.__name__: f for f in (curator, curator_score, numpy_at_once, curator_kmeans, faiss_kmeans)}


def one(name: str, path: str) -> None:
    with planted.Clock() as clock:
        found = CONTENDERS[name](path)
    if (labels := found.pop("labels", None)) is not None:
        found["mean_cosine"] = round(quality(np.load(path), labels), 5)
    clock.told(**found)


def stream(rows: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        planted.child(__file__, "--write", str(rows), "--path", folder)  # in this process it would count as theirs
        found = planted.alternate(__file__, ["curator"], {"curator": 1}, ["--path", folder])["curator"]
    found["rows_per_s"] = round(found["rows"] / found["cpu"])
    told = f"{found['cpu']:.0f} CPU s, {found['rows_per_s']:,} rows/s, peak {found['peak_mb']} MB"
    print(f"stream: {rows:,} x 1024: {told}")
    return found


def at_once(rows: int) -> dict:
    names = ["curator", "curator_score", "numpy_at_once"]
    with tempfile.TemporaryDirectory() as folder:
        planted.child(__file__, "--write", str(rows), "--path", folder)
        found = planted.alternate(__file__, names, dict.fromkeys(names, 3), ["--path", folder])
    for name, run in found.items():
        print(f"numpy: {name:14} {run['cpu']:6.2f} CPU s  peak {run['peak_mb']} MB  {run['vendi']:.9f}")
    return found


def clusters(sizes: list[tuple[int, int, str]]) -> dict:
    out = {}
    for n, d, kind in sizes:
        names = ["curator_kmeans", *(["faiss_kmeans"] if planted.have("faiss") else [])]
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "x.npy")
            np.save(path, cloud(n, d, 1) if kind == "topics" else isotropic(n, d))
            found = planted.alternate(__file__, names, dict.fromkeys(names, 3), ["--path", path])
        for name, run in found.items():
            run["times_ours"] = round(run["cpu"] / found["curator_kmeans"]["cpu"], 2)
            print(f"cluster: {n:,} x {d}, {kind}: {name:15} {run['cpu']:7.2f} CPU s {run['times_ours']:5.2f} x  cosine "
                  f"{run['mean_cosine']:.5f}  {run['iterations']} iterations")  # fmt: skip
        out[f"{n}x{d}, {kind}"] = found
    return out


def problems() -> list[str]:
    texts: list[str] = []
    for name in PROBLEMS:
        texts += pq.read_table(BENCHMARKS / f"{name}.parquet", columns=["question"])["question"].to_pylist()
    return texts


def choices(sizes: tuple[int, ...] = (200, 1000, 4000)) -> dict:
    """Choose by the stand-in vectors; tell the score on them, on counts of words, and the texts' own measures."""
    from stand_in_vectors import StandIn

    from curator.diversity.choose import choose
    from curator.diversity.features import ranks
    from curator.diversity.texts import grams, measures, texts
    from curator.diversity.vendi import Moments

    held = problems()
    held = [held[i] for i in np.argsort(ranks(pa.array([f"{k}" for k in range(len(held))]), 0))]
    x = StandIn(held)(held)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    some = texts(pa.array(held))
    hashes, rows = grams(some, 1)  # another representation: counts of words in 1,024 signed buckets
    place = (hashes % np.uint64(1024)).astype(np.int64) + rows * 1024
    words = np.bincount(place, np.where(hashes >> np.uint64(63), 1.0, -1.0), len(held) * 1024).reshape(-1, 1024)
    words = (words / np.linalg.norm(words, axis=1, keepdims=True)).astype(np.float32)
    out: dict = {"problems": len(held)}
    for m in sizes:
        for how, by in (("random", x), ("kmeans", x), ("greedy", x), ("greedy", words)):
            name = how + ("" if by is x else " by words")
            with planted.Clock() as clock:
                found = choose(by, m, how)
            told = measures(some.take(found.rows), 15 * m)
            out.setdefault(str(m), {})[name] = {
                "seconds": round(clock.cpu, 2), "vendi": round(Moments().add(x[found.rows]).vendi(), 2),
                "vendi_words": round(Moments().add(words[found.rows]).vendi(), 2),
                "bound": round(found.bound, 2) if found.bound == found.bound else None,
                "distinct_2": round(told["distinct_2"], 4), "ngram_vendi": round(told["ngram_vendi"], 1),
            }  # fmt: skip
            print(f"choose: m {m:5} {name:17}", json.dumps(out[str(m)][name]))
    return out


SOLVED = {"gsm8k_train": 2500, "olympiadbench_oe_to_maths_en_test": 675, "minerva_math_test": 272, "math500_test": 500}


def features(folder: Path) -> list[Path]:
    """Gradient features of problems with solutions that people wrote, the pocket model as the proxy."""
    import curator as cu

    rows = []
    for name, count in SOLVED.items():
        held = pq.read_table(BENCHMARKS / f"{name}.parquet", columns=["question", "solution"]).to_pylist()
        for i, row in enumerate(r for r in held[:count] if r["solution"]):
            told = {"problem": row["question"], "trace": row["solution"], "source": name}
            rows.append({"row_id": f"{name}-{i}", "problem_id": f"{name}-{i}", **told})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    pages = cu.read(path=str(folder / "rows.jsonl"))
    scored = pages | cu.score(kind="gradient", engine=cu.engine("pocket"), max_tokens=512)
    return scored.run(folder / "run", progress=False).files()


def gradients(files: list[Path], parts: tuple[int, ...] = (40, 10, 4)) -> dict:
    """Choose by gradients, by the stand-in vectors of the same texts, or by chance; tell G-Vendi of all of them."""
    from stand_in_vectors import StandIn

    from curator.diversity.choose import choose
    from curator.diversity.features import hold
    from curator.diversity.vendi import Moments

    table = pa.concat_tables(pq.read_table(f, columns=["row_id", "grad", "problem", "trace"]) for f in files)
    held = hold(table.select(["row_id", "grad"]).to_batches(), "grad", "benchmark")
    order = pc.index_in(held.ids, table["row_id"].combine_chunks())
    texts = [f"{r['problem']} {r['trace']}" for r in table.select(["problem", "trace"]).take(order).to_pylist()]
    x = StandIn(texts)(texts)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    ways = {
        "random": ("random", held.x), "kmeans by gradients": ("kmeans", held.x),
        "greedy by texts' vectors": ("greedy", x), "greedy by gradients": ("greedy", held.x),
    }  # fmt: skip
    out: dict = {"rows": len(held.x), "g_vendi_all": round(Moments().add(held.x).vendi(), 2)}
    for m in (len(held.x) // part for part in parts):
        for name, (how, by) in ways.items():
            found = choose(by, m, how)
            told = {"g_vendi": round(Moments().add(held.x[found.rows]).vendi(), 2),
                    "vendi_texts": round(Moments().add(x[found.rows]).vendi(), 2)}  # fmt: skip
            if by is held.x and how == "greedy":
                told["bound"] = round(found.bound, 2)
            out.setdefault(str(m), {})[name] = told
            print(f"gradients: m {m:5} {name:25}", json.dumps(told))
    return out


def large(n: int = 100_000, m: int = 10_000, d: int = 1024) -> dict:
    from curator.diversity import choose as chooser
    from curator.diversity.vendi import Moments

    x = cloud(n, d, 3)
    with planted.Clock() as clock:
        order = chooser.greedy(x, m)
    first = Moments().add(x[order]).vendi()
    with planted.Clock() as more:
        found = chooser.exchange(x, order)
    told = {"greedy_s": round(clock.cpu, 1), "exchange_s": round(more.cpu, 1), "peak_mb": round(more.peak),
            "vendi_random": round(Moments().add(x[:m]).vendi(), 2), "vendi_greedy": round(first, 2),
            "vendi": round(found.vendi, 2), "bound": round(found.bound, 2)}  # fmt: skip
    print(f"large: {m:,} of {n:,} x {d}:", json.dumps(told))
    return {"n": n, "m": m, "d": d, **told}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only")
    parser.add_argument("--write", type=int)
    parser.add_argument("--path")
    parser.add_argument("--features", type=Path, help="of part gradients: a folder with rows that have been scored")
    args = parser.parse_args()
    if args.write:
        write(Path(args.path), args.write, 1024)
        print("{}")
        return
    if args.only:
        one(args.only, args.path)
        return
    kept = planted.RESULTS / "vendi.json"
    found = json.loads(kept.read_text()) if kept.exists() else {}
    if "stream" in args.parts:
        found["stream"] = stream(args.rows)
    if "numpy" in args.parts:
        found["numpy"] = at_once(100_000)
    if "cluster" in args.parts:
        found["cluster"] = clusters([(10_000, 1024, "topics"), (20_000, 256, "topics"), (10_000, 256, "none")])
    if "choose" in args.parts:
        if BENCHMARKS.exists():
            found["choose"] = choices()
        else:
            print("choose: left out, ../shared/data is not here")
    if "gradients" in args.parts and BENCHMARKS.exists():
        with tempfile.TemporaryDirectory() as folder:
            files = sorted(args.features.rglob("*.parquet")) if args.features else features(Path(folder))
            found["gradients"] = gradients(files)
    if "large" in args.parts:
        found["large"] = large()
    planted.keep("vendi", {k: found[k] for k in PARTS if k in found}, ["faiss-cpu", "scipy"])


if __name__ == "__main__":
    main()
