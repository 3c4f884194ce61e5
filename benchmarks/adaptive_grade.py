"""Adaptive k on real verdicts: pass rates, coverage of the intervals, samples saved, and bands that change.

    python benchmarks/adaptive_grade.py [--shuffles 20] [--data FOLDER]

Data: `traces/qwen_math_cot_100x8.parquet` (100 problems, 8 samples of one model) and `zeroeval_*_outcomes_*` (one
sample of each of 43 or 44 models a problem), whose verdicts nobody here made.

- Pass rates are taken by `grade` and compared with plain counting: they must be equal.
- Coverage: for each real pass rate p strictly between 0 and 1, exactly (over all outcomes of n draws), how often the
  interval holds p; the mean over the problems. At 0 and 1 both intervals always hold it.
- Adaptive k: samples in a random order, stopped by `difficulty.adaptive`. `saved` is the share of samples not asked
  for, `changed` that of problems whose band is not that of all samples; means over shuffles. The prior is fitted to the
  other half of the problems (as a pilot would), or Jeffreys's. Bands: thirds at 0.25 and 0.75; Open-R1's (0.1, 0.9);
  Light-R1's [0.25, 0.625]; DED's, easy above 0.75.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curator.difficulty.adaptive import Plan, fit_prior
from curator.difficulty.bands import table
from curator.difficulty.intervals import METHODS

FILES = {
    "qwen_math_cot_100x8": "qwen_math_cot_100x8.parquet",
    "zeroeval_math_l5": "zeroeval_math_l5_outcomes_43models.parquet",
    "zeroeval_gsm8k": "zeroeval_gsm8k_outcomes_44models.parquet",
}
BANDS = {
    "thirds": {"easy": "(0.75, 1]", "medium": "[0.25, 0.75]", "hard": "[0, 0.25)"},
    "open-r1": {"keep": "(0.1, 0.9)", "easy": "[0.9, 1]", "hard": "[0, 0.1]"},
    "light-r1": {"keep": "[0.25, 0.625]", "easy": "(0.625, 1]", "hard": "[0, 0.25)"},
    "ded": {"keep": "[0, 0.75]", "easy": "(0.75, 1]"},
}
CONFIDENCE = (1.0, 0.99, 0.985, 0.95)
Verdicts = dict[str, list[bool]]


def verdicts_of(file: Path) -> Verdicts:
    """Decided verdicts by problem; those of `grade` on the same rows must agree with plain counting."""
    from curator.ops.grade import grade

    rows = pq.read_table(file, columns=["problem_id", "correct"])
    found: Verdicts = defaultdict(list)
    undecided: Counter[str] = Counter()
    for row in rows.to_pylist():
        if row["correct"] is None:
            undecided[row["problem_id"]] += 1
        else:
            found[row["problem_id"]].append(row["correct"])
    con = duckdb.connect()
    ids = pa.array([f"r{i}" for i in range(len(rows))])
    con.register("rows", rows.append_column("row_id", ids))

    class View:
        schema = rows.append_column("row_id", ids).schema

    View.con = con
    for problem, n, n_ok, open_, rate in con.sql(
        f"select distinct problem_id, n, n_ok, n_undecided, pass_rate from ({grade()(View()).out})"
    ).fetchall():
        mine = found.get(problem, [])
        assert (n, n_ok, open_) == (len(mine), sum(mine), undecided[problem])
        assert rate == (sum(mine) / len(mine) if mine else None)
    return dict(found)


def coverage(found: Verdicts, method: str, n: int) -> float:
    ends = [METHODS[method](k, n, 0.95) for k in range(n + 1)]
    rates = [sum(v) / len(v) for v in found.values() if v and 0 < sum(v) < len(v)]

    def one(p: float) -> float:
        inside = [k for k in range(n + 1) if ends[k][0] <= p <= ends[k][1]]
        return math.fsum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in inside)

    held = {p: one(p) for p in set(rates)}
    return sum(held[p] for p in rates) / len(rates)


def simulate(found: Verdicts, bands: dict[str, str], confidence: float, fitted: bool, shuffles: int) -> dict:
    names = sorted(found)
    halves = (names[::2], names[1::2])
    asked = whole = changed = problems = 0
    for mine, other in (halves, halves[::-1]):
        prior = fit_prior(Counter((sum(found[p]), len(found[p])) for p in other)) if fitted else None
        plans: dict[int, Plan] = {}
        for shuffle in range(shuffles):
            rng = random.Random(shuffle)
            for problem in mine:
                verdicts = found[problem][:]
                rng.shuffle(verdicts)
                size = len(verdicts)
                plan = plans.setdefault(size, Plan(size, table(bands), confidence, prior or (0.5, 0.5)))
                n = k = 0
                while more := plan.more(k, n):
                    k += sum(verdicts[n : n + more])
                    n += more
                asked += n
                whole += size
                problems += 1
                changed += plan.decision(k, n) != plan.band(sum(verdicts), size)
    return {"saved": round(1 - asked / whole, 3), "changed": round(changed / problems, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--shuffles", type=int, default=20)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared/data/traces")
    args = parser.parse_args()
    result: dict = {"shuffles": args.shuffles, "asked": {"saved": 0.4, "changed": 0.02}, "data": {}}
    for name, file in FILES.items():
        found = verdicts_of(args.data / file)
        prior = fit_prior(Counter((sum(v), len(v)) for v in found.values() if v))
        found = {p: v for p, v in found.items() if v}
        entry = result["data"][name] = {
            "problems": len(found), "pass_rates_exact": True, "prior": prior,
            "coverage_of_95": {m: {n: round(coverage(found, m, n), 3) for n in (4, 8, 16, 32)} for m in METHODS},
        }  # fmt: skip
        for label, fitted in (("fitted prior", True), ("jeffreys prior", False)):
            entry[label] = {
                bands: {str(c): simulate(found, given, c, fitted, args.shuffles) for c in CONFIDENCE}
                for bands, given in BANDS.items()
            }
            print(name, label, json.dumps(entry[label]), flush=True)
    path = Path(__file__).with_name("results").joinpath("adaptive_grade.json")
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({n: {k: e[k] for k in ("prior", "coverage_of_95")} for n, e in result["data"].items()}, indent=1))


if __name__ == "__main__":
    main()
