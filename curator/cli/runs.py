"""Commands about runs: run, why, diff, report, export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curator.cli.tables import line, table
from curator.errors import CheckError


def run(
    file: Path,
    out: Path | None,
    sets: Sequence[str],
    workers: int | None,
    limit: int | None,
    seed: int | None,
    store: Path | None,
    *,
    quiet: bool,
    progress: str = "auto",
) -> None:
    """Check, run, and print what happened to the rows."""
    from curator.check import load

    pipeline = load(file, sets, seed=seed)
    from curator.run.local import run as run_local  # after the check: a mistake should not wait for it

    shown: dict[str, Any] = {"auto": False if quiet else None, "lines": False if quiet else "lines", "off": False}
    folder = out if out is not None else Path("runs") / pipeline.name
    run_local(pipeline, folder, workers=workers, store=store, progress=shown[progress], limit=limit)
    if not quiet:
        summary(folder)


def summary(folder: Path) -> None:
    """Print rows in, made, out and dropped of every step, with reasons, time and tokens, and what to type next."""
    from curator.run.result import Run

    head = ("step", "in", "made", "out", "dropped", "why dropped", "seconds", "tokens")
    done = Run(folder).summary()
    table("", head, [_row(step) for step in done])
    written = folder / "out"
    where = written if written.is_dir() and any(written.iterdir()) else folder
    line(f"\n{done[-1]['out'] if done else 0:,} rows; they lie in {where}")
    line(f"next: curator why ROW {folder}    curator report {folder}")


def _row(step: Mapping[str, Any]) -> list[Any]:
    reasons = ", ".join(f"{code} {n:,}" for code, n in step["reasons"].items())
    used = step["engines"].values()
    tokens = sum(e.get("tokens_in", 0) + e.get("tokens_out", 0) for e in used)
    return [*(step[k] for k in ("step", "in", "made", "out", "dropped")), reasons, step["seconds"], tokens or None]


def newest() -> Path:
    """Return the run under `runs/` that was described last.

    Raises:
        CheckError: there is none.
    """
    found = sorted(Path("runs").glob("*/run.json"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise CheckError("no run in runs/; name the folder of one: curator why ROW RUN")
    return found[-1].parent


def why(row: str, folder: Path | None) -> None:
    """Print what happened to a row."""
    from curator.run.questions import why as ask

    folder = newest() if folder is None else folder
    head = ("step", "event", "row_id", "what")
    table(f"{row} in {folder}", head, [[event[k] for k in head] for event in ask(folder, row)])


def diff(one: Path, other: Path) -> None:
    """Print what differs between two runs."""
    from curator.run.questions import diff as ask

    line(str(ask(one, other)))


def report(folder: Path) -> None:
    """Print the report, write it as HTML, and say where."""
    from curator.report import text, write

    print(text(folder))  # noqa: T201  # it has its own colours and escapes
    line(f"wrote {write(folder)}")


def export(folder: Path, to: Sequence[str], out: Path, sets: Sequence[str]) -> None:
    """Write the rows of a run in trainers' formats.

    Raises:
        CheckError: a setting that the operator `export` does not have, or of the wrong type.
    """
    from curator.export import export_run
    from curator.pipeline import find_op
    from curator.settings import bind
    from curator.yaml_io import scalar

    given: dict[str, Any] = {}
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals:
            msg = f"--set {text}: wants key=value, such as thinking=inline"
            raise CheckError(msg)
        given[key.strip()] = scalar(value)
    bound, faults = bind(find_op("export"), {**given, "to": list(to)})
    if faults:
        raise CheckError("\n".join(fault.message for fault in faults))
    formats = bound.pop("to")
    line(f"wrote {export_run(folder, formats, out, **bound)}")
