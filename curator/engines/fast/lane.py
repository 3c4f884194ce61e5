"""What one thread of the fast decoder does: forward, draw, score, each without the interpreter's lock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curator.engines.fast.draw import draw, log_total, spread_of
from curator.engines.fast.kernel import forward
from curator.engines.fast.pages import Pages
from curator.engines.fast.weights import Floats, Net
from curator.engines.forward import Row, Told
from curator.engines.sampling import Knobs, uniform

_PIECE = 256  # rows of a scoring call: bounds its logits

Ints = NDArray[np.int64]
_NONE: Floats = np.zeros((0, 0), np.float32)


@dataclass
class Part:
    """Rows of one call: int64 tokens, places and positions, and which logits are wanted."""

    token: Ints
    place: Ints
    at: Ints
    want: NDArray[np.bool_]

    @classmethod
    def of(cls, prompts: list[tuple[int, list[int], int]]) -> Part:
        """Return the rows of prompts (place, ids, steps already there); the logits after each are wanted."""
        sizes = [len(ids) - there for _, ids, there in prompts]
        want = np.zeros(sum(sizes), np.bool_)
        want[np.cumsum(sizes) - 1] = True
        return cls(
            np.concatenate([np.array(ids[there:], np.int64) for _, ids, there in prompts]),
            np.repeat([place for place, _, _ in prompts], sizes),
            np.concatenate([np.arange(there, len(ids)) for _, ids, there in prompts]),
            want,
        )

    @classmethod
    def one_each(cls, token: Ints, place: Ints, at: Ints) -> Part:
        """Return one row a place."""
        return cls(token, place, at, np.ones(len(token), np.bool_))


class Lane:
    """The working memory of one thread."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self._work: tuple[Floats, ...] = ()
        self._logits: Floats = np.zeros((0, net.logits_width), np.float32)
        self._weights = np.zeros(net.vocabulary, np.float32)
        self._ids = np.zeros(net.vocabulary, np.int64)

    def forward(
        self, pages: Pages, angles: tuple[Floats, Floats], part: Part, hidden: Floats | None = None
    ) -> Floats:
        """Return the logits [wanted, at least vocabulary]; valid until the next call.

        `hidden`: float32[rows, width], written with each row's last hidden state where it is given.
        """
        wanted = int(part.want.sum())
        if len(self._logits) < wanted:
            self._logits = np.zeros((wanted, self.net.logits_width), np.float32)
        if not self._work or self._work[5].shape[1] < pages.steps:
            self._work = self.net.work(pages.steps)
        net = self.net
        forward(
            part.token, part.place, part.at, part.want, pages.table, net.arrays, net.eps, net.heads, *angles,
            pages.keys, pages.values, self._work, self._logits, _NONE if hidden is None else hidden,
        )  # fmt: skip
        return self._logits[:wanted]

    def draw(self, logits: Floats, knobs: Knobs, counts: Ints, special: list[tuple[int, Row]]) -> list[int]:
        """Return the next token of each row of `logits`.

        Args:
            logits: [rows, at least vocabulary]; banned tokens are overwritten.
            knobs: settings of the rows.
            counts: tokens each has generated.
            special: (index, row) of those that ban words or are told log-probabilities.
        """
        told = [(i, r.logprobs) for i, r in special if r.logprobs is not None]
        totals = np.zeros(len(logits))
        if told:
            log_total(logits, self.net.vocabulary, totals)
        for i, r in special:
            if r.bad:
                logits[i, r.banned()] = -np.inf
        out = np.zeros(len(logits), np.int64)
        draw(
            logits, self.net.vocabulary, knobs.temperature, knobs.top_p, knobs.top_k,
            uniform(knobs.seed, counts).astype(np.float32), self._weights, self._ids, out,
        )  # fmt: skip
        for i, logprobs in told:
            logprobs.append(float(logits[i, out[i]] - totals[i]))
        tokens: list[int] = out.tolist()
        return tokens

    def score(
        self, pages: Pages, angles: tuple[Floats, Floats], place: int, prompt: list[int], text: list[int], there: int,
        *, spread: bool = False,
    ) -> Told:  # fmt: skip
        """Return what the model says about `text` after `prompt`, of which `there` steps are in the pages."""
        ids = np.array(prompt + text, np.int64)
        told = Told([], [] if spread else None, [] if spread else None)
        for start in range(there, len(ids) - 1, _PIECE):
            at = np.arange(start, min(start + _PIECE, len(ids) - 1))
            want = at >= len(prompt) - 1
            logits = self.forward(pages, angles, Part(ids[at], np.full(len(at), place), at, want))
            totals = np.zeros(len(logits))
            log_total(logits, self.net.vocabulary, totals)
            told.logprobs.extend((logits[np.arange(len(logits)), ids[at[want] + 1]] - totals).tolist())
            if told.entropies is not None and told.margins is not None:
                entropies, margins = np.zeros(len(logits)), np.zeros(len(logits))
                spread_of(logits, self.net.vocabulary, totals, entropies, margins)
                told.entropies.extend(entropies.tolist())
                told.margins.extend(margins.tolist())
        return told

    def embed(
        self, pages: Pages, angles: tuple[Floats, Floats], place: int, prompt: list[int], text: list[int], there: int
    ) -> list[float]:
        """Return the mean of the last hidden states over `text`, of which and of `prompt` `there` steps are there."""
        ids = np.array(prompt + text, np.int64)
        hidden = np.zeros((len(ids) - there, self.net.width), np.float32)
        at = np.arange(there, len(ids))
        self.forward(pages, angles, Part(ids[at], np.full(len(at), place), at, np.zeros(len(at), np.bool_)), hidden)
        mean: list[float] = hidden[-len(text) :].mean(axis=0, dtype=np.float64).tolist()
        return mean
