"""Commands about the response store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from curator.cli.tables import line, table
from curator.errors import InputError

TIMES = ("written", "oldest", "newest")


def show(command: str, folder: Path, **options: Any) -> None:
    """Print what `ls`, `stats`, `verify`, `compact` or `gc` of a store says.

    Raises:
        InputError: there is no store in `folder`.
    """
    from curator.engines import compact

    if not folder.is_dir():
        msg = f"no store at '{folder}'; name its folder (a run keeps its answers in .store beside it: runs/.store)"
        raise InputError(msg)
    _print(getattr(compact, command)(folder, **options))


def _print(rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        line("empty")
        return
    head = list(rows[0])
    table("", head, [[_time(row[k]) if k in TIMES else row[k] for k in head] for row in rows])


def _time(seconds: float) -> str:
    from datetime import datetime

    return datetime.fromtimestamp(seconds).astimezone().isoformat(" ", "minutes")
