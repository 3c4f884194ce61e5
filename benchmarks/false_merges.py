"""What comparing figures spares: problems merged with and without it, on real problems and on paraphrases.

    python benchmarks/false_merges.py

Needs ../shared/data; says so and stops where it is absent. For each method: rows of MATH train and GSM8K train that are
dropped when figures do not count but kept when they do; how many of those have another reference answer than the row
they were merged with (another answer is another problem). Then pairs of a GSM8K problem and its LLM paraphrase: how
many each method merges.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import planted
import pyarrow as pa
import pyarrow.parquet as pq

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
METHODS = {
    "minhash 0.8": {"method": "minhash"},
    "minhash 0.6, 3-grams": {"method": "minhash", "threshold": 0.6, "n": 3},
    "minhash 0.7, characters 8": {"method": "minhash", "threshold": 0.7, "unit": "char", "n": 8},
    "edit 0.95": {"method": "edit"},
    "edit 0.90": {"method": "edit", "threshold": 0.9},
    "edit 0.80": {"method": "edit", "threshold": 0.8},
}


def merged(problems: list[str], **settings: object) -> dict[int, int]:
    """Row -> the row it lost to."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "in.parquet")
        planted.write(pa.table({"row_id": [f"r{i:08d}" for i in range(len(problems))], "problem": problems}), path)
        found = planted.run_ours(path, str(Path(folder) / "out.parquet"), "row_id, dup_of", **settings).to_pylist()
    return {int(r["row_id"][1:]): int(r["dup_of"][1:]) for r in found if r["dup_of"]}


def problems(name: str) -> tuple[list[str], list[str]]:
    table = pq.read_table(DATA / "benchmarks" / f"{name}.parquet", columns=["question", "answer"])
    return table.column(0).to_pylist(), [str(a).split("####")[-1].strip() for a in table.column(1).to_pylist()]


def main() -> None:
    if not DATA.is_dir():
        sys.exit("no ../shared/data: nothing measured")
    result: dict[str, object] = {}
    for name in ("math_train7474", "gsm8k_train"):
        texts, answers = problems(name)
        result[name] = {}
        for label, settings in METHODS.items():
            without, aware = merged(texts, numbers=False, **settings), merged(texts, **settings)
            spared = sorted(set(without) - set(aware))
            wrong = [k for k in spared if answers[k] != answers[without[k]]]
            still = [k for k in aware if answers[k] != answers[aware[k]]]
            result[name][label] = {"rows": len(texts), "merged_without": len(without), "merged_with": len(aware),
                                   "spared": len(spared), "spared_other_answer": len(wrong),
                                   "merged_with_other_answer": len(still)}  # fmt: skip
            print(name, label, json.dumps(result[name][label]))
    pairs = pq.read_table(DATA / "pairs" / "gsm8k_test_rephrased_llm_decontaminator_even.parquet").to_pylist()
    both = [p[k] for p in pairs for k in ("original", "variant")]
    result["gsm8k_paraphrases"] = {}
    for label, settings in METHODS.items():
        told = {}
        for numbers in (True, False):
            lost = merged(both, numbers=numbers, **settings)
            told["with" if numbers else "without"] = sum(lost.get(2 * k + 1) == 2 * k for k in range(len(pairs)))
            told["wrong_" + ("with" if numbers else "without")] = sum(a // 2 != b // 2 for a, b in lost.items())
        result["gsm8k_paraphrases"][label] = {"pairs": len(pairs), **told}
        print("gsm8k_paraphrases", label, json.dumps(result["gsm8k_paraphrases"][label]))
    planted.keep("false_merges", result, ["rapidfuzz"])


if __name__ == "__main__":
    main()
