"""A barrier: hand files to something outside, such as a training, and go on only with its result.

Three ways to get past: a result that exists already, a command that makes it, or neither: then the barrier says what it
waits for and stops (exit code 9), and the same call goes on once the result is there. A receipt holds the fingerprints
of what was handed over and of what came back, so a result is never taken for other files than those it was made from.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from curator import table
from curator.errors import CheckError, InputError, OperatorError, Waiting

RESULT, RECEIPT, LOG, MANIFEST = "result.json", "receipt.json", "command.log", "manifest.json"
RESULT_BYTES = 64 << 20  # a result is numbers or an id, not a model: a larger file is the wrong one
LOG_TAIL = 300  # characters of a failed command's log in the message
ASKED_S = 0.5  # between two looks whether the command shall stop


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and bytes of all files of a folder.

    Raises:
        InputError: it cannot be read.
    """
    found = hashlib.sha256()
    try:
        files = sorted(f for f in path.rglob("*") if f.is_file()) if path.is_dir() else [path]
        for file in files:
            name = file.relative_to(path).as_posix() if path.is_dir() else ""
            found.update(f"{name}\0{file.stat().st_size}\0".encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    found.update(block)
    except OSError as e:
        msg = f"barrier: cannot read {path}: {table.describe(e)}"
        raise InputError(msg) from e
    return found.hexdigest()


def pass_barrier(
    folder: Path, inputs: Mapping[str, Path], *, command: str | None = None, timeout: float = 86_400.0,
    stop: Callable[[], None] = lambda: None,
) -> Path:  # fmt: skip
    """Return the result made from `inputs`: the one that is there, or what `command` makes; else stop and say so.

    Args:
        folder: the barrier's own: `manifest.json` (what is handed over), `command.log`, `result.json`, `receipt.json`.
        inputs: name -> file or folder.
        command: run without a shell; `{name}` is the path of an input, `{result}` the file that it must write. It is
            run again only where the inputs or the command itself have changed.
        timeout: seconds the command may take; it is ended after that, with all processes it started.
        stop: asked while the command runs; what it raises ends the command.

    Raises:
        CheckError: the command does not parse, or names neither an input nor `{result}`.
        InputError: an input is missing, or the result belongs to other inputs.
        OperatorError: the command fails, takes too long, or writes no result.
        Waiting: there is no command and no result yet.
    """
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {name: {"path": str(path.resolve()), "sha256": fingerprint(path)} for name, path in inputs.items()}
    prints = {name: m["sha256"] for name, m in manifest.items()}
    result, receipt = folder / RESULT, _read(folder / RECEIPT)
    argv = _argv(command, {**{n: m["path"] for n, m in manifest.items()}, "result": str(result.resolve())})
    known = receipt is not None and receipt.get("inputs") == prints and receipt.get("command") == command
    if known and receipt is not None and result.exists() and receipt.get("result") == fingerprint(result):
        return result
    _write(folder / MANIFEST, manifest)
    began = time.time()
    if argv is not None:
        result.unlink(missing_ok=True)
        _run(argv, folder, timeout, stop)
        if not result.exists():
            msg = f"barrier {folder.name}: the command ended well and wrote no {result}"
            raise OperatorError(msg)
    elif not result.exists():
        made = ", ".join(f"{name} ({m['path']})" for name, m in manifest.items())
        msg = f"barrier {folder.name}: waits for {result}, to be made from {made}; write it and run the same again"
        raise Waiting(msg)
    elif receipt is not None and receipt.get("inputs") != prints:
        msg = f"barrier {folder.name}: {result} was made from other inputs; make it anew, or remove it"
        raise InputError(msg)
    if result.stat().st_size > RESULT_BYTES:
        size = result.stat().st_size
        msg = f"barrier {folder.name}: {result} has {size:,} bytes; a result has at most {RESULT_BYTES:,}"
        raise InputError(msg)
    told = {"inputs": prints, "command": command, "result": fingerprint(result), "seconds": time.time() - began}
    _write(folder / RECEIPT, told)
    return result


def _argv(command: str | None, places: Mapping[str, str]) -> list[str] | None:
    if command is None:
        return None
    try:
        parts = shlex.split(command)
    except ValueError as e:
        msg = f"barrier: the command does not parse ({e}): {command}"
        raise CheckError(msg) from e
    missing = [n for n in places if not any("{" + n + "}" in part for part in parts)]
    if not parts or missing:
        msg = f"barrier: the command must name {' and '.join('{' + n + '}' for n in missing)}: {command}"
        raise CheckError(msg)
    for name, path in places.items():
        parts = [part.replace("{" + name + "}", path) for part in parts]
    return parts


def _run(argv: list[str], folder: Path, timeout: float, stop: Callable[[], None]) -> None:
    """Run the command in a session of its own, its output in the log; end the whole session when time is up."""
    with (folder / LOG).open("wb") as log:
        try:
            process = subprocess.Popen(
                argv, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as e:
            msg = f"barrier {folder.name}: cannot run {argv[0]}: {table.describe(e)}"
            raise OperatorError(msg) from e
        until = time.monotonic() + timeout
        try:
            while (code := _waited(process, min(ASKED_S, until - time.monotonic()))) is None:
                stop()
                if time.monotonic() >= until:
                    raise subprocess.TimeoutExpired(argv, timeout)
        except subprocess.TimeoutExpired:
            msg = f"barrier {folder.name}: the command took longer than {timeout:g} s and was ended"
            raise OperatorError(msg) from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if code:
        tail = " ".join((folder / LOG).read_text("utf-8", "replace")[-LOG_TAIL:].split())
        msg = f"barrier {folder.name}: the command ended with code {code}: {tail or 'it said nothing'}"
        raise OperatorError(msg)


def _waited(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _write(path: Path, value: Any) -> None:
    table.write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())
