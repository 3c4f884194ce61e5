"""`python -m curator.pocket.evaluate`: measures everything that the pocket reasoner promises.

Prints a table and writes it as JSON (`benchmarks/results/pocket.json`). Problems come from the held-out splits
(`pocket-eval`, `pocket`), which training never draws from. Nothing here is fitted: a missed number is reported.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from curator import prompts

from . import MODEL_DIR, tasks, traces, world
from .grammar import Problem
from .promises import table
from .sample import Sampler
from .solver import parse

Report = dict[str, Any]
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_GSM8K = Path("../shared/data/benchmarks")


def boxed(text: str) -> str | None:
    """Return the content of the last box after the think tags (or of the text), None when there is none."""
    found = _BOXED.findall(text.rpartition("</think>")[2])
    return found[-1].strip() if found else None


def _ask(problem: Problem) -> str:
    return prompts.fill(prompts.GENERATE, problem=problem.text)


def _mean(values: list[Any]) -> float:
    return round(sum(values) / len(values), 4) if values else float("nan")


def accuracy(sampler: Sampler, n: int) -> Report:
    """Greedy accuracy by number of operations, n held-out problems for 1-3, a third of that for more."""
    counts = {n_ops: n if n_ops <= 3 else max(4, n // 3) for n_ops in range(1, 9)}
    everything = [world.make("pocket-eval", i, seed=1, n_ops=k) for k, count in counts.items() for i in range(count)]
    replies = sampler.generate([_ask(p) for p in everything])
    out: Report = {}
    for n_ops, count in counts.items():
        pairs = [(m, p) for m, p in zip(replies, everything, strict=True) if p.n_ops == n_ops]
        made, problems = [m for m, _ in pairs], [p for _, p in pairs]
        out[str(n_ops)] = {
            "accuracy": _mean([boxed(m.text) == p.answer for m, p in zip(made, problems, strict=True)]),
            "boxed": _mean([boxed(m.text) is not None for m in made]),
            "switch": _mean([any(word in m.text for word in traces.SWITCHES) for m in made]),
            "tokens": _mean([m.tokens for m in made]),
            "n": count,
        }
    return out


def two_operations(sampler: Sampler, n: int) -> Report:
    """Greedy accuracy at two operations on problems of another seed than those that the recipe was chosen by."""
    problems = [world.make("pocket-eval", i, seed=77, n_ops=2) for i in range(n)]
    made = sampler.generate([_ask(p) for p in problems])
    return {"accuracy": _mean([boxed(m.text) == p.answer for m, p in zip(made, problems, strict=True)]), "n": n}


def spread(sampler: Sampler, n: int, samples: int = 8) -> Report:
    """Share of problems of the shipped evaluation mix by pass rate over 8 samples at T = 0.8."""
    problems = [world.make("pocket-eval", i) for i in range(n)]
    made = sampler.generate([_ask(p) for p in problems for _ in range(samples)], temperature=0.8)
    rates: list[float] = []
    by_ops: dict[int, list[float]] = {}
    for i, p in enumerate(problems):
        right = [boxed(m.text) == p.answer for m in made[i * samples : (i + 1) * samples]]
        rates.append(sum(right) / samples)
        by_ops.setdefault(p.n_ops, []).append(rates[-1])
    return {
        "0": _mean([r == 0 for r in rates]),
        "(0,.5)": _mean([0 < r < 0.5 for r in rates]),
        "[.5,1)": _mean([0.5 <= r < 1 for r in rates]),
        "1": _mean([r == 1 for r in rates]),
        "mean": _mean(rates),
        "tokens": _mean([m.tokens for m in made]),
        "by_ops": {
            str(k): {"mean": _mean(v), "0": _mean([r == 0 for r in v]), "low": _mean([0 < r < 0.5 for r in v]),
                     "high": _mean([0.5 <= r < 1 for r in v]), "1": _mean([r == 1 for r in v]), "n": len(v)}
            for k, v in sorted(by_ops.items())
        },
        "n": n,
    }  # fmt: skip


def _of_level(level: str, n: int) -> list[Problem]:
    """Return n problems of a level from the shipped evaluation mix."""
    out: list[Problem] = []
    index = 0
    while len(out) < n:
        problem = world.make("pocket-eval", index, seed=2)
        index += 1
        if problem.level == level:
            out.append(problem)
    return out


def _sections(text: str) -> list[str]:
    return re.findall(r"^\*\*([A-Z][^*\n]*)\*\*$", text, flags=re.MULTILINE)


def rewriting(sampler: Sampler, n: int, *, own: bool) -> Report:
    """COMPRESS per level: answer kept, level right, sections right, tokens against the long trace's.

    The long traces are the program's, or with `own` the model's own right samples at T = 0.8 (what a pipeline has).
    """
    out: Report = {}
    for level in prompts.LEVELS:
        problems = _of_level(level, n)
        rng = random.Random(level)
        long = [traces.think_text(traces.long_trace(p, rng)) for p in problems]
        if own:
            made = sampler.generate([_ask(p) for p in problems], temperature=0.8)
            pairs = [(p, m.text) for p, m in zip(problems, made, strict=True) if boxed(m.text) == p.answer]
            problems = [p for p, _ in pairs]
            long = [text.removeprefix(traces.THINK[0]).partition(traces.THINK[1])[0] for _, text in pairs]
        asked = [
            prompts.fill(prompts.COMPRESS, problem=p.text, trace=t, budget="")
            for p, t in zip(problems, long, strict=True)
        ]
        made = sampler.generate(asked, cap=400)
        rows = list(zip(problems, long, made, strict=True))
        out[level] = {
            "kept": _mean([boxed(m.text) == p.answer for p, _, m in rows]),
            "level": _mean([m.text.startswith(f"DIFFICULTY: {level}\n") for _, _, m in rows]),
            "sections": _mean([_sections(m.text) == [*prompts.SECTIONS[level], "Solution"] for _, _, m in rows]),
            "equations": _mean([all(s.equation() in m.text for s in p.steps) for p, _, m in rows]),
            "ratio": _mean([m.tokens / sampler.count(t) for _, t, m in rows]),
            "n": len(rows),
        }
    return out


def judging(sampler: Sampler, n: int) -> Report:
    """JUDGE_DIFFICULTY on the evaluation mix: share of levels that equal the world's rule."""
    problems = [world.make("pocket-eval", i, seed=3) for i in range(n)]
    made = sampler.generate([prompts.fill(prompts.JUDGE_DIFFICULTY, problem=p.text) for p in problems], cap=16)
    right = [m.text.strip() == f"DIFFICULTY: {p.level}" for m, p in zip(made, problems, strict=True)]
    return {"right": _mean(right), "n": n}


def proposing(sampler: Sampler, n: int) -> Report:
    """PROPOSE at T = 0.8 (and 0.4) from three rows of `pocket`: share that the exact solver can solve, that is new."""
    asked, given = [], []
    for i in range(n):
        texts = [world.make("pocket", 3 * i + k).text for k in range(3)]
        given.append(texts)
        asked.append(prompts.fill(prompts.PROPOSE, examples="\n\n".join(f"{k}. {t}" for k, t in enumerate(texts, 1))))
    made = sampler.generate(asked, cap=200, temperature=0.8)
    solved = [parse(m.text) for m in made]
    cool = sampler.generate(asked, cap=200, temperature=0.4)
    return {
        "solvable_at_0.4": _mean([parse(m.text) is not None for m in cool]),
        "solvable": _mean([p is not None for p in solved]),
        "new": _mean([p is not None and m.text not in g for p, m, g in zip(solved, made, given, strict=True)]),
        "distinct": len({m.text for m in made}) / n,
        "n_ops": _mean([p.n_ops for p in solved if p]),
        "n": n,
    }


def continuing(sampler: Sampler, n: int) -> Report:
    """Greedy continuation of a right prefix that ends at a random step, 3 operations, free and with switches banned."""
    problems = [world.make("pocket-eval", i, seed=4, n_ops=3) for i in range(n)]
    prefixes, rests = [], []
    for i, p in enumerate(problems):
        rng = random.Random(i)
        steps = [part.text for part in traces.long_trace(p, rng) if part.taught]
        cut = rng.randint(1, len(steps) - 2)
        prefixes.append(traces.THINK[0] + "\n\n".join(steps[:cut]) + "\n\n")
        rests.append(len(steps) - cut)
    out: Report = {}
    for name, ban in (("free", False), ("banned_switch", True)):
        made = sampler.generate([_ask(p) for p in problems], prefixes=prefixes, ban_first=ban)
        steps_new = [m.text.partition("</think>")[0].strip().count("\n\n") + 1 for m in made]
        out[name] = {
            "right": _mean([boxed(m.text) == p.answer for m, p in zip(made, problems, strict=True)]),
            "fewer_steps": _mean([a < b for a, b in zip(steps_new, rests, strict=True)]),
            "n": n,
        }
    return out


def same(sampler: Sampler, n: int, make: Callable[[random.Random, float], traces.Example]) -> Report:
    """SAME_ANSWER or SAME_PROBLEM: share of right last lines (yes or no), half of them each; and of right replies."""
    rng = random.Random(5)
    made = [make(rng, 1.0) for _ in range(n)]
    replies = sampler.generate([e.prompt for e in made], cap=200)
    pairs = [(r.text, e.parts[0].text) for r, e in zip(replies, made, strict=True)]
    right = [a.rpartition("\n")[2] == b.rpartition("\n")[2] for a, b in pairs]
    return {"right": _mean(right), "compared": _mean([a == b for a, b in pairs]), "n": n}


def gsm8k(sampler: Sampler, n: int) -> Report:
    """Problems from outside the world: rate, boxed share and whether generation ended; skipped when not on disk."""
    files = sorted(_GSM8K.glob("*gsm8k*")) + sorted(_GSM8K.glob("*gsm8k*/*.*"))
    rows = [row for file in files for row in _read(file)][:n]
    if not rows:
        return {"skipped": f"no gsm8k file in {_GSM8K.name}"}
    made = sampler.generate([prompts.fill(prompts.GENERATE, problem=q) for q, _ in rows], cap=512)
    return {
        "right": _mean([boxed(m.text) == a for m, (_, a) in zip(made, rows, strict=True)]),
        "boxed": _mean([boxed(m.text) is not None for m in made]),
        "at_cap": _mean([not m.ended for m in made]),
        "longest": max(m.tokens for m in made),
        "n": len(rows),
    }


def _read(file: Path) -> list[tuple[str, str]]:
    """Return (question, answer) of a GSM8K file (JSON lines or Parquet); the answer stands after ####."""
    if file.suffix == ".parquet":
        import duckdb

        found = duckdb.read_parquet(str(file)).select("question", "answer").fetchall()
    elif file.suffix == ".jsonl":
        lines = map(json.loads, file.read_text().splitlines())
        found = [(line["question"], line["answer"]) for line in lines if "question" in line]
    else:
        return []
    return [(q, a.rpartition("####")[2].strip().replace(",", "")) for q, a in found]


PARTS: dict[str, tuple[Callable[[Sampler, int], Report], int]] = {
    "accuracy": (accuracy, 300),
    "two_operations": (two_operations, 2000),
    "spread": (spread, 240),
    "rewriting": (lambda s, n: rewriting(s, n, own=False), 100),
    "rewriting_own": (lambda s, n: rewriting(s, n, own=True), 60),
    "judging": (judging, 200),
    "proposing": (proposing, 200),
    "continuing": (continuing, 150),
    "same_answer": (lambda s, n: same(s, n, tasks.same_answer), 200),
    "same_problem": (lambda s, n: same(s, n, tasks.same_problem), 200),
    "gsm8k": (gsm8k, 200),
}
"""Part -> (measurement, problems)."""


def evaluate(folder: Path, parts: list[str], share: float = 1.0, out: Path | None = None) -> Report:
    """Return the measurements of `parts`, each merged into the JSON file `out` at once; `share` scales the problems."""
    sampler = Sampler(folder)
    record = json.loads((folder / "train.json").read_text())
    report: Report = json.loads(out.read_text()) if out is not None and out.exists() else {}
    report |= {"prompts_fingerprint": prompts.fingerprint(), "steps": record["steps_done"]}
    for name in parts:
        measure, n = PARTS[name]
        start = time.perf_counter()
        report[name] = measure(sampler, max(4, int(n * share)))
        print(f"{name} ({time.perf_counter() - start:.0f} s): {json.dumps(report[name])}", flush=True)  # noqa: T201
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(report, indent=1) + "\n")
    return report


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=MODEL_DIR)
    parser.add_argument("--out", type=Path, help="JSON file to write (existing parts are kept)")
    parser.add_argument("--parts", default=",".join(PARTS), help="some of these, with commas between")
    parser.add_argument("--share", type=float, default=1.0, help="share of the problems, for a quick look")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    report = evaluate(args.model, args.parts.split(","), args.share, args.out)
    print(table(report))  # noqa: T201


if __name__ == "__main__":
    main()
