"""Arrow types of row-wise input: known only when every value has been seen, so the whole file is looked at first.

The lattice: null < boolean; null < integer < float; anything that does not agree is text. Lists of one scalar type stay
lists; lists of turns (`role`/`content`) keep their form; other nested values become JSON text, because a struct whose
fields vary from row to row has no Arrow type (unpublished, ours).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import pyarrow as pa

from curator.reading.records import Text

TURNS = pa.list_(pa.struct([(k, pa.string()) for k in ("role", "content", "reasoning_content")]))
_ORDER = {"null": 0, "bool": 1, "int": 2, "float": 3}
_ARROW = {"null": pa.null(), "bool": pa.bool_(), "int": pa.int64(), "float": pa.float64(), "text": pa.string()}
_CSV_BOOL = {"true": True, "false": False, "True": True, "False": False}


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, Text):
        return _csv_kind(value)
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "text"
    if isinstance(value, float):
        return "float"
    if isinstance(value, list):
        if value and all(isinstance(v, dict) and _is_turn(v) for v in value):
            return "turns"
        inner = "null"
        for v in value:
            inner = _join(inner, "json" if isinstance(v, list | dict) else _kind(v))
        return "json" if inner == "json" else f"list {inner}"
    return "json" if isinstance(value, dict) else "text"


def _csv_kind(text: str) -> str:
    if text in _CSV_BOOL:
        return "bool"
    try:
        number = int(text)
    except ValueError:
        try:
            float(text)
        except ValueError:
            return "text"
        return "float" if text.strip().lower().lstrip("+-") not in {"inf", "infinity"} else "text"
    # 007 and +5 are labels: reading them as numbers would lose text
    return "int" if str(number) == text and -(2**63) <= number < 2**63 else "text"


def _is_turn(turn: dict[str, Any]) -> bool:
    names = {"role", "from"} & turn.keys(), {"content", "value"} & turn.keys()
    return all(names) and all(v is None or isinstance(v, str) for k, v in turn.items() if k in _TURN_KEYS)


_TURN_KEYS = {"role", "from", "content", "value", "reasoning_content", "thinking"}


def _join(a: str, b: str) -> str:
    if a == b or b == "null":
        return a
    if a == "null":
        return b
    if {a, b} == {"int", "float"}:
        return "float"
    if a.startswith("list ") and b.startswith("list "):
        return f"list {_join(a[5:], b[5:])}"
    return "json" if "json" in (a, b) or "turns" in (a, b) or a.startswith("list") or b.startswith("list") else "text"


class Types:
    """The types of all columns seen so far."""

    def __init__(self) -> None:
        self.kinds: dict[str, str] = {}

    def add(self, record: dict[str, Any]) -> None:
        """Take one record into account."""
        kinds = self.kinds
        for name, value in record.items():
            old = kinds.get(name)
            if old == "text" and not isinstance(value, list | dict):
                continue
            new = _kind(value)
            kinds[name] = new if old is None else _join(old, new)

    def schema(self) -> pa.Schema:
        """Return the Arrow schema of everything seen, columns in order of first appearance."""
        return pa.schema([(name, arrow_type(kind)) for name, kind in self.kinds.items()])

    def array(self, name: str, values: list[Any]) -> Any:
        """Return the values of one column as an Arrow array of its type."""
        kind = self.kinds[name]
        return pa.array([_value(kind, v) for v in values], arrow_type(kind))

    def table(self, records: Iterable[dict[str, Any]]) -> pa.Table:
        """Return records as a table with all columns; a missing value is null."""
        rows = list(records)
        arrays = [self.array(name, [r.get(name) for r in rows]) for name in self.kinds]
        return pa.table(arrays, schema=self.schema())


def arrow_type(kind: str) -> pa.DataType:
    """Return the Arrow type of a kind of the lattice."""
    if kind.startswith("list "):
        return pa.list_(_ARROW[kind[5:]])
    return TURNS if kind == "turns" else _ARROW.get(kind, pa.string())


def _value(kind: str, value: Any) -> Any:
    if value is None or kind == "null":
        return None
    if kind == "turns":
        return [turn(v) for v in value]
    if kind.startswith("list "):
        return [_value(kind[5:], v) for v in value]
    if kind in ("text", "json"):
        return _text(value)
    if isinstance(value, Text):
        return _CSV_BOOL[value] if kind == "bool" else int(value) if kind == "int" else float(value)
    return float(value) if kind == "float" else value


def _text(value: Any) -> str | None:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        return None
    return json.dumps(value, ensure_ascii=False)


def turn(value: dict[str, Any]) -> dict[str, str | None]:
    """Return one chat turn with the names `role`, `content`, `reasoning_content`."""
    return {
        "role": value.get("role") or value.get("from"),
        "content": value.get("content") if value.get("content") is not None else value.get("value"),
        "reasoning_content": value.get("reasoning_content") or value.get("thinking"),
    }
