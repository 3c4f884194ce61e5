"""Push a finished dataset folder to the Hugging Face Hub. The token comes from `HF_TOKEN` and goes nowhere else."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

from curator.errors import CheckError, OutputError

_REPO = re.compile(r"^[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}$")


def ready(repo_id: str) -> None:
    """Say before the first row what a push would fail on at the end.

    Raises:
        CheckError: the id is not `owner/name`, the extra is not installed, or `HF_TOKEN` is not set.
    """
    if not _REPO.match(repo_id) or ".." in repo_id or "--" in repo_id:
        msg = f"export: push '{repo_id}' is not an id of the form owner/name"
        raise CheckError(msg)
    if importlib.util.find_spec("huggingface_hub") is None:
        msg = 'export: push needs huggingface_hub; run: pip install "trace-curator[hub]"'
        raise CheckError(msg)
    if not os.environ.get("HF_TOKEN"):
        msg = f"export: push to '{repo_id}' needs the environment variable HF_TOKEN (a token with write access)"
        raise CheckError(msg)


def push(folder: Path, repo_id: str, *, private: bool = True, message: str = "Add dataset") -> str:
    """Upload `folder` as dataset `repo_id` in one commit and return the commit's address.

    Files that are already there unchanged are not uploaded again. `HF_ENDPOINT` names another server.

    Raises:
        CheckError: see `ready`.
        OutputError: the server refused or cannot be reached.
    """
    ready(repo_id)
    from huggingface_hub import HfApi
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    token = os.environ["HF_TOKEN"]
    api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token)
    quiet = not sys.stderr.isatty() and not are_progress_bars_disabled()
    if quiet:
        disable_progress_bars()
    try:
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id, repo_type="dataset", folder_path=folder, commit_message=message, ignore_patterns=[".*"]
        )
    except Exception as e:  # the library raises its own, its transport's and the system's errors
        text = re.sub(r"\s+", " ", str(e)).replace(token, "***")[:300]
        msg = f"export: push to '{repo_id}' failed: {type(e).__name__}: {text} (run again to push)"
        raise OutputError(msg) from None
    finally:
        if quiet:
            enable_progress_bars()
    return str(commit.commit_url)
