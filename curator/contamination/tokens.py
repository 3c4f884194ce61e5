"""Texts as rows of token hashes: words by the Unicode rule, white-space words, or characters."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal, NamedTuple

import pyarrow as pa

from curator.kernels import pieces
from curator.kernels.commands import NO_COMMANDS, Commands, commands
from curator.kernels.words import text_buffers, words

Rule = Literal["word", "whitespace", "char"]
FOLDING: Literal["nfkc"] = "nfkc"

# What only lays a formula out says nothing of its content; a product sign is an operator, and operators are no words.
LAYOUT = (
    "left right big Big bigg Bigg bigl bigr Bigl Bigr displaystyle textstyle scriptstyle limits nolimits quad qquad "
    "text textrm textbf textit mathrm mathbf mathit mathsf mathbb mathcal operatorname rm bf hspace vspace cdot times"
)
SAME = {"dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "leq": "le", "leqslant": "le", "geq": "ge", "geqslant": "ge",
        "neq": "ne", "dots": "ldots", "cdots": "ldots", "lbrace": "", "rbrace": ""}  # fmt: skip


class Tokens(NamedTuple):
    """Token hashes of some rows, and the bytes they came from.

    `hashes` uint64[tokens], `ends` int64[rows + 1], `starts` and `stops` int64[tokens] (bytes within the row; empty
    where not asked for), `data` uint8[bytes] and `offsets` int[rows + 1] of the text itself.
    """

    hashes: Any
    ends: Any
    starts: Any
    stops: Any
    data: Any
    offsets: Any

    def text(self, row: int) -> bytes:
        """Return the UTF-8 bytes of a row."""
        return bytes(self.data[int(self.offsets[row]) : int(self.offsets[row + 1])])


def split(array: Any, rule: Rule = "word", *, latex: bool = True, places: bool = False) -> Tokens:
    """Return the tokens of a text column.

    Args:
        array: Arrow strings; null counts as "".
        rule: `word` (`\\w+`, NFKC and lower case character by character), `whitespace` (lower case, cut at white space)
            or `char` (lower case, white space left out).
        latex: with `word`, leave out commands that only lay out, and read `\\dfrac` as `\\frac` and the like.
        places: also where each token stands.
    """
    data, offsets = text_buffers(array)
    if rule != "word":
        return Tokens(*pieces.pieces(data, offsets, joined=rule == "whitespace"), data, offsets)
    found = words(data, offsets, FOLDING, places=places, swap=_commands() if latex else NO_COMMANDS)
    return Tokens(*found, data, offsets)


def hash_of(word: str) -> int:
    """Return the hash that `split` gives to one word."""
    (found,) = split(pa.array([word]), latex=False).hashes
    return int(found)


@lru_cache(maxsize=1)
def _commands() -> Commands:
    put = {hash_of(name): 0 for name in LAYOUT.split()}
    put |= {hash_of(name): hash_of(same) if same else 0 for name, same in SAME.items()}
    return commands(put)
