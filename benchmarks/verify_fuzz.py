"""Fuzz the comparison of answers: no exception, nothing over its limit, memory flat.

    python benchmarks/verify_fuzz.py [--pairs 10000] [--first 0] [--seed 0] [--limit 2.0] [--batch 250]

Pairs: real ones of `../shared/data/equivalence` (where it is there) mutated by dropping, doubling, swapping and
splicing pieces; pairs made from a grammar of LaTeX tokens; arbitrary text with control characters, surrogates and bidi
marks; and hostile ones (towers of powers, factorials, deep nesting, long lists). The same command makes the same
pairs. Prints verdict counts, the slowest pair in CPU seconds of the process tree, and memory of parent
and worker at the quarters of the run. Exits with 1 on an exception, on a verdict outside the vocabulary, on a pair over
its limit (soft limit + the second of the hard kill + start of a new worker), or on memory that grows.
"""

from __future__ import annotations

import argparse
import collections
import json
import random
import re
import sys
import time
from pathlib import Path

import psutil
from verify_sides import DATA, FILES, load

from curator.maths import pool
from curator.maths.extract import final_answer, reference
from curator.maths.judge import judge

ROOT = Path(__file__).resolve().parents[1]
TOKENS = re.findall(
    r"\S+",
    r"""\frac \sqrt \sqrt[3] \binom \pi \infty \sin \cos \ln \log e^ i x y n a_1 { } ( ) [ ] \{ \} \left( \right)
    + - * / ^ _ = < > \le \ge \cup \in \pm , ; : | ! % $ \$ \% . .. 0 1 2 7 10 0.5 1,000 99999 \text{ cm}
    \text{and} and or km ^\circ \cdot \times \begin{pmatrix} \end{pmatrix} & \\ \boxed{ \sum_{k=1}^{5}
    \int_0^1 \lim_{x\to0} ^{ _{ \overline{3} √ ² π""",
)
STRANGE = "\x00\x01\x0b\x0c\x7f\u200b\u202e\u2066\ufeff\ud800\udfff𝟙½⅓∑∫'\"`\\{}$\n\t\r \u3000٣"
HOSTILE = (
    "9^9^9^9", "9^{9^{9^{9}}}", "99999999!", "((9!)!)!", r"\binom{99999999}{4999999}", "{" * 100_000, "(" * 1900,
    r"\sqrt{" * 500, "1" * 5_000_000, r"\prod_{k=1}^{10^8} k", "e^{e^{e^{e^{e}}}}", "(x+y+z)^{9999}", r"\pm" * 60 + "1",
    ",".join("1" * 3000), r"\text{" * 700, "x^" * 1000 + "x", "10^{-10^{10}}", r"\int_0^1 e^{x^{x^{x}}} dx", "=" * 3000,
    r"\lfloor 10^{10^{7}} \rfloor", "__import__('os').system('true')", "\\" * 3999, "$" * 3999, "the value is " * 300,
)  # fmt: skip
VERDICTS = {"correct", "incorrect", "unparseable", "timeout", "error"}
GROWTH = 1.25  # of memory between the second quarter and the end


def mutate(text: str, other: str, r: random.Random) -> str:
    """Drop, double, swap or replace a piece, or splice in one of another answer."""
    for _ in range(r.randint(1, 3)):
        i, j = sorted(r.randint(0, len(text)) for _ in range(2))
        k, m = sorted(r.randint(0, len(other)) for _ in range(2))
        text = r.choice(
            (
                text[:i] + text[j:],
                text[:j] + text[i:j] + text[j:],
                text[:i] + other[k:m] + text[j:],
                text[:i] + r.choice(TOKENS) + text[i:],
                text[:i] + r.choice(STRANGE) + text[j:],
            )
        )[:6000]
    return text


def pair(i: int, seed: int, real: list[tuple[str, str]]) -> tuple[str, str]:
    """Pair number `i`; one in forty is hostile."""
    r = random.Random(f"{seed}/{i}")
    kind = r.random()
    gold, pred = r.choice(real)
    if kind < 0.025:
        bomb = r.choice(HOSTILE)
        return (gold, bomb) if r.random() < 0.5 else (bomb, pred)
    if kind < 0.6:
        return (mutate(gold, pred, r) if r.random() < 0.5 else gold), mutate(pred, r.choice(real)[1], r)
    if kind < 0.85:
        made = ["".join(r.choice(TOKENS) + r.choice(("", " ")) for _ in range(r.randint(1, 14))) for _ in range(2)]
        return made[0], made[r.randint(0, 1)]
    text = [
        "".join(
            r.choice((chr(r.randint(0, 0x2FFF)), r.choice(STRANGE), r.choice(TOKENS))) for _ in range(r.randint(0, 30))
        )
        for _ in range(2)
    ]
    return text[0], text[1]


def memory() -> tuple[int, int]:
    """MiB of this process and of its largest child."""
    me = psutil.Process()
    sizes = [p.memory_info().rss >> 20 for p in me.children(recursive=True)]
    return me.memory_info().rss >> 20, max(sizes, default=0)


def cpu() -> float:
    me = psutil.Process()
    return sum(t.user + t.system for t in (p.cpu_times() for p in [me, *me.children(recursive=True)]))


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--pairs", type=int, default=10_000)
    args.add_argument("--first", type=int, default=0, help="number of the first pair: parts of a run side by side")
    args.add_argument("--seed", type=int, default=0)
    args.add_argument("--limit", type=float, default=2.0)
    args.add_argument("--batch", type=int, default=250)
    told = args.parse_args()
    real = (
        [(x["gold"], x["pred"]) for n in FILES for x in load(n)]
        if DATA.exists()
        else [(r"\frac{1}{2}", "0.5"), ("x", "(1,2)")]
    )
    verdicts: collections.Counter[str] = collections.Counter()
    faults: list[str] = []
    sizes: list[tuple[int, int]] = []
    slowest, start = (0.0, ("", "")), time.perf_counter()
    last = told.first + told.pairs
    for first in range(told.first, last, told.batch):
        for i in range(first, min(first + told.batch, last)):
            p = pair(i, told.seed, real)
            used = cpu()
            try:
                final_answer(p[1])
                reference(p[0])
                verdict = judge([p], limit_s=told.limit)[0].verdict
            except Exception as e:
                verdict = "exception"
                faults.append(f"pair {i}: {type(e).__name__}: {e}")
            slowest = max(slowest, (cpu() - used, p), key=lambda s: s[0])
            verdicts[verdict] += 1
        sizes.append(memory())
        print(f"{first + told.batch} pairs, memory {sizes[-1]} MiB, {dict(verdicts)}", file=sys.stderr, flush=True)
    parent = [s[0] for s in sizes]
    grown = parent[-1] / max(parent[max(0, len(parent) // 4)], 1)
    over = slowest[0] > told.limit + 1 + 6  # the hard kill comes a second after, a new worker takes a few to start
    result = {
        "pairs": told.pairs, "seed": told.seed, "limit_s": told.limit, "verdicts": dict(verdicts),
        "exceptions": faults[:10], "slowest_cpu_s": round(slowest[0], 2), "slowest": [t[:80] for t in slowest[1]],
        "memory_mib": {"parent": parent[:: max(1, len(parent) // 8)], "worker_largest": max(s[1] for s in sizes)},
        "parent_growth": round(grown, 3), "recycled_at_mib": pool.RECYCLE_BYTES >> 20,
        "minutes": round((time.perf_counter() - start) / 60, 1),
    }  # fmt: skip
    if not told.first:
        out = ROOT / "benchmarks" / "results" / "verify_fuzz.json"
        out.write_text(json.dumps(result, indent=1, ensure_ascii=True) + "\n")
    print(json.dumps(result, indent=1))
    if faults or over or grown > GROWTH or set(verdicts) - VERDICTS:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
