"""`curator teachers`: a tournament over the same problems, and the smoke test that decides it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curator.cli.tables import line, table
from curator.errors import CheckError, Waiting

SHOWN = (
    "rank", "teacher", "smoke_mean", "verified_rate", "verified_rate_low", "verified_rate_high", "solved_alone",
    "level_with_first", "tokens_per_verified", "verified_per_dollar", "length_p50", "length_spread",
    "student_perplexity", "student_entropy", "distinct_4", "undecided",
)  # fmt: skip


def teachers(source: list[Path], out: Path | None, step: str | None, options: Mapping[str, Any]) -> None:
    """Count, rank, print the table, and write it as Parquet and as a page.

    Args:
        source: the folder of one run, or Parquet files of samples.
        out: where the files go; by default `teachers` in the run's folder, or in the working folder.
        step: of a run, which step's rows.
        options: `measure`, `smoke`, `train`, `corpora`, `timeout`, and the settings of `teachers.Asked`.

    Raises:
        CheckError: there is nothing to compare, or options that exclude each other.
    """
    from curator.report.teachers import head
    from curator.teachers import Asked, measure, rank

    if options["smoke"] is not None and options["train"] is not None:
        raise CheckError("teachers: give --smoke (scores) or --train (a command that makes them), not both")
    files = _files(source, step)
    folder = out or (source[0] / "teachers" if source[0].is_dir() else Path("teachers"))
    asked = Asked(**{k: options[k] for k in ("by", "correct", "problem", "student", "min_cover", "prices")})
    counted = measure(files, asked)
    scores = _scores(files, counted, asked, folder, options)
    found = rank(counted, options["measure"], scores)
    names = [n for n in SHOWN if any(row.get(n) is not None for row in found.teachers)]
    table("", [head(n, found.unit) for n in names], [[row.get(n) for n in names] for row in found.teachers])
    for teacher, why in found.unranked.items():
        line(f"not ranked: {teacher}: {why}")
    line(f"\n{found.common:,} of {found.problems:,} problems have a verdict of every ranked teacher")
    line(found.verdict)
    for note in found.notes:
        line(f"note: {note}")
    line(f"wrote {_write(found, folder)}")


def _files(source: list[Path], step: str | None) -> list[Path]:
    if len(source) == 1 and source[0].is_dir():
        from curator.run.result import Run

        run = Run(source[0])
        return run.files(step if step is not None else _samples_of(run))
    missing = [p for p in source if not p.is_file()]
    if missing:
        msg = f"teachers: {missing[0]} is neither the folder of a run nor a file"
        raise CheckError(msg)
    return source


def _samples_of(run: Any) -> str:
    """The last step that still holds every sample with its verdict: `verify`, and the steps after it that only mark."""
    chosen = None
    for receipt in run.receipts:
        if receipt["op"] == "verify" or (chosen and receipt.get("effect") == "marks"):
            chosen = receipt["step"]
        elif chosen:
            break
    if chosen is None:
        msg = f"{run.folder}: no finished step verify, so no verdicts to compare; name a step with --step"
        raise CheckError(msg)
    return str(chosen)


def _scores(files: list[Path], counted: Any, asked: Any, folder: Path, options: Mapping[str, Any]) -> Any:
    from curator import table as files_of
    from curator.teachers import smoke

    texts = {"problem", "trace"} <= set(files_of.schema_of(files).names)
    given = None
    if options["train"] is not None or options["corpora"] or (options["smoke"] is not None and texts):
        given = smoke.corpora(files, counted, asked, folder / "smoke")
    if options["smoke"] is not None:
        return smoke.results(options["smoke"], counted, given)
    if given is None:
        return None
    try:
        return smoke.train(given, options["train"], options["timeout"])
    except Waiting as e:
        counted.notes.append(f"{len(given)} corpora lie in {folder / 'smoke'}; {e}")
        return None


def _write(found: Any, folder: Path) -> Path:
    import pyarrow as pa

    from curator import table as files_of
    from curator.report.teachers import render

    folder.mkdir(parents=True, exist_ok=True)
    files_of.write_table(pa.Table.from_pylist(found.teachers), folder / "teachers.parquet")
    files_of.write_table(pa.Table.from_pylist(found.pairs), folder / "disagreements.parquet")
    files_of.write_bytes(folder / "teachers.html", render(found, "Teachers").encode("utf-8", "replace"))
    return folder / "teachers.html"
