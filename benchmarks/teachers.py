"""Does `curator teachers` rank models as their published accuracies do? ZeroEval's 44 and 43 models.

    python benchmarks/teachers.py

Needs ../shared/data; says so and stops where it is absent. The data hold the even half of the problems with our own
verdicts. The published accuracies (benchmarks/published_zeroeval.json) are over all problems, by the published rule:
the first number of the answer equals the first number of the reference. Three things differ then: the problems, the
rule, and for some models the coverage. So three comparisons, each by Spearman's correlation of the ranks:

- `same problems, published rule`: our ranking against the published rule applied to the very same rows;
- `published numbers`: our ranking against the published accuracies over all problems;
- `published rule on the half`: the published rule on the half against the published accuracies: what half the problems
  allow, whoever ranks;
- `random halves of these problems`: the published rule on 500 random halves of the problems at hand against
  the same rule on all of them: 5th, 50th and 95th percentile of the correlation, and the share at .99 or above.

Each for the teachers that `curator teachers` ranks (a verdict on 90 % of the problems or more), and for all.
"""

from __future__ import annotations

import json
import random
import re
import sys
import time
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq

from curator.teachers import Asked, measure, rank

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data" / "traces"
RESULT = HERE / "results" / "teachers.json"


def first_number(text: str | None) -> float | None:
    """ZeroEval's reading of an answer (src/evaluation/math_eval.py, `sanitize_math_answers` and the first number)."""
    text = (text or "").replace("$", "").strip().replace(",", "")
    if match := re.fullmatch(r"\s*(-?\d+(?:\.\d+)?)\s*/\s*(-?\d+(?:\.\d+)?)\s*", text):
        return float(match[1]) / float(match[2]) if float(match[2]) else None
    match = re.search(r"-?\d+(\.\d+)?", text)
    return float(match.group()) if match else None


def ranks(values: dict[str, float]) -> dict[str, float]:
    """Ranks, ties sharing their mean."""
    order = sorted(values, key=lambda m: values[m])
    out: dict[str, float] = {}
    i = 0
    while i < len(order):
        j = i
        while j < len(order) and values[order[j]] == values[order[i]]:
            j += 1
        out |= dict.fromkeys(order[i:j], (i + j - 1) / 2)
        i = j
    return out


def spearman(a: dict[str, float], b: dict[str, float]) -> float:
    """Spearman's correlation over the names that both have."""
    both = sorted(set(a) & set(b))
    x, y = ranks({m: a[m] for m in both}), ranks({m: b[m] for m in both})
    mx, my = sum(x.values()) / len(both), sum(y.values()) / len(both)
    top = sum((x[m] - mx) * (y[m] - my) for m in both)
    return top / (sum((x[m] - mx) ** 2 for m in both) * sum((y[m] - my) ** 2 for m in both)) ** 0.5


def by_published_rule(path: Path) -> dict[str, dict[str, bool]]:
    """Which problem each model has right by ZeroEval's rule; no answer is a wrong one."""
    held: dict[str, dict[str, bool]] = defaultdict(dict)
    for row in pq.read_table(path, columns=["problem_id", "model", "answer", "gold"]).to_pylist():
        said = first_number(row["answer"])
        held[row["model"]][row["problem_id"]] = said is not None and said == first_number(row["gold"])
    return held


def accuracy(held: dict[str, dict[str, bool]], problems: set[str] | None = None) -> dict[str, float]:
    """Share of right answers of each model, of those to `problems`."""
    chosen = {m: [ok for p, ok in v.items() if problems is None or p in problems] for m, v in held.items()}
    return {m: sum(v) / len(v) for m, v in chosen.items()}


def halves(held: dict[str, dict[str, bool]], rounds: int = 500) -> dict[str, float]:
    """How well the ranking by half of the problems agrees with that by all of them."""
    rng, problems, whole = random.Random(0), sorted(set().union(*held.values())), accuracy(held)
    found = sorted(
        spearman(accuracy(held, set(rng.sample(problems, len(problems) // 2))), whole) for _ in range(rounds)
    )
    at = {f"{p}%": round(found[p * rounds // 100], 4) for p in (5, 50, 95)}
    return {**at, "at .99 or above": sum(one >= 0.99 for one in found) / rounds}


def compare(name: str, published: dict[str, float]) -> dict[str, object]:
    """The correlations of one file."""
    path = DATA / f"{name}.parquet"
    began = time.perf_counter()
    found = rank(measure([path], Asked(by="model")))
    seconds = time.perf_counter() - began
    ours = {r["teacher"]: r["verified_rate"] for r in found.teachers if r["rank"] is not None}
    own = {r["teacher"]: r["verified_rate_own"] for r in found.teachers}
    held = by_published_rule(path)
    rule = accuracy(held)
    told: dict[str, object] = {
        "teachers": len(own), "ranked": len(ours), "problems": found.problems, "common": found.common,
        "not_ranked": dict(found.unranked), "seconds": round(seconds, 2),
    }  # fmt: skip
    for label, mine in (("ranked teachers", ours), ("all teachers, each on its own problems", own)):
        told[label] = {
            "same problems, published rule": round(spearman(mine, rule), 4),
            "published numbers": round(spearman(mine, published), 4),
            "published rule on the half": round(spearman({m: rule[m] for m in mine}, published), 4),
        }
        told[label]["random halves of these problems"] = halves({m: held[m] for m in mine})
    return told


def main() -> None:
    """Compare, print, and write the result."""
    if not DATA.exists():
        print("real data is not there (../shared/data)")
        return
    published = json.loads((HERE / "published_zeroeval.json").read_text())
    result = {"command": "python benchmarks/teachers.py", "published": published["source"]}
    result |= {name: compare(name, table) for name, table in published.items() if name.startswith("zeroeval")}
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    json.dump(result, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
