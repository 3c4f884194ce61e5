"""A model decides whether a row and an item are one problem."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from curator import prompts
from curator.contamination.evidence import Hit, Item
from curator.contamination.problem import body
from curator.engines.protocol import Completion, Engine, Message, Request, Sampling
from curator.text import split_think

_SAID = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
LONGEST = 20_000  # characters of a question; a book is no problem, and no context holds it


def said(completion: Completion) -> str:
    """Return `yes`, `no`, `unparseable` or `error`; words in the thinking do not count."""
    if completion.finish_reason == "error":
        return "error"
    found = {m.lower() for m in _SAID.findall(split_think(completion.text).response or "")}
    return found.pop() if len(found) == 1 else "unparseable"


async def judge(
    engine: Engine, texts: Mapping[int, str], near: Mapping[int, Sequence[tuple[float, int]]], items: Sequence[Item],
    keys: Sequence[str], *, both_orders: bool, max_tokens: int,
) -> list[Hit]:  # fmt: skip
    """Ask about each row and its neighbours; a hit for each pair that the model called the same in any order.

    It convicts where the model said yes to every order it was asked in: yes to one only is the known bias of order.

    Args:
        engine: is asked.
        texts: row -> text.
        near: row -> (similarity, item).
        items: of the reference set.
        keys: row ids, for messages.
        both_orders: ask with the item first, and with the row first.
        max_tokens: of an answer, thinking included.
    """
    import asyncio  # 0.03 s that `check` need not pay

    sampling = Sampling(temperature=0.0, top_p=1.0, max_tokens=max_tokens)

    async def ask(first: str, second: str, key: str) -> str:
        user = Message("user", prompts.fill(prompts.SAME_PROBLEM, first=first, second=second))
        (answer,) = await engine.generate(Request((user,), sampling, key=key))
        return said(answer)

    async def pair(row: int, similarity: float, k: int) -> Hit:
        import asyncio  # 0.03 s that `check` need not pay

        here, there = body(texts[row]), body(items[k].text)
        orders = [(there, here), (here, there)][: 2 if both_orders else 1]
        answers = await asyncio.gather(*(ask(a, b, keys[row]) for a, b in orders))
        yes = answers.count("yes")
        facts: dict[str, Any] = {"answers": list(answers), "similarity": round(similarity, 4)}
        return Hit(row, k, "judge", yes / len(orders), yes == len(orders), facts, [(here, there)])

    wanted = [(row, s, k) for row, pairs in near.items() if len(texts[row]) <= LONGEST for s, k in pairs]
    found = await asyncio.gather(*(pair(*w) for w in wanted))
    return [hit for hit in found if hit.score > 0 or {"error", "unparseable"} & set(hit.facts["answers"])]
