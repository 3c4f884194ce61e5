"""What `cluster` and `diversify` share: the vector column, checked before the first row and held by hash of the id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator.errors import CheckError
from curator.op import Names, View
from curator.rows import is_list

if TYPE_CHECKING:
    from curator.diversity.features import Held


def needs(settings: Mapping[str, Any]) -> Names:
    """Return the columns that such an operator needs."""
    return ("row_id", str(settings.get("on") or "grad"))


def check(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType], who: str) -> None:
    """Refuse a column that cannot hold vectors. Raises CheckError."""
    kind = columns.get(settings["on"])
    if kind is None or pa.types.is_null(kind):  # not known before the input is read
        return
    if not is_list(kind):
        held = [n for n, other in columns.items() if is_list(other) and pa.types.is_floating(other.value_type)]
        near = f"; there is {', '.join(held[:5])}" if held else "; score: {kind: gradient} makes one"
        msg = f"{who}: column '{settings['on']}' is {kind}, a vector column is a list of numbers{near}"
        raise CheckError(msg)


def columns_of(on: str, names: list[str]) -> list[str]:
    """Return what is read of each row: its id, its vector, and what tells where the vector comes from."""
    from curator.diversity.features import source_columns

    return ["row_id", on, *source_columns(on, names)]


def held(view: View, on: str, who: str, seed: int | None) -> Held:
    """Return the vectors of all rows of a view; `seed` as in `features.hold`.

    Raises:
        InputError: vectors that cannot be compared.
    """
    from curator.diversity.features import hold

    return hold(view.batches(columns_of(on, view.schema.names)), on, who, seed=seed)


def told(view: View, name: str, columns: Mapping[str, Any]) -> None:
    """Make a temporary table of these columns on the view's connection."""
    view.con.register("features_told", pa.table(dict(columns)))
    view.con.execute(f"create or replace temp table {name} as select * from features_told")
    view.con.unregister("features_told")
