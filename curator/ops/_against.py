"""The index of `dedup`: an earlier dataset, kept as Parquet, with or without what was computed for it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from curator.errors import InputError

PAYLOAD, SETTINGS = "dedup_index", "dedup_settings"
HASHED = "words_hashed"  # of the settings: `words.HASHED`, which nobody sets


def files(against: str | list[str] | None, who: str = "dedup") -> list[str]:
    """Return the Parquet files of an earlier dataset; `who` asks, for messages.

    Raises:
        InputError: nothing is there, or it is not Parquet.
    """
    if not against:
        return []
    from curator.reading.opening import DEFAULTS, open_input

    found = [str(p) for p in open_input({**DEFAULTS, "path": against}).paths]
    for path in found:
        if not path.endswith(".parquet"):
            msg = f"{who}: against holds {path}; it must be a dataset kept as Parquet: read it and export it first"
            raise InputError(msg)
    return found


def batches(paths: list[str], columns: tuple[str, ...], made: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
    """Yield row_id and `columns` of an index, with `dedup_index` where it was kept with the same settings.

    Args:
        paths: Parquet files.
        columns: what the texts or vectors are in.
        made: the settings that decide what `dedup_index` holds.

    Raises:
        InputError: a file that is not whole Parquet, lacks a column, or was built with other settings: says which differ.
    """  # noqa: E501
    import pyarrow.parquet as pq

    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                names = file.schema_arrow.names
                kept = PAYLOAD in names and SETTINGS in names
                wanted = ["row_id", *((PAYLOAD, SETTINGS) if kept else columns)]
                lacking = [n for n in wanted if n not in names]
                if lacking:
                    msg = f"dedup: the index {path} has no column {', '.join(lacking)} (there is {', '.join(names)})"
                    raise InputError(msg)
                for batch in file.iter_batches(2048, columns=wanted, use_threads=False):
                    batch = batch.select(wanted)
                    if kept:
                        _same(batch.column(2), made, path)
                    yield batch
        except (OSError, pa.ArrowInvalid) as e:
            first = str(e).splitlines()[0][:160] if str(e) else type(e).__name__
            msg = f"dedup: cannot read the index {path}: not a whole Parquet file ({first})"
            raise InputError(msg) from e


def _same(column: Any, made: Mapping[str, Any], path: str) -> None:
    for text in column.unique().to_pylist():
        if text is None:
            msg = f"dedup: the index {path} holds rows without {SETTINGS}; build it again with index: true"
            raise InputError(msg)
        held = json.loads(text)
        if held.get(HASHED) != made.get(HASHED) and held.get("unit") == made.get("unit"):
            msg = f"dedup: the index {path} was built by another version of dedup, which hashes words otherwise; build it again with index: true, or drop its dedup_index column"  # noqa: E501
            raise InputError(msg)
        differ = [
            f"{k} is {held.get(k)!r}, here {made.get(k)!r}"
            for k in sorted({*held, *made} - {HASHED})
            if held.get(k) != made.get(k)
        ]
        if differ:
            msg = f"dedup: the index {path} was built with other settings: {'; '.join(differ)}; set them alike, or drop its dedup_index column"  # noqa: E501
            raise InputError(msg)
