"""Export a finished run again, in another format, without running anything."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

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

    def refuse(self, rows: Any) -> None:
        """Keep nothing: the folder itself lists them in `left_out/`, and a finished run's ledger is not touched."""

    @property
    def folder(self) -> Path:
        """The folder."""
        return self._folder

    @property
    def run(self) -> Mapping[str, Any]:
        """Pipeline text, name, seed, receipts, engines."""
        return self._run


def facts_from(run_folder: Path, receipts: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the facts that a sink of this run would have been given."""
    from curator.run.receipts import lasting

    path = run_folder / "pipeline.yaml"
    text = path.read_text("utf-8") if path.exists() else ""
    try:
        page = yaml.safe_load(text)
    except yaml.YAMLError as e:
        msg = f"{path}: not YAML any more ({str(e).splitlines()[0]}); run the pipeline again to write it anew"
        raise InputError(msg) from e
    page = page if isinstance(page, dict) else {}
    past = [lasting(receipt) for receipt in receipts if receipt.get("kind") != "sink"]
    return {
        "pipeline": text,
        "name": page.get("name") or run_folder.name,
        "seed": page.get("seed") or 0,
        "receipts": past,
        "engines": page.get("engines") or {},
    }


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
        CheckError: a setting is wrong, or the folder holds no finished run.
        InputError: a file of the run cannot be read, or no row fits the format.
        OutputError: `out` holds something already, or cannot be written.
    """
    from curator import table
    from curator.op import find
    from curator.run.result import Run

    run, target = Run(Path(run_folder)), Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        msg = f"{target}: exists and is not empty; give a new folder or empty this one"
        raise OutputError(msg)
    facts = facts_from(run.folder, run.receipts)
    files = run.files(-1)
    op = find("export")
    write = op.factory(to=to, **{"seed": facts["seed"], **settings})
    _need(table.schema_of(files).names, op.needs({**_defaults(op), "to": to, **settings}), run.folder)
    building = target.with_name(f".{target.name}.building")
    spill = target.with_name(f".{target.name}.spill")
    try:
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        view = table.TableView(files, spill)
        try:
            write(view, FolderSink(building, facts))
        finally:
            view.close()
        if target.exists():
            target.rmdir()
        building.rename(target)
    except OSError as e:
        raise table.cannot_write(target, e) from e
    finally:
        shutil.rmtree(building, ignore_errors=True)
        shutil.rmtree(spill, ignore_errors=True)
    return target


def _defaults(op: Any) -> dict[str, Any]:
    return {s.name: s.default for s in op.settings}


def _need(have: list[str], needs: tuple[str, ...], folder: Path) -> None:
    missing = [n for n in needs if n not in have]
    if missing:
        msg = (
            f"{folder}: the last rows have no column '{missing[0]}', which this format needs (have: {', '.join(have)})"
        )
        raise InputError(msg)
