"""The keep policy: an SQL list of orderings, as after `order by`."""

from __future__ import annotations

from curator.errors import CheckError
from curator.ops._sql import confine, is_column, nodes, shorten, tree


def policy(keep: str) -> tuple[str, tuple[str, ...]]:
    """Return (the list of orderings as SQL, the columns it reads).

    Raises:
        CheckError: it does not parse, holds more than orderings, or reaches outside `rows`.
    """
    if not keep.strip():
        raise CheckError("dedup: keep is empty; write an order such as 'verified desc, length(trace)', or 'row_id'")
    if is_column(keep):
        return keep, (keep,)
    query = f"select 1 from rows order by {keep}\n"  # the line break ends a trailing comment
    confine(query)
    root = tree(query)
    if [m.get("type") for m in root.get("modifiers", ())] != ["ORDER_MODIFIER"]:
        msg = f"dedup: keep is '{shorten(keep)}'; write orderings only, such as 'verified desc, length(trace)'"
        raise CheckError(msg)
    names: list[str] = []
    for node in nodes(root["modifiers"]):
        if node.get("type") == "COLUMN_REF":
            path = node["column_names"]
            names.append(path[1] if path[0] == "rows" and len(path) > 1 else path[0])
    return keep, tuple(dict.fromkeys(names))
