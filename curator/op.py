"""The operator contract: what an operator declares, how it is registered, found and explained.

An operator is a factory: a function with keyword settings that returns the function which does the work. The factory's
signature *is* the YAML schema; settings are resolved once (indexes built, templates read), and the inner function sees
only rows. Seven kinds, by what it gets; where settings decide that (`verify`), the kind is a function of them:

| kind | inner function | runs |
|---|---|---|
| source | `() -> Iterator[Result]` | once, writes shards |
| row | `(pa.Table) -> pa.Table or Result` | per shard, in worker processes |
| model | `async (pa.Table) -> pa.Table or Result` | per shard, in the event loop, engines handed in |
| table | `(View) -> Split` | on the whole relation, SQL in DuckDB |
| sink | `(View, Sink) -> None` | last, writes files through the sink |
| barrier | `(Mapping) -> str` | reads what came back from outside for the rows that were handed over |
| loop | `(View) -> bool` | says after each round of its steps whether there is to be no other |
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import typing
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Protocol, TypeVar

import pyarrow as pa

from curator import rows
from curator.engines.protocol import Engine
from curator.errors import CheckError

if TYPE_CHECKING:  # 0.1 s that `check` and `ops` need not pay
    import duckdb

Kind = Literal["source", "row", "model", "table", "sink", "barrier", "loop"]
Effect = Literal["marks", "keeps", "makes", "shapes"]
Settings = Mapping[str, Any]
Names = tuple[str, ...]
Wants = frozenset[str] | Mapping[str, frozenset[str]]
F = TypeVar("F", bound=Callable[..., Any])

DROPPED = pa.schema([(name, pa.string()) for name in ("row_id", "reason", "evidence")])


@dataclass(frozen=True)
class Result:
    """What one call of a row, model or source operator gives back.

    `table`: rows that go on. `dropped`: one row per dropped input row, schema `DROPPED` (the runner adds the row's
    own columns and `dropped_by`). `counts`: numbers for the receipt, added up over all calls.
    """

    table: pa.Table
    dropped: pa.Table | None = None
    counts: Mapping[str, float] = field(default_factory=dict)


class View(Protocol):
    """A whole table, as a table operator or a sink sees it: the relation `rows` on a DuckDB connection."""

    @property
    def con(self) -> duckdb.DuckDBPyConnection:
        """A connection on which `rows` is a view; temporary tables made on it live for the step."""

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of `rows`."""

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """Stream `columns` of all rows, in stored order."""

    def give_back(self) -> None:
        """Return what was freed to the system, before DuckDB needs memory of its own."""


@dataclass(frozen=True)
class Split:
    """What a table operator gives back: two SQL queries on the view's connection.

    `out`: the rows that go on, all columns. `dropped`: `row_id, reason, evidence` of the others, or None.
    """

    out: str
    dropped: str | None = None
    counts: Mapping[str, float] = field(default_factory=dict)


class Sink(Protocol):
    """Where a sink writes: a folder it cannot leave, and what the run knows about itself."""

    def open(self, name: str) -> BinaryIO:
        """Open `name` (relative, inside the folder) for writing; appears atomically when the sink ends."""

    @property
    def folder(self) -> Path:
        """The folder under construction, for libraries that write files themselves."""

    def refuse(self, rows: pa.Table) -> None:
        """Tell of rows that are not in what is written, schema `DROPPED`; the ledger holds them as `left_out`."""

    @property
    def run(self) -> Mapping[str, Any]:
        """Plain facts for the card: pipeline (its YAML text), name, seed, receipts of the steps so far, engines."""


Steps = typing.NewType("Steps", tuple[str, ...])  # type of a setting that holds steps; the factory gets labels
RowFn = Callable[[pa.Table], pa.Table | Result]
ModelFn = Callable[[pa.Table], Awaitable[pa.Table | Result]]
TableFn = Callable[[View], Split]
SourceFn = Callable[[], Iterator[Result]]
SinkFn = Callable[[View, Sink], None]
LoopFn = Callable[[View], bool]
BarrierFn = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True)
class Setting:
    """One setting, read off signature and docstring. `many`: it takes several engines; `is_body`: it holds steps."""

    name: str
    type: Any
    default: Any
    required: bool
    doc: str
    is_engine: bool
    many: bool = False
    is_body: bool = False


def _nothing(_settings: Settings) -> Names:
    return ()


def _no_limit(_settings: Settings) -> int | None:
    return None


@dataclass(frozen=True)
class Op:
    """A registered operator. `kind`, `needs`, `adds`, `wants`, `key`, `enough` are functions of the bound settings."""

    name: str
    kind: Callable[[Settings], Kind]
    effect: Effect
    version: int
    factory: Callable[..., Any]
    needs: Callable[[Settings], Names]
    adds: Callable[[Settings], Mapping[str, pa.DataType]]
    wants: Callable[[Settings], Wants]
    reasons: Mapping[str, str]
    reports: Mapping[str, str]
    key: Callable[[Settings], Names] = _nothing
    enough: Callable[[Settings], int | None] = _no_limit

    @property
    def summary(self) -> str:
        """First line of the docstring."""
        return (inspect.getdoc(self.factory) or "").split("\n", 1)[0]

    @property
    def doc(self) -> str:
        """The whole docstring, dedented."""
        return inspect.getdoc(self.factory) or ""

    @cached_property
    def settings(self) -> tuple[Setting, ...]:
        """Settings in signature order."""
        hints = typing.get_type_hints(self.factory, include_extras=True)
        docs = _arg_docs(self.doc)
        found = []
        for p in inspect.signature(self.factory).parameters.values():
            hint = hints.get(p.name, Any)
            engine = hint is Engine or Engine in typing.get_args(hint)
            required = p.default is inspect.Parameter.empty
            default = None if required else p.default
            many = engine and any(typing.get_origin(kind) is tuple for kind in typing.get_args(hint))
            said = docs.get(p.name, "")
            found.append(Setting(p.name, hint, default, required, said, engine, many, hint is Steps))
        return tuple(found)


def _arg_docs(doc: str) -> dict[str, str]:
    """Return setting -> text from the Google-style `Args:` block of a docstring."""
    match = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", doc, re.S | re.M)
    if not match:
        return {}
    parts = re.split(r"^ {4}(\w+): ", match.group(1), flags=re.M)
    return {name: re.sub(r"\s+", " ", text).strip() for name, text in zip(parts[1::2], parts[2::2], strict=True)}


REGISTRY: dict[str, Op] = {}


def _constant(value: Any) -> Callable[[Settings], Any]:
    return value if callable(value) else lambda _settings: value


def operator(
    kind: Kind | Callable[[Settings], Kind],
    *,
    effect: Effect,
    version: int,
    needs: Names | Callable[[Settings], Names] = (),
    adds: Names | Mapping[str, pa.DataType] | Callable[[Settings], Mapping[str, pa.DataType]] = (),
    wants: Wants | Callable[[Settings], Wants] = frozenset(),
    reasons: Mapping[str, str] | None = None,
    reports: Mapping[str, str] | None = None,
    key: Names | Callable[[Settings], Names] = (),
    enough: Callable[[Settings], int | None] = _no_limit,
    name: str | None = None,
) -> Callable[[F], F]:
    """Register a factory as an operator; the factory is returned unchanged.

    Args:
        kind: what the inner function gets, see the module docstring; or a function of the bound settings. That one is
            asked for settings with mistakes as well (some may be missing) and must not raise.
        effect: `marks` (same rows, new columns), `keeps` (a subset, nothing edited), `makes` (new text or rows, old
            columns untouched), `shapes` (changes what a row is). The runner checks it.
        version: moves whenever the output may change; part of the receipt.
        needs: columns that must exist; a tuple, or a function of the bound settings.
        adds: columns that appear: names from `rows.COLUMNS`, or name -> Arrow type, or a function of the settings.
        wants: engine capabilities (see `engines.protocol`) needed with these settings; where engines differ, a mapping
            from the setting that names one to what it must be able to do.
        reasons: reason code -> meaning, the whole vocabulary of the operator's drops.
        reports: title -> SQL over `rows` (the step's output), run once after the step and kept in its receipt.
        key: of a table operator: the columns whose equal values it judges together; `()` where it needs all rows.
            Where they are `problem_id` or `row_id` a problem's fate is its own, see `run/refill.py`.
        enough: of a table operator: how many rows it wants in all, None for as many as there are. Models before it
            are then asked for no more than that takes; it takes problems in the order of `ops._sql.uniform` and
            reports the count `short_by`.
        name: defaults to the factory's name.
    """
    typed = rows.types(adds) if isinstance(adds, tuple) else adds

    def register(factory: F) -> F:
        label = name or factory.__name__
        REGISTRY[label] = Op(
            label, _constant(kind), effect, version, factory, _constant(needs), _constant(typed), _constant(wants),
            reasons or {}, reports or {}, _constant(key), enough,
        )  # fmt: skip
        return factory

    return register


def builtin_names() -> list[str]:
    """Names of the operators in `curator.ops`, from the file names, without importing them."""
    files = os.listdir(Path(__file__).parent / "ops")  # noqa: PTH208 - asked for every verb of a page
    return sorted(f.removesuffix(".py") for f in files if f.endswith(".py") and not f.startswith("_"))


def entry_points() -> dict[str, str]:
    """Third-party operators: name -> `module:function`, from the entry point group `curator.ops`."""
    from importlib.metadata import entry_points as installed

    return {e.name: e.value for e in installed(group="curator.ops")}


def known_names() -> list[str]:
    """All names `find` resolves without a `module:function`."""
    return sorted({*builtin_names(), *entry_points()})


def find(name: str) -> Op:
    """Return the operator called `name`: built in, by entry point, or as `module:function`.

    Raises:
        KeyError: nothing has that name.
        CheckError: the module cannot be imported, or the function is not an operator.
    """
    if name in builtin_names():
        importlib.import_module(f"curator.ops.{name}")
        return REGISTRY[name]
    target = name if ":" in name else entry_points().get(name)
    if target is None:
        raise KeyError(name)
    module, _, function = target.partition(":")
    try:
        factory = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as e:
        msg = f"operator '{name}': cannot import {target} ({e})"
        raise CheckError(msg) from e
    if found := next((op for op in REGISTRY.values() if op.factory is factory), None):
        return found
    msg = f"operator '{name}': {target} is not registered; decorate it with @curator.operator(...)"
    raise CheckError(msg)


def spelling(op: Op) -> str:
    """Return what a pipeline writes to get `op` back from `find`: its name, or `module:function`."""
    target = f"{op.factory.__module__}:{op.factory.__qualname__}"
    if target == f"curator.ops.{op.name}:{op.factory.__qualname__}":
        return op.name
    return next((name for name, value in entry_points().items() if value == target), target)
