"""From a reference and a predicted answer to a verdict: the fast path in process, the rest in a worker."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from curator.maths.compare import equal
from curator.maths.plain import NeedsSympy, Unreadable
from curator.maths.pool import Pair, Reply, shared
from curator.maths.rules import Rules

VERIFIER = "math/2"


class Verdict(NamedTuple):
    """`verdict` as in the column of that name (without no_reference); `detail` in a few words, or None."""

    verdict: str
    detail: str | None = None


def judge(
    pairs: Sequence[tuple[str, str]],
    *,
    strict: bool = False,
    limit_s: float = 5.0,
    rules: Rules | Sequence[Rules] | None = None,
    workers: int = 1,
) -> list[Verdict]:
    """Compare (reference, predicted) pairs; equal pairs are compared once. Blocks; call it in a thread from asyncio.

    `correct` may come from equal text; `incorrect` only from a proof or the full comparison of both values.

    Args:
        pairs: answers as written; anything but text is refused by name.
        strict: shorthand for `rules=Rules(strict)`.
        limit_s: CPU seconds a comparison may take.
        rules: conventions and tolerances of all pairs, or one for each pair; overrides `strict`.
        workers: processes that compare hard pairs at the same time.

    Raises:
        ValueError: as many `rules` as pairs are needed, and the limits must be positive.
    """
    if rules is not None and not isinstance(rules, Rules) and len(rules) != len(pairs):
        msg = f"{len(rules)} rules for {len(pairs)} pairs: give one for all or one for each"
        raise ValueError(msg)
    if not limit_s > 0 or workers < 1:
        msg = f"limit_s {limit_s} and workers {workers} must be positive"
        raise ValueError(msg)
    each = [rules or Rules(strict)] * len(pairs) if rules is None or isinstance(rules, Rules) else rules
    tasks = [(g, p, r) for (g, p), r in zip(pairs, each, strict=True)]
    done: dict[tuple[str, str, Rules], Verdict] = {}
    hard: list[tuple[str, str, Rules]] = []
    for task in dict.fromkeys(tasks):
        easy = at_once(*task)
        if easy is None:
            hard.append(task)
        else:
            done[task] = easy
    if hard:
        replies = shared(workers).ask([Pair(g, p, r, limit_s) for g, p, r in hard])
        done.update(zip(hard, map(_verdict, replies), strict=True))
    return [done[t] for t in tasks]


@lru_cache(maxsize=8192)  # rollouts of one problem come to the same few answers
def at_once(gold: str, pred: str, rules: Rules) -> Verdict | None:
    """Return the verdict of one pair where no worker is needed for it, else None."""
    try:
        return _verdict(Reply(equal(gold, pred, rules)))
    except NeedsSympy:
        return None
    except Unreadable as e:
        return _verdict(Reply(None, f"{e.side} does not parse", e.why))


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
