"""The settings of `export`, checked before the first row."""

from __future__ import annotations

import re
from collections.abc import Mapping

from curator import near
from curator.errors import CheckError
from curator.export.example import THINKING, Thinking, Use
from curator.export.formats import Format, Plan, find
from curator.spans.inserted import KINDS

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9}
_SPLIT = re.compile(r"^[A-Za-z][A-Za-z0-9_]{0,39}$")


def listed(to: str | list[str]) -> list[str]:
    """Return format names as a list without repeats."""
    return list(dict.fromkeys([to] if isinstance(to, str) else to))


def plan_of(
    thinking: Thinking, use: Use, prompt: str, system: str | None, verifier: str | None, columns: tuple[str, ...],
    learn: tuple[str, ...] = (),
) -> Plan:  # fmt: skip
    """Return the checked plan. Raises CheckError for a value that is none of those allowed."""
    if thinking not in THINKING:
        msg = f"export: thinking '{thinking}' is none of {', '.join(THINKING)}"
        raise CheckError(msg)
    if use not in ("auto", "short", "long"):
        msg = f"export: use '{use}' is none of auto, short, long"
        raise CheckError(msg)
    if "{problem}" not in prompt:
        msg = f"export: prompt {prompt!r} does not contain {{problem}}"
        raise CheckError(msg)
    for kind in learn:
        if kind not in KINDS:
            msg = f"export: there is no kind of inserted text '{kind}' to learn{near.hint(kind, KINDS)}"
            raise CheckError(msg)
    return Plan(thinking, use, prompt, system, verifier, tuple(columns), tuple(learn))


def formats_of(to: str | list[str], plan: Plan) -> tuple[Format, ...]:
    """Return the formats. Raises CheckError for an unknown one, or one that writes a carried column itself."""
    formats = tuple(find(name, plan.thinking) for name in listed(to))
    if not formats:
        msg = "export: `to` is empty; name at least one format, for example trl"
        raise CheckError(msg)
    for found in formats:
        clash = [n for n in plan.columns if n in found.schema(plan).names]
        if clash:
            msg = (
                f"export: {found.name} writes a column '{clash[0]}' itself; leave it out of `columns` (metadata has it)"
            )
            raise CheckError(msg)
    return formats


def splits_of(split: str | Mapping[str, float]) -> dict[str, float]:
    """Return split name -> share. Raises CheckError for a name the Hub cannot take, or a share of nothing."""
    shares = {split: 1.0} if isinstance(split, str) else dict(split)
    if not shares:
        msg = "export: `split` is empty; name at least one, for example train"
        raise CheckError(msg)
    for name, share in shares.items():
        if not _SPLIT.match(name):
            msg = f"export: split '{name}' is not a name of letters, digits and _ (at most 40)"
            raise CheckError(msg)
        if not share > 0:
            msg = f"export: split '{name}' has the share {share}; shares are above 0"
            raise CheckError(msg)
    return shares


def bytes_of(size: str) -> int:
    """Return a size such as `500MB` in bytes. Raises CheckError where it is none."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMG]?)B?\s*", str(size), re.I)
    if not match or float(match[1]) <= 0:
        msg = f"export: shard_size '{size}' is not a size such as 500MB or 2GB"
        raise CheckError(msg)
    return int(float(match[1]) * _UNITS[match[2].upper()])
