"""The segment file of the response store: framed records, appended by one writer, read by anybody at any time.

A segment is a row of records, nothing else. A record is a head (`HEAD`) and a payload (JSON):

| field | bytes | meaning |
|---|---|---|
| magic | 4 | `MAGIC`; where a record is damaged, reading goes on at the next one |
| crc | 4 | CRC-32 of everything after it, head and payload |
| length | 4 | bytes of the payload |
| asked | 4 | `max_tokens` the answer was asked with |
| cut | 1 | 1 where the answer was cut at that limit (`finish_reason` length) |
| key | 16 | response key |

What is needed to choose between records stands in the head, so that opening a store parses no JSON. A record that was
not written to its end (kill -9, a full disk) has a wrong CRC or no end and is not seen.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MAGIC = b"\xa7TC1"
HEAD = struct.Struct("<4sIIIB16s")
_BODY = struct.Struct("<IIB16s")  # the head after the CRC
MAX_PAYLOAD = 1 << 30  # a length above this is damage, not an answer


class Head(NamedTuple):
    """Where a record lies and what its head says. `offset`, `length`: of the payload, in bytes."""

    key: bytes
    offset: int
    length: int
    asked: int
    cut: bool


def frame(key: bytes, payload: bytes, asked: int, *, cut: bool) -> bytes:
    """Return one record as bytes."""
    crc = zlib.crc32(payload, zlib.crc32(_BODY.pack(len(payload), asked, cut, key)))
    return HEAD.pack(MAGIC, crc, len(payload), asked, cut, key) + payload


def scan(path: Path, start: int = 0) -> Iterator[Head]:
    """Yield the whole records of a segment from byte `start` on, in order; damaged and half-written ones are skipped.

    Raises:
        OSError: the file cannot be read (FileNotFoundError where another process has compacted it).
    """
    with path.open("rb") as f:
        size = os.fstat(f.fileno()).st_size
        if size - start < HEAD.size:
            return
        with mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield from _records(data, start, size)


def _records(data: mmap.mmap, at: int, size: int) -> Iterator[Head]:
    while at + HEAD.size <= size:
        magic, crc, length, asked, cut, key = HEAD.unpack_from(data, at)
        begin = at + HEAD.size
        end = begin + length
        whole = magic == MAGIC and length <= MAX_PAYLOAD and end <= size
        if whole and zlib.crc32(data[at + 8 : end]) == crc:
            yield Head(key, begin, length, asked, bool(cut))
            at = end
        else:
            at = data.find(MAGIC, at + 1)
            if at < 0:
                return


def read(fd: int, offset: int, length: int) -> bytes | None:
    """Return the payload at `offset`, checked against its CRC; None where it is damaged."""
    block = os.pread(fd, HEAD.size + length, offset - HEAD.size)
    if len(block) != HEAD.size + length or block[:4] != MAGIC:
        return None
    if zlib.crc32(memoryview(block)[8:]) != int.from_bytes(block[4:8], "little"):
        return None
    return block[HEAD.size :]
