"""Which columns reach each step, as far as that can be known before the first row.

A module of `curator.ops` may say more than `needs` and `adds` can, by functions beside its operator:

- `columns(settings)`, of a source: the columns it will give, or None where only reading tells;
- `output(settings, columns)`: the columns after the step, name -> Arrow type, given those before it;
- `check(settings, columns)`: raises CheckError where the step cannot work on these columns (SQL that does not bind);
- `story(row)`: lines that `why` tells of a row that the step made or changed.
- `sized(settings, size)`: of a step that makes as many rows as a setting says: the settings with `size` of that number
  in its place, so that a plan can scale it like an input and a preview keep it small.

An operator from elsewhere carries them as attributes of its factory.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from curator import rows
from curator.errors import CheckError, CuratorError
from curator.near import nearest
from curator.op import Op, builtin_names, find
from curator.pipeline import STATE, EngineSpec, Gaps, Pipeline, Problem, Step, Where
from curator.settings import engine_room
from curator.state import standing_in, state_path, with_state


@dataclass(frozen=True)
class Columns:
    """Columns that reach a step. `types`: None where the type is not known. `complete`: there are no others."""

    types: Mapping[str, pa.DataType | None] = field(default_factory=dict)
    complete: bool = False

    def plus(self, more: Mapping[str, pa.DataType]) -> Columns:
        """Return these columns and `more`."""
        return Columns({**self.types, **more}, self.complete)

    @property
    def schema(self) -> dict[str, pa.DataType]:
        """Name -> Arrow type; the null type, which fits anything, where the type is not known."""
        return {name: kind if kind is not None else pa.null() for name, kind in self.types.items()}


def check(pipeline: Pipeline, gaps: Gaps) -> list[Problem]:
    """Return the steps that need a column no step before them gives, or that their own checks refuse."""
    problems: list[Problem] = []
    for _ in walk(pipeline, gaps, problems):
        pass
    return problems


def walk(pipeline: Pipeline, gaps: Gaps, problems: list[Problem]) -> Iterator[tuple[Step, Columns]]:
    """Yield every step with the columns after it; mistakes are added to `problems`."""
    yield from _walk(pipeline, pipeline.steps, Columns(), gaps, problems)


def _walk(
    pipeline: Pipeline, steps: tuple[Step, ...], now: Columns, gaps: Gaps, problems: list[Problem], head: str = ""
) -> Iterator[tuple[Step, Columns]]:
    for i, step in enumerate(steps):
        if i in gaps.unknown:
            now = Columns(now.types)
        if step.body:
            now = _rounds(pipeline, step, now, gaps.inner.get(step.label, Gaps()), problems)
        if step.label in gaps.broken:
            now = Columns({**now.types, **_quietly(step, "adds", {})})
        else:
            try:
                _accepted(step, pipeline)
                _needed(step, now)
                now = now if step.body else _after(step, now)
            except CuratorError as e:
                problems.append(Problem(_place(step, str(e)), head + _told(step, str(e))))
                now = Columns({**now.types, **_quietly(step, "adds", {})}, now.complete and step.op.effect != "shapes")
        yield step, now


def _rounds(pipeline: Pipeline, loop: Step, now: Columns, gaps: Gaps, problems: list[Problem]) -> Columns:
    """Return the columns of a loop's state, with which its second round begins; its steps are checked for both rounds.

    What the first round makes reaches the second: a mistake that only shows there is told as one of the second round.
    """
    begin = now.plus({"round": rows.COLUMNS["round"].type})
    for head in (f"{loop.label}.", f"{loop.label}, from the second round on: "):
        found: list[Problem] = []
        with standing_in(begin.schema) as folder:
            body = tuple(with_state(step, folder) for step in loop.body)
            walked = [columns for _, columns in _walk(pipeline, body, begin, gaps, found, head)]
            after = walked[-1] if walked else begin
        found = [replace(p, message=p.message.replace(state_path(folder), STATE)) for p in found]
        problems += [p for p in found if begin.complete or STATE not in p.message]
        state = _joined(loop, begin, after, problems)
        if found or state.types == begin.types:
            return state
        begin = state
    return begin


def _joined(loop: Step, begin: Columns, after: Columns, problems: list[Problem]) -> Columns:
    """Return the columns of the next state."""
    new = after.plus({"round": rows.COLUMNS["round"].type})
    if loop.bound.get("mode") == "replace":
        return new
    for name, kind in new.types.items():
        held = begin.types.get(name)
        if held is None or kind is None or held == kind:
            continue
        try:
            pa.unify_schemas([pa.schema([(name, held)]), pa.schema([(name, kind)])], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            told = f"{loop.label}: column '{name}' is {held} in the state and {kind} in what the steps yield"
            problems.append(Problem(loop.where, f"{told}; cast it in the steps (sql), or write mode: replace"))
            return replace(begin, complete=False)
    return Columns({**begin.types, **new.types}, begin.complete and new.complete)


def hook(op: Op, name: str) -> Callable[..., Any] | None:
    """Return the operator's own `columns`, `output`, `check`, `story` or `sized`, where it has one."""
    module = op.factory.__module__
    if module.startswith("curator.ops."):
        found = getattr(sys.modules[module], name, None)
        return found if getattr(found, "__module__", None) == module else None  # not what it imported by that name
    return getattr(op.factory, name, None)


class _Declared:
    """Stands for an engine while a factory looks at its settings: it says what it can do, and cannot be asked."""

    max_context = None

    def __init__(self, spec: EngineSpec) -> None:
        self.alias, self.model = spec.alias, str(spec.settings.get("model") or spec.kind)
        self.identity = {"kind": spec.kind}
        room = engine_room()
        known = spec.kind in room.kinds()
        self.capabilities = room.capabilities_of(spec.kind, spec.settings) if known else frozenset()

    def count_tokens(self, text: str) -> int:
        return len(text) // 4


def _accepted(step: Step, pipeline: Pipeline) -> None:
    """Call the factory, which refuses settings that types alone let pass; what is expensive waits for the first row.

    Raises:
        CheckError: what the factory says, whatever it raises.
    """
    settings = step.bound
    if not set(step.engines.values()) <= set(pipeline.engines):
        return
    settings = step.with_engines(settings, lambda alias: _Declared(pipeline.engines[alias]))
    if "seed" in settings and settings["seed"] is None:
        settings["seed"] = pipeline.seed
    try:
        step.op.factory(**settings)
    except CuratorError:
        raise
    except Exception as e:
        said = str(e) or type(e).__name__
        raise CheckError(said if isinstance(e, ValueError) else f"{type(e).__name__}: {said}") from e


def _needed(step: Step, now: Columns) -> None:
    needs = step.op.needs(step.bound)
    if now.complete:
        lacking = [name for name in needs if name not in now.types]
        if lacking:
            raise CheckError("; ".join(_lack(name, now) for name in lacking))
    own = hook(step.op, "check")
    if own is not None and now.complete:
        _bound(own, step, now)


def _after(step: Step, now: Columns) -> Columns:
    settings = step.bound
    if step.kind == "source":
        own = hook(step.op, "columns")
        names = own(settings) if own is not None else None
        known = _typed(names) if names is not None else {}
        return Columns(known, names is not None).plus(step.op.adds(settings))
    adds = step.op.adds(settings)
    if step.op.effect != "shapes":
        return now.plus(adds)
    own = hook(step.op, "output")
    if own is None or not now.complete:
        return Columns(adds)
    found = _bound(own, step, now)
    return Columns(found, complete=True) if found is not None else Columns(adds)


def _bound(own: Callable[..., Any], step: Step, now: Columns) -> Any:
    """Call `own`; on columns whose type is not known, only a missing name or bad syntax counts."""
    try:
        return own(step.bound, now.schema)
    except CuratorError as e:
        said = " ".join(str(v) for v in step.settings.values())
        untyped = [name for name, kind in now.types.items() if kind is None and name in said]
        if untyped and not re.search("not found|does not exist|syntax error", str(e)):
            return None
        raise


def _typed(names: Any) -> dict[str, pa.DataType | None]:
    if isinstance(names, Mapping):
        return dict(names)
    return {name: rows.COLUMNS[name].type if name in rows.COLUMNS else None for name in names}


def _lack(name: str, now: Columns) -> str:
    close = nearest(name, now.types)
    givers = _givers(name)
    way = f"; did you mean '{close}'?" if close else f"; {' or '.join(givers)} adds it" if givers else ""
    return f"needs column '{name}', which no step before it gives (there is {', '.join(now.types) or 'none'}){way}"


def _givers(column: str) -> list[str]:
    """Return the built-in operators that add `column` with their default settings."""
    found = []
    for name in builtin_names():
        op = find(name)
        try:
            defaults = {s.name: s.default for s in op.settings}
            adds = op.adds(defaults)
        except Exception:  # defaults alone need not make sense to an operator; then it is not named
            continue
        if column in adds and op.kind(defaults) != "source":
            found.append(name)
    return found


def _quietly(step: Step, what: str, otherwise: Any) -> Any:
    """Return `needs` or `adds` of a step whose settings are wrong, or `otherwise` where that fails."""
    try:
        return getattr(step.op, what)(step.bound)
    except Exception:  # the settings are wrong, and that has been told
        return otherwise


def _place(step: Step, message: str) -> Where:
    """Return where the setting was written that a message speaks of, or else the step."""
    quoted = re.findall(r"['\"]([^'\"]+)['\"]", message)
    opening = re.findall(r"\w+", message)[:4]
    for name, where in step.lines.items():
        value = str(step.settings.get(name, ""))
        if name in opening or (value and (value in message or any(word in value for word in quoted))):
            return where
    return step.lines.get("query", step.lines.get("where", step.where)) if "SQL:" in message else step.where


def _told(step: Step, message: str) -> str:
    return message if message.startswith((f"{step.label}:", f"{step.op.name}:")) else f"{step.label}: {message}"
