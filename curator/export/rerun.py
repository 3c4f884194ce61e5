"""Export a finished run again, in another format, without running anything."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import duckdb
import pyarrow as pa
import yaml

from curator.errors import InputError, OutputError


class FolderSink:
    """A sink that writes into a plain folder; `run` holds the facts for the card."""

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        self._folder, self._run = folder, run

    def open(self, name: str) -> BinaryIO:
        """Open `name` inside the folder for writing."""
        from curator.export.folder import inside

        path = inside(self._folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._folder

    @property
    def run(self) -> Mapping[str, Any]:
        """Pipeline text, name, seed, receipts, engines."""
        return self._run


class PartsView:
    """The rows of some Parquet files as a view."""

    def __init__(self, parts: list[Path], spill: Path) -> None:
        self._con = duckdb.connect(config={"temp_directory": str(spill)})
        files = ", ".join("'" + str(p).replace("'", "''") + "'" for p in parts)
        self._con.execute(f"CREATE VIEW rows AS SELECT * FROM read_parquet([{files}])")

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """The connection."""
        return self._con

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the rows."""
        return self._con.sql("SELECT * FROM rows LIMIT 0").to_arrow_table().schema

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Stream columns of all rows."""
        listed = ", ".join(f'"{c}"' for c in columns)
        yield from self._con.sql(f"SELECT {listed} FROM rows").to_arrow_reader(1000)


def step_folders(run_folder: Path) -> list[Path]:
    """Folders of the steps of a run, in order.

    Raises:
        InputError: this is not the folder of a run.
    """
    found = sorted(p for p in (run_folder / "steps").glob("*") if p.is_dir()) if run_folder.is_dir() else []
    if not found:
        msg = f"{run_folder}: not the folder of a run (it has no steps/); give the folder that `curator run` wrote"
        raise InputError(msg)
    return found


def receipts_of(run_folder: Path) -> list[dict[str, Any]]:
    """Receipts of the finished steps of a run, in order.

    Raises:
        InputError: a receipt cannot be read.
    """
    found = []
    for folder in step_folders(run_folder):
        path = folder / "receipt.json"
        if not path.exists():
            continue
        try:
            found.append(json.loads(path.read_text("utf-8")))
        except ValueError as e:
            msg = f"{path}: not a receipt ({e}); run the pipeline again to write it anew"
            raise InputError(msg) from e
    return found


def facts_from(run_folder: Path) -> dict[str, Any]:
    """Return the facts that a sink of this run would have been given."""
    path = run_folder / "pipeline.yaml"
    text = path.read_text("utf-8") if path.exists() else ""
    page = yaml.safe_load(text) if text else {}
    page = page if isinstance(page, dict) else {}
    return {
        "pipeline": text,
        "name": page.get("name") or run_folder.name,
        "seed": page.get("seed") or 0,
        "receipts": receipts_of(run_folder),
        "engines": page.get("engines") or {},
    }


def last_rows(run_folder: Path) -> list[Path]:
    """Return the shards of the last step that has any and is finished.

    Raises:
        InputError: no step of the run is finished.
    """
    for folder in reversed(step_folders(run_folder)):
        parts = sorted(folder.glob("part-*.parquet"))
        if parts and (folder / "receipt.json").exists():
            return parts
    msg = f"{run_folder}: no finished step with rows; run the pipeline to the end first"
    raise InputError(msg)


def export_run(run_folder: str | Path, to: str | list[str], out: str | Path, **settings: Any) -> Path:
    """Export the last rows of a finished run to a new folder, without running the pipeline again.

    Args:
        run_folder: what `curator run` wrote.
        to: format or formats, see the operator `export`.
        out: the dataset folder to make; must not exist, or be empty. It appears when it is complete.
        settings: further settings of the operator `export`.

    Returns:
        The dataset folder.

    Raises:
        CheckError: a setting is wrong.
        InputError: the run has no finished step, or no row fits the format.
        OutputError: `out` holds something already.
    """
    from curator.ops.export import export

    run, target = Path(run_folder), Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        msg = f"{target}: exists and is not empty; give a new folder or empty this one"
        raise OutputError(msg)
    facts, parts = facts_from(run), last_rows(run)
    settings.setdefault("seed", facts["seed"])
    write = export(to=to, **settings)
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.parent / f".{target.name}.building"
    spill = target.parent / f".{target.name}.spill"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir()
    try:
        view = PartsView(parts, spill)
        try:
            write(view, FolderSink(building, facts))
        finally:
            view.con.close()
        if target.exists():
            target.rmdir()
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(spill, ignore_errors=True)
    return target
