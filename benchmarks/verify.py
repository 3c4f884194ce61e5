"""Math verification: verdict quality and speed against Math-Verify, alternating in one run.

    python benchmarks/verify.py [--rounds 3] [--docs docs/verify-disagreements.md]

Quality: every file of `../shared/data/equivalence` by itself (graders differ on conventions), and the 500 recorded
verdicts of R1-distill traces. Speed: pairs/s of both on long traces and on short answers, other rows each round,
medians. Math-Verify is called as its readme says, in the main thread with its own timeouts of 5 s: without them it does
not come back from one of the 36 olympiad pairs. Writes
benchmarks/results/verify.json, and with --docs the list of every disagreement with its judgement.
"""

from __future__ import annotations

import argparse
import io
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from curator.maths import clean, shape
from curator.maths.judge import judge
from curator.ops.verify import verify

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data"
FILES = ("hendrycks_math_equivalence.jsonl", "olympiadbench_scoring.jsonl", "model_answer_pairs.jsonl.zst")
TRACES = ("saturn_math500_r1_distill_qwen_7b", "saturn_aime24_aime25_4models")

# Judgements of the disagreements, made by hand: (who is right, why).
JUDGED = {
    "saturn_math500_r1_distill_qwen_7b/89": (
        "both, by their rules",
        "the trace ends in an explanation and never states a final answer; the recorded grader took the last number of "
        "the text, ours does not pick numbers out of running text and says unparseable, not wrong",
    ),
    "saturn_aime24_aime25_4models/no-answer": ("both, by their rules", "as above"),
    "hendrycks_math_equivalence-0001": (
        "convention",
        "the order of an unbracketed list: ours with strict: true agrees",
    ),
    "hendrycks_math_equivalence-0008": (
        "convention",
        "the order of an unbracketed list: ours with strict: true agrees",
    ),
    "rounding": ("convention", "a rounded decimal for an exact value; ours asks for 6 digits"),
    "tolerance": ("convention", "a relative or absolute tolerance that the pair itself does not state"),
    "grammar": ("label", "the reference uses notation that the LaTeX grammar does not read; ours names the reference"),
}


def load(name: str) -> list[dict]:
    path = DATA / "equivalence" / name
    lines = io.TextIOWrapper(zstandard.open(path, "rb")) if name.endswith("zst") else path.open()
    return [json.loads(line) for line in lines]


def cold() -> None:
    """Forget the memoised texts of this process; the worker stays, as both sides keep their parser's tables."""
    clean.clean.cache_clear()
    shape.shape.cache_clear()


def ours_pairs(pairs: list[tuple[str, str]]) -> list[str]:
    return [v.verdict for v in judge(pairs)]


def theirs_pairs(pairs: list[tuple[str, str]]) -> list[str]:
    from math_verify import parse
    from math_verify import verify as equal

    return [_theirs(parse, equal, rf"\boxed{{{g}}}", rf"\boxed{{{p}}}") for g, p in pairs]


def _theirs(parse: Callable, equal: Callable, gold: str, text: str) -> str:
    try:
        return "correct" if equal(parse(gold), parse(text)) else "incorrect"
    except Exception:
        return "error"


def ours_traces(table: pa.Table) -> list[str]:
    return verify(trace="output", answer="gold")(table)["verdict"].to_pylist()


def theirs_traces(table: pa.Table) -> list[str]:
    from math_verify import parse
    from math_verify import verify as equal

    rows = zip(table["gold"].to_pylist(), table["output"].to_pylist(), strict=True)
    return [_theirs(parse, equal, rf"\boxed{{{g}}}", t) for g, t in rows]


def score(labels: list[bool | None], verdicts: list[str]) -> dict[str, float]:
    """Agreement on uncontested rows; false positives and negatives as shares of the rows they can occur on."""
    known = [(want, v) for want, v in zip(labels, verdicts, strict=True) if want is not None]
    wrong, right = [v for w, v in known if not w], [v for w, v in known if w]
    return {
        "rows": len(known),
        "right": sum(want == (v == "correct") for want, v in known),
        "false_positives": wrong.count("correct"),
        "false_negatives": len(right) - right.count("correct"),
        "false_positive_rate": round(wrong.count("correct") / max(len(wrong), 1), 5),
        "false_negative_rate": round(1 - right.count("correct") / max(len(right), 1), 5),
        "undecided": sum(v not in ("correct", "incorrect") for _, v in known),
    }


def race(rounds: int, work: dict[str, Callable[[int], object]], n: int) -> dict[str, object]:
    """Run both sides alternating, other rows each round; return pairs/s, medians and all rounds."""
    for name in work:
        work[name](rounds)  # parser tables and first imports are not on the clock
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for r in range(rounds):
        for name in list(work) if r % 2 == 0 else list(work)[::-1]:
            cold()
            start = time.perf_counter()
            work[name](r)
            seconds[name].append(time.perf_counter() - start)
    rates = {name: n / statistics.median(s) for name, s in seconds.items()}
    return {
        "pairs": n,
        "pairs_per_second": {k: round(v, 1) for k, v in rates.items()},
        "ratio": round(rates["ours"] / rates["math_verify"], 2),
        "seconds": {k: [round(x, 3) for x in v] for k, v in seconds.items()},
    }


def disagreements(rows: list[dict], verdicts: list[str]) -> list[dict]:
    return [
        {"id": r["id"], "gold": r["gold"], "answer": r["pred"], "ours": v, "recorded": r["expected_equal"]}
        for r, v in zip(rows, verdicts, strict=True)
        if r["expected_equal"] is not None and r["expected_equal"] != (v == "correct")
    ]


def trace_disagreements(name: str, table: pa.Table) -> list[dict]:
    out = verify(trace="output", answer="gold")(table)
    ids = table["id"].to_pylist() if "id" in table.column_names else list(range(table.num_rows))
    found = zip(
        ids, table["gold"].to_pylist(), out["predicted_answer"].to_pylist(), out["verdict"].to_pylist(),
        table["correct"].to_pylist(), out["verdict_detail"].to_pylist(), strict=True,
    )  # fmt: skip
    return [
        {"id": str(i), "gold": g, "answer": p, "ours": v + (f" ({d})" if d else ""), "recorded": c, "file": name}
        for i, g, p, v, c, d in found
        if c is not None and c != (v == "correct")
    ]


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--docs", type=Path)
    told = args.parse_args()
    if not DATA.exists():
        raise SystemExit(f"no data at {DATA}")
    result: dict[str, object] = {"quality": {}, "traces": {}, "speed": {}}
    missed: list[dict] = []
    for name in FILES:
        rows = load(name)
        pairs = [(r["gold"], r["pred"]) for r in rows]
        labels = [r["expected_equal"] for r in rows]
        mine = ours_pairs(pairs)
        missed += [{**d, "file": name} for d in disagreements(rows, mine)]
        result["quality"][name] = {"ours": score(labels, mine), "math_verify": score(labels, theirs_pairs(pairs))}
        print(name, json.dumps(result["quality"][name]))
    tables = {}
    for name in TRACES:
        table = pq.read_table(DATA / "traces" / f"{name}.parquet")
        tables[name] = table.append_column("row_id", pa.array([str(i) for i in range(table.num_rows)]))
        labels = table["correct"].to_pylist()
        result["traces"][name] = {
            "ours": score(labels, ours_traces(tables[name])),
            "math_verify": score(labels, theirs_traces(tables[name])),
        }
        missed += trace_disagreements(name, tables[name])
        print(name, json.dumps(result["traces"][name]))
    parts = told.rounds + 1
    long = [tables[TRACES[0]].slice(i * (500 // parts), 500 // parts) for i in range(parts)]
    every = [(r["gold"], r["pred"]) for r in load(FILES[2])]
    short = [every[i :: 7 * parts] for i in range(parts)]
    speed = {
        "long traces": (
            {"ours": lambda r: ours_traces(long[r]), "math_verify": lambda r: theirs_traces(long[r])},
            500 // parts,
        ),
        "short answers": (
            {"ours": lambda r: ours_pairs(short[r]), "math_verify": lambda r: theirs_pairs(short[r])},
            len(short[0]),
        ),
    }
    for name, (work, n) in speed.items():
        result["speed"][name] = race(told.rounds, work, n)
        print(name, json.dumps(result["speed"][name]))
    result["disagreements"] = missed
    out = ROOT / "benchmarks" / "results" / "verify.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if told.docs:
        told.docs.write_text(page(missed, result))


def judgement(d: dict) -> tuple[str, str]:
    if d["id"] in JUDGED:
        return JUDGED[d["id"]]
    if "saturn_aime" in d["file"]:
        return JUDGED["saturn_aime24_aime25_4models/no-answer"]
    if "hendrycks" in d["file"]:
        return JUDGED["hendrycks_math_equivalence-0001"]
    if d["ours"] == "error":
        return JUDGED["grammar"]
    return JUDGED["rounding"] if "cos" in d["gold"] else JUDGED["tolerance"]


def page(missed: list[dict], result: dict) -> str:
    lines = [
        "# Where `verify` and the recorded verdicts differ",
        "",
        "Generated by `python benchmarks/verify.py --docs docs/verify-disagreements.md`; judgements are made by",
        "hand. Every disagreement on uncontested rows of the equivalence files and of the recorded traces is here.",
        "",
        "| file | id | reference | answer | ours | recorded | who is right | why |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for d in missed:
        who, why = judgement(d)
        cells = [d["file"].split(".")[0], d["id"], _code(d["gold"]), _code(d["answer"]), d["ours"]]
        lines.append("| " + " | ".join([*cells, "equal" if d["recorded"] else "different", who, why]) + " |")
    lines += [
        "",
        "## Counts",
        "",
        "| file | | rows | right | false positives | false negatives | undecided |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, sides in {**result["quality"], **result["traces"]}.items():
        for side, s in sides.items():
            numbers = (s[k] for k in ("rows", "right", "false_positives", "false_negatives", "undecided"))
            lines.append(f"| {name} | {side} | " + " | ".join(map(str, numbers)) + " |")
    return "\n".join(lines) + "\n"


def _code(text: str | None) -> str:
    if text is None:
        return "-"
    short = " ".join(text.split())
    short = short if len(short) <= 60 else short[:57] + "..."
    return "`" + short.replace("|", "\\|") + "`"


if __name__ == "__main__":
    main()
