"""Pure functions on model text, shared by operators."""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"


class Parts(NamedTuple):
    """A trace taken apart. `closed` is False where the thinking was never closed (a truncated trace)."""

    think: str | None
    response: str
    closed: bool


def split_think(trace: str) -> Parts:
    """Split a trace into thinking and response at the last `</think>`.

    The opening tag is optional: chat templates that end with `<think>` leave it in the prompt. A trace with an opening
    tag and no closing one is all thinking, `closed=False`; one with neither is all response.
    """
    head, close, tail = trace.rpartition(THINK_CLOSE)
    if close:
        return Parts(head.removeprefix("\n").lstrip().removeprefix(THINK_OPEN).strip("\n"), tail.lstrip("\n"), True)
    if trace.lstrip().startswith(THINK_OPEN):
        return Parts(trace.lstrip().removeprefix(THINK_OPEN).strip("\n"), "", False)
    return Parts(None, trace, True)


# A group after a LaTeX command, `}`, `^` or `_` is LaTeX (`\frac{a}{b}`, `x^{n}`), not a field.
_FIELD = re.compile(r"(?<![\\A-Za-z}^_])\{([a-z_]+)\}")


def fields(template: str) -> tuple[str, ...]:
    """Return the names of the `{name}` fields of a prompt template, in order, each once; LaTeX groups are none."""
    return tuple(dict.fromkeys(_FIELD.findall(template)))


def seed_of(*parts: object) -> int:
    """Return a 31-bit sampling seed from `parts` (seed, problem_id, sample number): law 6, no row order in it."""
    text = "\x00".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4).digest(), "big") >> 1
