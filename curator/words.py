"""Words of a text, with their places: what n-grams are made of. The same words as the compiled kernel sees."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, NamedTuple

import numpy as np

_WORD = re.compile(r"\w+")
_NOT_WORD = re.compile(r"\W")
_OPERATORS = re.compile(r"[+\-*/^=<>!%|−×÷·≤≥≠√±]|\w+")


class Words(NamedTuple):
    """Normalised words and the characters they came from, `text[starts[i]:ends[i]]`."""

    words: list[str]
    starts: list[int]
    ends: list[int]


def _plain(word: str) -> str:
    return word.lower() if word.isascii() else _NOT_WORD.sub("", unicodedata.normalize("NFKC", word).lower())


def words(text: str) -> Words:
    """Split a text into words (`\\w+`, NFKC, lower case). Numbers are words like any other: never folded into one."""
    found = [(plain, m.start(), m.end()) for m in _WORD.finditer(text) if (plain := _plain(m[0]))]
    return Words([w for w, _, _ in found], [s for _, s, _ in found], [e for _, _, e in found])


def with_operators(text: str) -> list[str]:
    """Split a text into words and the operators between them: `72 * 3` and `72 + 3` differ."""
    return [plain for m in _OPERATORS.finditer(text) if (plain := _plain(m[0]) or m[0])]


def kernel_text(array: Any) -> tuple[Any, Any]:
    """Return (uint8[bytes], int64[rows + 1]) of a text column, ready for `kernels.ngrams`.

    ASCII rows are the Arrow buffer itself; in a column with other rows, those are split into words here.
    """
    import pyarrow.compute as pc

    from curator.fold import buffers, strings

    array = strings(array).fill_null("")
    ascii_only = pc.string_is_ascii(array)
    if not pc.all(ascii_only).as_py() and len(array):
        plain = array.to_pylist()
        plain = [t if t.isascii() else " ".join(words(t).words) for t in plain]
        data = [t.encode("utf-8", "surrogatepass") for t in plain]
        offsets = np.concatenate([[0], np.cumsum([len(d) for d in data])]).astype(np.int64)
        return np.frombuffer(b"".join(data) or b"\0", np.uint8), offsets
    return buffers(array)
