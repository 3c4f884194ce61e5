"""Which files a path means: a file, a glob, a folder, a folder that `datasets` saved."""

from __future__ import annotations

import json
from pathlib import Path

from curator.errors import InputError
from curator.near import hint

FORMATS = {
    ".parquet": "parquet", ".pq": "parquet",
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".jsonl.zst": "jsonl", ".jsonl.gz": "jsonl", ".ndjson.zst": "jsonl",
    ".ndjson.gz": "jsonl", ".csv": "csv", ".csv.gz": "csv", ".csv.zst": "csv", ".tsv": "csv", ".json": "json",
    ".arrow": "arrow",
}  # fmt: skip


def format_of(name: str) -> str | None:
    """Return parquet, jsonl, csv, json or arrow, from the end of a file name; None where it says nothing."""
    low = name.lower()
    return next((kind for end, kind in sorted(FORMATS.items(), key=lambda e: -len(e[0])) if low.endswith(end)), None)


def resolve(paths: list[str], split: str | None) -> list[Path]:
    """Return the files behind `paths`, those of one folder or glob sorted by name, without repeats.

    Raises:
        InputError: nothing is there (with the near miss), or a file of a format that is not known.
    """
    found = [file for path in paths for file in _expand(path, split)]
    return list(dict.fromkeys(found))


def _expand(text: str, split: str | None) -> list[Path]:
    path = Path(text).expanduser()
    if path.is_dir():
        return _folder(path, split)
    if path.exists():
        if format_of(path.name) is None:
            msg = f"cannot tell the format of {path} from its name; known endings are {', '.join(FORMATS)}"
            raise InputError(msg)
        return [path]
    if any(c in text for c in "*?["):
        fixed = next(i for i, part in enumerate(path.parts) if any(c in part for c in "*?["))
        root = Path(*path.parts[:fixed])
        hits = sorted(p for p in root.glob(str(Path(*path.parts[fixed:]))) if p.is_file())
        hits = [p for p in hits if format_of(p.name)]
        if not hits:
            msg = f"no file matches {text}"
            raise InputError(msg)
        return hits
    raise InputError(_missing(path))


def _missing(path: Path) -> str:
    parent = path.parent
    while not parent.exists():
        path, parent = parent, parent.parent
    names = sorted(p.name for p in parent.iterdir()) if parent.is_dir() else []
    near = hint(path.name, [n for n in names if not n.startswith(".")])
    return f"no such file: {path}{near}"


def _folder(folder: Path, split: str | None) -> list[Path]:
    if (folder / "dataset_dict.json").is_file():
        splits = json.loads((folder / "dataset_dict.json").read_text())["splits"]
        chosen = split or ("train" if "train" in splits else splits[0] if len(splits) == 1 else "")
        if chosen not in splits:
            asked = f"split '{split}' is not in {folder}" if split else f"{folder} has several splits; say split"
            msg = f"{asked}: {', '.join(splits)}"
            raise InputError(msg)
        return _folder(folder / chosen, None)
    if (folder / "state.json").is_file():
        state = json.loads((folder / "state.json").read_text())
        return [folder / entry["filename"] for entry in state["_data_files"]]
    files = [
        p
        for p in sorted(folder.rglob("*"))
        if p.is_file() and format_of(p.name) and not any(part.startswith(".") for part in p.relative_to(folder).parts)
    ]
    if not files:
        msg = f"{folder} holds no file that can be read; known endings are {', '.join(FORMATS)}"
        raise InputError(msg)
    return files
