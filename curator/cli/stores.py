"""Commands about the response store."""

from __future__ import annotations

from pathlib import Path

from curator.cli.tables import line, show
from curator.errors import InputError


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        msg = f"no store at '{folder}'; name its folder (the default is runs/.store)"
        raise InputError(msg)
    return folder


def ls(folder: Path) -> None:
    """List what the store holds, by engine."""
    from curator.engines import store

    show(store.ls(_folder(folder)))


def stats(folder: Path) -> None:
    """Count responses, tokens and bytes."""
    from curator.engines import store

    show(store.stats(_folder(folder)))


def gc(folder: Path) -> None:
    """Merge segments and give back room."""
    from curator.engines import store

    line(str(store.gc(_folder(folder))))
