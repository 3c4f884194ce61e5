"""Samples of made-up teachers, and a file of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

TYPES = {
    "row_id": pa.string(), "problem_id": pa.string(), "sample_idx": pa.int32(), "engine": pa.string(),
    "problem": pa.string(), "trace": pa.string(), "correct": pa.bool_(), "verdict": pa.string(),
    "n_tokens": pa.int32(), "n_prompt_tokens": pa.int32(), "predicted_answer": pa.string(),
    "finish_reason": pa.string(), "student_perplexity": pa.float64(), "student_token_entropy": pa.float64(),
    "student_n_scored": pa.int32(),
}  # fmt: skip


def sample(teacher, problem, correct, idx=0, tokens=10, **more):
    """One row; whatever is not given is plain."""
    return {
        "row_id": f"{problem}/{teacher}/{idx}", "problem_id": problem, "sample_idx": idx, "engine": teacher,
        "problem": f"What is {problem}?", "trace": f"<think>{teacher} thinks of {problem}</think> it is {correct}",
        "correct": correct, "verdict": {True: "correct", False: "incorrect", None: "timeout"}[correct],
        "n_tokens": tokens, "n_prompt_tokens": 5, "predicted_answer": str(correct), "finish_reason": "stop",
        "student_perplexity": 2.0, "student_token_entropy": 0.5, "student_n_scored": 10, **more,
    }  # fmt: skip


def written(folder: Path, rows, *, without=(), name="samples.parquet") -> Path:
    """A Parquet file of the rows, without some columns."""
    schema = pa.schema([(n, t) for n, t in TYPES.items() if n not in without])
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), folder / name)
    return folder / name


def three(problems=20):
    """Three teachers on the same problems: strong solves 3 of 4, middling half, weak a quarter."""
    for p in range(problems):
        yield sample("strong", f"p{p}", p % 4 != 0, tokens=20)
        yield sample("middling", f"p{p}", p % 2 == 1, tokens=10)
        yield sample("weak", f"p{p}", p % 4 == 1, tokens=40)
