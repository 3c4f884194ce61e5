"""Curate reasoning data and synthesise reasoning traces.

Every operator is a verb of this module; `|` makes a pipeline of them, and YAML says the same:

    import curator as cu

    teacher = cu.engine("openai", model="my-model", base_url="http://127.0.0.1:8000/v1")
    run = (cu.read("problems.parquet") | cu.dedup(on="problem") | cu.generate(engine=teacher, n=4)).run("runs/mine")

Beside the verbs: `engine` (an engine to hand to verbs), `step` (a verb by name or as `module:function`), `load` (a YAML
file), `Pipeline`, `operator` (declare an operator of your own). Nothing is imported before it is used.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_NAMES = {
    "Pipeline": "curator.pipeline:Pipeline",
    "step": "curator.pipeline:step",
    "engine": "curator.pipeline:engine",
    "load": "curator.check:load",
    "operator": "curator.op:operator",
    "Result": "curator.op:Result",
    "Split": "curator.op:Split",
    "CuratorError": "curator.errors:CuratorError",
}


def __getattr__(name: str) -> Any:
    """Return one of the names above, or the verb of the operator `name`."""
    from importlib import import_module
    from pathlib import Path

    if name in _NAMES:
        module, _, attribute = _NAMES[name].partition(":")
        found = globals()[name] = getattr(import_module(module), attribute)
        return found
    here = Path(__file__).parent
    room = (here / name).is_dir() or (here / f"{name}.py").is_file()
    if name.startswith("_") or (room and not (here / "ops" / f"{name}.py").is_file()):
        msg = f"module 'curator' has no attribute '{name}'"  # `from curator import name` goes on and imports the room
        raise AttributeError(msg)
    if room:  # a verb and a room of one name, see _Package
        return import_module(f"curator.{name}")
    return import_module("curator.verbs").verb(name)


def __dir__() -> list[str]:
    from curator.op import known_names

    return sorted({*globals(), *_NAMES, *known_names()})


class _Room(ModuleType):
    """A room that shares its name with a verb: `cu.export(to="trl")` is the verb, `curator.export.hub` is the room."""

    def __call__(self, *first: Any, **settings: Any) -> Any:
        from curator.pipeline import step

        return step(self.__name__.rpartition(".")[2], *first, **settings)


class _Package(ModuleType):
    """Importing `curator.export` puts that module where the verb `export` was; this makes it callable as it arrives.

    `barrier` likewise.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("export", "barrier") and isinstance(value, ModuleType):
            value.__class__ = _Room
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
