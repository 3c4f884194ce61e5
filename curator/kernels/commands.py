"""LaTeX commands, as the words of a text that follow a backslash: which of them become others or are left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Commands(NamedTuple):
    """What becomes of words that follow a backslash.

    `names`: uint64[power of two], a hash table of words, 0 where free; empty where no word is replaced.
    `puts`: uint64 as `names`, the hash that takes the word's place, 0 = the word is left out.
    """

    names: Any
    puts: Any


NO_COMMANDS = Commands(np.zeros(0, np.uint64), np.zeros(0, np.uint64))


def commands(put: Mapping[int, int]) -> Commands:
    """Return `Commands` that put hashes in the place of hashes."""
    size = 1 << (4 * len(put)).bit_length()
    found = Commands(np.zeros(size, np.uint64), np.zeros(size, np.uint64))
    for name, to in sorted(put.items()):
        slot = name & size - 1
        while found.names[slot]:
            slot = (slot + 1) % size
        found.names[slot], found.puts[slot] = name, to
    return found
