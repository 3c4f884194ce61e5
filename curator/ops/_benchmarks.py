"""Which texts to decontaminate against: benchmarks by name, files, the built-in evaluation set."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from curator.contamination.evidence import Item
from curator.errors import CheckError, InputError
from curator.near import hint


class Reference(NamedTuple):
    """One entry of `against`: a name for messages and evidence, and settings of `read`."""

    name: str
    settings: Mapping[str, Any]


@lru_cache(maxsize=1)
def registry() -> dict[str, dict[str, Any]]:
    """Return `benchmarks.yaml`."""
    import yaml

    found: dict[str, dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("benchmarks.yaml").read_text())
    return found


def references(against: Any) -> list[Reference]:
    """Resolve `against` without opening anything.

    Raises:
        CheckError: an entry that is neither a registered name, nor a path, nor a mapping with `path`.
    """
    entries = [against] if isinstance(against, str | Mapping) else list(against)
    if not entries:
        raise CheckError("decontaminate: against is empty; name a benchmark, a file or builtin:pocket-eval")
    return [_mapping(e) if isinstance(e, Mapping) else _text(str(e)) for e in entries]


def _mapping(entry: Mapping[str, Any]) -> Reference:
    unknown = set(entry) - {"name", "path", "columns", "split", "id", "vectors"}
    if unknown or "path" not in entry:
        msg = f"decontaminate: against holds {dict(entry)}; write {{path: ..., name: ..., columns: {{problem: ...}}}}"
        raise CheckError(msg)
    name = entry.get("name") or _stem(str(entry["path"]))
    return Reference(str(name), {k: v for k, v in entry.items() if k != "name"})


def _text(entry: str) -> Reference:
    known = registry().get(entry)
    if known:
        parts = [known["hub"], known.get("config") or "", known.get("split") or ""]
        path = "hf:" + ":".join(parts).rstrip(":")
        return Reference(entry, {"path": path, "columns": known.get("columns")})
    if entry.startswith(("builtin:", "hf:")) or "/" in entry or "." in entry:
        return Reference(_stem(entry), {"path": entry})
    near = hint(entry, registry())
    msg = f"decontaminate: benchmark '{entry}' is not known{near}; or give a path, or builtin:pocket-eval"
    raise CheckError(msg)


def _stem(path: str) -> str:
    name = path.removeprefix("builtin:").removeprefix("hf:").rstrip("/").rsplit("/", 1)[-1]
    return name.split(".")[0] or path


def _settings(reference: Reference, keep: str = "") -> dict[str, Any]:
    from curator.reading.opening import DEFAULTS

    given = {k: v for k, v in reference.settings.items() if v is not None and k != "vectors"}
    return {**DEFAULTS, "keep": keep or [], **given}


def local_files(found: list[Reference]) -> list[str]:
    """Return the local files behind references; hub data sets and built-in ones have none.

    Raises:
        InputError: a file that is not there.
    """
    from curator.reading import hub
    from curator.reading.opening import open_input

    local = [r for r in found if not hub.is_hub(str(r.settings["path"]))]
    return [str(p) for r in local for p in open_input(_settings(r)).paths]


def items(found: list[Reference]) -> list[Item]:
    """Read all items of all references.

    Raises:
        InputError: a reference that cannot be read, or has no problem column.
    """
    from curator.reading.opening import open_input
    from curator.reading.stream import stream

    read: list[Item] = []
    for reference in found:
        settings = _settings(reference)
        where = str(settings["path"])
        before = len(read)
        for table, _ in stream(open_input(settings), settings, where):
            if "problem" not in table.column_names:
                msg = f"{where}: no column for problem; say columns: {{problem: NAME}} in the entry of against"
                raise InputError(msg)
            pairs = zip(table.column("row_id").to_pylist(), table.column("problem").to_pylist(), strict=True)
            read += [Item(reference.name, row_id, str(text or "")) for row_id, text in pairs]
        if len(read) == before:
            msg = f"{where}: the benchmark has no items"
            raise InputError(msg)
    return read


def vectors(found: list[Reference], name: str) -> Any:
    """Return float32[items, dimension]: the vectors of all items, in the order of `items`.

    Args:
        found: references.
        name: column with the vectors, where an entry does not say `vectors: ...` itself.

    Raises:
        InputError: no such column, or no vectors of one length in it.
    """
    import numpy as np
    import pyarrow as pa

    from curator.contamination.vectors import matrix, same_width
    from curator.reading.opening import open_input
    from curator.reading.stream import stream

    parts: list[Any] = []
    for reference in found:
        column = str(reference.settings.get("vectors") or name)
        settings = _settings(reference, "all")
        where = str(settings["path"])
        tables = [table for table, _ in stream(open_input(settings), settings, where)]
        if any(column not in table.column_names for table in tables):
            msg = f"{where}: no column {column} with vectors; say vectors: NAME in the entry of against"
            raise InputError(msg)
        parts.append(
            matrix(pa.chunked_array([c for t in tables for c in t.column(column).chunks]), f"{where}: {column}")
        )
        same_width(parts[-1], parts[0], where)
    return np.concatenate(parts)
