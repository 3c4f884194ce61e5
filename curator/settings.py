"""Settings against signatures: unknown, missing, of the wrong type, out of range, or a secret.

A value from YAML and a value from Python go the same way: written as plain JSON, then read by pydantic in strict mode
against the annotation of the factory. So `"8"` is not 8, `yes` is not true, a list fits a tuple, and both doors give
equal objects.
"""

from __future__ import annotations

import json
import re
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from curator import near
from curator.op import Op, Setting, Steps

SECRET_NAME = re.compile(
    r"(^|[_-])(api[_-]?key|(access|auth|bearer|hf|secret)[_-]?token|secret|password|authorization)$"
)
SECRET_TEXT = re.compile(
    r"\b(sk-[\w-]{16,}|sk_[\w-]{16,}|hf_\w{16,}|gh[pousr]_\w{20,}|github_pat_\w{20,}|xox[abp]-[\w-]{10,}"
    r"|AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|gsk_\w{20,}|r8_\w{20,}|Bearer\s+[\w.-]{16,})|://[^/\s:@]+:[^/\s@]+@",
    re.I,
)


@dataclass(frozen=True)
class Fault:
    """One mistake in the settings of a step or an engine. `setting`: the name as written, None for the whole."""

    setting: str | None
    message: str


def bind(op: Op, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Return the settings of `op` as typed values, and what is wrong with them.

    Engine settings take an alias (or something with an `alias`); whether it exists is the pipeline's affair.
    Settings with a fault are left out of the result.
    """
    return _bind(op.name, op.settings, given)


def bind_engine(kind: str, given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    """Return the settings of an engine of this kind as typed values, and what is wrong with them."""
    engines = engine_room()
    known = engines.kinds()
    if kind not in known:
        return dict(given), [Fault("kind", f"no engine kind '{kind}'{near.hint(kind, known)}")]
    return _bind(f"kind {kind}", engines.settings_of(kind), given)


def engine_room() -> Any:
    """Return `curator.engines`, which knows the kinds of engines, their settings and what they can do."""
    from curator import engines

    return engines


def _bind(owner: str, settings: Iterable[Setting], given: Mapping[str, Any]) -> tuple[dict[str, Any], list[Fault]]:
    known = {s.name: s for s in settings}
    out: dict[str, Any] = {}
    faults: list[Fault] = []
    for name, value in given.items():
        setting = known.get(name)
        if setting is not None and setting.is_body:
            continue  # its steps are bound one by one
        if secret := find_secret(name, value):
            faults.append(Fault(name, secret))
        elif setting is None:
            faults.append(Fault(name, f"{owner} has no setting '{name}'{near.hint(name, known) or '; it has none'}"))
        elif setting.is_engine:
            _bind_alias(owner, setting, value, out, faults)
        else:
            try:
                out[name] = typed(setting, value)
            except ValueError as e:
                faults.append(Fault(name, f"{owner}: {name} {e}"))
    for setting in known.values():
        if setting.required and setting.name not in given:
            wants = "the alias of an engine" if setting.is_engine else describe(setting.type)
            faults.append(Fault(None, f"{owner} needs the setting '{setting.name}' ({wants})"))
    return {name: out[name] for name in known if name in out}, faults


def _bind_alias(owner: str, setting: Setting, value: Any, out: dict[str, Any], faults: list[Fault]) -> None:
    alias = getattr(value, "alias", value)
    several = [getattr(v, "alias", v) for v in value] if setting.many and isinstance(value, list | tuple) else []
    if isinstance(alias, str) and alias:
        out[setting.name] = alias
    elif several and all(isinstance(a, str) and a for a in several):
        twice = next((a for a in several if several.count(a) > 1), None)
        if twice is not None:
            faults.append(Fault(setting.name, f"{owner}: {setting.name} names '{twice}' twice"))
        out[setting.name] = tuple(several)
    elif value is None and not setting.required:
        out[setting.name] = None
    else:
        faults.append(Fault(setting.name, f"{owner}: {setting.name} wants an engine's alias, got {near.shown(value)}"))


def find_secret(name: str, value: Any) -> str | None:
    """Return what to say when a setting holds a key or password, else None. The value itself is never repeated."""
    if isinstance(value, Mapping):
        return next((found for k, v in value.items() if (found := find_secret(str(k), v))), None)
    if isinstance(value, list | tuple):
        return next((found for v in value if (found := find_secret("", v))), None)
    by_name = SECRET_NAME.search(name.lower()) and value is not None
    if not by_name and not (isinstance(value, str) and SECRET_TEXT.search(value)):
        return None
    return (
        f"'{name}' looks like a secret, and secrets do not belong in a pipeline; put it into an environment variable "
        "and write api_key_env: NAME_OF_THE_VARIABLE (a local server needs none)"
    )


def typed(setting: Setting, value: Any) -> Any:
    """Return `value` as the setting's type. Raises ValueError saying what is wanted and what was given."""
    sure = _plainly(setting.type, value)
    if sure is not _UNSURE:
        return sure
    from pydantic import ValidationError

    adapter = _adapter(setting.type)
    text = _as_json(value)
    try:
        return adapter.validate_python(value) if text is None else adapter.validate_json(text, strict=True)
    except ValidationError as e:
        raise ValueError(_explain(setting, value, e.errors(include_url=False, include_context=True))) from None


_UNSURE = object()


def _plainly(hint: Any, value: Any) -> Any:
    """Return what pydantic would make of `value` where that is beyond doubt, else `_UNSURE`: it decides, and explains.

    Nearly all settings are plain; pydantic takes 0.1 s to import, and 3 ms to build each adapter.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint in (int, bool, type(None)):
        return value if type(value) is hint else _UNSURE
    if hint is str:  # text that is not ASCII may hold a lone surrogate, which JSON cannot carry
        return value if type(value) is str and value.isascii() else _UNSURE
    if hint is float:
        return float(value) if type(value) in (int, float) and abs(value) < 2**53 else _UNSURE
    if origin is Literal:
        return value if type(value) is str and value in args else _UNSURE
    if origin in (typing.Union, types.UnionType):
        found = [v for v in (_plainly(a, value) for a in args) if v is not _UNSURE]
        given = list if type(value) is tuple else type(value)  # both doors go through JSON, which has only lists
        same = [v for v in found if type(v) is given] or found
        return same[0] if len(same) == 1 else _UNSURE
    if origin is typing.Annotated:
        sure = _plainly(args[0], value)
        return sure if sure is not _UNSURE and all(_within(note, sure) for note in args[1:]) else _UNSURE
    return _plain_many(origin, args, value)


def _plain_many(origin: Any, args: tuple[Any, ...], value: Any) -> Any:
    """`_plainly` of `list[X]`, `tuple[X, ...]`, `tuple[X, Y]` and `dict[str, X]`."""
    if origin is dict and args[0] is str and isinstance(value, dict):
        keys = [_plainly(str, k) for k in value]
        values = [_plainly(args[1], v) for v in value.values()]
        return _UNSURE if _UNSURE in (*keys, *values) else dict(zip(keys, values, strict=True))
    if (origin is list or (origin is tuple and args[1:] == (...,))) and isinstance(value, list | tuple):
        items = [_plainly(args[0], v) for v in value]
        return _UNSURE if _UNSURE in items else origin(items)
    if origin is tuple and isinstance(value, list | tuple) and len(value) == len(args) > 0:
        items = [_plainly(a, v) for a, v in zip(args, value, strict=True)]
        return _UNSURE if _UNSURE in items else tuple(items)
    return _UNSURE


def _within(note: Any, value: Any) -> bool:
    """Whether a note of `annotated_types` is a plain bound, and `value` inside it."""
    match type(note).__name__:
        case "Ge":
            return bool(value >= note.ge)
        case "Gt":
            return bool(value > note.gt)
        case "Le":
            return bool(value <= note.le)
        case "Lt":
            return bool(value < note.lt)
    return False


def plain(value: Any) -> Any:
    """Return `value` in the types of JSON and YAML: tuples and sets as lists, paths as text.

    Raises:
        TypeError: it is something else.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(v) for v in value)
    if isinstance(value, Path):
        return str(value)
    msg = f"{near.shown(value)} is not plain data"
    raise TypeError(msg)


def describe(hint: Any) -> str:
    """Return a type in words: `int | None` is 'a whole number or null'."""
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false", type(None): "null"}
    words[Steps] = "a list of steps"
    if hint in words:
        return words[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return " ".join([describe(args[0]), *_bounds(args[1:])])
    if origin is Literal:
        return "one of " + ", ".join(str(a) for a in args)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(describe(a) for a in args))
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return f"a mapping of {describe(args[0])} to {describe(args[1])}"
    if origin is tuple and args and args[-1] is not Ellipsis:
        return f"a list of {len(args)}: " + ", ".join(describe(a) for a in args)
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return f"a list of {describe(args[0])}" if args else "a list"
    return str(getattr(hint, "__name__", hint))


def _bounds(notes: Iterable[Any]) -> list[str]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    flat = [m for note in notes for m in (note, *getattr(note, "metadata", ()))]
    return [
        f"{sign} {getattr(m, key)}" for m in flat for key, sign in signs.items() if getattr(m, key, None) is not None
    ]


def _as_json(value: Any) -> str | None:
    try:
        return json.dumps(plain(value))
    except TypeError:
        return None


def _adapter(hint: Any) -> Any:
    try:
        return _cached_adapter(hint)
    except TypeError:  # an annotation that cannot be hashed
        return _cached_adapter.__wrapped__(hint)


@cache
def _cached_adapter(hint: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(hint)


_RANGES = {"greater_than": ">", "greater_than_equal": ">=", "less_than": "<", "less_than_equal": "<="}


def _explain(setting: Setting, value: Any, errors: list[Any]) -> str:
    """Return one line for pydantic's list: a bound or a choice if that is what failed, else the wanted type."""
    for error in errors:
        kind, got, context = error["type"], error.get("input"), error.get("ctx", {})
        if kind in _RANGES:
            limit = next(v for k, v in context.items() if k in ("gt", "ge", "lt", "le"))
            return f"must be {_RANGES[kind]} {limit}, got {near.shown(got)}"
        if kind == "literal_error" and isinstance(got, str):
            choices = [str(c) for c in _choices(setting.type)]
            close = near.nearest(got, choices)
            return f"must be one of {', '.join(choices)}; got {near.shown(got)}" + (
                f"; did you mean '{close}'?" if close else ""
            )
    got = errors[0].get("input") if isinstance(value, list | tuple | Mapping) and errors else value
    path = ".".join(str(p) for p in errors[0]["loc"]) if isinstance(value, list | tuple | Mapping) else ""
    at = f" (at {path})" if path else ""
    return f"wants {describe(setting.type)}, got {near.shown(got)}{at}"


def _choices(hint: Any) -> list[Any]:
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    return [c for arg in typing.get_args(hint) for c in _choices(arg)]
