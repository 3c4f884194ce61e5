"""What a pipeline is made of: steps, engines as written, the places where they were written, and their mistakes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from curator.op import Kind, Op

STATE = "${state}"  # in the steps of a loop: the path of its state, as it was when the round began


@dataclass(frozen=True)
class Where:
    """Where a thing was written: a file and a line, or Python code."""

    file: str = "<python>"
    line: int | None = None

    def __str__(self) -> str:
        """`file:line`, or the file alone."""
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True)
class Problem:
    """One mistake and where it was written."""

    where: Where
    message: str

    def __str__(self) -> str:
        """`file:line: message`; without the place where it is Python code."""
        return self.message if self.where.file == "<python>" else f"{self.where}: {self.message}"


@dataclass
class Gaps:
    """What of a page could not be built: labels with wrong settings, positions of steps before which one is missing.

    `inner`: the same of the body of a loop, by the loop's label.
    """

    broken: set[str] = field(default_factory=set)
    unknown: set[int] = field(default_factory=set)
    inner: dict[str, Gaps] = field(default_factory=dict)


@dataclass(frozen=True)
class EngineSpec:
    """One named engine as written: its kind and the settings of that kind (model, base_url, max_cost, ...).

    `named` is False where the alias was made up from the kind and may still be numbered.
    """

    alias: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: Where = field(default=Where(), compare=False)
    named: bool = field(default=True, compare=False)


@dataclass(frozen=True)
class Step:
    """One step: an operator and the settings as written. `label` is unique in the pipeline (`generate-2`).

    `body`: the steps of a loop, with labels that are unique in it. Two steps are equal when they do the same, wherever
    they were written.
    """

    label: str
    op: Op
    settings: Mapping[str, Any] = field(default_factory=dict)
    where: Where = field(default=Where(), compare=False)
    lines: Mapping[str, Where] = field(default_factory=dict, compare=False, repr=False)
    body: tuple[Step, ...] = ()

    @property
    def bound(self) -> dict[str, Any]:
        """Settings with the defaults filled in; engine settings hold the alias, the body of a loop its labels."""
        defaults = {s.name: s.default for s in self.op.settings if not s.required}
        labels = {s.name: tuple(inner.label for inner in self.body) for s in self.op.settings if s.is_body}
        return {**defaults, **self.settings, **labels}

    @property
    def kind(self) -> Kind:
        """What its function gets with these settings: rows of a shard, an engine beside them, a whole table."""
        return self.op.kind(self.bound)

    @property
    def engines(self) -> dict[str, str]:
        """Engine setting -> alias, for the engine settings that are set; `engine[1]` where one takes several.

        Of a loop, those of its steps: `generate.engine`.
        """
        found: dict[str, str] = {}
        bound = self.bound
        for name in (s.name for s in self.op.settings if s.is_engine and bound.get(s.name) is not None):
            several = bound[name]
            found |= {name: several} if isinstance(several, str) else {f"{name}[{i}]": a for i, a in enumerate(several)}
        for inner in self.body:
            found |= {f"{inner.label}.{name}": alias for name, alias in inner.engines.items()}
        return found

    def with_engines(self, settings: Mapping[str, Any], of: Callable[[str], Any]) -> dict[str, Any]:
        """Return `settings` of this step with `of(alias)` in the place of every alias of an engine."""
        out = dict(settings)
        for name in (s.name for s in self.op.settings if s.is_engine and settings.get(s.name) is not None):
            value = settings[name]
            out[name] = of(value) if isinstance(value, str) else tuple(of(alias) for alias in value)
        return out


def every(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield every step, and before a loop the steps of its body under the label `loop.generate`."""
    for one in steps:
        yield from (replace(inner, label=f"{one.label}.{inner.label}") for inner in one.body)
        yield one


def labelled(steps: Iterable[Step]) -> tuple[Step, ...]:
    """Return the steps with their labels: the operator's name, then `name-2`, `name-3`."""
    seen: dict[str, int] = {}
    out = []
    for one in steps:
        count = seen[one.op.name] = seen.get(one.op.name, 0) + 1
        out.append(replace(one, label=one.op.name if count == 1 else f"{one.op.name}-{count}"))
    return tuple(out)
