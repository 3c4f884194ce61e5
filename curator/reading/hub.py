"""Data sets on the Hugging Face hub: which files a name stands for, and those files on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from curator.errors import CheckError, InputError
from curator.near import hint
from curator.reading.files import format_of

_PLAIN = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class HubName(NamedTuple):
    """Owner/name, configuration and split, as written in `hf:owner/name[:config[:split]]`."""

    repo: str
    config: str | None
    split: str | None


def is_hub(path: str) -> bool:
    """Return whether a path names a hub data set: `hf:` before it, or owner/name where no such file is there."""
    if path.startswith("hf:"):
        return True
    return bool(_PLAIN.fullmatch(path)) and format_of(path) is None and not Path(path.split("/")[0]).exists()


def parse(path: str) -> HubName:
    """Split `hf:owner/name[:config[:split]]`."""
    repo, _, rest = path.removeprefix("hf:").partition(":")
    config, _, split = rest.partition(":")
    return HubName(repo, config or None, split or None)


def files(path: str, split: str | None) -> list[Path]:
    """Download the files of one split (into the hub's own cache, at the resolved revision) and return them.

    Raises:
        CheckError: the extra `hub` is not installed.
        InputError: no such data set, configuration or split, the hub cannot be reached, or files of another format.
    """
    try:
        import datasets
        from huggingface_hub import HfFileSystem, hf_hub_download
    except ImportError as e:
        msg = f"read: {path} needs the hub libraries: pip install 'trace-curator[hub]'"
        raise CheckError(msg) from e
    name = parse(path)
    try:
        builder = datasets.load_dataset_builder(name.repo, name.config)
    except Exception as e:
        why = str(e).split("\n")[0]
        msg = f"{path}: cannot be opened on the hub ({type(e).__name__}: {why}); nor is it a file here"
        raise InputError(msg) from e
    found = builder.config.data_files or {}
    wanted = name.split or split or ("train" if "train" in found else next(iter(found), ""))
    if wanted not in found:
        msg = f"{path}: no split '{wanted}'{hint(str(wanted), map(str, found))}; splits: {', '.join(map(str, found))}"
        raise InputError(msg)
    system, local = HfFileSystem(), []
    for url in found[wanted]:
        place = system.resolve_path(str(url).removeprefix("hf://"))
        if format_of(place.path_in_repo) is None:
            msg = f"{path}: {place.path_in_repo} is of a format that is not known"
            raise InputError(msg)
        local.append(
            Path(hf_hub_download(place.repo_id, place.path_in_repo, repo_type="dataset", revision=place.revision))
        )
    return local
