"""Collect what a report shows from the folder of a run: receipts, a few rows, token counts. Bounded at any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from curator import table
from curator.report.features import Picture, picture
from curator.run.result import Run

SAMPLES = 6  # rows shown in full
EXAMPLES = 3  # dropped rows shown for each reason
CHARS = 6000  # of a text; longer ones are cut and say so
BINS_PER_OCTAVE = 2  # of the token histograms

_SHOWN = (
    "row_id", "problem_id", "problem", "answer", "trace", "response", "short_cot", "short_solution", "verified",
    "reject_reason", "difficulty", "tokens_long", "tokens_short", "n_tokens", "verdict", "predicted_answer", "model",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class Histogram:
    """Counts of token numbers in logarithmic bins: bin -> rows, and the mean. Bin b begins at 2 ** (b / 2)."""

    name: str
    bins: Mapping[int, int]
    mean: float


@dataclass
class Story:
    """All that a report shows."""

    name: str
    folder: Path
    receipts: list[Row]
    pipeline: str = ""
    tokens: list[Histogram] = field(default_factory=list)
    samples: list[Row] = field(default_factory=list)
    revised: list[Row] = field(default_factory=list)
    dropped: dict[str, list[Row]] = field(default_factory=dict)
    diversity: Picture | None = None  # of the last rows with features
    pool: Picture | None = None  # of the last step `cluster`
    missing: list[str] = field(default_factory=list)

    @property
    def engines(self) -> dict[str, dict[str, float]]:
        """Use of each engine, added up over the steps."""
        total: dict[str, dict[str, float]] = {}
        for receipt in self.receipts:
            for alias, use in (receipt.get("engines") or {}).items():
                held = total.setdefault(alias, {})
                for key, n in use.items():
                    if isinstance(n, int | float):
                        held[key] = held.get(key, 0) + n
        return total

    @property
    def rows_out(self) -> int:
        """Rows after the last step that has rows."""
        return next((int(r["out"]) for r in reversed(self.receipts) if r.get("kind") != "sink"), 0)


def gather(folder: Path, samples: int = SAMPLES) -> Story:
    """Return the story of a run; with `samples=0` only what the receipts say.

    Raises:
        CheckError: the folder holds no run.
    """
    run = Run(folder)
    steps = run.steps
    receipts = run.receipts
    done = {r["step"] for r in receipts}
    pipeline = folder / "pipeline.yaml"
    story = Story(
        folder.resolve().name, folder, receipts, missing=[s["label"] for s in steps if s["label"] not in done]
    )
    story.pipeline = pipeline.read_text("utf-8", "replace") if pipeline.exists() else ""
    if samples:
        con = duckdb.connect(config={"memory_limit": table.MEMORY, "threads": 1})
        try:
            _read_rows(con, run, story, samples)
        finally:
            con.close()
    return story


def _read_rows(con: duckdb.DuckDBPyConnection, run: Run, story: Story, samples: int) -> None:
    having = [r["step"] for r in story.receipts if r.get("kind") != "sink"]
    clusters = [r["step"] for r in story.receipts if r.get("op") == "cluster"]
    for step in reversed(having):
        files = run.files(step)
        schema = table.schema_of(files)
        have = set(schema.names)
        if not story.samples and {"row_id", "problem"} & have:
            story.samples = _sample(con, files, have, samples)
        if not story.tokens:
            story.tokens = _tokens(con, files, have)
        if not story.revised and {"rollouts", "trace_revised"} <= have:
            story.revised = _revised(con, files, have, samples)
        if story.diversity is None:
            story.diversity = picture(con, files, schema)
        if story.pool is None and step in clusters:
            story.pool = picture(con, files, schema)
    for receipt in story.receipts:
        if receipt.get("dropped"):
            files = run.files(receipt["step"], dropped=True)
            story.dropped[receipt["step"]] = _examples(con, files) if files else []


def _sample(con: duckdb.DuckDBPyConnection, files: list[Path], have: set[str], samples: int) -> list[Row]:
    """The first rows by id, those with a short trace before the others."""
    names = [n for n in _SHOWN if n in have]
    order = ["short_solution IS NULL"] if "short_solution" in have else []
    order += [f"strlen({n}), {n}" for n in ("problem_id", "row_id") if n in have]
    listed = ", ".join(f"left({n}, {CHARS + 1}) AS {n}" if n in _TEXTS else n for n in names)
    query = f"SELECT {listed} FROM {table.sql_files(files)} ORDER BY {', '.join(order)} LIMIT {samples}"
    return _rows(con, query)


def _revised(con: duckdb.DuckDBPyConnection, files: list[Path], have: set[str], samples: int) -> list[Row]:
    """Rows with a search, the changed ones first; whole texts, because places in them count characters."""
    names = [n for n in _REVISED if n in have]
    order = [*(f"strlen({n}), {n}" for n in ("problem_id", "row_id") if n in have)]
    fits = f"n_rollouts > 0 AND strlen(trace) <= {20 * CHARS}"
    query = (
        f"SELECT {', '.join(names)} FROM {table.sql_files(files)} WHERE {fits} "
        f"ORDER BY changed DESC, {', '.join(order)} LIMIT {samples}"
    )
    return _rows(con, query)


_REVISED = (
    "row_id", "problem_id", "problem", "answer", "trace", "trace_revised", "changed", "stop_reason", "start_thought",
    "n_thoughts_before", "n_thoughts_after", "n_steps_before", "n_steps_after", "tokens_before", "tokens_after",
    "n_rollouts", "n_accepted", "revision_model", "ban_route", "rollouts",
)  # fmt: skip
_TEXTS = ("problem", "trace", "response", "short_cot", "short_solution", "answer", "predicted_answer")


def _tokens(con: duckdb.DuckDBPyConnection, files: list[Path], have: set[str]) -> list[Histogram]:
    pairs = [("long trace", "tokens_long"), ("short trace", "tokens_short")]
    where = "WHERE verified" if "verified" in have else ""
    if not {"tokens_long", "tokens_short"} <= have:
        pairs = [("thinking before", "tokens_before"), ("thinking after", "tokens_after")]
        where = "WHERE n_rollouts > 0" if "n_rollouts" in have else ""
    if not {pairs[0][1], pairs[1][1]} <= have:
        pairs, where = [("trace", "n_tokens")] if "n_tokens" in have else [], ""
    found = []
    for name, column in pairs:
        query = (
            f"SELECT floor(log2({column}) * {BINS_PER_OCTAVE})::int AS bin, count(*) AS n, sum({column}) AS total "
            f"FROM (SELECT {column} FROM {table.sql_files(files)} {where}) WHERE {column} > 0 GROUP BY 1 ORDER BY 1"
        )
        rows = _rows(con, query)
        count = sum(r["n"] for r in rows)
        if count:
            mean = float(sum(r["total"] for r in rows)) / count
            found.append(Histogram(name, {r["bin"]: r["n"] for r in rows}, mean))
    return found


def _examples(con: duckdb.DuckDBPyConnection, files: list[Path]) -> list[Row]:
    names = set(table.schema_of(files).names)
    problem = f"left(problem, {CHARS // 10})" if "problem" in names else "NULL"
    query = (
        f"SELECT row_id, reason, left(evidence, {CHARS // 10}) AS evidence, {problem} AS problem "
        f"FROM {table.sql_files(files)} "
        f"QUALIFY row_number() OVER (PARTITION BY reason ORDER BY strlen(row_id), row_id) <= {EXAMPLES} "
        "ORDER BY reason, strlen(row_id), row_id LIMIT 60"
    )
    return _rows(con, query)


def _rows(con: duckdb.DuckDBPyConnection, query: str) -> list[Row]:
    found: list[Row] = con.sql(query).to_arrow_table().to_pylist()
    return found
