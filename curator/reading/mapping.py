"""Which source column becomes which shared column: what the user says, then exact names, then aliases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from curator.errors import InputError
from curator.near import hint
from curator.rows import ALIASES, COLUMNS

CHAT = ("messages", "conversations")
MADE = ("row_id", "parent_id", "problem_id")


class Mapped(NamedTuple):
    """`source` of each output column; `chat`: column of turns that problem or trace come from, or None."""

    sources: dict[str, str]
    chat: str | None

    @property
    def names(self) -> tuple[str, ...]:
        """Output columns: identity first, shared columns in the order of `rows.COLUMNS`, then the rest."""
        found = {*self.sources, *MADE}
        if self.chat:
            found |= {"problem", "trace"}
        if "trace" in found:
            found |= {"sample_idx", "think", "response"}
        shared = [name for name in COLUMNS if name in found]
        return (*shared, *(name for name in self.sources if name not in COLUMNS))


def mapped(
    names: list[str], columns: Mapping[str, str], id_column: str | None, keep: str | list[str], where: str
) -> Mapped:
    """Decide the mapping for source columns `names`.

    Args:
        names: columns of the input.
        columns: target -> source, as the user gave it; wins over everything.
        id_column: source of `row_id`; `content` for ids made from the content; None for an alias.
        keep: `all`, or the output columns wanted beside problem, trace and the ids.
        where: the input, for messages.

    Raises:
        InputError: a named column that is not there.
    """
    asked = dict(columns)
    if id_column not in (None, "content"):
        asked["row_id"] = str(id_column)
    for target, source in asked.items():
        if source not in names:
            msg = (
                f"{where}: no column '{source}' (wanted as {target}){hint(source, names)}; columns: {', '.join(names)}"
            )
            raise InputError(msg)
    taken = set(asked.values())
    free = [n for n in names if n not in taken and n not in asked]
    sources = dict(asked)
    for name in free:
        if name in COLUMNS and not (name == "row_id" and id_column == "content"):
            sources[name] = name
    for target, aliases in ALIASES.items():
        if target in sources or (target == "row_id" and id_column == "content"):
            continue
        for alias in aliases:
            if alias in free:
                sources[target] = alias
                break
    chat = next((c for c in CHAT if c in free), None) if not {"problem", "trace"} <= sources.keys() else None
    used = {*sources.values(), chat}
    for name in free:
        if name not in used and name not in sources:
            sources[name] = name
    return Mapped(_kept(sources, keep, where), chat)


def _kept(sources: dict[str, str], keep: str | list[str], where: str) -> dict[str, str]:
    if keep == "all":
        return sources
    wanted = [keep] if isinstance(keep, str) else keep
    for name in wanted:
        if name not in sources and name not in MADE:
            msg = f"{where}: keep names '{name}', which is not among the columns{hint(name, sources)}"
            raise InputError(msg)
    return {t: s for t, s in sources.items() if t in {*wanted, *MADE, "problem", "trace"}}
