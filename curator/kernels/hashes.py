"""How words are hashed: eight bytes at a time, since nine words in ten are no longer.

The characters of a word, folded, are written one after another: below 128 as one byte, `_` as 0x7F; others as three
bytes of seven bits, lowest first, each with its top bit set. No two words write the same bytes, and no byte is 0. They
are read as little-endian integers of 64 bits, the last one filled up with zeros, and each is mixed into the hash. The
mixing is one to one: different words of up to eight bytes never share a hash (but for one word whose hash would be 0).

`curator.words.HASHED` is the version of this: hashes are kept in the indexes of `dedup`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import part

START = np.uint64(0xCBF29CE484222325)


@part
def finish(h: Any) -> Any:  # pragma: no cover - compiled
    """Return the hash of a character or a piece, mixed so that all its bits depend on all of it; never 0."""
    h ^= h >> np.uint64(32)
    h *= np.uint64(0xD6E8FEB86659FD93)
    h ^= h >> np.uint64(32)
    return h if h != 0 else np.uint64(1)


@part
def add(h: Any, eight: Any) -> Any:  # pragma: no cover - compiled
    """Return the hash with eight more bytes: all its bits depend on all of both; never 0, which stands for no word.

    The mixing is the end of MurmurHash3 (Appleby, public domain).
    """
    h ^= eight
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xFF51AFD7ED558CCD)
    h ^= h >> np.uint64(33)
    h *= np.uint64(0xC4CEB9FE1A85EC53)
    h ^= h >> np.uint64(33)
    return h if h != 0 else np.uint64(1)


@part
def folded(eight: Any) -> Any:  # pragma: no cover - compiled
    """Return eight bytes `[A-Za-z0-9_]` or 0 in lower case: the bit of 64 sets that of 32, which makes `_` 0x7F."""
    return eight | (eight & np.uint64(0x4040404040404040)) >> np.uint64(1)


@part
def take(point: Any, h: Any, chunk: Any, filled: Any) -> Any:  # pragma: no cover - compiled
    """Take one more folded character: return (hash, the chunk begun, bits of it that are filled)."""
    eight = np.uint64(8)
    if point < 128:
        put, bits = np.uint64(point) | (np.uint64(point) & np.uint64(64)) >> np.uint64(1), eight
    else:
        low, middle, high = np.uint64(point & 127), np.uint64(point >> 7 & 127), np.uint64(point >> 14)
        put, bits = np.uint64(0x808080) | low | middle << eight | high << np.uint64(16), np.uint64(24)
    chunk |= put << filled
    filled += bits
    if filled >= 64:
        filled -= np.uint64(64)
        h, chunk = add(h, chunk), put >> (bits - filled)
    return h, chunk, filled
