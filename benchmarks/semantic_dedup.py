"""Semantic dedup of vectors: ours (every pair) against faiss IVF, faiss flat and numpy, one process each, alternating.

    python benchmarks/semantic_dedup.py [--rows 50000] [--slow]

50,000 x 384 unit vectors with a falling spectrum and clusters, as sentence embeddings have; one in five is another one
with noise, cosine .80 to 1. Everybody finds the pairs at cosine .9 or above, from vectors in memory. Recall against the
pairs that numpy finds above .88, judged in float64. faiss IVF has sqrt(n) or 4 sqrt(n) lists and looks into one or two
of them (more lists or probes only take longer here: one probe of 224 lists recalls more than .999). One thread for
everybody. `--slow` adds faiss flat and numpy. OPENBLAS_CORETYPE or OPENBLAS_L2_SIZE in the environment slow numpy down:
unset both.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import planted

LEAST = 0.9


def cloud(rows: int, size: int = 384) -> np.ndarray:
    chance = np.random.default_rng(0)
    spread = (1 / np.sqrt(1 + np.arange(size) / 24)).astype(np.float32)
    centres = chance.normal(size=(200, size)).astype(np.float32) * spread
    v = centres[chance.integers(0, 200, rows)] * 0.9 + chance.normal(size=(rows, size)).astype(np.float32) * spread
    v[:, 0] += 2.0
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    copies = rows // 5
    noise = chance.normal(size=(copies, size)).astype(np.float32)
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    v[-copies:] = v[chance.integers(0, rows - copies, copies)] + noise * chance.uniform(0, 0.75, (copies, 1)).astype(
        np.float32
    )
    v /= np.linalg.norm(v, axis=1, keepdims=True)
    return np.ascontiguousarray(v[chance.permutation(rows)])


def curator(v: np.ndarray) -> np.ndarray:
    from curator.near_dup.semantic import Semantic

    made = Semantic(LEAST, exact_up_to=10**9)
    made.add([(v, np.zeros(len(v), np.uint64))])
    return np.concatenate([np.zeros((0, 2), np.int64), *(p for p, _ in made.edges())])


def _faiss(v: np.ndarray, index) -> np.ndarray:
    found = []
    for at in range(0, len(v), 4096):
        limits, _, near = index.range_search(v[at : at + 4096], LEAST)
        left = np.repeat(np.arange(len(limits) - 1), np.diff(limits.astype(np.int64))) + at
        found.append(np.stack([left, near], axis=1)[near > left])
    return np.concatenate(found)


def faiss_ivf(v: np.ndarray, lists: int, probes: int) -> np.ndarray:
    """Trained on 40 vectors a list, as few as faiss takes without a warning: it trains fastest so, and as well."""
    import faiss

    faiss.omp_set_num_threads(1)
    size = v.shape[1]
    lists = min(lists, len(v) // 40)
    index = faiss.IndexIVFFlat(faiss.IndexFlatIP(size), size, lists, faiss.METRIC_INNER_PRODUCT)
    index.train(v[np.random.default_rng(1).permutation(len(v))[: 40 * lists]])
    index.add(v)
    index.nprobe = probes
    return _faiss(v, index)


def faiss_flat(v: np.ndarray) -> np.ndarray:
    import faiss

    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(v.shape[1])
    index.add(v)
    return _faiss(v, index)


def numpy_exact(v: np.ndarray, least: float = LEAST) -> np.ndarray:
    found = []
    for i in range(0, len(v), 2048):
        for j in range(i, len(v), 2048):
            a, b = np.nonzero(v[i : i + 2048] @ v[j : j + 2048].T >= least)
            a, b = a + i, b + j
            found.append(np.stack([a, b], axis=1)[b > a])
    return np.concatenate(found)


CONTENDERS = {
    "curator": curator,
    "faiss IVF, 224 lists, 1 probe": lambda v: faiss_ivf(v, 224, 1),
    "faiss IVF, 224 lists, 2 probes": lambda v: faiss_ivf(v, 224, 2),
    "faiss IVF, 894 lists, 1 probe": lambda v: faiss_ivf(v, 894, 1),
    "faiss IVF, 894 lists, 2 probes": lambda v: faiss_ivf(v, 894, 2),
    "faiss flat": faiss_flat,
    "numpy exact": numpy_exact,
}
ONCE = ("faiss IVF, 894 lists, 1 probe", "faiss IVF, 894 lists, 2 probes", "faiss flat", "numpy exact")
SLOW = ("faiss flat", "numpy exact")


def one(name: str, path: str) -> None:
    v = np.load(path)
    CONTENDERS[name](np.ascontiguousarray(v[:3000]))  # imports and kernels
    with planted.Clock() as clock:
        found = CONTENDERS[name](v)
    truth = {tuple(p) for p in np.load(path + ".truth.npy").tolist()}
    got = {tuple(p) for p in found.tolist()}
    clock.told(pairs=len(got), truth=len(truth), recall=round(len(got & truth) / len(truth), 5), more=len(got - truth))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--slow", action="store_true")
    parser.add_argument("--only")
    parser.add_argument("--path")
    args = parser.parse_args()
    if args.only:
        one(args.only, args.path)
        return
    contenders = [c for c in CONTENDERS if (args.slow or c not in SLOW) and ("faiss" not in c or planted.have("faiss"))]
    print(*(f"{c}: left out" for c in CONTENDERS if c not in contenders), sep="\n")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "vectors.npy")
        v = cloud(args.rows)
        np.save(path, v)
        near = numpy_exact(v, 0.88)
        sure = np.einsum("ij,ij->i", v[near[:, 0]].astype(np.float64), v[near[:, 1]].astype(np.float64))
        np.save(path + ".truth.npy", near[sure >= LEAST])
        del v
        repeats = {c: 1 if c in ONCE else args.repeat for c in contenders}
        found = planted.alternate(__file__, contenders, repeats, ["--path", path])
    base = found["curator"]["cpu"]
    for name, run in found.items():
        run["times_ours"] = round(run["cpu"] / base, 2)
        print(f"{name:30} {run['cpu']:7.2f} CPU s {run['wall']:7.2f} s {run['times_ours']:6.2f} x  recall {run['recall']:.5f}"  # noqa: E501
              f"  of {run['truth']} pairs, {run['more']} more  peak {run['peak_mb']} MB")  # fmt: skip
    planted.keep("semantic_dedup", {"rows": args.rows, "dimensions": 384, "least": LEAST, "runs": found}, ["faiss-cpu"])


if __name__ == "__main__":
    main()
