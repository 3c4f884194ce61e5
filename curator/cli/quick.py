"""`curator check` without typer, whose import takes longer than the check of a page.

The commands, their help and their messages are typer's, in `curator.cli.app`. Here is the plain form of the one command
that editors, hooks and CI call again and again; whatever is not plain goes to typer, and a test holds that both read a
command line alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

OVERRIDE = "--set"


def check(arguments: Sequence[str]) -> tuple[list[Path], list[str]] | None:
    """Return (files, overrides) of `check FILE... [--set KEY=VALUE]...`; None where typer is to read it."""
    if not arguments or arguments[0] != "check":
        return None
    files: list[Path] = []
    sets: list[str] = []
    words = iter(arguments[1:])
    for word in words:
        option, equals, rest = word.partition("=")
        override = option == OVERRIDE
        value = word if not override else rest if equals else next(words, "")
        if not value or value.startswith("-"):  # an option that only typer knows, or one that lacks its value
            return None
        if override:
            sets.append(value)
        else:
            files.append(Path(value))
    return (files, sets) if files else None
