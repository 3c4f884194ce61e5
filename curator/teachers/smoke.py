"""DED's smoke test: a small corpus of each teacher over the same problems, a student trained on each, its scores.

Published (arXiv 2508.09883, secondary): one trace of each candidate for every seed question, the same quick training
for all, the teacher whose student is best wins. Ours, because unpublished: the corpora hold only problems that every
ranked teacher solves, one verified trace each, so that students differ by their teacher and by nothing else.
"""

from __future__ import annotations

import glob
import json
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator import barrier, table
from curator.errors import CheckError, InputError
from curator.rows import quote
from curator.teachers.measure import Asked, Counted

SIZE = 1000  # problems of a corpus at most: DED's seed is s1K
MESSAGES = pa.schema(
    [("problem_id", pa.string()),
     ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))]
)  # fmt: skip
Scores = dict[str, dict[str, float]]


def corpora(files: Sequence[Path], counted: Counted, asked: Asked, folder: Path, size: int = SIZE) -> dict[str, Path]:
    """Write one corpus a ranked teacher, all of the same problems, and return teacher -> file.

    Raises:
        CheckError: no texts to train on.
        InputError: no problem is solved by all ranked teachers.
    """
    ranked = [r["teacher"] for r in counted.teachers if r["teacher"] not in counted.unranked]
    with tempfile.TemporaryDirectory(prefix="teachers-") as spill, closing(table.TableView(files, Path(spill))) as view:
        missing = [n for n in ("problem", "trace") if n not in view.schema.names]
        if missing:
            msg = f"teachers: a smoke test trains on problems and traces, and there is no column '{missing[0]}'"
            raise CheckError(msg)
        sample = "sample_idx" if "sample_idx" in view.schema.names else "0"
        view.con.execute("create temp table ranked as select unnest(?::varchar[]) as teacher", [ranked])
        view.con.execute(f"""
            create temp table solved as
            select {quote(counted.by)}::varchar as teacher, {quote(asked.problem)}::varchar as problem_id,
                first({{'problem': problem, 'trace': trace}} order by {sample} nulls last) as said from rows
            where {quote(asked.correct)} and trace is not null and problem is not null group by 1, 2""")
        view.con.execute(f"""
            create temp table shared as select problem_id from solved semi join ranked using (teacher) group by 1
            having count(*) = {len(ranked)} order by md5(problem_id), problem_id limit {size}""")
        ((shared,),) = view.con.execute("select count(*) from shared").fetchall()
        if not shared:
            msg = f"teachers: no problem is solved by all {len(ranked)} ranked teachers: no fair smoke test; rank fewer"
            raise InputError(msg)
        return {t: _write(view, t, folder / f"{i:02d}-{slug(t)}") for i, t in enumerate(ranked, 1)}


def _write(view: Any, teacher: str, folder: Path) -> Path:
    query = """
        select problem_id, [{'role': 'user', 'content': said.problem}, {'role': 'assistant', 'content': said.trace}]
        as messages from solved semi join shared using (problem_id) where teacher = ? order by problem_id"""
    rows = view.con.sql(query, params=[teacher]).to_arrow_table().cast(MESSAGES)
    folder.mkdir(parents=True, exist_ok=True)
    table.write_table(rows, folder / "corpus.parquet")
    return folder / "corpus.parquet"


def slug(teacher: str) -> str:
    """Return a teacher's name as a file name; names that differ elsewhere are told apart by their number."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", teacher).strip("-.")[:60] or "teacher"


def train(given: Mapping[str, Path], command: str | None, timeout: float) -> Scores:
    """Hand each corpus to the training command, or take the result that lies beside it; return the scores.

    A result is a JSON object of numbers, one a benchmark, more is better: `{"aime24": 0.41}`.

    Raises:
        Waiting: no command, and a result is not there yet.
        InputError: a result is not such an object, or the benchmarks differ.
        OperatorError: the command fails.
    """
    found: Scores = {}
    for teacher, corpus in given.items():
        result = barrier.pass_barrier(corpus.parent, {"corpus": corpus}, command=command, timeout=timeout)
        try:
            found[teacher] = _numbers(json.loads(result.read_text("utf-8")), f"the result of '{teacher}'")
        except ValueError as e:
            msg = f"teachers: {result} is not JSON ({e})"
            raise InputError(msg) from e
    return _alike(found)


def results(path: Path, counted: Counted, given: Mapping[str, Path] | None = None) -> Scores:
    """Read scores that were made elsewhere: a table with `teacher` and a column a benchmark, of these very teachers.

    A column `corpus_sha256` is held against the corpora in `given`, so that a student of another corpus is refused.

    Raises:
        InputError: the file cannot be read, or is of other teachers, other corpora, or holds no scores.
    """
    rows = _load(path)
    ranked = {r["teacher"] for r in counted.teachers if r["teacher"] not in counted.unranked}
    named = [str(row.get("teacher")) for row in rows]
    if sorted(named) != sorted(ranked):
        parts = (("lacks", ranked - set(named)), ("knows", set(named) - ranked), ("repeats", _twice(named)))
        told = "; ".join(f"it {what} {', '.join(sorted(who)[:5])}" for what, who in parts if who)
        msg = f"teachers: {path.name} is a smoke test of other teachers: {told}; it wants one row a ranked teacher"
        raise InputError(msg)
    found: Scores = {}
    for row in rows:
        teacher, made = row["teacher"], row.get("corpus_sha256")
        if made is not None and given is not None and made != barrier.fingerprint(given[teacher]):
            msg = f"teachers: {path.name}: the student of '{teacher}' saw another corpus (corpus_sha256 differs)"
            raise InputError(msg)
        scores = {k: v for k, v in row.items() if k not in ("teacher", "corpus_sha256") and not k.startswith("_")}
        found[teacher] = _numbers(scores, f"{path.name}, '{teacher}'")
    return _alike(found)


def _load(path: Path) -> list[dict[str, Any]]:
    import duckdb

    readers = {".parquet": "read_parquet", ".csv": "read_csv", ".json": "read_json", ".jsonl": "read_json"}
    if path.suffix not in readers:
        msg = f"teachers: {path} is none of {', '.join(readers)}"
        raise InputError(msg)
    try:
        with duckdb.connect() as con:
            asked = f"from {readers[path.suffix]}(?, hive_partitioning = false)"
            found = con.sql(asked, params=[glob.escape(str(path))]).to_arrow_table()
    except duckdb.Error as e:
        msg = f"teachers: cannot read {path}: {' '.join(str(e).split())[:200]}"
        raise InputError(msg) from e
    rows: list[dict[str, Any]] = found.to_pylist()
    if not rows or "teacher" not in rows[0]:
        msg = f"teachers: {path.name} has no column teacher; it wants a row a teacher, a column of scores a benchmark"
        raise InputError(msg)
    return rows


def _numbers(value: Any, where: str) -> dict[str, float]:
    good = isinstance(value, dict) and value and all(_is_number(v) for v in value.values())
    if not good:
        msg = f'teachers: {where} holds no scores; wanted numbers such as {{"aime24": 0.41}}, got {str(value)[:80]}'
        raise InputError(msg)
    return {str(k): float(v) for k, v in value.items()}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _alike(found: Scores) -> Scores:
    first, *rest = found.items()
    for teacher, scores in rest:
        if scores.keys() != first[1].keys():
            msg = (
                f"teachers: the students were measured on different benchmarks: '{first[0]}' on {', '.join(first[1])}, "
                f"'{teacher}' on {', '.join(scores)}"
            )
            raise InputError(msg)
    return found


def _twice(names: list[str]) -> set[str]:
    return {n for n in names if names.count(n) > 1}
