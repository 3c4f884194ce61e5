"""What a run did, to read: as text in a terminal, or as one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import Path

__all__ = ["html", "text", "write"]


def text(run_folder: str | Path, *, width: int = 120, color: bool | None = None) -> str:
    """Return the report as text: rows per step with reasons, operators' own reports, models, tokens and cost.

    Args:
        run_folder: what `curator run` wrote.
        width: columns of the terminal.
        color: with ANSI colours; None means only where standard output is a terminal.

    Raises:
        CheckError: the folder holds no run.
    """
    from curator.report.gather import gather
    from curator.report.terminal import render

    return render(gather(Path(run_folder), samples=0), width=width, color=color)


def html(run_folder: str | Path, path: str | Path) -> Path:
    """Write the report as one self-contained HTML page (no script, no outside resource, every text escaped).

    Args:
        run_folder: what `curator run` wrote.
        path: the file to write, whole or not at all.

    Returns:
        `path`.

    Raises:
        CheckError: the folder holds no run.
        OutputError: the file cannot be written.
    """
    from curator import table
    from curator.report.gather import gather
    from curator.report.page import render

    table.write_bytes(Path(path), render(gather(Path(run_folder))).encode("utf-8", "replace"))
    return Path(path)


def write(run_folder: str | Path) -> Path:
    """Write the HTML report as `report.html` in the run's folder and return its path."""
    return html(run_folder, Path(run_folder) / "report.html")
