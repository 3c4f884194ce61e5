"""Keys and values in pages of PANEL steps. Texts that begin alike share the pages of their beginning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from curator.engines.fast.tile import PANEL
from curator.engines.fast.weights import Net

_Key = tuple[int, tuple[int, ...]]


class Pages:
    """The pages of `places` texts; page p holds, for every layer and head, the steps of one text's p-th PANEL tokens.

    Pages that a text fills with tokens known beforehand are remembered by these tokens and all before them, also after
    the text has left, until their space is needed. `table[place]` lists a place's pages in order.
    """

    size = PANEL

    def __init__(self, net: Net, places: int) -> None:
        wide = -(-net.depth // PANEL)
        shapes = (net.depth, PANEL), (wide, PANEL, PANEL)
        self.keys, self.values = (np.zeros((0, net.layers, net.kv_heads, *shape), np.float32) for shape in shapes)
        self.table: NDArray[np.int32] = np.zeros((places, 2), np.int32)
        self._of: list[list[int]] = [[] for _ in range(places)]
        self._users: list[int] = []
        self._free: list[int] = []
        self._known: dict[_Key, int] = {}
        self._key: dict[int, _Key] = {}
        self._idle: dict[int, None] = {}  # known pages that nobody uses, longest unused first
        self._serial: list[int] = []  # never used twice, so that what followed a forgotten page is not found again
        self._next = 1
        self._fresh: set[int] = set()  # known pages that are still to be computed

    @property
    def steps(self) -> int:
        """Most steps a place has a place in the table for; a multiple of PANEL."""
        return int(self.table.shape[1]) * PANEL

    def _grow(self) -> None:
        """Make room for more pages: a page a place, then half as many again.

        `resize` moves the memory instead of copying it where the system can, so that it is never there twice.
        """
        old = len(self._users)
        new = max(len(self._of), old // 2)
        for array in (self.keys, self.values):
            array.resize((old + new, *array.shape[1:]), refcheck=False)  # nobody computes while pages are given out
        self._users += [0] * new
        self._serial += [0] * new
        self._free += range(old + new - 1, old - 1, -1)

    def _take(self) -> int:
        """Return a page for one user: a free one, else the one longest unused, else a new one."""
        if not self._free and self._idle:
            page = next(iter(self._idle))
            del self._idle[page]
            del self._known[self._key.pop(page)]
            self._free.append(page)
        if not self._free:
            self._grow()
        page = self._free.pop()
        self._users[page] = 1
        self._serial[page], self._next = self._next, self._next + 1
        return page

    def _append(self, place: int, page: int) -> None:
        own = self._of[place]
        if len(own) + 1 > self.table.shape[1]:
            wider = np.zeros((len(self.table), 2 * self.table.shape[1]), np.int32)
            wider[:, : self.table.shape[1]] = self.table
            self.table = wider
        self.table[place, len(own)] = page
        own.append(page)

    def _use(self, place: int, page: int) -> None:
        self._idle.pop(page, None)
        self._users[page] += 1
        self._append(place, page)

    def enter(self, place: int, ids: Sequence[int], most: int) -> int | None:
        """Give a text its pages; return how many of its steps are there already: at most `most`, fewer than all.

        None, and nothing done, where a page that it could share is still being computed: enter it after `settle`.
        """
        pieces = [tuple(ids[i : i + PANEL]) for i in range(0, len(ids) - PANEL + 1, PANEL)]
        found: list[int] = []
        for piece in pieces[: max(0, min(most, len(ids) - 1)) // PANEL]:
            page = self._known.get((self._serial[found[-1]] if found else 0, piece))
            if page is None:
                break
            if page in self._fresh:
                return None
            found.append(page)
        for page in found:
            self._use(place, page)
        news = True  # what follows a page that is known elsewhere would never be found behind this one
        for i in range(len(found), -(-len(ids) // PANEL)):
            page = self._take()
            self._append(place, page)
            key = (self._serial[self._of[place][i - 1]] if i else 0, pieces[i]) if i < len(pieces) else None
            news = news and key is not None and key not in self._known
            if news and key is not None:
                self._known[key], self._key[page] = page, key
                self._fresh.add(page)
        return len(found) * PANEL

    def settle(self) -> None:
        """Note that everything entered so far has been computed."""
        self._fresh.clear()

    def copy(self, source: int, place: int, steps: int) -> None:
        """Let `place` begin with the first `steps` steps of `source`: full pages shared, the rest copied."""
        own = self._of[source]
        for page in own[: steps // PANEL]:
            self._use(place, page)
        if steps % PANEL:
            page = self._take()
            old = own[steps // PANEL]
            self.keys[page], self.values[page] = self.keys[old], self.values[old]
            self._append(place, page)

    def extend(self, place: int, at: int) -> None:
        """Make sure that a place has a page for position `at`, which is at most one further."""
        if at // PANEL >= len(self._of[place]):
            self._append(place, self._take())

    def leave(self, place: int) -> None:
        """Give a text's pages back."""
        for page in self._of[place]:
            self._users[page] -= 1
            if self._users[page] == 0:
                if page in self._key:
                    self._idle[page] = None
                else:
                    self._free.append(page)
        self._of[place] = []
