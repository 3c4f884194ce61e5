"""Housekeeping of the response store: what lies in it, Parquet made of old segments, answers thrown away on request.

Plain functions that return rows (dicts), for `curator store ls|stats|gc|verify`. A segment counts as written to while
its process lives (same host) or for an hour after its last change (another host); such segments are never touched.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curator.engines import segments
from curator.engines.store import Record, segment_name
from curator.errors import InputError

GROUP = 1024  # rows of a Parquet row group: what one look-up reads
_FOREIGN_QUIET = 3600.0  # seconds
SCHEMA = pa.schema(
    [
        ("key", pa.binary(16)),
        ("max_tokens", pa.int64()),
        ("cut", pa.bool_()),
        ("engine", pa.string()),
        ("model", pa.string()),
        ("at", pa.int64()),
        ("payload", pa.large_string()),
    ]
)


def read_group(path: Path, group: int) -> pa.Table:
    """Return one row group of a compacted file, the columns of a record."""
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, columns=["key", "max_tokens", "cut", "payload"])


def records(file: Path) -> Iterator[Record]:
    """Yield the whole records of a segment or a compacted file, in order."""
    if file.suffix == ".parquet":
        with pq.ParquetFile(file) as parquet:
            for group in range(parquet.num_row_groups):
                for r in parquet.read_row_group(group).to_pylist():
                    yield Record(r["key"], r["max_tokens"], r["cut"], orjson.loads(r["payload"]))
        return
    fd = os.open(file, os.O_RDONLY)
    try:
        for head in segments.scan(file):
            payload = segments.read(fd, head.offset, head.length)
            if payload is not None:
                yield Record(head.key, head.asked, head.cut, orjson.loads(payload))
    finally:
        os.close(fd)


def ls(path: str | Path) -> list[dict[str, Any]]:
    """Return one row a file: file, kind, answers, bytes, written (seconds since 1970), live."""
    rows = []
    for file in _files(path):
        stat = file.stat()
        count = pq.read_metadata(file).num_rows if file.suffix == ".parquet" else sum(1 for _ in segments.scan(file))
        rows.append(
            {
                "file": file.name,
                "kind": "parquet" if file.suffix == ".parquet" else "segment",
                "answers": count,
                "bytes": stat.st_size,
                "written": int(stat.st_mtime),
                "live": is_live(file),
            }  # fmt: skip
        )
    return rows


def stats(path: str | Path) -> list[dict[str, Any]]:
    """Return one row an engine kind and model: answers, cut, scores, tokens_in, tokens_out, oldest, newest."""
    groups: dict[tuple[str, str], dict[str, Any]] = {}
    for file in _files(path):
        for r in records(file):
            p = r.payload
            name = (p.get("engine", ""), p.get("model", ""))
            empty = {"answers": 0, "cut": 0, "scores": 0, "tokens_in": 0, "tokens_out": 0}
            g = groups.setdefault(name, {"engine": name[0], "model": name[1], **empty, "oldest": p["at"], "newest": 0})
            g["answers"] += 1
            g["cut"] += r.cut
            g["scores"] += "score" in p
            g["tokens_in"] += p.get("prompt", 0)
            g["tokens_out"] += p.get("n", 0)
            g["oldest"], g["newest"] = min(g["oldest"], p["at"]), max(g["newest"], p["at"])
    return [groups[name] for name in sorted(groups)]


def verify(path: str | Path) -> list[dict[str, Any]]:
    """Return one row a file with the bytes that belong to no whole record (`damaged`), most of the time 0."""
    rows = []
    for file in _files(path):
        if file.suffix == ".seg":
            held = sum(segments.HEAD.size + head.length for head in segments.scan(file))
            rows.append({"file": file.name, "damaged": file.stat().st_size - held})
        else:
            rows.append({"file": file.name, "damaged": 0 if _readable(file) else file.stat().st_size})
    return rows


def _readable(file: Path) -> bool:
    try:
        return all(True for _ in records(file))
    except (OSError, pa.ArrowException, ValueError):
        return False


def compact(path: str | Path) -> list[dict[str, Any]]:
    """Write all segments nobody writes to, and earlier compacted files, into one Parquet file.

    Of two answers to one key the finished one is kept, else the longer, else the first. Returns one row: files,
    answers, bytes_before, bytes_after.
    """
    return _rewrite(path, lambda _record: False)


def gc(
    path: str | Path, *, older_than: float | None = None, engine: str | None = None, model: str | None = None
) -> list[dict[str, Any]]:
    """Throw away the answers that meet *all* given conditions, and compact the rest.

    Args:
        path: folder of the store.
        older_than: age in days.
        engine: kind of the engine (`openai`, `pocket`, ...).
        model: model name as recorded.

    Returns:
        One row: files, answers, removed, bytes_before, bytes_after.

    Raises:
        InputError: no condition is given.
    """
    if older_than is None and engine is None and model is None:
        msg = "gc needs a condition: older_than (days), engine or model; `compact` tidies without throwing away"
        raise InputError(msg)
    limit = None if older_than is None else time.time() - older_than * 86400

    def unwanted(r: Record) -> bool:
        p = r.payload
        return (
            (limit is None or p["at"] < limit)
            and (engine is None or p.get("engine") == engine)
            and (model is None or p.get("model") == model)
        )

    return _rewrite(path, unwanted)


def _rewrite(path: str | Path, unwanted: Callable[[Record], bool]) -> list[dict[str, Any]]:
    files = [f for f in _files(path) if not is_live(f)]
    best: dict[bytes, tuple[int, int, bool, int]] = {}
    removed = 0
    for number, file in enumerate(files):
        for row, r in enumerate(records(file)):
            if unwanted(r):
                removed += 1
                continue
            held = best.get(r.key)
            if held is None or (held[2] and (not r.cut or held[3] < r.asked)):
                best[r.key] = (number, row, r.cut, r.asked)
    before = sum(f.stat().st_size for f in files)
    after = 0
    if best:
        name = "compact-" + segment_name().removesuffix(".seg") + ".parquet"
        after = _write(Path(path) / name, files, best)
    for file in files:
        file.unlink(missing_ok=True)
    told = {"files": len(files), "answers": len(best), "removed": removed, "bytes_before": before, "bytes_after": after}
    return [told]


def _write(target: Path, files: list[Path], best: Mapping[bytes, tuple[int, int, bool, int]]) -> int:
    """Write the chosen records; the file appears whole or not at all."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    with pq.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer:
        pending: list[dict[str, Any]] = []
        for number, file in enumerate(files):
            for row, r in enumerate(records(file)):
                if best.get(r.key, (None, None))[:2] != (number, row):
                    continue
                p = r.payload
                pending.append(
                    {
                        "key": r.key,
                        "max_tokens": r.asked,
                        "cut": r.cut,
                        "engine": p.get("engine"),
                        "model": p.get("model"),
                        "at": p["at"],
                        "payload": orjson.dumps(p).decode(),
                    }  # fmt: skip
                )
                if len(pending) == GROUP:
                    writer.write_table(pa.Table.from_pylist(pending, SCHEMA), row_group_size=GROUP)
                    pending = []
        if pending:
            writer.write_table(pa.Table.from_pylist(pending, SCHEMA), row_group_size=GROUP)
    with temporary.open("rb") as f:
        os.fsync(f.fileno())  # the segments go next
    temporary.replace(target)
    return target.stat().st_size


def is_live(file: Path) -> bool:
    """Say whether a process may still append to this file."""
    if file.suffix != ".seg":
        return False
    _, _, rest = file.name.partition("-")
    host, pid, _ = (rest.split("-") + ["", ""])[:3]
    here = "".join(c for c in socket.gethostname() if c.isalnum())[:32] or "host"
    if host != here:
        return time.time() - file.stat().st_mtime < _FOREIGN_QUIET
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        return True
    return True


def _files(path: str | Path) -> list[Path]:
    """Return the files of a store, compacted ones first, each kind by age."""
    folder = Path(path)
    if not folder.is_dir():
        msg = f"no response store at {folder}"
        raise InputError(msg)
    found = [f for f in folder.iterdir() if f.suffix in (".seg", ".parquet") and not f.name.startswith(".")]
    return sorted(found, key=lambda f: (f.suffix == ".seg", f.name))
