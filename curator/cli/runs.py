"""Commands about runs: run, why, diff, report, export."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curator.cli.tables import line, show, table
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
    bars: bool,
) -> None:
    """Check, run, and print what happened to the rows."""
    from curator.check import load

    pipeline = load(file, sets, seed=seed)
    from curator.run.local import run as run_local  # after the check: a mistake should not wait for it

    folder = out if out is not None else Path("runs") / pipeline.name
    run_local(pipeline, folder, workers=workers, store=store, progress=bars and None, limit=limit)
    if not quiet:
        summary(folder)


def receipts(folder: Path) -> list[dict[str, Any]]:
    """Return the receipts of a run, in the order of its steps."""
    found = sorted(folder.glob("steps/*/receipt.json"))
    if not found:
        msg = f"'{folder}' holds no finished step of a run; a run's folder is runs/NAME"
        raise CheckError(msg)
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def summary(folder: Path) -> None:
    """Print rows in, made, out and dropped of every step, with reasons, time and tokens, and what to type next."""
    head = ("step", "in", "made", "out", "dropped", "why", "seconds", "tokens")
    done = receipts(folder)
    table("", head, [_row(receipt) for receipt in done])
    written = folder / "out"
    kept = done[-1]["out"]
    if written.is_dir() and any(written.iterdir()):
        line(f"\n{kept:,} rows; dataset: {written}")
    else:
        line(f"\n{kept:,} rows in {folder}")
    gone = next((r for r in done if r["dropped"]), None)
    line(f"next: curator why ROW {folder}" + (" (what happened to a row)" if gone else ""))


def _row(receipt: Mapping[str, Any]) -> list[Any]:
    reasons = ", ".join(f"{code} {n:,}" for code, n in receipt.get("reasons", {}).items())
    used = receipt.get("engines", {}).values()
    tokens = sum(e.get("tokens_in", 0) + e.get("tokens_out", 0) for e in used)
    numbers = [receipt.get(k, 0) for k in ("rows_in", "made", "out", "dropped")]
    return [receipt["step"], *numbers, reasons, receipt.get("seconds", 0.0), tokens if used else None]


def why(row: str, folder: Path) -> None:
    """Print what happened to a row."""
    from curator.run.questions import why as ask

    show(ask(folder, row))


def diff(one: Path, other: Path) -> None:
    """Print what differs between two runs."""
    from curator.run.questions import diff as ask

    show(ask(one, other))


def report(folder: Path) -> None:
    """Write the HTML report and say where."""
    from curator.report import write

    line(f"wrote {write(folder)}")


def export(folder: Path, to: str, out: Path, sets: Sequence[str]) -> None:
    """Write the rows of a run in a trainer's format."""
    from curator.export import export as write

    show(write(folder, to=to, out=out, settings=sets))
