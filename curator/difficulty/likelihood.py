"""What the log-probabilities of a text's tokens come to: for the whole text, and for spans of its characters."""

from __future__ import annotations

import math
from collections.abc import Sequence

Span = tuple[int, int]


def total(logprobs: Sequence[float]) -> float:
    """Return the sum, exactly rounded: it does not depend on how the tokens were batched."""
    return math.fsum(logprobs)


def by_span(
    text: str, offsets: Sequence[int], logprobs: Sequence[float], spans: Sequence[Span]
) -> tuple[list[float | None], list[int]]:
    """Return for each span the sum of its tokens' log-probabilities and how many they are.

    A token belongs to the span that holds its first character that is no space: tokenizers hang the space before a word
    on the word, segmenters on the sentence before it. So spans are compared by characters, whatever the tokenizer. A
    span without any token, such as one behind the end of what was scored, has no sum.

    Args:
        text: what was scored.
        offsets: where each token starts, in characters, ascending.
        logprobs: of the tokens.
        spans: (start, end) in characters, ascending and disjoint.
    """
    held: list[list[float]] = [[] for _ in spans]
    at = 0
    for i, start in enumerate(offsets):
        stop = offsets[i + 1] if i + 1 < len(offsets) else len(text)
        place = start + len(piece) - len(piece.lstrip()) if (piece := text[start:stop]).strip() else start
        while at < len(spans) and spans[at][1] <= place:
            at += 1
        if at == len(spans):
            break
        if spans[at][0] <= place:
            held[at].append(logprobs[i])
    return [math.fsum(h) if h else None for h in held], [len(h) for h in held]
