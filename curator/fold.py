"""Normaliser chains for comparing texts, and 128-bit hashes of normalised text."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa

from curator.errors import CheckError
from curator.near import hint

_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LATEX = (
    (re.compile(r"\\(?:left|right|displaystyle|textstyle|limits|quad|qquad|[,;:!])(?![a-zA-Z])"), ""),
    (re.compile(r"\\[dt]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\(?:text|mathrm|mathbf|textbf|operatorname)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\$+|\\[()\[\]]"), " "),
    (re.compile(r"\\(?:cdot|times)(?![a-zA-Z])"), "*"),
    (re.compile(r"\\le(?:q|qslant)?(?![a-zA-Z])"), "<="),
    (re.compile(r"\\ge(?:q|qslant)?(?![a-zA-Z])"), ">="),
    (re.compile(r"\{(\w)\}"), r"\1"),
    (re.compile(r"[~]|\\ "), " "),
)


def _latex(text: str) -> str:
    for pattern, put in _LATEX:
        text = pattern.sub(put, text)
    return text


def _punctuation(text: str) -> str:
    text = text.translate(_ASCII_PUNCTUATION)
    return text if text.isascii() else "".join(c for c in text if unicodedata.category(c)[0] not in "PS")


# In the order in which they are applied, whatever the order they are named in: `latex` needs the punctuation,
# `whitespace` cleans up after the others.
NORMALISERS: dict[str, Callable[[str], str]] = {
    "nfkc": lambda text: unicodedata.normalize("NFKC", text),
    "latex": _latex,
    "lower": str.lower,
    "punctuation": _punctuation,
    "whitespace": lambda text: " ".join(text.split()),
}
_IN_KERNEL = {"nfkc": 0, "lower": 1, "whitespace": 2, "punctuation": 4}  # NFKC leaves ASCII as it is


def chain(names: Iterable[str]) -> tuple[str, ...]:
    """Return the named normalisers in the order of application.

    Raises:
        CheckError: an unknown name.
    """
    names = list(names)
    for name in names:
        if name not in NORMALISERS:
            msg = f"normaliser '{name}' is not known{hint(name, NORMALISERS)}"
            raise CheckError(msg)
    return tuple(name for name in NORMALISERS if name in names)


def normalise(text: str, names: tuple[str, ...]) -> str:
    """Apply the normalisers of `chain` to one text."""
    for name in names:
        text = NORMALISERS[name](text)
    return text


def strings(array: Any) -> Any:
    """Return a column as one `large_string` array: lists and structs as JSON, numbers as their text."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_large_string(array.type):
        return array
    if pa.types.is_nested(array.type):
        import json

        return pa.array(
            [None if v is None else json.dumps(v, default=str) for v in array.to_pylist()], pa.large_string()
        )
    return array.cast(pa.large_string())


def buffers(array: Any) -> tuple[Any, Any]:
    """Return (uint8[bytes], int64[rows + 1]) of a `large_string` array, without copying."""
    offsets = np.frombuffer(array.buffers()[1], np.int64)[array.offset : array.offset + len(array) + 1]
    data = array.buffers()[2]
    return (np.frombuffer(data, np.uint8) if data is not None and data.size else np.zeros(1, np.uint8)), offsets


def hashes(array: Any, names: tuple[str, ...]) -> Any:
    """Return uint64[rows, 2]: the 128-bit hash of each normalised text; rows that are null hash to (0, 0)."""
    from curator.kernels import fold as kernel

    array = strings(array)
    flags = sum(_IN_KERNEL.get(name, 0) for name in names)
    found = np.zeros((len(array), 2), np.uint64)
    slow = np.ones(len(array), bool)
    if all(name in _IN_KERNEL for name in names):
        found, plain = _run(*buffers(array), flags)
        slow = ~plain
    rest = np.flatnonzero(slow)
    if len(rest):
        texts = [normalise(text or "", names).encode("utf-8", "surrogatepass") for text in array.take(rest).to_pylist()]
        offsets = np.concatenate([[0], np.cumsum([len(t) for t in texts])]).astype(np.int64)
        found[rest], _ = _run(np.frombuffer(b"".join(texts) or b"\0", np.uint8), offsets, kernel.ANY_BYTE)
    found[np.asarray(array.is_null())] = 0
    return found


def _run(data: Any, offsets: Any, flags: int) -> tuple[Any, Any]:
    from curator.kernels import fold as kernel

    rows = len(offsets) - 1
    first, second, plain = np.empty(rows, np.uint64), np.empty(rows, np.uint64), np.empty(rows, bool)
    kernel.hash_rows(data, offsets, flags, kernel.CLASSES, first, second, plain)
    return np.stack([first, second], axis=1), plain
