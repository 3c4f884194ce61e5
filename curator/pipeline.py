"""A pipeline: engines and steps, built from YAML or from Python, the same object either way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from curator.op import Op


@dataclass(frozen=True)
class Where:
    """Where a thing was written: a file and a line, or Python code."""

    file: str = "<python>"
    line: int | None = None


@dataclass(frozen=True)
class EngineSpec:
    """One named engine as written: its kind and the settings of that kind (model, base_url, max_cost, ...)."""

    alias: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: Where = Where()


@dataclass(frozen=True)
class Step:
    """One step: an operator and the settings as written. `label` is unique in the pipeline (`generate-2`)."""

    label: str
    op: Op
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: Where = Where()

    @property
    def bound(self) -> dict[str, Any]:
        """Settings with the defaults filled in; engine settings hold the alias."""
        defaults = {s.name: s.default for s in self.op.settings if not s.required}
        return {**defaults, **self.settings}


@dataclass(frozen=True)
class Pipeline:
    """Engines and steps in order. `seed` decides every random choice."""

    name: str
    steps: tuple[Step, ...] = ()
    engines: Mapping[str, EngineSpec] = field(default_factory=dict)
    seed: int = 0
    where: Where = Where()
