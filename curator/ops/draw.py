"""`draw`: few-shots, concept lists, skill tuples: new rows, each made of several rows (SMP `choose_k`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import pyarrow as pa

from curator import rows
from curator.errors import CheckError, InputError
from curator.op import Names, Split, TableFn, View, operator
from curator.ops._sql import columns_of
from curator.rows import quote

COUNT = "count"
OWN = ("row_id", "parent_id", "problem_id", "parent_ids", "draw_idx")


def _needs(settings: Mapping[str, Any]) -> Names:
    weight = settings["weights"]
    read = columns_of(settings["where"]) if settings.get("where") else ()
    return tuple(dict.fromkeys(("row_id", settings["of"], *read, *([weight] if weight not in (None, COUNT) else []))))


def output(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Return the columns of the draws: none of the old ones."""
    held = columns[settings["of"]]
    if not (pa.types.is_string(held) or pa.types.is_null(held) or _listed(held)):
        msg = f"draw: of is '{settings['of']}', which is {held}; it wants a text, or a list of texts, to draw from"
        raise CheckError(msg)
    return _adds(settings)


def _listed(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) and pa.types.is_string(kind.value_type))


def _adds(settings: Mapping[str, Any]) -> dict[str, pa.DataType]:
    own = rows.types(("row_id", "parent_id", "problem_id", "parent_ids", "draw_idx"))
    return {**own, settings["into"]: pa.list_(pa.string()), **dict.fromkeys(settings["balance"], pa.string())}


def sized(settings: Mapping[str, Any], size: Any) -> dict[str, Any]:
    """Return the settings with `size(n)` draws, for a plan or a preview."""
    return {**settings, "n": size(settings["n"])}


@operator(
    "table",
    effect="shapes",
    version=1,
    needs=_needs,
    adds=_adds,
    reasons={"not_drawn": "no draw has the row, or what it holds, among its items"},
)
def draw(
    *,
    n: int,
    k: int = 5,
    of: str = "problem",
    into: str = "examples",
    weights: str | None = None,
    how: Literal["independent", "linked"] = "independent",
    temperature: float = 0.2,
    balance: dict[str, list[str]] = {},  # noqa: B006 - read only; the signature is the schema
    where: str | None = None,
    seed: int | None = None,
) -> TableFn:
    """Make `n` new rows, each of `k` different items of the pool: few-shots to show, concepts or skills to combine.

    The pool is the column `of`: the texts of the rows, or, where it holds lists, what stands in the lists. Items that
    are equal when normalised (case, white space) are one. Draw number i is a function of the seed, i and the pool,
    and so of no order of rows or shards. Where the pool has fewer than `k` items a draw has all of them.

    A new row has the column `into`, its own `row_id`, and `parent_ids`, the rows its items are from; it has none of the
    old columns. (SMP `choose_k` of the specification. Prismatic Synthesis draws 5 few-shots with weights by level,
    Instruct-SkillMix 2 skills, PromptCoT 5 linked concepts.)

    Args:
        n: rows to make.
        k: items of each.
        of: text column, or a column of lists of texts.
        into: column for the items, a list of texts.
        weights: null draws all items alike; `count` by how many rows hold them; or a column of numbers, 0 or more.
        how: `independent`, or `linked`: the first by `count`, each next by softmax((rows that hold it together with the
            one before + likeness of the two texts) / `temperature`) among those not yet in the draw, as in PromptCoT.
        temperature: of `linked`; PromptCoT has 0.2.
        balance: column -> values, each given to as many draws as any other, such as `{level: [easy, hard]}`.
        where: SQL condition; only rows that meet it are in the pool.
        seed: default is the pipeline's seed; in a loop every round has its own.

    Raises:
        CheckError: `n`, `k` or `temperature` is out of range, a column that cannot be drawn from or set.
        InputError: a weight that is negative or no number.
    """
    if n < 0 or k < 1 or temperature <= 0:
        msg = f"draw: n is {n}, k {k}, temperature {temperature}; they must be at least 0, at least 1, and above 0"
        raise CheckError(msg)
    if how == "linked" and weights not in (None, COUNT):
        msg = f"draw: how linked begins by count; leave weights out, got {weights}"
        raise CheckError(msg)
    for name, values in balance.items():
        if not values or name in (*OWN, into):
            msg = f"draw: balance wants a column of its own and its values, got {name}: {list(values)}"
            raise CheckError(msg)

    def run(view: View) -> Split:
        from curator.ops import _draw

        items, merged = _draw.pool_of(_given(view, of, weights, where))
        chances = [{None: 1.0, COUNT: float(i.count)}.get(weights, i.weight) for i in items]
        items = [i for i, w in zip(items, chances, strict=True) if w > 0]
        chances = [w for w in chances if w > 0]
        linked = _draw.Linked(items, temperature) if how == "linked" else None
        more = {name: _draw.balanced(values, n, seed or 0, name) for name, values in balance.items()}
        made = []
        for number in range(n if items else 0):
            size = min(k, len(items))
            at = linked.draw(size, seed or 0, number) if linked else _draw.independent(chances, size, seed or 0, number)
            own = {name: values[number] for name, values in more.items()}
            ids = [items[i].row_id for i in at]
            row_id = _draw.identity(seed or 0, number, [*ids, *(items[i].text for i in at)], own)
            made.append(
                {"row_id": row_id, "problem_id": row_id, "parent_id": ids[0], "parent_ids": list(dict.fromkeys(ids)),
                 "draw_idx": number, into: [items[i].text for i in at], **own}
            )  # fmt: skip
        schema = pa.schema(list(_adds({"into": into, "balance": balance}).items()))
        view.con.register("draw_made", pa.Table.from_pylist(made, schema))
        view.con.execute("create or replace temp table draws as select * from draw_made")
        short = len(made) if len(items) < k else 0
        return Split(
            "select * from draws",
            "select row_id, 'not_drawn' as reason, '{}' as evidence from rows anti join "
            "(select unnest(parent_ids) as row_id from draws) using (row_id)",
            {"pool": len(items), "merged": merged, "short": short},
        )

    return run


def _given(view: View, of: str, weights: str | None, where: str | None) -> Iterator[tuple[str, Any, float | None]]:
    """Yield row_id, text or texts, and weight of the rows of the pool."""
    weight = quote(weights) if weights not in (None, COUNT) else "null"
    met = f" where ({where}\n)" if where else ""
    found = view.con.sql(f"select row_id, {quote(of)} as item, ({weight})::double as weight from rows{met}")
    for part in found.to_arrow_reader(4096):
        for row_id, value, number in zip(*(part.column(i).to_pylist() for i in range(3)), strict=True):
            if number is not None and not 0 <= number < float("inf"):
                msg = f"draw: weights: {weights} of row {row_id} is {number}; a weight is a number, 0 or more"
                raise InputError(msg)
            yield row_id, value, number
