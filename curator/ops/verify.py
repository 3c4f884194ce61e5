"""`verify`: is the final answer of a trace the reference answer?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from curator import rows
from curator.maths.extract import Found, final_answer, reference
from curator.op import RowFn, operator

if TYPE_CHECKING:
    from curator.maths.judge import Verdict

ADDS = ("verdict", "correct", "score", "predicted_answer", "verifier", "verdict_detail")
REPORTS = {
    "verdicts": "SELECT verdict, verdict_detail, count(*) AS n FROM rows GROUP BY ALL ORDER BY ALL",
}


@operator(
    "row",
    effect="marks",
    version=1,
    needs=lambda s: ("row_id", s["trace"], s["answer"]),
    adds=ADDS,
    reports=REPORTS,
)
def verify(
    *,
    kind: Literal["math"] = "math",
    trace: str = "trace",
    answer: str = "answer",
    strict: bool = False,
    limit_s: float = 5.0,
) -> RowFn:
    r"""Compare the final answer of each trace with the reference and write a verdict.

    The answer is the last `\boxed{}` after the thinking, else in it, else what follows the last final-answer phrase;
    numbers are not picked out of running text. `verdict` is `correct`, `incorrect` (both answers were read and
    differ), `unparseable` (no answer found, detail `truncated` where the trace was cut; or an answer that is no
    mathematics), `no_reference`, `timeout` (the comparison used up `limit_s`) or `error` (failed request, unreadable
    reference). `correct` is null and `score` too wherever the verdict decides neither; else `score` is 1 or 0.

    Model text is parsed in a process of its own with limits on CPU time and memory; a comparison that hangs is killed
    and costs only its row.

    Args:
        kind: what kind of answer; `math` is the first.
        trace: column with the assistant text, thinking included.
        answer: column with the reference answer; of a whole solution (several lines, or GSM8K's `####`) the answer it
            ends with.
        strict: list order counts, 10\% is 0.1 and not 10, decimals must be exact (not 0.333333 for 1/3), nothing may
            be left out on one side. The default forgives these: graders differ on them.
        limit_s: CPU seconds a comparison may take.
    """
    from curator.maths.judge import judge  # its patterns take a while to compile: not at import

    del kind

    def run(table: pa.Table) -> pa.Table:
        traces, golds = table[trace].to_pylist(), [_text(a) for a in table[answer].to_pylist()]
        extra = {c: table[c].to_pylist() for c in ("finish_reason", "prompt", "error") if c in table.column_names}
        found = [
            _find(t, {c: v[i] for c, v in extra.items()}) if isinstance(t, str) and t.strip() else None
            for i, t in enumerate(traces)
        ]
        pairs = [(g, f.text) for g, f in zip(golds, found, strict=True) if g and f and f.text]
        verdicts = iter(judge(pairs, strict=strict, limit_s=limit_s))
        errors = extra.get("error", [None] * len(traces))
        judged = [
            next(verdicts) if g and f and f.text else _without(g, f, e)
            for g, f, e in zip(golds, found, errors, strict=True)
        ]
        return _columns(table, found, judged)

    return run


def _text(value: object) -> str:
    """References come as text, as numbers, or as a whole solution with the answer at its end."""
    return "" if value is None else reference(str(value))


def _find(trace: str, row: Mapping[str, Any]) -> Found:
    opened = str(row.get("prompt") or "").rstrip().endswith("<think>")
    return final_answer(trace, finish_reason=row.get("finish_reason"), opened=opened)


def _without(gold: str, found: Found | None, error: str | None) -> Verdict:
    from curator.maths.judge import Verdict

    if found is None:
        return Verdict("error", f"no trace: {error}" if error else "no trace")
    if not gold:
        return Verdict("no_reference", None)
    return Verdict("unparseable", "truncated" if found.how == "truncated" else "no answer found")


def _columns(table: pa.Table, found: list[Found | None], judged: list[Verdict]) -> pa.Table:
    from curator.maths.judge import VERIFIER

    decided = {"correct": True, "incorrect": False}
    correct = [decided.get(v.verdict) for v in judged]
    values: dict[str, list[Any]] = {
        "verdict": [v.verdict for v in judged],
        "correct": correct,
        "score": [None if c is None else float(c) for c in correct],
        "predicted_answer": [f.text if f else None for f in found],
        "verifier": [VERIFIER] * len(judged),
        "verdict_detail": [v.detail for v in judged],
    }
    for name, kind in rows.types(ADDS).items():
        column = pa.array(values[name], kind)
        at = table.column_names.index(name) if name in table.column_names else -1
        table = table.set_column(at, name, column) if at >= 0 else table.append_column(name, column)
    return table
