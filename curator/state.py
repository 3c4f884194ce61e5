"""The state of a loop as the settings of its steps name it: `${state}`, a path."""

from __future__ import annotations

import glob
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator.steps import STATE, Step


@contextmanager
def standing_in(columns: Mapping[str, pa.DataType]) -> Iterator[Path]:
    """Give a folder that stands for the state of a loop while there is none: these columns without rows."""
    with tempfile.TemporaryDirectory(prefix="state-") as folder:
        path = Path(folder) / "state"
        path.mkdir()
        import pyarrow.parquet as pq  # no empty table: to make any array, pyarrow imports pandas where it is (0.5 s)

        pq.ParquetWriter(path / "part-00000.parquet", pa.schema(list(columns.items()))).close()
        yield path


def state_path(folder: Path) -> str:
    """Return what `${state}` stands for: the shards in the folder of a state, which holds its receipt as well."""
    return f"{glob.escape(str(folder))}/part-*.parquet"


def with_state(step: Step, folder: Path) -> Step:
    """Return a step of a loop with the path of the state in the place of `${state}` in its settings."""
    path = state_path(folder)

    def put(value: Any) -> Any:
        if isinstance(value, str):
            return value.replace(STATE, path)
        if isinstance(value, Mapping):
            return {k: put(v) for k, v in value.items()}
        return type(value)(put(v) for v in value) if isinstance(value, list | tuple) else value

    return replace(step, settings={name: put(value) for name, value in step.settings.items()})
