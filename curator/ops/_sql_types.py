"""Arrow types as SQL and back, for what a column of a page can be: DuckDB is asked about the others.

DuckDB does both itself, but through the part of it that is written in Python, whose import takes longer than all that a
page asks (0.1 s). A test holds that it says the same.
"""

from __future__ import annotations

import re
from typing import Any

import pyarrow as pa

NULL = '"NULL"'
SCALARS: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "UTINYINT": pa.uint8(),
    "USMALLINT": pa.uint16(),
    "UINTEGER": pa.uint32(),
    "UBIGINT": pa.uint64(),
    "HUGEINT": pa.decimal128(38, 0),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "BLOB": pa.binary(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    NULL: pa.null(),
}
NAMES = {kind: name for name, kind in SCALARS.items() if kind != pa.decimal128(38, 0)} | {
    pa.large_string(): "VARCHAR",
    pa.large_binary(): "BLOB",
}


def sql_type(kind: pa.DataType) -> str | None:
    """Return how SQL names an Arrow type, None where only DuckDB knows."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = sql_type(kind.value_type)
        return f"{inner}[]" if inner else None
    if pa.types.is_struct(kind) and kind.num_fields:
        fields = [(f.name.replace('"', '""'), sql_type(f.type)) for f in kind]
        told = ", ".join(f'"{name}" {inner}' for name, inner in fields)
        return f"STRUCT({told})" if all(inner for _, inner in fields) else None
    if pa.types.is_decimal128(kind):
        return f"DECIMAL({kind.precision},{kind.scale})"
    return NAMES.get(kind)


def arrow_type(found: Any) -> pa.DataType | None:
    """Return the Arrow type that DuckDB gives for a type of its own, None where only it knows."""
    if (known := SCALARS.get(str(found))) is not None:
        return known
    kind = getattr(found, "id", None)
    if kind == "list":
        inner = arrow_type(dict(found.children)["child"])
        return pa.list_(pa.field("l", inner)) if inner is not None else None
    if kind == "struct":
        fields = [(name, arrow_type(child)) for name, child in found.children]
        return pa.struct(fields) if all(t is not None for _, t in fields) else None
    if match := re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", str(found)):
        return pa.decimal128(int(match[1]), int(match[2]))
    return None
