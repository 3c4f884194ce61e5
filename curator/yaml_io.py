"""YAML in and out: one page, every value with its line.

Read as YAML 1.2: `yes`, `no` and `on` are text, `1e-5` is a number. `${NAME}` and `${NAME:-default}` are filled from
the environment (`$${` is a plain `${`); in the steps of a loop `${state}` is left for the runner. Nothing is judged
here beyond the page's own shape: `curator.check` does that.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from curator.errors import CheckError
from curator.pipeline import STATE, EngineSpec, Pipeline, Step, Where
from curator.settings import find_secret, plain

Path = tuple[str | int, ...]
OVERRIDE = "--set"  # stands for the file of a value from the command line
MAX_NODES = 100_000  # a page of YAML has hundreds; aliases of aliases can have billions

_INT = re.compile(r"^(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$")
_FLOAT = re.compile(
    r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
)
_BOOL = re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$")
_NULL = re.compile(r"^(?:~|null|Null|NULL|)$")
_ENV = re.compile(r"\$(\$\{|\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\})")
_COLLECTIONS = ("tag:yaml.org,2002:seq", "tag:yaml.org,2002:map")
_BASE = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_BASE):  # type: ignore[misc, valid-type]  # chosen at run time: the C parser where it is built in
    """Resolves plain scalars as YAML 1.2's core schema does."""

    yaml_implicit_resolvers: dict[str, list[Any]] = {}


class _Dumper(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would read as something else."""

    yaml_implicit_resolvers = {k: list(v) for k, v in yaml.SafeDumper.yaml_implicit_resolvers.items()}

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """Write line breaks that only Unicode knows as escapes: folded into a quoted text they would become blanks."""
    style = '"' if set(text) & {"\x85", "\u2028", "\u2029"} else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)

for _kind, _pattern, _first in (
    ("bool", _BOOL, "tTfF"),
    ("int", _INT, "-+0123456789"),
    ("float", _FLOAT, "-+.0123456789"),
    ("null", _NULL, ["~", "n", "N", ""]),
    ("merge", re.compile(r"^<<$"), "<"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, list(_first))
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", _pattern, list(_first))


@dataclass
class Page:
    """A page as plain data, the line of every value, and what is wrong with its form."""

    file: str
    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    overrides: dict[Path, str] = field(default_factory=dict)
    faults: list[tuple[Where, str]] = field(default_factory=list)

    def where(self, *path: str | int) -> Where:
        """Return where the value at `path` was written: its line, its override, or the nearest thing around it."""
        for end in range(len(path), -1, -1):
            if path[:end] in self.overrides:
                return Where(self.overrides[path[:end]])
            if path[:end] in self.lines:
                return Where(self.file, self.lines[path[:end]])
        return Where(self.file)


def parse(text: str, file: str, env: Mapping[str, str] | None = None) -> Page:
    """Return the page of `text`; what cannot be read becomes a fault with its line."""
    page = Page(file)
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except (yaml.YAMLError, ValueError) as e:
        page.faults.append((Where(file, _line_of(e)), f"not YAML: {_first_line(e)}"))
        return page
    if node is not None:
        reader = _Reader(page, loader, os.environ if env is None else env)
        try:
            page.data = reader.value(node, ())
        except RecursionError:
            page.faults.append((Where(file), "nested too deeply, or an alias that contains itself"))
    return page


def scalar(text: str) -> Any:
    """Return the value of an override, as YAML reads it. Raises CheckError where it is not YAML."""
    page = parse(text, OVERRIDE)
    if page.faults:
        msg = f"'{text}' is {page.faults[0][1]}"
        raise CheckError(msg)
    return page.data


class _Reader:
    """Turns nodes into plain data and notes lines and faults on the page."""

    def __init__(self, page: Page, loader: Any, env: Mapping[str, str]) -> None:
        self.page, self.loader, self.env, self.count = page, loader, env, 0

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.page.lines.setdefault(path, node.start_mark.line + 1)
        self.count += 1
        if self.count > MAX_NODES:
            if self.count == MAX_NODES + 1:
                self._fault(node, f"more than {MAX_NODES} values; this is not a pipeline")
            return None
        if not isinstance(node, yaml.ScalarNode) and node.tag not in _COLLECTIONS:
            self._fault(node, f"tags are not read: {node.tag}")
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, i)) for i, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return dict(self._items(node, path))
        assert isinstance(node, yaml.ScalarNode)
        return self._scalar(node, path)

    def _items(self, node: yaml.MappingNode, path: Path) -> Iterator[tuple[str, Any]]:
        seen: set[str] = set()
        for key_node, child in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None or key_node.tag.endswith(":merge"):
                self._fault(key_node, "keys are plain words here; merges (<<) and nested keys are not read")
                continue
            if key in seen:
                self._fault(key_node, f"'{key}' is given twice")
            seen.add(key)
            self.page.lines[(*path, key)] = key_node.start_mark.line + 1
            yield key, self.value(child, (*path, key))

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = _ENV.sub(lambda m: self._filled(m, node, path), node.value)
        tag = node.tag
        if text != node.value and not node.style:  # ${N} without quotes is a number where N is one
            tag = self.loader.resolve(yaml.ScalarNode, text, (True, False))
        if tag == "tag:yaml.org,2002:str":
            return text
        try:
            return _number(tag, text)
        except (KeyError, ValueError):
            self._fault(node, f"'{tag.removeprefix('tag:yaml.org,2002:')}' values are not read; write it as text")
            return text

    def _filled(self, match: re.Match[str], node: yaml.Node, path: Path) -> str:
        if match.group(1) == "${":
            return "${"
        inside = (path[:1] == ("steps",) and "steps" in path[1:]) or self.page.file == OVERRIDE
        if match.group() == STATE and inside:
            return STATE
        name, default = match.group(2), match.group(3)
        found = self.env.get(name) or default  # as in the shell, `:-` also stands in for an empty value
        if found is None and name not in self.env:
            way = f"set it, or write ${{{name}:-default}}"
            if match.group() == STATE:
                way = "as the state of a loop it only stands in the steps of one"
            self._fault(node, f"environment variable {name} is not set; {way}")
        return found or ""

    def _fault(self, node: yaml.Node, message: str) -> None:
        self.page.faults.append((Where(self.page.file, node.start_mark.line + 1), message))


def _number(tag: str, text: str) -> Any:
    kind = tag.rpartition(":")[2]
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() == "true"
    if kind == "int":
        return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
    if kind == "float":
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    raise KeyError(kind)


def _line_of(error: Exception) -> int | None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return mark.line + 1 if mark is not None else None


def _first_line(error: Exception) -> str:
    return getattr(error, "problem", None) or str(error).split("\n", 1)[0]


def dump(pipeline: Pipeline) -> str:
    """Return the page of YAML that builds `pipeline` again.

    Raises:
        CheckError: a setting cannot be written as YAML, or looks like a secret.
    """
    head: dict[str, Any] = {"name": _escaped(pipeline.name)}
    if pipeline.description:
        head["description"] = _escaped(pipeline.description)
    if pipeline.seed:
        head["seed"] = pipeline.seed
    out = [_yaml(head)]
    if pipeline.engines:
        out.append("engines:\n")
        out += [f"  {_yaml(alias, inline=True)}: {_engine(spec)}\n" for alias, spec in pipeline.engines.items()]
    out.append("steps:\n" if pipeline.steps else "steps: []\n")
    out += [_step(step) for step in pipeline.steps]
    return "".join(out)


def _engine(spec: EngineSpec) -> str:
    return _yaml({"kind": spec.kind, **_checked(f"engine '{spec.alias}'", spec.settings)}, inline=True)


def _step(step: Step, margin: str = "  ", *, inside: bool = False) -> str:
    """Return one step as lines that begin with `margin`; `inside`: it is a step of a loop."""
    from curator.op import spelling

    settings = _checked(f"step '{step.label}'", step.settings, inside=inside)
    verb = _yaml(spelling(step.op), inline=True)
    if not settings and not step.body:
        return f"{margin}- {verb}:\n"
    line = f"{margin}- {verb}: {_yaml(settings, inline=True)}\n"
    if len(line) <= 120 and "\\n" not in line and not step.body:
        return line
    rows = _yaml(settings).splitlines(keepends=True) if settings else []
    block = "".join(f"{margin}    {row}" if row.strip() else row for row in rows)
    for name in (s.name for s in step.op.settings if s.is_body):
        inner = (_step(one, f"{margin}      ", inside=True) for one in step.body)
        block += f"{margin}    {name}:\n" + "".join(inner)
    return f"{margin}- {verb}:\n{block}"


def _checked(owner: str, settings: Mapping[str, Any], *, inside: bool = False) -> dict[str, Any]:
    for name, value in settings.items():
        if secret := find_secret(name, value):
            msg = f"{owner}: {secret}"
            raise CheckError(msg)
    try:
        return {name: _escaped(plain(value), inside=inside) for name, value in settings.items()}
    except TypeError as e:
        msg = f"{owner}: {e}; YAML cannot say it, so this pipeline can only be run from Python"
        raise CheckError(msg) from None


def _escaped(value: Any, *, inside: bool = False) -> Any:
    """Return `value` with every `${` written as `$${`, so that reading gives it back; `${state}` in a loop stays."""
    if isinstance(value, str):
        text = value.replace("${", "$${")
        return text.replace(f"${STATE}", STATE) if inside else text
    if isinstance(value, dict):
        return {key: _escaped(v, inside=inside) for key, v in value.items()}
    return [_escaped(v, inside=inside) for v in value] if isinstance(value, list) else value


def _yaml(value: Any, *, inline: bool = False) -> str:
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=inline, sort_keys=False, allow_unicode=True, width=10**9)
    return text.removesuffix("\n").removesuffix("\n...") if inline else text
