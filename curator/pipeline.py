"""A pipeline: engines and steps, built from YAML or from Python, the same object either way.

Everything a verb returns is a `Pipeline`, of one step at first; `|` joins two of them:

    (cu.read("problems.parquet") | cu.dedup(on="problem") | cu.generate(engine=teacher, n=4)).run("runs/mine")

Joining numbers the labels (`generate`, `generate-2`) and the aliases of engines that were given none, so that the
same chain always gives the same pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any

from curator.errors import CheckError
from curator.near import hint, shown
from curator.op import Op, find, known_names
from curator.steps import STATE, EngineSpec, Gaps, Problem, Step, Where, every, labelled

__all__ = [
    "STATE", "UNNAMED", "EngineSpec", "Gaps", "Pipeline", "Problem", "Step", "Where", "engine", "every", "find_op",
    "labelled", "step",
]  # fmt: skip

UNNAMED = "pipeline"


@dataclass(frozen=True)
class Pipeline:
    """Engines and steps in order. `seed` decides every random choice."""

    name: str = UNNAMED
    steps: tuple[Step, ...] = ()
    engines: Mapping[str, EngineSpec] = field(default_factory=dict)
    seed: int = 0
    where: Where = field(default=Where(), compare=False)
    description: str = ""

    def __or__(self, other: Pipeline) -> Pipeline:
        """Return this pipeline followed by `other`. The first name, description and seed given win.

        Raises:
            CheckError: the two give one alias to different engines.
        """
        if not isinstance(other, Pipeline):
            return NotImplemented
        specs, renamed = _join_engines(self.engines, other.engines)
        moved = tuple(_with_aliases(step, renamed) for step in other.steps)
        return Pipeline(
            name=other.name if self.name == UNNAMED else self.name,
            steps=labelled((*self.steps, *moved)),
            engines=specs,
            seed=self.seed or other.seed,
            where=self.where,
            description=self.description or other.description,
        )

    def check(self) -> list[Problem]:
        """Return every mistake that shows without reading a row or asking an engine; empty when there is none."""
        from curator.check import check_pipeline

        return check_pipeline(self)

    def to_yaml(self) -> str:
        """Return the page of YAML that builds this pipeline again.

        Raises:
            CheckError: a setting is a Python object that YAML cannot say.
        """
        from curator.yaml_io import dump

        return dump(self)

    def run(self, folder: str | Path | None = None, **options: Any) -> Any:
        """Check and run the pipeline into `folder` (default `runs/<name>`) and return the `Run`.

        Args:
            folder: where everything goes; a folder of the same pipeline is resumed.
            options: `workers`, `store`, `progress`, `limit`, as in `curator.run.local.run`.

        Raises:
            CheckError: `check` finds a mistake; the message lists all of them.
        """
        from curator.check import refuse
        from curator.run.local import run  # the one import against the grain: the chain ends in a verb

        refuse(self.check())
        return run(self, Path(folder) if folder is not None else Path("runs") / self.name, **options)


def step(verb: str, /, *first: Any, **settings: Any) -> Pipeline:
    """Return the pipeline of one step: what `cu.<verb>(...)` calls.

    Args:
        verb: a built-in name, the name of an entry point, or `module:function`.
        first: at most one value, for the first setting of the operator.
        settings: settings by name; an engine setting takes an `EngineSpec` or an alias, the body of a loop a pipeline.

    Raises:
        CheckError: no such operator, or a setting is unknown, missing or of the wrong type.
    """
    from curator.settings import bind

    op = find_op(verb)
    if first:
        settings = {**_by_position(op, first, settings), **settings}
    specs: dict[str, EngineSpec] = {}
    body: tuple[Step, ...] = ()
    for setting in op.settings:
        if setting.is_body and setting.name in settings:
            inner = _inner(op, settings[setting.name])
            body, specs = inner.steps, dict(inner.engines)
        value = settings.get(setting.name) if setting.is_engine else None
        if isinstance(value, list | tuple):
            settings[setting.name] = aliases = list(value)
            for i, spec in enumerate(value):
                specs, aliases[i] = _with_engine(specs, spec)
        elif value is not None:
            specs, settings[setting.name] = _with_engine(specs, value)
    bound, faults = bind(op, settings)
    if faults:
        msg = "\n".join(fault.message for fault in faults)
        raise CheckError(msg)
    return Pipeline(steps=(Step(op.name, op, bound, body=body),), engines=specs)


def _inner(op: Op, steps: Any) -> Pipeline:
    """Return the steps of a loop as one pipeline, from a pipeline or a list of them. Raises CheckError."""
    several = steps if isinstance(steps, list | tuple) else [steps]
    if not several or not all(isinstance(one, Pipeline) and one.steps for one in several):
        msg = f"{op.name}: steps wants steps, such as cu.generate(...) | cu.verify(), got {shown(steps)}"
        raise CheckError(msg)
    joined: Pipeline = reduce(or_, several)
    return joined


def _with_engine(specs: dict[str, EngineSpec], given: Any) -> tuple[dict[str, EngineSpec], Any]:
    """Return the engines with `given` among them, and its alias."""
    if not isinstance(given, EngineSpec):  # an alias, or what `bind` will refuse
        return specs, given
    joined, renamed = _join_engines(specs, {given.alias: given})
    return dict(joined), renamed.get(given.alias, given.alias)


def engine(kind: str, /, alias: str | None = None, **settings: Any) -> EngineSpec:
    """Return an engine to hand to verbs: `teacher = cu.engine("openai", model="...", base_url="...")`.

    Args:
        kind: `openai`, `vllm`, `transformers`, `pocket`, `replay`, ...
        alias: its name in the pipeline; by default the kind, numbered where several differ.
        settings: settings of that kind. Keys never go here: give `api_key_env`, the variable that holds it.

    Raises:
        CheckError: no such kind, an unknown setting, a wrong type, or a secret.
    """
    from curator.settings import bind_engine

    bound, faults = bind_engine(kind, settings)
    if faults:
        msg = "\n".join(f"engine: {fault.message}" for fault in faults)
        raise CheckError(msg)
    return EngineSpec(alias or kind, kind, bound, named=alias is not None)


def find_op(verb: str) -> Op:
    """Return the operator `verb`. Raises CheckError with the near miss where there is none."""
    try:
        return find(verb)
    except KeyError:
        msg = f"no operator '{verb}'{hint(verb, known_names())}"
        raise CheckError(msg) from None


def _by_position(op: Op, first: tuple[Any, ...], settings: Mapping[str, Any]) -> dict[str, Any]:
    names = [s.name for s in op.settings]
    if len(first) > 1 or not names or names[0] in settings:
        way = f"only {names[0]} may be given without its name" if names else "it has no settings"
        msg = f"{op.name}: {len(first)} settings without a name; {way}"
        raise CheckError(msg)
    return {names[0]: first[0]}


def _same(a: EngineSpec, b: EngineSpec) -> bool:
    return (a.kind, a.settings) == (b.kind, b.settings)


def _join_engines(
    left: Mapping[str, EngineSpec], right: Mapping[str, EngineSpec]
) -> tuple[dict[str, EngineSpec], dict[str, str]]:
    """Return all engines, and old alias -> new alias for those of `right` that had to be numbered."""
    specs, renamed = dict(left), {}
    for alias, spec in sorted(right.items(), key=lambda item: not item[1].named):  # chosen names before made-up ones
        if not spec.named:
            alias = _free_alias(spec, specs)
            renamed[spec.alias] = alias
        elif alias in specs and not _same(specs[alias], spec):
            msg = f"engine '{alias}' is given twice with different settings; give one of them another alias"
            raise CheckError(msg)
        specs[alias] = replace(spec, alias=alias)
    return specs, renamed


def _free_alias(spec: EngineSpec, taken: Mapping[str, EngineSpec]) -> str:
    """Return the alias of an equal unnamed engine, or the kind, numbered until it is free."""
    for alias, other in taken.items():
        if not other.named and _same(other, spec):
            return alias
    alias, count = spec.kind, 1
    while alias in taken:
        count += 1
        alias = f"{spec.kind}-{count}"
    return alias


def _with_aliases(one: Step, renamed: Mapping[str, str]) -> Step:
    if not any(renamed.get(alias, alias) != alias for alias in one.engines.values()):
        return one
    settings = one.with_engines(one.settings, lambda alias: renamed.get(alias, alias))
    return replace(one, settings=settings, body=tuple(_with_aliases(inner, renamed) for inner in one.body))
