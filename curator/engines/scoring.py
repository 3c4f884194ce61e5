"""Given texts through the library's forward: one pass a group of texts of like length, logits only where they count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from curator.engines.forward import Told

PREFILL = 16384  # tokens of one prefill or scoring pass, padding included
_CPU_PASS = 1024  # of a scoring pass on a processor: no slower a token than more, and less of it padding
_LOGITS = 1 << 27  # float32 values of one scoring pass: 512 MiB
_CACHED = 1 << 20  # float32 values that a processor normalises at a time: what its caches hold, 3 times as fast

Text = tuple[list[int], list[int]]  # prompt and text


class Scorer:
    """Scores and embeds texts with a causal language model in eval mode; `pad` fills empty places."""

    def __init__(self, model: Any, pad: int) -> None:
        self.model, self.pad = model, pad
        self._on_cpu = model.device.type == "cpu"
        self._tokens = _CPU_PASS if self._on_cpu else PREFILL

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def score(self, texts: Sequence[Text], *, spread: bool) -> list[Told]:
        """See `forward.Decoder.score`."""
        out: list[Told] = [Told([], [] if spread else None, [] if spread else None) for _ in texts]
        width = int(self.model.config.vocab_size)
        for group in groups(texts, self._tokens, _LOGITS // width):
            ids, mask = self._batch([texts[i] for i in group])
            # What a token is judged by stands one place before it; before the shortest prompt's end nothing is judged.
            first = max(0, min(len(texts[i][0]) for i in group) - 1)
            keep = torch.arange(first, ids.shape[1] - 1, device=ids.device)
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=keep).logits
            for k, i in enumerate(group):
                start, n = len(texts[i][0]), len(texts[i][1])
                self._tell(logits[k, start - 1 - first : start - 1 - first + n], ids[k, start : start + n], out[i])
        return out

    def _tell(self, logits: Tensor, wanted: Tensor, out: Told) -> None:
        rows = max(1, (_CACHED if self._on_cpu else _LOGITS) // logits.shape[-1])
        for at in range(0, len(wanted), rows):
            part = logits[at : at + rows].float().log_softmax(-1)
            out.logprobs.extend(part.gather(-1, wanted[at : at + rows, None])[:, 0].tolist())
            if out.entropies is None or out.margins is None:
                continue
            two = part.topk(2, -1).values.exp()
            out.margins.extend((two[:, 0] - two[:, 1]).tolist())
            # A token of probability 0 adds nothing, and 0 times minus infinity is not that.
            out.entropies.extend((-(part.exp() * part.clamp(min=-1e4)).sum(-1)).tolist())

    @torch.inference_mode()  # type: ignore[untyped-decorator]
    def embed(self, texts: Sequence[Text]) -> list[list[float]]:
        """See `forward.Decoder.embed`."""
        out: list[list[float]] = [[] for _ in texts]
        for group in groups(texts, self._tokens):
            ids, mask = self._batch([texts[i] for i in group])
            hidden = self.model.get_decoder()(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
            for k, i in enumerate(group):
                start, n = len(texts[i][0]), len(texts[i][1])
                out[i] = hidden[k, start : start + n].float().mean(0).tolist()
        return out

    def _batch(self, texts: Sequence[Text]) -> tuple[Tensor, Tensor]:
        """Ids and mask, padded on the right: no row sees its padding, causal attention looks left only."""
        longest = max(map(_length, texts))
        ids = torch.full((len(texts), longest), self.pad, dtype=torch.long)
        mask = torch.zeros((len(texts), longest), dtype=torch.long)
        for k, (prompt, text) in enumerate(texts):
            n = len(prompt) + len(text)
            ids[k, :n] = torch.tensor(prompt + text)
            mask[k, :n] = 1
        return ids.to(self.model.device), mask.to(self.model.device)


def groups(texts: Sequence[Text], tokens: int, room: int | None = None) -> Iterator[list[int]]:
    """Yield the texts, by index, in groups of like length that fit into one pass: little is padding.

    `tokens`: of a pass, padding included. `room`: rows of logits that may be held; None where there are none.
    """
    group: list[int] = []
    prompt = 0  # the shortest prompt of the group
    for i in sorted(range(len(texts)), key=lambda i: _length(texts[i])):
        size, shortest = len(group) + 1, min(prompt, len(texts[i][0])) if group else len(texts[i][0])
        rows = _length(texts[i]) - shortest
        if group and (size * _length(texts[i]) > tokens or (room is not None and size * rows > room)):
            yield group
            group, shortest = [], len(texts[i][0])
        group, prompt = [*group, i], shortest
    if group:
        yield group


def _length(text: Text) -> int:
    return len(text[0]) + len(text[1])
