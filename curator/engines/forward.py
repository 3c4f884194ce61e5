"""What the transformers engine decodes with: the fast decoder where a model qualifies, else the library's forward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol


class Told(NamedTuple):
    """What a model says about the tokens of a text; see `Decoder.score`."""

    logprobs: list[float]
    entropies: list[float] | None = None
    margins: list[float] | None = None


@dataclass
class Row:
    """One sample under way. `limit`: tokens it may generate; `bad`: id sequences it may not; `ids`: what it wrote.

    `watch(ids)` is called after each token where it is not None; it ends the row by returning True.
    """

    prompt: list[int]
    limit: int
    temperature: float
    top_p: float
    top_k: int
    seed: int
    bad: list[tuple[int, ...]] = field(default_factory=list)
    logprobs: list[float] | None = None
    watch: Callable[[list[int]], bool] | None = None
    done: Callable[[Row, str], None] | None = None
    gone: Callable[[], bool] | None = None
    ids: list[int] = field(default_factory=list)

    def banned(self) -> list[int]:
        """Return the ids that would complete one of `bad` now."""
        return [b[-1] for b in self.bad if len(b) == 1 or tuple(self.ids[1 - len(b) :]) == b[:-1]]

    def push(self, token: int, ends: frozenset[int]) -> bool:
        """Append a token; report to `done` and return True where the row ends with it."""
        self.ids.append(token)
        if token in ends or (self.watch is not None and self.watch(self.ids)):
            why = "stop"
        elif len(self.ids) >= self.limit:
            why = "length"
        else:
            return False
        if self.done is not None:
            self.done(self, why)
        return True


class Decoder(Protocol):
    """A batch of at most `size` rows under way. One thread only."""

    size: int

    @property
    def active(self) -> int:
        """Rows under way."""
        ...

    @property
    def free(self) -> int:
        """Rows that could join now."""
        ...

    def join(self, rows: list[Row]) -> None:
        """Take rows in (prompts not empty, at most `free`) and draw their first token."""
        ...

    def step(self) -> None:
        """Draw one more token for every row under way."""
        ...

    def drop_gone(self) -> None:
        """Let go of rows that nobody waits for."""
        ...

    def score(self, texts: Sequence[tuple[list[int], list[int]]], *, spread: bool = False) -> list[Told]:
        """Return of each (prompt, text) the log-probabilities of the text's tokens, natural logs.

        `spread`: also the entropy of the distribution at each, and the difference of its two largest probabilities.
        """
        ...

    def embed(self, texts: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
        """Return of each (prompt, text) the mean of the last hidden states over the text's tokens."""
        ...

    def clear(self) -> None:
        """Forget all rows, after an error."""
        ...


def decoder_for(model: Any, size: int, ends: frozenset[int], pad: int, *, library: bool = False) -> Decoder:
    """Return the decoder of a model: `fast.weights.refusal` says which get the fast one.

    Args:
        model: a causal language model of the transformers library, in eval mode.
        size: most rows decoded together.
        ends: ids that end a text.
        pad: id that fills empty places.
        library: the library's forward in any case.
    """
    if not library:
        from curator.engines.fast.weights import net_of, refusal

        if refusal(model) is None:
            import torch

            from curator.engines.fast.batch import FastBatch

            return FastBatch(net_of(model), size, ends, torch.get_num_threads())
    from curator.engines.decoding import Batch

    return Batch(model, size, ends, pad)
