"""Decontamination on real pairs: paraphrases found, changed problems and strangers convicted, by method.

    python benchmarks/contamination_pairs.py [--data FOLDER] [--methods ngram,paraphrase,...] [--out FILE]

Columns: `paraphrases` (LLM rewordings of GSM8K test problems that must be found), `by their item` (of these, those
whose first hit is the right problem), `one at a time` (each against its own item alone), `renamed` (the paraphrases
with all names changed), `number changed` (in the problem, and in its paraphrase: another problem, must not be found),
and strangers: training problems of GSM8K and MATH against test sets. Strangers are not all innocent: MATH holds near-
copies of its own test problems. `boilerplate`: of the MATH problems that share a 13-gram with an AIME set (58 share
nothing else with AIME 2024), how many are convicted. Nothing here sets a threshold.
"""

from __future__ import annotations

import argparse
import json
import platform
import random
import re
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from curator.ops.decontaminate import decontaminate

METHODS: dict[str, dict[str, Any]] = {
    "exact": {"method": "exact"},
    "ngram 8": {"method": "ngram"},
    "ngram 13": {"method": "ngram", "n": 13},
    "any 8-gram (s1)": {"method": "ngram", "min_coverage": 0, "numbers": False},
    "edit 0.9": {"method": "edit"},
    "edit 0.95 any numbers": {"method": "edit", "ratio": 0.95, "numbers": False},
    "paraphrase": {"method": "paraphrase"},
    "recommended": {"method": "recommended"},
}
NAMES = "Olga Bartholomew Quentin Xiomara Thaddeus Wilhelmina Zebedee Anastasia Leopold Octavia".split()  # noqa: SIM905
NAME = re.compile(r"(?<![.!?:]\s)(?<!^)\b[A-Z][a-z]+\b")


def problems(folder: Path, name: str) -> list[str]:
    found: list[str] = pq.read_table(folder / "benchmarks" / f"{name}.parquet").column("question").to_pylist()
    return found


def renamed(text: str) -> str:
    lower = set(text.split())
    for k, name in enumerate(sorted({n for n in NAME.findall(text) if n.lower() not in lower})):
        text = re.sub(rf"\b{name}\b", NAMES[k % len(NAMES)], text)
    return text


def changed(text: str, rng: random.Random) -> str | None:
    numbers = list(re.finditer(r"\d+", text.split("\nAnswer:")[0]))
    if not numbers:
        return None
    at = rng.choice(numbers)
    return text[: at.start()] + str(int(at[0]) + rng.choice([1, 2, 3, 5, 7])) + text[at.end() :]


def convicted(function: Any, texts: list[str]) -> dict[int, list[dict[str, Any]]]:
    table = pa.table({"row_id": [str(i) for i in range(len(texts))], "problem": pa.array(texts, pa.string())})
    found = function(table).dropped.to_pylist()
    return {int(r["row_id"]): json.loads(r["evidence"]) for r in found}


def grams(text: str, n: int = 13) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


def measure(data: Path, rule: dict[str, Any], pairs: list[dict[str, Any]], folder: Path) -> dict[str, float]:
    def against(name: str) -> Any:
        return decontaminate(against=str(data / "benchmarks" / f"{name}.parquet"), **rule)

    start = time.process_time()
    gsm = against("gsm8k_test")
    texts = problems(data, "gsm8k_test")
    variants = [p["variant"] for p in pairs]
    found = convicted(gsm, variants)
    right = sum(texts[int(h[0]["item"].rsplit("/", 1)[-1])] == pairs[r]["original"] for r, h in found.items())
    alone = 0
    for pair in pairs[:100]:
        path = folder / "one.jsonl"
        path.write_text(json.dumps({"problem": pair["original"]}))
        alone += len(convicted(decontaminate(against=str(path), **rule), [pair["variant"]]))
    rng = random.Random(0)
    other = [c for p in pairs for c in (changed(p["original"], rng),) if c]
    other_variants = [c for p in pairs for c in (changed(p["variant"], rng),) if c]
    train, maths = problems(data, "gsm8k_train"), problems(data, "math_train7474")
    row = {
        "paraphrases": len(found) / len(pairs), "by their item": right / max(1, len(found)),
        "one at a time": alone / 100,
        "renamed": len(convicted(gsm, [renamed(v) for v in variants])) / len(pairs),
        "number changed": len(convicted(gsm, other)) / len(other),
        "number changed, paraphrase": len(convicted(gsm, other_variants)) / len(other_variants),
        "GSM8K train of 7473": len(convicted(gsm, train)), "MATH train vs GSM8K": len(convicted(gsm, maths)),
        "MATH train vs MATH500": len(convicted(against("math500_test"), maths)),
    }  # fmt: skip
    for name in ("aime24", "aime25"):
        known = set().union(*map(grams, problems(data, f"{name}_test")))
        guilty = convicted(against(f"{name}_test"), maths)
        row[f"MATH train vs {name}"] = len(guilty)
        row[f"boilerplate {name}"] = sum(not known.isdisjoint(grams(maths[r])) for r in guilty)
    return {**row, "CPU s": round(time.process_time() - start, 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "contamination_pairs.json")
    args = parser.parse_args()
    if not args.data.exists():
        print(f"skipped: {args.data} is not here")
        return
    import tempfile

    pairs = pq.read_table(args.data / "pairs" / "gsm8k_test_rephrased_llm_decontaminator_even.parquet").to_pylist()
    pairs = [p for p in pairs if p["same_answer_expected"]]
    results: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in args.methods.split(","):
            results[name] = measure(args.data, METHODS[name], pairs, Path(folder))
            print(name)
            for column, value in results[name].items():
                print(f"    {column:28} {value:.4g}")
    versions = {"python": platform.python_version(), "machine": platform.machine()}
    args.out.write_text(json.dumps({"pairs": len(pairs), "versions": versions, "methods": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
