"""Bounds of a setting, for its annotation: `Annotated[int, Ge(1)]`. Those of `annotated_types` are understood as well.

That package makes a dozen dataclasses when it is imported, which is a twentieth of `curator check`. Pydantic, which is
asked about values in doubt, finds the bound in the schema of the number.
"""

from __future__ import annotations

from typing import Any


class Bound:
    """One bound: `ge`, `gt`, `le` or `lt` holds its limit, by the name of the class."""

    __slots__ = ("limit",)

    def __init__(self, limit: float) -> None:
        self.limit = limit

    def __getattr__(self, name: str) -> float:
        if name == type(self).__name__.lower():
            return self.limit
        raise AttributeError(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.limit})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Bound) and self.limit == other.limit

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.limit))

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), type(self).__name__.lower(): self.limit}


class Ge(Bound):
    """At least."""


class Gt(Bound):
    """More than."""


class Le(Bound):
    """At most."""


class Lt(Bound):
    """Less than."""
