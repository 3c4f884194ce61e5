"""Math verification: verdict quality and speed against Math-Verify, alternating in one run.

    python benchmarks/verify.py [--rounds 3] [--ours-only] [--docs docs/verify-disagreements.md]

Quality: every file of `../shared/data/equivalence` by itself and under its own convention (`CONVENTIONS`), an error
table per source, and the recorded verdicts of every trace file. A verdict that is neither correct nor incorrect
counts as "not correct": a false negative where the label says equal.

Speed: pairs/s of both on long traces and on short answers, other rows each round, medians, with one process and with
two; and our pool alone with one and two workers. Math-Verify is called as its readme says, in the main thread of a
process with its own timeouts of 5 s: without them it does not come back from one of the 36 olympiad pairs. Memoised
texts of the main process are forgotten before each round; parsers' tables stay warm on both sides. CPU seconds of the
whole process tree stand beside wall seconds: on a busy machine only they mean something.

Writes benchmarks/results/verify.json; `--docs` also writes the page of disagreements (`verify_page`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from verify_sides import (
    DATA,
    FILES,
    OUTPUTS,
    ROOT,
    judged,
    load,
    ours_pairs,
    speed,
    theirs_pairs,
    theirs_traces,
    traces,
)

from curator.maths.extract import reference
from curator.maths.judge import judge
from curator.maths.rules import Rules

ANSWERS = ("zeroeval_math_l5_outcomes_43models", "zeroeval_gsm8k_outcomes_44models")  # answers without their traces


def conventions(name: str, row: dict) -> Rules:
    """The rules a file's grader states: hendrycks keeps list order; olympiadbench's rows carry their tolerance."""
    if name.startswith("hendrycks"):
        return Rules(order=True)
    given = row.get("precision", ())
    return Rules(atol=tuple(map(float, given if isinstance(given, list) else [given])) if given != () else ())


def score(labels: list[bool | None], verdicts: list[str]) -> dict[str, float]:
    """Agreement on uncontested rows; false positives and negatives as shares of the rows they can occur on.

    `undecided_equal` are among the false negatives; `undecided_different` are counted as right.
    """
    known = [(want, v) for want, v in zip(labels, verdicts, strict=True) if want is not None]
    wrong, right = [v for w, v in known if not w], [v for w, v in known if w]
    decided = ("correct", "incorrect")
    return {
        "rows": len(known),
        "right": sum(want == (v == "correct") for want, v in known),
        "false_positives": wrong.count("correct"),
        "false_negatives": len(right) - right.count("correct"),
        "false_positive_rate": round(wrong.count("correct") / max(len(wrong), 1), 5),
        "false_negative_rate": round(1 - right.count("correct") / max(len(right), 1), 5),
        "undecided_equal": sum(v not in decided for v in right),
        "undecided_different": sum(v not in decided for v in wrong),
    }


def by_source(rows: list[dict], verdicts: list[str]) -> dict[str, dict]:
    """The error table: one line a source; a row of several sources counts in each."""
    sources: dict[str, list[int]] = {}
    for i, r in enumerate(rows):
        for s in r["source"] if isinstance(r["source"], list) else [r["source"]]:
            sources.setdefault(s.split(":")[0], []).append(i)
    return {
        s: score([rows[i]["expected_equal"] for i in ids], [verdicts[i] for i in ids])
        for s, ids in sorted(sources.items())
    }


def quality(before: dict | None) -> tuple[dict, list[dict]]:
    """Scores of both sides on every file, and our disagreements with the recorded verdicts.

    Math-Verify's scores are taken from `before` where it is given; files it does not have stay without.
    """
    result: dict[str, dict] = {"pairs": {}, "sources": {}, "traces": {}, "answers": {}}
    missed: list[dict] = []
    for name in FILES:
        rows = load(name)
        pairs = [(r["gold"], r["pred"]) for r in rows]
        labels = [r["expected_equal"] for r in rows]
        verdicts = judge(pairs, rules=[conventions(name, r) for r in rows])
        mine = [v.verdict for v in verdicts]
        missed += _missed(name, [r["id"] for r in rows], pairs, labels, mine, [v.detail or "" for v in verdicts])
        result["pairs"][name] = {"ours": score(labels, mine)}
        peer = _peer(before, "pairs", name) if before is not None else score(labels, theirs_pairs(pairs))
        result["pairs"][name] |= {"math_verify": peer} if peer else {}
        if name != FILES[2]:
            result["pairs"][name]["ours, default rules"] = score(labels, ours_pairs(pairs))
        result["sources"] |= {f"{name.split('.')[0]} / {s}": v for s, v in by_source(rows, mine).items()}
        _print(name, result["pairs"][name])
    for s, line in result["sources"].items():
        _print(s, {"ours": line})
    for name in OUTPUTS:
        table, rows, opened = traces(name)
        labels = table["correct"].to_pylist()
        found = judged(rows, opened)
        ids = table["id"].to_pylist() if "id" in table.column_names else [f"{name}/{i}" for i in range(len(rows))]
        shown = [(g, a or "-") for (g, _), (a, _, _) in zip(rows, found, strict=True)]
        missed += _missed(name, ids, shown, labels, [v for _, v, _ in found], [d for _, _, d in found])
        sides = {"ours": score(labels, [v for _, v, _ in found])}
        if any(x is not None for x in labels):
            peer = _peer(before, "traces", name) if before is not None else score(labels, theirs_traces(rows))
            sides |= {"math_verify": peer} if peer else {}
        result["traces"][name] = {**sides, "verdicts": _counts([v for _, v, _ in found])}
        _print(name, result["traces"][name])
    for name in ANSWERS:
        table = pq.read_table(DATA / "traces" / f"{name}.parquet")
        kept = [r for r in table.select(["gold", "answer", "correct"]).to_pylist() if r["answer"]]
        pairs, labels = [(str(r["gold"]), r["answer"]) for r in kept], [r["correct"] for r in kept]
        verdicts = judge(pairs)
        mine, details = [v.verdict for v in verdicts], [v.detail or "" for v in verdicts]
        missed += _missed(name, [f"{name}/{i}" for i in range(len(kept))], pairs, labels, mine, details)
        result["answers"][name] = {"ours": score(labels, mine), "verdicts": _counts(mine)}
        _print(name, result["answers"][name])
    return result, missed


def _peer(before: dict, kind: str, name: str) -> dict | None:
    found: dict | None = before.get(kind, before.get("quality", {})).get(name, {}).get("math_verify")
    return found


def _counts(verdicts: list[str]) -> dict[str, int]:
    return {v: verdicts.count(v) for v in sorted(set(verdicts))}


def _print(name: str, sides: dict) -> None:
    print(name)
    for side, s in sides.items():
        print(f"  {side:22}", json.dumps(s))


def _missed(name: str, ids: list, pairs: list, labels: list, verdicts: list[str], details: list[str]) -> Iterator[dict]:
    for i, (gold, answer), label, v, detail in zip(ids, pairs, labels, verdicts, details, strict=True):
        if label is not None and label != (v == "correct"):
            ours = f"{v} ({detail})" if detail else v
            yield {
                "file": name,
                "id": str(i),
                "gold": reference(str(gold)),
                "answer": answer,
                "ours": ours,
                "recorded": label,
            }


def main() -> None:
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--rounds", type=int, default=3)
    args.add_argument("--ours-only", action="store_true", help="keep the peer's scores and all speeds of the last run")
    args.add_argument("--docs", type=Path)
    told = args.parse_args()
    if not DATA.exists():
        raise SystemExit(f"no data at {DATA}")
    out = ROOT / "benchmarks" / "results" / "verify.json"
    before = json.loads(out.read_text()) if out.exists() else {}
    result, missed = quality(before if told.ours_only else None)
    result["speed"] = before.get("speed", {}) if told.ours_only else speed(told.rounds)
    result["disagreements"] = missed
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if told.docs:
        from verify_page import page

        told.docs.write_text(page(missed, result))


if __name__ == "__main__":
    main()
