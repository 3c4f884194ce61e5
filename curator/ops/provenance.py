"""`provenance`: which sentences of a trace are the teacher's own, and which the student would have written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curator import rows
from curator.difficulty.provenance import STUDENT, TEACHER, probability, three_models, two_models
from curator.errors import CheckError
from curator.op import Names, Result, RowFn, operator

ADDS: Names = ("span_labels", "n_teacher_spans", "n_student_spans")


def _needs(settings: Mapping[str, Any]) -> Names:
    models = [m for m in (settings["teacher"], settings["student"], settings["distilled"]) if m]
    return ("row_id", *(f"{m}_{c}" for m in models for c in ("span_logprob_sum", "span_n_scored")))


@operator("row", effect="marks", version=1, needs=_needs, adds=ADDS)
def provenance(
    *,
    teacher: str = "teacher",
    student: str = "student",
    distilled: str | None = None,
    alpha: float | None = None,
    beta: float = 0.1,
) -> RowFn:
    """Label every span by the model it comes from, from the span columns of `score` steps with these names.

    A span's probability is exp(mean log-probability of its tokens). `teacher` where it is more than beta above the
    student's, `student` where it is more than beta below, else `common` (DASD, arXiv 2601.09088). With a distilled
    model the order of provenance tracing (arXiv 2512.20908): shared, teacher, student, boosted; a difference of exactly
    beta, which its rules leave open, is boosted (ours). A span that one model did not score has no label.

    Its selection rule keeps, of the candidates of a problem, the one with most teacher spans:
    `select: {best: n_teacher_spans desc, per: problem_id}`.

    Spans are places in the text, so the tokenizers may differ. The receipt counts `spans` and, of those, the
    `spans_of_other_tokens`, which the models cut into different numbers of tokens.

    Args:
        teacher: `name` of the score step of the teacher.
        student: of the student.
        distilled: of the model trained on the teacher's traces, where there is one.
        alpha: with a distilled model: differences up to alpha are shared. Unpublished, so it has no default.
        beta: published default 0.1; 0.05 and 0.15 beat the plain baseline too.

    Raises:
        CheckError: `distilled` without `alpha`, or one out of range.
    """
    if (distilled is None) != (alpha is None):
        raise CheckError("provenance: distilled and alpha go together; alpha is unpublished, so set it yourself")
    if not 0 <= beta < 1 or (alpha is not None and not 0 <= alpha < 1):
        msg = f"provenance: beta is {beta} and alpha {alpha}; they are differences of probabilities, from 0 to below 1"
        raise CheckError(msg)

    def label(sums: Sequence[float | None], counts: Sequence[int]) -> str | None:
        p = [probability(s, n) for s, n in zip(sums, counts, strict=True)]
        return two_models(p[0], p[1], beta) if alpha is None else three_models(p[0], p[1], p[2], alpha, beta)

    def run(table: pa.Table) -> Result:
        names = [name for name in (teacher, student, distilled) if name]
        columns = [(table[f"{n}_span_logprob_sum"].to_pylist(), table[f"{n}_span_n_scored"].to_pylist()) for n in names]
        labels: list[list[str | None] | None] = []
        spans = differ = 0
        for i in range(len(table)):
            sums, counts = [c[0][i] for c in columns], [c[1][i] for c in columns]
            if any(s is None for s in sums) or len({len(s) for s in sums}) > 1:
                labels.append(None)
                continue
            by_model = list(zip(zip(*sums, strict=True), zip(*counts, strict=True), strict=True))
            labels.append([label(s, n) for s, n in by_model])
            spans += len(by_model)
            differ += sum(len(set(n)) > 1 for _, n in by_model)
        return Result(_written(table, labels), None, {"spans": float(spans), "spans_of_other_tokens": float(differ)})

    return run


def _written(table: pa.Table, labels: Sequence[Sequence[str | None] | None]) -> pa.Table:
    values = {
        "span_labels": labels,
        "n_teacher_spans": [None if x is None else x.count(TEACHER) for x in labels],
        "n_student_spans": [None if x is None else x.count(STUDENT) for x in labels],
    }
    return rows.put(table, {name: pa.array(values[name], kind) for name, kind in rows.types(ADDS).items()})
