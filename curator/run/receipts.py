"""Receipts: what made a step's rows, so that they are reused exactly when they would come out the same.

The key of a step is the hash of operator, version, settings, seed where it is used, the identity of the engines, the
keys of the steps before it and the input files its settings name. A receipt is written last; its presence with the
right key means done.
"""

from __future__ import annotations

import glob
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from curator import table
from curator.errors import CheckError
from curator.flow import hook
from curator.pipeline import Pipeline, Step

Receipt = dict[str, Any]

SETTINGS_THAT_ARE_NOT_FILES = 1024  # characters: longer strings are SQL or prompts, not paths


def digest(value: Any) -> str:
    """Return 32 hex digits that stand for any JSON-like value; order of keys does not count."""
    text = json.dumps(value, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def lasting(receipt: Mapping[str, Any]) -> Receipt:
    """Return a receipt without what an interruption or another machine would change: times, shards, answers reused."""
    kept = {k: v for k, v in receipt.items() if k not in ("seconds", "started", "finished", "parts")}
    use = receipt.get("engines") or {}
    return kept | {"engines": {a: {k: n for k, n in u.items() if k not in ("cached", "paid")} for a, u in use.items()}}


def settings_of(step: Step, pipeline: Pipeline) -> dict[str, Any]:
    """Return the bound settings, with the pipeline's seed where the operator has a `seed` and none was given."""
    bound = dict(step.bound)
    if "seed" in bound and bound["seed"] is None:
        bound["seed"] = pipeline.seed
    return bound


def key(
    step: Step,
    pipeline: Pipeline,
    *,
    parent: str | None,
    inputs: Mapping[str, str],
    identities: Mapping[str, Mapping[str, str]],
    limit: int | None = None,
    wanted: Any = None,
) -> str:
    """Return the key of a step.

    `identities`: engine alias -> identity; `limit`: rows read, for the source; `wanted`: see `refill`.
    """
    settings = settings_of(step, pipeline)
    settings = step.with_engines(settings, lambda alias: dict(identities[alias]))
    made_of = {"op": step.op.name, "version": step.op.version, "settings": settings, "parent": parent}
    made_of["inputs"] = sorted(inputs.values())
    if step.kind == "source":
        made_of["limit"] = limit
    if wanted is not None:
        made_of["wanted"] = wanted
    return digest(made_of)


def input_files(step: Step) -> Iterator[Path]:
    """Yield the files that the settings of `step` name: paths, folders (all files in them) and globs that exist.

    An operator with the hook `inputs(settings)` (see `curator.flow`) says itself. For the others, any text setting that
    names an existing file counts, whatever it is called: reading one file too many costs a hash, missing one would
    reuse rows of an input that changed.
    """
    say = hook(step.op, "inputs")
    if say is not None:
        yield from map(Path, say(step.bound))
        return
    for value in step.bound.values():
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str | Path) and 0 < len(str(text)) < SETTINGS_THAT_ARE_NOT_FILES:
                yield from _files(str(text))


def _files(text: str) -> Iterator[Path]:
    if "\n" in text or "\0" in text or not ("/" in text or "." in text):
        return
    try:
        found = sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else [text]  # noqa: PTH207 - any root
        for path in map(Path, found):
            if path.is_dir():
                yield from (f for f in sorted(path.rglob("*")) if f.is_file())
            elif path.is_file():
                yield path
    except OSError:  # a text that is no path at all
        return


class Fingerprints:
    """Content hashes of input files, remembered by size and modification time so that a big file is read once."""

    def __init__(self, memo: Path) -> None:
        self.memo = memo
        self._known: dict[str, list[Any]] = read_json(memo) or {}
        self._new = False

    def of(self, path: Path) -> str:
        """Return the BLAKE2 hash (hex) of the content of `path`. Raises InputError where it cannot be read."""
        name = str(path.resolve())
        try:
            stat = path.stat()
            held = self._known.get(name)
            if held and held[:2] == [stat.st_size, stat.st_mtime_ns]:
                return str(held[2])
            with path.open("rb") as f:
                found = hashlib.file_digest(f, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
        except OSError as e:
            raise table.unreadable(path, e) from e
        self._known[name] = [stat.st_size, stat.st_mtime_ns, found]
        self._new = True
        return found

    def save(self) -> None:
        """Keep what was learned, beside the run."""
        if self._new:
            write_json(self.memo, self._known)


def read_json(path: Path) -> dict[str, Any] | None:
    """Return the object in a JSON file; None where there is none, or only a broken one (it is then made again)."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write_json(path: Path, value: Mapping[str, Any], *, sync: bool = True) -> None:
    """Write `value` as JSON, atomically; `sync` as in `table.write_bytes`."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str)
    table.write_bytes(path, text.encode("utf-8", "surrogatepass") + b"\n", sync=sync)


def need_json(path: Path, what: str) -> dict[str, Any]:
    """Return the object in a JSON file that must be there. Raises CheckError, naming `what` is missing."""
    found = read_json(path)
    if found is None:
        msg = f"{path.parent} holds no {what}: {path.name} is missing; run the pipeline there first"
        raise CheckError(msg)
    return found


def add_up(stats: Sequence[Mapping[str, Any]]) -> Receipt:
    """Return the sum of the numbers of several shards: rows, reasons, counts, and the use of each engine."""
    total: Receipt = {"rows_in": 0, "made": 0, "out": 0, "dropped": 0, "reasons": {}, "counts": {}, "engines": {}}
    total["seconds"] = round(busy([list(one["span"]) for one in stats if "span" in one]), 3)
    for one in stats:
        for name in ("rows_in", "made", "out", "dropped"):
            total[name] += one.get(name, 0)
        for name in ("reasons", "counts"):
            for label, n in one.get(name, {}).items():
                total[name][label] = total[name].get(label, 0) + n
        for alias, use in one.get("engines", {}).items():
            held = total["engines"].setdefault(alias, {})
            for label, n in use.items():
                held[label] = held.get(label, 0) + n
    total["reasons"] = dict(sorted(total["reasons"].items()))
    total["counts"] = dict(sorted(total["counts"].items()))
    return total


def busy(spans: list[list[float]]) -> float:
    """Return the seconds covered by at least one span (start, end): shards under way together count once."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total
