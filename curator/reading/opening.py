"""From `path` as users write it to an `Input`: built-in problems, hub data sets, local files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from curator.errors import CheckError
from curator.near import hint
from curator.reading import hub
from curator.reading.files import resolve
from curator.reading.tables import Input

BUILTIN = ("pocket", "pocket-eval", "pocket-train")
DEFAULTS: Mapping[str, Any] = {
    "columns": None, "id": None, "split": None, "n": None, "keep": "all", "on_bad": "quarantine",
    "max_row_bytes": 16 << 20, "seed": None,
}  # fmt: skip


def paths_of(settings: Mapping[str, Any]) -> list[str]:
    """Return the setting `path` as a list."""
    path = settings["path"]
    return [path] if isinstance(path, str) else list(path)


def open_input(settings: Mapping[str, Any]) -> Input:
    """Return the input behind the settings of `read`.

    Raises:
        CheckError: an unknown built-in source.
        InputError: nothing is there.
    """
    paths, limit = paths_of(settings), settings["max_row_bytes"]
    built = [p.removeprefix("builtin:") for p in paths if p.startswith("builtin:")]
    if built:
        if len(paths) > 1:
            raise CheckError("read: a builtin: path stands alone")
        if built[0] not in BUILTIN:
            msg = f"builtin:{built[0]} is not there{hint(built[0], BUILTIN)}"
            raise CheckError(msg)
        from curator.pocket import world

        return Input([], limit, (paths[0], partial(world.rows, built[0], settings["n"], settings["seed"] or 0)))
    found = []
    for path in paths:
        found += hub.files(path, settings["split"]) if hub.is_hub(path) else resolve([path], settings["split"])
    return Input(found, limit)
