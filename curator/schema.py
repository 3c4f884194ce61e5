"""The JSON schema of a pipeline page, for editors: built from the same signatures that `check` reads.

`curator schema > pipeline.schema.json`, then in the page: `# yaml-language-server: $schema=pipeline.schema.json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from curator.docs import parts
from curator.op import Op, Setting, find, known_names
from curator.settings import engine_room

FROM_ENV = {"type": "string", "pattern": r"\$\{"}
BODY = {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/step"}}


def schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a page: top level, engines by kind, steps by operator."""
    ops = [find(name) for name in known_names()]
    bare = [op.name for op in ops if not any(s.required for s in op.settings)]
    elsewhere = {"type": "string", "pattern": r"^[\w.]+:\w+$"}
    step = {
        "anyOf": [
            {"enum": bare},
            elsewhere,
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "properties": {op.name: _step(op) for op in ops},
                "patternProperties": {elsewhere["pattern"]: {"type": ["object", "null"]}},
                "additionalProperties": False,
            },
        ]
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "curator pipeline",
        "type": "object",
        "required": ["steps"],
        "additionalProperties": False,
        "properties": {
            "name": {"type": "string", "description": "names the run's folder"},
            "description": {"type": "string"},
            "seed": {"anyOf": [{"type": "integer"}, FROM_ENV], "description": "decides every random choice"},
            "engines": {"type": "object", "additionalProperties": _engine()},
            "steps": BODY,
        },
        "$defs": {"step": step},
    }


def _step(op: Op) -> dict[str, Any]:
    found = _settings(op.settings)
    found["description"] = parts(op)[0][1]
    return found if found.get("required") else {"anyOf": [found, {"type": "null"}], "description": op.summary}


def _settings(settings: Iterable[Setting], fixed: dict[str, Any] | None = None) -> dict[str, Any]:
    settings = list(settings)
    required = [*(fixed or {}), *(s.name for s in settings if s.required)]
    return {
        "type": "object",
        "properties": {**(fixed or {}), **{s.name: _setting(s) for s in settings}},
        "additionalProperties": False,
        **({"required": required} if required else {}),
    }


def _setting(setting: Setting) -> dict[str, Any]:
    if setting.is_engine:
        value: dict[str, Any] = {"type": "string" if setting.required else ["string", "null"]}
        if setting.many:
            value = {"anyOf": [value, {"type": "array", "items": {"type": "string"}}]}
    elif setting.is_body:
        return {**BODY, "description": setting.doc}
    else:
        value = _type(setting.type)
    if "$defs" in value or value.get("type") == "string":
        return {**value, "description": setting.doc}
    return {"anyOf": [value, FROM_ENV], "description": setting.doc}


def _type(hint: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

    try:
        found: dict[str, Any] = TypeAdapter(hint).json_schema()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError):
        return {}  # a type only Python can give
    return found


def _engine() -> dict[str, Any]:
    engines = engine_room()
    kinds = list(engines.kinds())
    if not kinds:
        return {"type": "object", "required": ["kind"]}
    return {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"enum": kinds}},
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}},
                "then": _settings(engines.settings_of(kind), {"kind": {"const": kind}}),
            }
            for kind in kinds
        ],
    }
