"""From a reference and a predicted answer to a verdict: the fast path in process, the rest in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from curator.maths.compare import NeedsSympy, Rules, Unreadable, equal
from curator.maths.pool import Pair, Reply, shared

VERIFIER = "math/1"


class Verdict(NamedTuple):
    """`verdict` as in the column of that name (without no_reference); `detail` in a few words, or None."""

    verdict: str
    detail: str | None = None


def judge(pairs: Sequence[tuple[str, str]], *, strict: bool = False, limit_s: float = 5.0) -> list[Verdict]:
    """Compare (reference, predicted) pairs; equal pairs are compared once. Blocks; call it in a thread from asyncio.

    `correct` may come from equal text; `incorrect` only from the full comparison of both values.
    """
    rules = Rules(strict)
    done: dict[tuple[str, str], Verdict] = {}
    hard: list[tuple[str, str]] = []
    for pair in dict.fromkeys(pairs):
        try:
            done[pair] = _verdict(Reply(equal(*pair, rules)))
        except NeedsSympy:
            hard.append(pair)
        except Unreadable as e:
            done[pair] = _verdict(Reply(None, f"{e.side} does not parse", e.why))
    if hard:
        replies = shared().ask([Pair(g, p, strict, limit_s) for g, p in hard])
        done.update(zip(hard, map(_verdict, replies), strict=True))
    return [done[p] for p in pairs]


def _verdict(reply: Reply) -> Verdict:
    """A reference that does not parse is a fault of the data, never a wrong answer."""
    if reply.equal is not None:
        return Verdict("correct" if reply.equal else "incorrect")
    why = reply.why or "unknown"
    if why == "timeout":
        return Verdict("timeout", "comparison over its time limit")
    if why == "pred does not parse":
        return Verdict("unparseable", "answer does not parse")
    if why == "gold does not parse":
        return Verdict("error", "reference does not parse")
    return Verdict("error", why)
