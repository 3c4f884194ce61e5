"""Is a whole text an item, after a chain of normalisers?"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from curator.contamination.evidence import Hit, Item
from curator.errors import CheckError
from curator.fold import NORMALISERS, chain, normalise
from curator.near import hint

# Light-R1 strips all but letters and the underscore (specs curation 10); the others are those of dedup.
STRIPPERS: dict[str, Callable[[str], str]] = {
    "symbols": lambda text: re.sub(r"\W", "", text),
    "digits": lambda text: re.sub(r"\d", "", text),
}


class ExactIndex:
    """All items, findable by their whole text.

    Args:
        items: of the reference set.
        strip: normalisers of `dedup`, then `symbols` (all that is no word character) and `digits`.
        min_length: characters that must be left; "compute" is left of many problems once digits are gone.

    Raises:
        CheckError: an unknown normaliser.
    """

    def __init__(self, items: Sequence[Item], strip: Iterable[str], min_length: int) -> None:
        self.items, self.min_length = items, min_length
        self._chain, self._more = steps(strip)
        self._found: dict[str, list[int]] = {}
        for k, item in enumerate(items):
            key = self.key(item.text)
            if len(key) >= max(1, min_length):
                self._found.setdefault(key, []).append(k)

    def key(self, text: str) -> str:
        """Return what is compared."""
        text = normalise(text, self._chain)
        for name in self._more:
            text = STRIPPERS[name](text)
        return text.strip()

    def hits(self, array: Any) -> Iterator[Hit]:
        """Return the items that each row of a text column equals."""
        longest = max(map(len, self._found), default=0)
        for row, text in enumerate(array.to_pylist()):
            if not text or len(text) > 100 * (longest + 1):  # no chain leaves one character of a hundred
                continue
            for k in self._found.get(self.key(text), ()):
                yield Hit(row, k, "exact", 1.0, True, {}, [(text, self.items[k].text)])


def steps(strip: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the normalisers of `dedup` and the strippers among names, in the order of application.

    Raises:
        CheckError: an unknown name.
    """
    names = list(strip)
    for name in names:
        if name not in NORMALISERS and name not in STRIPPERS:
            msg = f"decontaminate: strip names '{name}', which is not known{hint(name, [*NORMALISERS, *STRIPPERS])}"
            raise CheckError(msg)
    return chain(n for n in names if n in NORMALISERS), tuple(n for n in STRIPPERS if n in names)
