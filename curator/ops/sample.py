"""`sample`: a repeatable random subset of rows or of problems."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.errors import CheckError
from curator.op import Names, Split, TableFn, View, operator
from curator.ops._sql import uniform
from curator.rows import quote

_SPAN = 2**64


def _list(names: str | list[str] | None) -> Names:
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def _needs(settings: Mapping[str, Any]) -> Names:
    return ("row_id", *_list(settings["by"]), *_list(settings["per"]))


@operator("table", effect="keeps", version=1, needs=_needs, reasons={"not_sampled": "the draw fell on other rows"})
def sample(
    *,
    n: int | None = None,
    fraction: float | None = None,
    per: str | list[str] | None = None,
    by: str = "row_id",
    seed: int | None = None,
) -> TableFn:
    """Keep a random subset that depends on nothing but the seed and the ids.

    Every unit gets the number hash(seed, id). `n` keeps the n lowest (all of them where there are fewer), `fraction`
    keeps those below it, so that two tables that share a row make the same choice about it. The method is unpublished,
    ours because a random generator would make the sample depend on row order and shards.

    Args:
        n: units to keep, in each stratum where `per` is given.
        fraction: share of units to keep, 0 to 1; each unit decides for itself, so the count varies around it.
        per: stratify: a column, or several; null is a stratum of its own.
        by: what is drawn. `problem_id` keeps or drops all rows of a problem together. A null counts as the row_id.
        seed: default is the pipeline's seed.

    Raises:
        CheckError: not exactly one of `n` and `fraction`, or one out of range.
    """
    if (n is None) == (fraction is None):
        raise CheckError("sample: give exactly one of n and fraction")
    if n is not None and n < 0:
        msg = f"sample: n is {n}, it must be 0 or more"
        raise CheckError(msg)
    if fraction is not None and not 0 <= fraction <= 1:
        msg = f"sample: fraction is {fraction}, it must lie between 0 and 1"
        raise CheckError(msg)
    unit = f"coalesce({quote(by)}::varchar, row_id)"
    chance = uniform(seed or 0, unit)
    strata = ", ".join(map(quote, _list(per)))

    def run(view: View) -> Split:
        if fraction is not None:
            kept = f"{chance} < {int(fraction * _SPAN)}::hugeint"
            return _split(view, f"select row_id, {kept} as kept from rows")
        rank = f"dense_rank() over ({f'partition by {strata} ' if strata else ''}order by {chance}, {unit})"
        return _split(view, f"select row_id, {rank} <= {n} as kept from rows")

    return run


def _split(view: View, query: str) -> Split:
    view.con.execute(f"create or replace temp table sample_fate as {query}")
    return Split(
        "select rows.* from rows semi join (from sample_fate where kept) using (row_id)",
        "select row_id, 'not_sampled' as reason, '{}' as evidence from sample_fate where not kept",
    )
