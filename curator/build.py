"""From a page of YAML to a pipeline: names resolved, overrides written in, settings typed; every mistake noted."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator import near
from curator.errors import CheckError, CuratorError
from curator.op import Op
from curator.pipeline import UNNAMED, EngineSpec, Gaps, Pipeline, Problem, Step, Where, find_op
from curator.settings import bind, bind_engine
from curator.yaml_io import Page, scalar
from curator.yaml_io import Path as At

TOP = ("name", "description", "seed", "engines", "steps")
ALIAS = re.compile(r"^[A-Za-z_][\w-]*$")
NAME = re.compile(r"^[\w][\w. -]*$")
_NO_PAGE = "an empty page; a pipeline has name, engines and steps"


@dataclass
class Found:
    """A step as it stands on the page: where, its verb, its operator (None where there is none of that name).

    `body`: the steps of a loop; `gaps`: what is wrong among them.
    """

    at: At
    op: Op | None
    label: str
    body: list[Found] = field(default_factory=list)
    gaps: Gaps = field(default_factory=Gaps)


_NONE = Found((), None, "")


def _every(found: Sequence[Found], head: str = "") -> Iterator[tuple[str, Found]]:
    for one in found:
        yield head + one.label, one
        yield from _every(one.body, f"{head}{one.label}.")


class Builder:
    """Builds what can be built of a page and notes everything else."""

    def __init__(self, page: Page, problems: list[Problem]) -> None:
        self.page, self.problems = page, problems
        self.gaps = Gaps()

    def build(self, overrides: Sequence[str], seed: int | None) -> Pipeline:
        """Return the pipeline as far as the page and the overrides allow."""
        data = self.page.data
        if not isinstance(data, dict):
            if not self.page.faults:
                self.add(
                    _NO_PAGE
                    if data is None
                    else f"a page is a mapping of name, engines and steps, got {near.shown(data)}"
                )
            return Pipeline(where=Where(self.page.file))
        for key in data:
            if key not in TOP:
                self.add(f"no top-level key '{key}'{near.hint(key, TOP)}", key)
        found = self._verbs(data.get("steps"), ("steps",))
        for text in overrides:
            self._override(text, found)
        engines = self._engines(data.get("engines"))
        steps = self._steps(found, self.gaps)
        return Pipeline(
            name=self._name(data.get("name")),
            steps=steps,
            engines=engines,
            seed=seed if seed is not None else self._typed("seed", int, 0),
            where=Where(self.page.file),
            description=self._typed("description", str, ""),
        )

    def add(self, message: str, *path: str | int) -> None:
        """Note a mistake at the place `path` of the page."""
        self.problems.append(Problem(self.page.where(*path), message))

    def _name(self, name: Any) -> str:
        if name is None:
            return Path(self.page.file).stem or UNNAMED
        if not isinstance(name, str) or not NAME.match(name):
            self.add(f"name wants letters, digits, '-', '_', '.' (it names a folder), got {near.shown(name)}", "name")
            return UNNAMED
        return name

    def _typed(self, key: str, kind: type, default: Any) -> Any:
        value = self.page.data.get(key)
        if value is None:
            return default
        if not isinstance(value, kind) or isinstance(value, bool):
            wants = "a whole number" if kind is int else "text"
            self.add(f"{key} wants {wants}, got {near.shown(value)}", key)
            return default
        return value

    def _engines(self, data: Any) -> dict[str, EngineSpec]:
        if data is not None and not isinstance(data, dict):
            self.add(f"engines wants a mapping of alias to {{kind: ...}}, got {near.shown(data)}", "engines")
        out = {}
        for alias, spec in data.items() if isinstance(data, dict) else ():
            at = ("engines", alias)
            if not ALIAS.match(alias):
                self.add(f"engine alias {near.shown(alias)} wants letters, digits, '-' and '_'", *at)
            if not isinstance(spec, dict) or not isinstance(spec.get("kind"), str):
                self.add(f"engine '{alias}' wants {{kind: ...}}, got {near.shown(spec)}", *at)
                out[alias] = EngineSpec(alias, "", {}, self.page.where(*at))
                continue
            given = {k: v for k, v in spec.items() if k != "kind"}
            bound, faults = bind_engine(spec["kind"], given)
            for fault in faults:
                self.add(f"engine '{alias}': {fault.message}", *at, *([fault.setting] if fault.setting else []))
            out[alias] = EngineSpec(alias, spec["kind"], bound, self.page.where(*at))
        return out

    def _verbs(self, data: Any, at: At) -> list[Found]:
        """Return the steps of a list that stands at `at`, with their operators and labels, loops with their bodies."""
        if not isinstance(data, list) or not data:
            first = ", the first a source: `- read: {path: ...}`" if at == ("steps",) else " of steps: `- verb: {...}`"
            self.add(f"steps wants a list{first}", *at)
            return []
        found: list[Found] = []
        seen: dict[str, int] = {}
        for i, item in enumerate(data):
            if isinstance(item, str):
                item = data[i] = {item: None}
            if not isinstance(item, dict) or len(item) != 1:
                self.add(f"a step is one verb and its settings, `- verb: {{...}}`, got {near.shown(item)}", *at, i)
                continue
            verb, settings = next(iter(item.items()))
            op = None
            try:
                op = find_op(verb)
            except CuratorError as e:
                self.add(str(e), *at, i, verb)
            name = op.name if op else verb.rpartition(":")[2]
            seen[name] = seen.get(name, 0) + 1
            one = Found((*at, i, verb), op, name if seen[name] == 1 else f"{name}-{seen[name]}")
            for inner in (s.name for s in op.settings if s.is_body) if op and isinstance(settings, dict) else ():
                if inner in settings:
                    one.body = self._verbs(settings[inner], (*one.at, inner))
            found.append(one)
        return found

    def _steps(self, found: Sequence[Found], gaps: Gaps) -> tuple[Step, ...]:
        steps: list[Step] = []
        for one in found:
            if one.op is None:
                gaps.unknown.add(len(steps))
            else:
                steps.append(self._step(one, one.op, gaps))
        return tuple(steps)

    def _step(self, one: Found, op: Op, gaps: Gaps) -> Step:
        at, settings = one.at, self._node(one.at)
        if settings is not None and not isinstance(settings, dict):
            first = next((s.name for s in op.settings), None)
            way = f"; write `{at[-1]}: {{{first}: {settings}}}`" if first and not isinstance(settings, list) else ""
            self.add(f"{at[-1]} wants its settings by name, got {near.shown(settings)}{way}", *at)
            gaps.broken.add(one.label)
            settings = None
        bound, faults = bind(op, settings or {})
        for fault in faults:
            self.add(fault.message, *at, *([fault.setting] if fault.setting else []))
        if faults:
            gaps.broken.add(one.label)
        lines = {name: self.page.where(*at, name) for name in settings or {}}
        body = self._steps(one.body, one.gaps)
        gaps.inner[one.label] = one.gaps
        return Step(one.label, op, bound, self.page.where(*at), lines, body)

    def _node(self, at: At) -> Any:
        node: Any = self.page.data
        for key in at:
            node = node[key]
        return node

    def _override(self, text: str, found: Sequence[Found]) -> None:
        """Write one `--set` into the page, so that it is judged like anything written there."""
        where = Where(f"--set {text.partition('=')[0]}")

        def wrong(message: str) -> None:
            self.problems.append(Problem(where, message))

        key, equals, value = text.partition("=")
        parts = key.strip().split(".")
        if not equals:
            return wrong("wants key=value, such as steps.generate.n=8 (in a loop: steps.loop.generate.n=8)")
        data = self.page.data
        try:
            parsed = scalar(value)
        except CheckError as e:
            return wrong(str(e))
        if parts[0] in ("name", "description", "seed") and len(parts) == 1:
            path: tuple[str | int, ...] = (parts[0],)
        elif parts[0] == "steps" and len(parts) >= 3:
            labels = dict(_every(found))
            name = ".".join(parts[1:3]) if len(parts) > 3 and labels.get(parts[1], _NONE).body else parts[1]
            if name not in labels:
                return wrong(f"no step '{name}'{near.hint(name, labels)}")
            path = (*labels[name].at, *parts[1 + len(name.split(".")) :])
        elif parts[0] == "engines" and len(parts) >= 3:
            aliases = data.get("engines")
            known = list(aliases) if isinstance(aliases, dict) else []
            if parts[1] not in known:
                return wrong(f"no engine '{parts[1]}'{near.hint(parts[1], known)}")
            path = tuple(parts)
        else:
            return wrong(
                "sets steps.LABEL.SETTING, engines.ALIAS.SETTING, name, description or seed"
                + near.hint(parts[0], ("steps", "engines", "name", "description", "seed"))
            )
        self._write(path, parsed, where, wrong)

    def _write(self, path: tuple[str | int, ...], value: Any, where: Where, wrong: Callable[[str], None]) -> None:
        node: Any = self.page.data
        for key in path[:-1]:
            child = node.get(key) if isinstance(node, dict) else node[key]
            if child is None:
                child = node[key] = {}
            if not isinstance(child, dict | list):
                wrong(f"{key} is {near.shown(child)}, so nothing can be set inside it")
                return
            node = child
        node[path[-1]] = value
        self.page.overrides[path] = where.file
