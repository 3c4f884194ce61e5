"""Word n-grams straight from Arrow buffers: token hashes, rolling gram hashes, lookups in a hash table.

A word is a run of ASCII letters, digits, `_` and bytes above 127; A-Z count as a-z. Text that is not ASCII comes in
already split (`curator.words.kernel_text`), so that a byte above 127 is always part of a word.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_BASE = np.uint64(0x9E3779B97F4A7C15)


def _word_bytes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    table = np.zeros(256, np.uint8)
    for byte in b"0123456789_abcdefghijklmnopqrstuvwxyz":
        table[byte] = byte
    for byte in b"ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        table[byte] = byte + 32
    table[128:] = np.arange(128, 256)
    return table


WORD_BYTES = _word_bytes()


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def token_hashes(data: Any, offsets: Any, table: Any, out: Any, ends: Any) -> Any:  # pragma: no cover - compiled
    """Hash every word of every row.

    Args:
        data: uint8[bytes], the rows one after another.
        offsets: int64[rows + 1], where each row starts in `data`.
        table: uint8[256], `WORD_BYTES`.
        out: uint64[at least (bytes + rows) / 2 + 1], written: the hash of each word.
        ends: int64[rows + 1], written: where each row's words start in `out`.

    Returns:
        The number of words.
    """
    count = 0
    ends[0] = 0
    for row in range(offsets.size - 1):
        h = np.uint64(0)
        inside = False
        for i in range(offsets[row], offsets[row + 1]):
            c = table[data[i]]
            if c:
                h = (h ^ np.uint64(c)) * np.uint64(0x100000001B3)
                h ^= h >> np.uint64(29)
                inside = True
            elif inside:
                out[count] = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
                count += 1
                h = np.uint64(0)
                inside = False
        if inside:
            out[count] = (h ^ (h >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
            count += 1
        ends[row + 1] = count
    return count


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def gram_hashes(tokens: Any, n: int, base: Any, out: Any) -> None:  # pragma: no cover - compiled
    """Write the rolling hash of each run of `n` tokens into out: uint64[tokens - n + 1], modulo 2^64."""
    top = np.uint64(1)
    for _ in range(n - 1):
        top *= base
    h = np.uint64(0)
    for i in range(tokens.size):
        if i >= n:
            h -= tokens[i - n] * top
        h = h * base + tokens[i]
        if i >= n - 1:
            out[i - n + 1] = h


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def fill_table(keys: Any, table: Any) -> None:  # pragma: no cover - compiled
    """Insert keys (uint64, not 0) into an open-addressing table: uint64[power of two], 0 where free."""
    mask = np.uint64(table.size - 1)
    for key in keys:
        slot = (key * np.uint64(0x9FB21C651E98DF25)) >> np.uint64(20) & mask
        while table[slot] != 0 and table[slot] != key:
            slot = (slot + np.uint64(1)) & mask
        table[slot] = key


@numba.njit(nogil=True, cache=True, boundscheck=False)  # type: ignore[untyped-decorator]
def find_rows(tokens: Any, ends: Any, n: int, base: Any, table: Any, hit: Any) -> None:  # pragma: no cover - compiled
    """Set hit: bool[rows] to True where a run of `n` tokens of the row is in the table; other rows stay as they are."""
    mask = np.uint64(table.size - 1)
    top = np.uint64(1)
    for _ in range(n - 1):
        top *= base
    for row in range(ends.size - 1):
        h = np.uint64(0)
        start = ends[row]
        for i in range(start, ends[row + 1]):
            if i - start >= n:
                h -= tokens[i - n] * top
            h = h * base + tokens[i]
            if i - start >= n - 1:
                slot = (h * np.uint64(0x9FB21C651E98DF25)) >> np.uint64(20) & mask
                while table[slot] != 0 and table[slot] != h:
                    slot = (slot + np.uint64(1)) & mask
                if table[slot] == h:
                    hit[row] = True
                    break


def tokenise(data: Any, offsets: Any) -> tuple[Any, Any]:
    """Return (uint64[words], int64[rows + 1]): the hash of every word, and where each row's words start."""
    size = int(offsets[-1] - offsets[0])
    out = np.empty((size + len(offsets)) // 2 + 1, np.uint64)
    ends = np.empty(len(offsets), np.int64)
    return out[: token_hashes(data, offsets, WORD_BYTES, out, ends)], ends


def grams(tokens: Any, n: int) -> Any:
    """Return uint64[max(0, tokens - n + 1)]: the hash of each run of `n` tokens."""
    out = np.empty(max(0, len(tokens) - n + 1), np.uint64)
    gram_hashes(tokens, n, _BASE, out)
    return out


def table_of(keys: Any) -> Any:
    """Return a hash table of uint64 keys for `mark_rows`, a quarter full at most."""
    table = np.zeros(1 << max(4, int(4 * len(keys)).bit_length()), np.uint64)
    fill_table(keys[keys != 0], table)
    return table


def mark_rows(tokens: Any, ends: Any, n: int, table: Any, hit: Any) -> None:
    """Set hit: bool[rows] where a row shares a run of `n` tokens with the table."""
    find_rows(tokens, ends, n, _BASE, table, hit)
