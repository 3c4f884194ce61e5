"""The options of a multiple-choice question, however the column writes them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LETTERS = "ABCDEFGHIJ"
_LINE = re.compile(r"^[ \t]*[(\[]?([A-Ja-j])[)\].:][ \t]*(.*\S)[ \t]*$", re.M)


class Unreadable(Exception):
    """Options that cannot be read; says why."""


@dataclass(frozen=True)
class Options:
    """Letter and text of each option, in order."""

    pairs: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self.pairs)

    @property
    def letters(self) -> frozenset[str]:
        """The letters in use."""
        return frozenset(letter for letter, _ in self.pairs)

    def of_text(self, said: str) -> set[str]:
        """Return the letters of the options with this text, blind to case, typesetting and a final full stop."""
        wanted = _fold(said)
        return {letter for letter, text in self.pairs if wanted and _fold(text) == wanted}


def _fold(text: str) -> str:
    from curator.verdicts.choice import plain

    return plain(text).casefold().rstrip(" .")


def letters_of(value: Any) -> Options:
    """Read a cell: a list of texts, letter -> text, {label, text} lists, JSON of these, or lines "A. text".

    Raises:
        Unreadable: it is something else, or more than ten options.
    """
    if value is None or value == "" or value == []:
        return Options()
    if isinstance(value, bytes):
        raise Unreadable("bytes that are not text")
    if isinstance(value, str):
        return _from_text(value)
    if isinstance(value, Mapping):
        return _from_mapping(value)
    if isinstance(value, list | tuple):
        if value and all(isinstance(v, Mapping) and {"label", "text"} <= set(v) for v in value):
            return _named((str(v["label"]), v["text"]) for v in value)
        return _named(zip(_LETTERS, _limited(value), strict=False))
    msg = f"{type(value).__name__}, not a list of options"
    raise Unreadable(msg)


def _from_text(value: str) -> Options:
    if value.lstrip()[:1] in "[{":
        try:
            return letters_of(json.loads(value))
        except (ValueError, RecursionError):
            raise Unreadable("not JSON") from None
    lines = [(m.group(1), m.group(2)) for m in _LINE.finditer(value)]
    if not lines:
        raise Unreadable("text without lines like 'A. first option'")
    return _named(lines)


def _from_mapping(value: Mapping[str, Any]) -> Options:
    labels, texts = value.get("label"), value.get("text")
    if isinstance(labels, list) and isinstance(texts, list) and len(labels) == len(texts):
        if all(str(n).isdigit() for n in labels):  # some sources number their options
            return _named(zip(_LETTERS, _limited(texts), strict=False))
        return _named(zip(labels, texts, strict=True))
    return _named((k, v) for k, v in value.items() if v is not None)


def _limited(texts: Any) -> Any:
    if len(texts) > len(_LETTERS):
        msg = f"{len(texts)} options, at most {len(_LETTERS)} have letters"
        raise Unreadable(msg)
    return texts


def _named(pairs: Any) -> Options:
    found = [(str(letter).strip().strip("().:").upper(), text) for letter, text in pairs]
    for letter, text in found:
        if len(letter) != 1 or letter not in _LETTERS:
            msg = f"label '{letter[:20]}' is no letter from A to J"
            raise Unreadable(msg)
        if not isinstance(text, str | int | float):
            msg = f"option {letter} is {type(text).__name__}, not text"
            raise Unreadable(msg)
    if len({letter for letter, _ in found}) < len(found):
        raise Unreadable("a letter comes twice")
    return Options(tuple((letter, str(text)) for letter, text in found))
