"""Row-wise formats (JSONL, JSON, CSV): lines in, records or quarantined lines out, in bounded memory."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from curator.errors import InputError
from curator.reading.files import format_of


class Bad(NamedTuple):
    """A row that cannot be used: where it stands, a reason code, why in words, and how it begins."""

    place: str
    reason: str
    detail: str
    start: str


Record = tuple[int, dict[str, Any] | Bad]


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed by its ending (.gz, .zst)."""
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        return io.BufferedReader(_Zstd(path), 1 << 20)
    return path.open("rb", buffering=1 << 20)


class _Zstd(io.RawIOBase):
    """Decompressed bytes of a .zst file. Zstandard's own reader takes a file that is cut off for one that ends."""

    def __init__(self, path: Path) -> None:
        import zstandard

        self._file = path.open("rb")
        self._new = zstandard.ZstdDecompressor().decompressobj
        self._frame: Any = None
        self._ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            raw = self._frame.unused_data if self._frame is not None and self._frame.eof else b""
            raw = raw or self._file.read(1 << 17)
            if not raw:
                if self._frame is not None and not self._frame.eof:
                    raise EOFError("the compressed data ends in the middle")
                return 0
            if self._frame is None or self._frame.eof:
                self._frame = self._new()
            self._ready = memoryview(self._frame.decompress(raw))
        size = min(len(buffer), len(self._ready))
        buffer[:size], self._ready = self._ready[:size], self._ready[size:]
        return size

    def close(self) -> None:
        self._file.close()
        super().close()


def records(path: Path, max_row_bytes: int) -> Iterator[Record]:
    """Yield (line or row number from 1, record or Bad) of a JSONL, JSON or CSV file.

    Raises:
        InputError: the file as a whole cannot be read.
    """
    kind = format_of(path.name)
    reader = {"jsonl": _jsonl, "json": _json, "csv": _csv}[kind or ""]
    try:
        yield from reader(path, max_row_bytes)
    except (OSError, EOFError) as e:
        msg = f"{path}: cannot be read to its end ({e}); is it cut off?"
        raise InputError(msg) from e
    except Exception as e:
        if type(e).__module__.startswith("zstandard"):
            msg = f"{path}: cannot be decompressed ({e}); is it cut off?"
            raise InputError(msg) from e
        raise


def _lines(path: Path, limit: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield (line number, line, its bytes); of a line above the limit only the first 200 bytes."""
    with open_bytes(path) as file:
        number = 0
        while line := file.readline(limit + 1):
            number += 1
            size = len(line)
            if size > limit and not line.endswith(b"\n"):
                head, line = line[:200], b""
                while rest := file.readline(1 << 20):
                    size += len(rest)
                    if rest.endswith(b"\n"):
                        break
                yield number, head, size
            else:
                yield number, line, size


def too_large(place: str, size: int, limit: int, start: str) -> Bad:
    """Return the quarantine entry of a row above `max_row_bytes`."""
    return Bad(place, "row_too_large", f"{size} bytes, max_row_bytes is {limit}", start)


def _start(raw: bytes) -> str:
    return raw[:200].decode("utf-8", "replace")


def _jsonl(path: Path, limit: int) -> Iterator[Record]:
    for number, line, size in _lines(path, limit):
        place = f"{path}:{number}"
        if size > limit:
            yield number, too_large(place, size, limit, _start(line))
            continue
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if line.isspace():
            continue
        value = _parse(line)
        if isinstance(value, dict):
            yield number, value
        else:
            why = value if isinstance(value, str) else "not a JSON object"
            yield number, Bad(place, "bad_line", why, _start(line))


def _parse(line: bytes) -> Any:
    """Return the JSON value of a line, or a string that says why there is none."""
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        try:  # the standard library also takes NaN and Infinity, which Python programs write
            value = json.loads(line)
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeDecodeError as e:
            return f"invalid UTF-8 at byte {e.start}"
        except UnicodeEncodeError:
            return "half a surrogate pair, which is not text"
        except (ValueError, RecursionError) as e:
            return f"broken JSON: {e}"
    return value if not isinstance(value, str) else "not a JSON object"


def _json(path: Path, limit: int) -> Iterator[Record]:
    raw = path.read_bytes()
    value = _parse(raw)
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list)]
        value = lists[0] if len(lists) == 1 else value
    if not isinstance(value, list):
        why = f": {value}" if isinstance(value, str) else "; it must be a list of objects"
        msg = f"{path}: not a JSON table{why}. One object a line is JSONL: name the file .jsonl"
        raise InputError(msg)
    for number, item in enumerate(value, 1):
        place = f"{path}:{number}"
        if not isinstance(item, dict):
            yield number, Bad(place, "bad_line", "not a JSON object", str(item)[:200])
        elif len(raw) > limit and (size := len(json.dumps(item))) > limit:
            yield number, too_large(place, size, limit, str(item)[:200])
        else:
            yield number, item


def _csv(path: Path, limit: int) -> Iterator[Record]:
    old = csv.field_size_limit(max(limit, 131072))
    delimiter = "\t" if path.name.lower().split(".csv")[0].endswith(".tsv") else ","
    try:
        with io.TextIOWrapper(open_bytes(path), "utf-8-sig", errors="surrogateescape", newline="") as text:
            reader = csv.reader(text, delimiter=delimiter, strict=True)
            yield from _csv_rows(path, reader, limit)
    finally:
        csv.field_size_limit(old)


def _csv_rows(path: Path, reader: Any, limit: int) -> Iterator[Record]:
    header = next(reader, None) or []
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            place = f"{path}:{reader.line_num}"
            if "field limit" in str(e):
                yield reader.line_num, Bad(place, "row_too_large", f"a field alone; max_row_bytes is {limit}", "")
            else:
                yield reader.line_num, Bad(place, "bad_line", f"broken CSV: {e}", "")
            continue
        number, place = reader.line_num, f"{path}:{reader.line_num}"
        joined = ",".join(row)
        if not row:
            continue
        if len(row) != len(header):
            why = f"{len(row)} fields, the header has {len(header)}"
            yield number, Bad(place, "bad_line", why, _start(joined[:200].encode("utf-8", "replace")))
        elif len(joined) > limit:
            yield number, too_large(place, len(joined), limit, joined[:200])
        elif not joined.isascii() and any("\udc80" <= c <= "\udcff" for c in joined):
            yield number, Bad(place, "bad_line", "invalid UTF-8", _start(joined[:200].encode("utf-8", "replace")))
        else:
            yield number, {k: (_scalar(v) if v != "" else None) for k, v in zip(header, row, strict=True)}


class Text(str):
    """A CSV field: text that may turn out to be a number once the whole column is known."""

    __slots__ = ()


def _scalar(text: str) -> Text:
    return Text(text)
