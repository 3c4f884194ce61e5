"""The decoding loop of the transformers engine: one batch kept full, rows join and leave at any step.

All rows of a batch share one time axis; a row's text ends at its right end and is padded on the left. So a new row is
prefilled by itself and copied into a free place, without moving the others. Keys and values lie in buffers that grow
by doubling (the library's own cache copies everything at every step). Only torch and numpy here: strings, requests
and threads are the engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from curator.engines.forward import Row, Told
from curator.engines.sampling import Knobs, draw
from curator.engines.scoring import PREFILL, Scorer

_GROW = 128  # steps of room when a buffer is laid out anew


class _Slab(DynamicLayer):  # type: ignore[misc]
    """Keys and values [rows, heads, room, width]; `keys` and `values` are views of the part in use."""

    def adopt(self, keys: Tensor, values: Tensor, length: int) -> None:
        """Take over buffers of which `length` steps are in use."""
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self.room_k, self.room_v = keys, values
        self.keys, self.values = keys[:, :, :length], values[:, :, :length]

    def update(self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write one more step in place."""
        at = self.keys.shape[-2]
        end = at + key_states.shape[-2]
        self.room_k[:, :, at:end] = key_states
        self.room_v[:, :, at:end] = value_states
        self.keys, self.values = self.room_k[:, :, :end], self.room_v[:, :, :end]
        return self.keys, self.values


class Batch:
    """At most `size` rows decoded together. One thread only.

    Args of the constructor:
        model: a causal language model of the transformers library, in eval mode.
        size: rows.
        ends: ids that end a text.
        pad: id that fills empty places.
    """

    def __init__(self, model: Any, size: int, ends: frozenset[int], pad: int) -> None:
        self.model, self.size, self.pad = model, size, pad
        self.device = model.device
        self._ends = ends
        kinds = set(getattr(model.config, "layer_types", None) or ("full_attention",))
        self._plain = kinds == {"full_attention"}
        self.clear()

    def clear(self) -> None:
        """Forget all rows."""
        self.rows: list[Row | None] = []
        self._cache: Any = None
        self._length = 0  # steps in use
        self._lengths: NDArray[np.int64] = np.zeros(0, np.int64)  # steps of each row, counted from the right
        self._counts: NDArray[np.int64] = np.zeros(0, np.int64)  # tokens each row has generated
        self._knobs = Knobs.empty(0)
        self._mask = torch.zeros((0, 1, 1, 0), dtype=torch.bool, device=self.device)  # steps each row may look at
        self._last = torch.zeros(0, dtype=torch.long, device=self.device)  # the token each row wrote last

    @property
    def active(self) -> int:
        """Rows under way."""
        return sum(r is not None for r in self.rows)

    @property
    def free(self) -> int:
        """Rows that could join now."""
        return self.size - self.active

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def join(self, rows: list[Row]) -> None:
        """Take rows in (prompts not empty, at most `free`), those of like length together: little is padding."""
        group: list[Row] = []
        for row in sorted(rows, key=lambda r: len(r.prompt)):
            if group and (len(group) + 1) * len(row.prompt) > PREFILL:
                self._prefill(group)
                group = []
            group.append(row)
        self._prefill(group)

    def _prefill(self, rows: list[Row]) -> None:
        longest = max(len(r.prompt) for r in rows)
        ids = torch.full((len(rows), longest), self.pad, dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for i, r in enumerate(rows):
            ids[i, longest - len(r.prompt) :] = torch.tensor(r.prompt)
            mask[i, longest - len(r.prompt) :] = 1
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        cache = Cache(layer_class_to_replicate=DynamicLayer)
        logits = self.model(
            input_ids=ids.to(self.device), attention_mask=mask.to(self.device), position_ids=positions.to(self.device),
            past_key_values=cache, use_cache=True, logits_to_keep=1,
        ).logits[:, -1].float()  # fmt: skip
        zero = np.zeros(len(rows), np.int64)
        tokens = self._draw(logits, rows, _knobs(rows), zero)
        ending = self._advance(rows, tokens)
        stay = [i for i in range(len(rows)) if not ending[i]]
        if stay:
            self._settle([rows[i] for i in stay], [tokens[i] for i in stay], cache, stay)

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def step(self) -> None:
        """Draw one more token for every row under way."""
        at = self._length
        if at >= self._mask.shape[-1]:
            self._lay_out(list(range(len(self.rows))), at)
        self._mask[:, :, :, at] = True
        mask = self._mask[..., : at + 1]
        out = self.model(
            input_ids=self._last[:, None],
            attention_mask=mask if self._plain else mask[:, 0, 0].long(),
            position_ids=torch.from_numpy(self._lengths)[:, None].to(self.device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        self._length += 1
        self._lengths += 1
        tokens = self._draw(out.logits[:, -1].float(), self.rows, self._knobs, self._counts)
        self._counts += 1
        self._last = torch.from_numpy(tokens).to(self.device)
        ending = self._advance(self.rows, tokens)
        if ending.any():
            for i in np.flatnonzero(ending):
                self._vacate(int(i))
            self._tidy()

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def drop_gone(self) -> None:
        """Let go of rows that nobody waits for."""
        lost = [i for i, r in enumerate(self.rows) if r is not None and r.gone is not None and r.gone()]
        for i in lost:
            self._vacate(i)
        if lost:
            self._tidy()

    def score(self, texts: Sequence[tuple[list[int], list[int]]], *, spread: bool = False) -> list[Told]:
        """See `forward.Decoder.score`."""
        found: list[Told] = Scorer(self.model, self.pad).score(texts, spread=spread)
        return found

    def embed(self, texts: Sequence[tuple[list[int], list[int]]]) -> list[list[float]]:
        """See `forward.Decoder.embed`."""
        found: list[list[float]] = Scorer(self.model, self.pad).embed(texts)
        return found

    def _draw(
        self, logits: Tensor, rows: list[Row] | list[Row | None], knobs: Knobs, counts: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        raw = torch.log_softmax(logits, -1) if any(r is not None and r.logprobs is not None for r in rows) else None
        for i, r in enumerate(rows):
            if r is not None and r.bad:
                logits[i, r.banned()] = -torch.inf
        tokens = draw(logits, knobs, counts)
        if raw is not None:
            told = raw.gather(-1, tokens[:, None])[:, 0].tolist()
            for r, p in zip(rows, told, strict=True):
                if r is not None and r.logprobs is not None:
                    r.logprobs.append(p)
        out: NDArray[np.int64] = tokens.cpu().numpy()
        return out

    def _advance(self, rows: list[Row] | list[Row | None], tokens: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Append a token to each row; mark those that end with it."""
        ending = [r is not None and r.push(t, self._ends) for r, t in zip(rows, tokens.tolist(), strict=True)]
        return np.array(ending, np.bool_)

    def _vacate(self, i: int) -> None:
        self.rows[i] = None
        self._mask[i] = False  # the next step sets its own place, so that no softmax is over nothing
        self._lengths[i] = 0
        self._knobs.temperature[i] = 0.0

    def _tidy(self) -> None:
        """Drop empty places and unused steps once they are a quarter of the work."""
        taken = [i for i, r in enumerate(self.rows) if r is not None]
        if not taken:
            self.clear()
            return
        needed = int(self._lengths[taken].max())
        if len(taken) <= 0.75 * len(self.rows) or needed <= 0.75 * self._length:
            self._lay_out(taken, needed)

    def _settle(self, rows: list[Row], tokens: list[int], cache: Any, chosen: list[int]) -> None:
        """Put prefilled rows into free places, or into new ones. `chosen`: their rows in `cache`."""
        lengths = [len(r.prompt) for r in rows]
        taken = [i for i, r in enumerate(self.rows) if r is not None]
        length = max([*(int(self._lengths[i]) for i in taken), *lengths, self._length if taken else 0])
        empty = [i for i, r in enumerate(self.rows) if r is None]
        if len(empty) < len(rows) or length > self._length or self._length + 1 >= self._mask.shape[-1]:
            self._lay_out(taken, length, extra=len(rows), like=cache)
            empty = list(range(len(taken), len(taken) + len(rows)))
        places = empty[: len(rows)]
        end, width = self._length, max(lengths)
        index, source = torch.tensor(places, device=self.device), torch.tensor(chosen, device=self.device)
        for slab, layer in zip(self._cache.layers, cache.layers, strict=True):
            slab.room_k[index, :, end - width : end] = layer.keys[source][:, :, -width:]
            slab.room_v[index, :, end - width : end] = layer.values[source][:, :, -width:]
        for place, row, token, n in zip(places, rows, tokens, lengths, strict=True):
            self.rows[place] = row
            self._mask[place] = False
            self._mask[place, :, :, end - n : end] = True
            self._lengths[place], self._counts[place], self._last[place] = n, 1, int(token)
            k = self._knobs
            k.temperature[place], k.top_p[place] = row.temperature, row.top_p
            k.top_k[place], k.seed[place] = row.top_k, row.seed

    def _lay_out(self, keep: list[int], length: int, *, extra: int = 0, like: Any = None) -> None:
        """Lay the buffers out anew: rows `keep`, then `extra` empty places; `length` steps in use, right-aligned."""
        n, room = len(keep) + extra, length + max(_GROW, length // 2)
        held = min(length, self._length)
        source = torch.tensor(keep, dtype=torch.long, device=self.device)
        cache = Cache(layers=[])
        for old in (self._cache or like).layers:
            _, heads, _, width = old.keys.shape
            slab = _Slab()
            pair = []
            for part in (old.keys, old.values):
                new = part.new_zeros((n, heads, room, part.shape[-1]))
                if keep:
                    new[: len(keep), :, length - held : length] = part[source][:, :, part.shape[2] - held :]
                pair.append(new)
            slab.adopt(pair[0], pair[1], length)
            cache.layers.append(slab)
        mask = torch.zeros((n, 1, 1, room), dtype=torch.bool, device=self.device)
        lengths, counts = np.zeros(n, np.int64), np.zeros(n, np.int64)
        last = torch.full((n,), self.pad, dtype=torch.long, device=self.device)
        knobs = Knobs.empty(n)
        if keep:
            used = self._mask[source][..., self._length - held : self._length]
            mask[: len(keep), :, :, length - held : length] = used
            where = np.array(keep, np.int64)
            lengths[: len(keep)], counts[: len(keep)] = self._lengths[where], self._counts[where]
            last[: len(keep)] = self._last[source]
            old_knobs = self._knobs.take(where)
            for name in ("temperature", "top_p", "top_k", "seed"):
                getattr(knobs, name)[: len(keep)] = getattr(old_knobs, name)
        self.rows = [*(self.rows[i] for i in keep), *([None] * extra)]
        self._cache, self._length, self._mask = cache, length, mask
        self._lengths, self._counts, self._last, self._knobs = lengths, counts, last, knobs


def _knobs(rows: list[Row]) -> Knobs:
    return Knobs(
        np.array([r.temperature for r in rows], np.float32),
        np.array([r.top_p for r in rows], np.float32),
        np.array([r.top_k for r in rows], np.int64),
        np.array([r.seed for r in rows], np.uint64),
    )
