"""What comparing figures spares: problems merged with and without it, on real problems and on paraphrases.

    python benchmarks/false_merges.py

Needs ../shared/data; says so and stops where it is absent. For each method: rows of MATH train and GSM8K train that are
dropped when figures do not count but kept when they do; how many of those have another reference answer than the row
they were merged with (another answer is another problem). Then pairs of a GSM8K problem and its LLM paraphrase: how
many each method merges.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

import planted
import pyarrow as pa
import pyarrow.parquet as pq

from curator.kernels import figures, words

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
METHODS = {
    "minhash 0.8": {"method": "minhash"},
    "minhash 0.6, 3-grams": {"method": "minhash", "threshold": 0.6, "n": 3},
    "minhash 0.7, characters 8": {"method": "minhash", "threshold": 0.7, "unit": "char", "n": 8},
    "edit 0.95": {"method": "edit"},
    "edit 0.90": {"method": "edit", "threshold": 0.9},
    "edit 0.80": {"method": "edit", "threshold": 0.8},
    "edit 0.70": {"method": "edit", "threshold": 0.7},
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


def paraphrases() -> dict[str, object]:
    """Return, for each method, how many of the pairs it merges, and how many rows it merges across pairs."""
    table = pq.read_table(DATA / "pairs" / "gsm8k_test_rephrased_llm_decontaminator_even.parquet")
    # The paraphrases come wrapped: "Question: ... Answer: #### 18".
    bare = [re.sub(r"^\s*Question:\s*|\s*Answer:.*$", "", t, flags=re.S) for t in table["variant"].to_pylist()]
    pairs = list(zip(table["original"].to_pylist(), bare, strict=True))
    both = [t for p in pairs for t in p]
    same = {"order": 0, "any order": 0}
    for name, ordered in (("order", True), ("any order", False)):
        prints = figures.figures(*words.text_buffers(pa.array(both)), ordered=ordered)
        same[name] = int((prints[::2] == prints[1::2]).sum())
    told: dict[str, object] = {"pairs": len(pairs), "same_figures": same}
    print("gsm8k_paraphrases", json.dumps(told))
    for label, settings in METHODS.items():
        found = {}
        for numbers in (True, False):
            lost = merged(both, numbers=numbers, **settings)
            found["with" if numbers else "without"] = sum(lost.get(2 * k + 1) == 2 * k for k in range(len(pairs)))
            found["wrong_" + ("with" if numbers else "without")] = sum(a // 2 != b // 2 for a, b in lost.items())
        told[label] = found
        print("gsm8k_paraphrases", label, json.dumps(found))
    return told


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
    result["gsm8k_paraphrases"] = paraphrases()
    planted.keep("false_merges", result, ["rapidfuzz"])


if __name__ == "__main__":
    main()
