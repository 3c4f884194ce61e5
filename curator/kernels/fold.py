"""128-bit hashes of normalised ASCII text, straight from Arrow buffers: no Python string per row.

The hash is two 64-bit multiply-rotate streams over the normalised bytes with different constants, finished with the
splitmix64 mixer: not cryptographic, 128 bits wide, so that 10^9 different texts collide with odds of about 10^-21.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.kernels.jit import kernel, part

LOWER, WHITESPACE, PUNCTUATION, ANY_BYTE = 1, 2, 4, 8


def _classes() -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Byte classes: 1 = ASCII white space (as `str.split` knows it), 2 = ASCII punctuation, 0 = the rest."""
    table = np.zeros(256, np.uint8)
    for byte in (9, 10, 11, 12, 13, 28, 29, 30, 31, 32):
        table[byte] = 1
    for byte in b"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~":
        table[byte] = 2
    return table


CLASSES = _classes()


@part(inline="always")
def _mix(x: Any) -> Any:
    x ^= x >> np.uint64(30)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(27)
    x *= np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@kernel
def hash_rows(
    data: Any, offsets: Any, flags: Any, classes: Any, first: Any, second: Any, plain: Any
) -> None:  # pragma: no cover - compiled
    """Hash the normalised form of each row of a UTF-8 buffer.

    Args:
        data: uint8[bytes], the rows one after another.
        offsets: int32 or int64[rows + 1], where each row starts.
        flags: sum of LOWER (fold A-Z), WHITESPACE (runs become one space, none at the ends), PUNCTUATION (removed),
            ANY_BYTE (bytes above 127 are hashed as they are).
        classes: uint8[256], `CLASSES`.
        first: uint64[rows], written: high half of the hash.
        second: uint64[rows], written: low half.
        plain: bool[rows], written: False where the row has a byte above 127 and ANY_BYTE is not set; its hash is then
            not to be used.
    """
    lower, space, punct = (flags & 1) != 0, (flags & 2) != 0, (flags & 4) != 0
    any_byte = (flags & 8) != 0
    for row in range(offsets.size - 1):
        a, b = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)
        word, filled, length = np.uint64(0), np.uint64(0), np.uint64(0)
        pending: Any = False
        ascii_only = True
        for i in range(offsets[row], offsets[row + 1]):
            c = data[i]
            if c >= 128 and not any_byte:
                ascii_only = False
                break
            kind = classes[c]
            if punct and kind == 2:
                continue
            if space and kind == 1:
                pending = length > 0
                continue
            if lower and 65 <= c <= 90:
                c += 32
            for _ in range(2):
                out = np.uint64(32) if pending else np.uint64(c)
                word |= out << (filled << np.uint64(3))
                filled += np.uint64(1)
                length += np.uint64(1)
                if filled == 8:
                    a = (a ^ word) * np.uint64(0x9FB21C651E98DF25)
                    a ^= a >> np.uint64(32)
                    b = ((b << np.uint64(23)) | (b >> np.uint64(41))) + word * np.uint64(0xD6E8FEB86659FD93)
                    word, filled = np.uint64(0), np.uint64(0)
                if not pending:
                    break
                pending = False
        a = (a ^ word) * np.uint64(0x9FB21C651E98DF25)
        b = ((b << np.uint64(23)) | (b >> np.uint64(41))) + word * np.uint64(0xD6E8FEB86659FD93)
        first[row] = _mix(a ^ length)
        second[row] = _mix(b + length * np.uint64(0x165667B19E3779F9))
        plain[row] = ascii_only
