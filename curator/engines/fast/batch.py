"""The decoding loop over the compiled forward: places, pages, threads. Strings and requests are the engine's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any

import numpy as np

from curator.engines.fast.lane import Ints, Lane, Part
from curator.engines.fast.pages import Pages
from curator.engines.fast.tile import ROWS
from curator.engines.fast.weights import Net
from curator.engines.forward import Row, Told
from curator.engines.sampling import Knobs

_LINEAR = 200  # steps to look at that cost about as much as a row's linear layers: for sharing out rows fairly


class FastBatch:
    """At most `size` rows decoded together by `threads` threads: see `forward.Decoder`."""

    def __init__(self, net: Net, size: int, ends: frozenset[int], threads: int) -> None:
        self.net, self.size = net, size
        self._ends = ends
        self._lanes = [Lane(net) for _ in range(max(1, min(threads, -(-size // ROWS))))]
        self._pool = ThreadPoolExecutor(len(self._lanes) - 1, "decode") if len(self._lanes) > 1 else None
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self._rows: list[Row | None] = [None] * self.size
        self._live: list[int] = []  # places of rows under way
        self._special: dict[int, Row] = {}  # those of them that want log-probabilities or ban words
        self._pages = Pages(self.net, self.size + len(self._lanes))  # the last places are for scoring
        self._angles = self.net.angles(self._pages.steps)
        self._at: Ints = np.zeros(self.size, np.int64)  # steps each row has in its pages
        self._last: Ints = np.zeros(self.size, np.int64)  # the token each row wrote last
        self._counts: Ints = np.zeros(self.size, np.int64)  # tokens each row has written
        self._knobs = Knobs.empty(self.size)

    @property
    def active(self) -> int:
        """Rows under way."""
        return len(self._live)

    @property
    def free(self) -> int:
        """Rows that could join now."""
        return self.size - len(self._live)

    def _deal(self, cost: list[int]) -> list[list[int]]:
        """Deal prompts to the threads, the dearest first, each to the thread with least to do; return indices."""
        parts: list[list[int]] = [[] for _ in self._lanes]
        load = [0] * len(parts)
        for i in sorted(range(len(cost)), key=lambda i: -cost[i]):
            k = load.index(min(load))
            parts[k].append(i)
            load[k] += cost[i]
        return [p for p in parts if p]

    def _cut(self, places: list[int], cost: Ints) -> list[list[int]]:
        """Cut rows under way into runs of like cost: neighbours often share a prompt, and so what is in the cache."""
        n = len(self._lanes)
        summed = np.cumsum(cost)
        cuts = [0, *(np.searchsorted(summed, summed[-1] * np.arange(1, n) / n) + 1).tolist(), len(places)]
        return [p for p in (places[a:b] for a, b in pairwise(cuts)) if p]

    def _each(self, work: Callable[[Lane, list[int]], Any], parts: list[list[int]]) -> list[Any]:
        """Do `work(lane, part)` on as many threads as there are parts."""
        if self._pages.steps > len(self._angles[0]):
            self._angles = self.net.angles(self._pages.steps)
        if self._pool is None or len(parts) < 2:
            return [work(lane, part) for lane, part in zip(self._lanes, parts, strict=False)]
        others = [self._pool.submit(work, lane, part) for lane, part in zip(self._lanes[1:], parts[1:], strict=False)]
        try:
            first = work(self._lanes[0], parts[0])
        finally:
            wait(others)  # nobody writes into the pages any more when an error is told
        return [first, *(f.result() for f in others)]

    def join(self, rows: list[Row]) -> None:
        """Prefill rows, each prompt once, draw their first token, and let them in."""
        empty = [i for i, r in enumerate(self._rows) if r is None]
        twins: dict[tuple[int, ...], list[Row]] = {}
        for r in rows:
            twins.setdefault(tuple(r.prompt), []).append(r)
        waiting = list(twins.values())
        while waiting:
            wave: list[tuple[int, list[Row], int]] = []
            later = []
            for same in waiting:
                place = empty[len(wave)]
                there = self._pages.enter(place, same[0].prompt, len(same[0].prompt))
                if there is None:
                    later.append(same)
                else:
                    wave.append((place, same, there))
            del empty[: len(wave)]
            self._prefill(wave, empty)
            waiting = later

    def _prefill(self, wave: list[tuple[int, list[Row], int]], empty: list[int]) -> None:
        """Compute prompts of which the pages hold the first steps, and let their rows in."""

        def work(lane: Lane, part: list[int]) -> list[list[int]]:
            asked = Part.of([(wave[i][0], wave[i][1][0].prompt, wave[i][2]) for i in part])
            logits = lane.forward(self._pages, self._angles, asked)
            drawn = []
            for i, own in zip(part, logits, strict=True):
                same = wave[i][1]
                special = [(k, r) for k, r in enumerate(same) if r.bad or r.logprobs is not None]
                first = np.zeros(len(same), np.int64)
                drawn.append(lane.draw(own[None].repeat(len(same), 0), knobs_of(same), first, special))
            return drawn

        parts = self._deal([len(same[0].prompt) - there for _, same, there in wave])
        drawn = self._each(work, parts)
        self._pages.settle()
        for part, told in zip(parts, drawn, strict=True):
            for i, tokens in zip(part, told, strict=True):
                self._seat(wave[i][0], wave[i][1], tokens, empty)

    def _seat(self, source: int, same: list[Row], tokens: list[int], empty: list[int]) -> None:
        """Let rows of one prompt in; its steps are in the place `source`."""
        steps = len(same[0].prompt)
        going = [(r, t) for r, t in zip(same, tokens, strict=True) if not r.push(t, self._ends)]
        for i, (row, token) in enumerate(going):
            place = empty.pop(0) if i else source
            if i:
                self._pages.copy(source, place, steps)
            self._rows[place], self._at[place], self._last[place], self._counts[place] = row, steps, token, 1
            self._knobs.put(place, row.temperature, row.top_p, row.top_k, row.seed)
            self._live.append(place)
            if row.bad or row.logprobs is not None:
                self._special[place] = row
        if not going:
            self._pages.leave(source)
            empty.append(source)

    def step(self) -> None:
        """Draw one more token for every row under way."""
        live = self._live
        at = self._at[live]
        for i in np.flatnonzero(at % self._pages.size == 0).tolist():
            self._pages.extend(live[i], int(at[i]))
        parts = self._cut(live, at + _LINEAR)
        drawn = self._each(self._step, parts)
        ended = False
        for part, tokens in zip(parts, drawn, strict=True):
            self._at[part] += 1
            self._counts[part] += 1
            self._last[part] = tokens
            for place, token in zip(part, tokens, strict=True):
                row = self._rows[place]
                if row is not None and row.push(token, self._ends):
                    self._vacate(place)
                    ended = True
        if ended:
            self._live = [i for i in live if self._rows[i] is not None]

    def _step(self, lane: Lane, places: list[int]) -> list[int]:
        at = np.array(places, np.int64)
        logits = lane.forward(self._pages, self._angles, Part.one_each(self._last[at], at, self._at[at]))
        special = [(k, self._special[p]) for k, p in enumerate(places) if p in self._special]
        return lane.draw(logits, self._knobs.take(at), self._counts[at], special)

    def _vacate(self, place: int) -> None:
        self._rows[place] = None
        self._special.pop(place, None)
        self._pages.leave(place)

    def drop_gone(self) -> None:
        """Let go of rows that nobody waits for."""
        for i in self._live:
            r = self._rows[i]
            if r is not None and r.gone is not None and r.gone():
                self._vacate(i)
        self._live = [i for i in self._live if self._rows[i] is not None]

    def score(self, texts: Sequence[tuple[list[int], list[int]]], *, spread: bool = False) -> list[Told]:
        """See `forward.Decoder.score`."""

        def read(lane: Lane, place: int, text: tuple[list[int], list[int]], there: int) -> Told:
            return lane.score(self._pages, self._angles, place, *text, there, spread=spread)

        return self._read(texts, read)

    def embed(self, texts: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
        """See `forward.Decoder.embed`."""

        def read(lane: Lane, place: int, text: tuple[list[int], list[int]], there: int) -> list[float]:
            return lane.embed(self._pages, self._angles, place, *text, there)

        return self._read(texts, read)

    def _read(self, texts: Sequence[tuple[list[int], list[int]]], read: Callable[..., Any]) -> list[Any]:
        """Do `read(lane, place, text, steps that are there)` for each text, in the places for scoring."""
        out: dict[int, Any] = {}
        while len(out) < len(texts):
            wave: list[tuple[int, int, int]] = []  # which text, its place, steps that are there
            for i in [i for i in range(len(texts)) if i not in out][: len(self._lanes)]:
                prompt, text = texts[i]
                there = self._pages.enter(self.size + len(wave), prompt + text, max(0, len(prompt) - 1))
                if there is not None:
                    wave.append((i, self.size + len(wave), there))

            def work(lane: Lane, part: list[int], wave: list[tuple[int, int, int]] = wave) -> None:
                for i, place, there in (wave[k] for k in part):
                    out[i] = read(lane, place, texts[i], there)

            self._each(work, [[k] for k in range(len(wave))])
            self._pages.settle()
            for _, place, _ in wave:
                self._pages.leave(place)
        return [out[i] for i in range(len(texts))]


def knobs_of(rows: list[Row]) -> Knobs:
    """Return the settings of rows as arrays."""
    out = Knobs.empty(len(rows))
    for i, r in enumerate(rows):
        out.put(i, r.temperature, r.top_p, r.top_k, r.seed)
    return out
