"""What the pocket reasoner was asked to reach, beside what `evaluate` measured: a Markdown table."""

from __future__ import annotations

from typing import Any

# (what, path into the report, ">=" or "<=", asked): the numbers of the issue that asked for the model.
ASKED: tuple[tuple[str, str, str, float], ...] = (
    ("greedy accuracy, 1 operation", "accuracy/1/accuracy", ">=", 0.98),
    ("greedy accuracy, 2 operations", "accuracy/2/accuracy", ">=", 0.98),
    ("greedy accuracy, 3 operations", "accuracy/3/accuracy", ">=", 0.85),
    ("never solved in 8 samples (T 0.8)", "spread/0", ">=", 0.15),
    ("solved less than half the time", "spread/(0,.5)", ">=", 0.15),
    ("solved half the time or more", "spread/[.5,1)", ">=", 0.15),
    ("always solved", "spread/1", ">=", 0.15),
    ("rewriting keeps the answer, easy", "rewriting/easy/kept", ">=", 0.85),
    ("rewriting keeps the answer, medium", "rewriting/medium/kept", ">=", 0.85),
    ("rewriting keeps the answer, hard", "rewriting/hard/kept", ">=", 0.70),
    ("tokens of the rewrite / long trace, easy", "rewriting/easy/ratio", "<=", 0.333),
    ("tokens of the rewrite / long trace, medium", "rewriting/medium/ratio", "<=", 0.333),
    ("tokens of the rewrite / long trace, hard", "rewriting/hard/ratio", "<=", 0.333),
    ("judged level right", "judging/right", ">=", 0.90),
    ("new problems that the exact solver solves", "proposing/solvable", ">=", 0.80),
    ("continuation of a right prefix, 3 operations", "continuing/free/right", ">=", 0.85),
    ("tokens/s, transformers, batch 64 x 256", "speed/tokens_per_second", ">=", 5000),
    ("load after the imports, s", "speed/load_s", "<=", 3),
)


def find(report: dict[str, Any], path: str) -> float | None:
    """Return the number at a slash-separated path, or None when that part was not measured."""
    here: Any = report
    for key in path.split("/"):
        if not isinstance(here, dict) or key not in here:
            return None
        here = here[key]
    return float(here)


def table(report: dict[str, Any]) -> str:
    """Return `| what | asked | measured | met |` for every promise."""
    lines = ["| what | asked | measured | met |", "| --- | --- | --- | --- |"]
    for what, path, sign, asked in ASKED:
        value = find(report, path)
        if value is None:
            lines.append(f"| {what} | {sign} {asked:g} | not measured | |")
            continue
        met = value >= asked if sign == ">=" else value <= asked
        lines.append(f"| {what} | {sign} {asked:g} | {value:.4g} | {'yes' if met else 'no'} |")
    return "\n".join(lines)
