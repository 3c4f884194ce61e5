"""`select` by difference: the texts of one group at a time, compared by edit distance."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator.difficulty.diversity import RULES, distances
from curator.ops._select_settings import Settings, listed
from curator.rows import quote

if TYPE_CHECKING:
    from curator.ops._select import Left

READ = 256  # rows read at a time; a group is held whole


def diverse(left: Left, settings: Settings) -> None:
    """Apply the part; counts the mean length, in characters, of what was picked and of what there was."""
    k, rule = settings["k"], RULES[settings["diverse"]]
    told: list[tuple[str, str | None, str | None]] = []
    lengths: list[int] = []
    picked: list[int] = []
    for rows in _groups(left, settings):
        there = [(row, text) for row, text in rows if text is not None]
        told += [(row, "no_text", "{}") for row, text in rows if text is None]
        lengths += [len(text) for _, text in there]
        if len(there) <= k:
            told += [(row, None, None) for row, _ in there]
            picked += [len(text) for _, text in there]
            continue
        matrix = distances([text for _, text in there], settings["normalize"])
        chosen = rule(matrix, k)
        picked += [len(there[i][1]) for i in chosen]
        for i, (row, _) in enumerate(there):
            nearest = min(chosen, key=lambda j: matrix[i, j])  # noqa: B023 - used at once
            why = {"diverse": settings["diverse"], "nearest": there[nearest][0], "distance": float(matrix[i, nearest])}
            told.append((row, None, None) if i in chosen else (row, "not_diverse", json.dumps(why)))
    columns = list(zip(*told, strict=True)) if told else [(), (), ()]
    fates = pa.table([pa.array(c, pa.string()) for c in columns], ["row_id", "reason", "evidence"])
    left.con.register("select_told", fates)
    left.part("select * from select_told")
    left.con.unregister("select_told")
    left.counts |= {
        "mean_length_picked": sum(picked) / max(1, len(picked)),
        "mean_length_offered": sum(lengths) / max(1, len(lengths)),
    }


def _groups(left: Left, settings: Settings) -> Iterator[list[tuple[str, str | None]]]:
    """Yield the (row_id, text) of each group in the order of ties. Nothing else runs on the connection meanwhile."""
    groups = ", ".join(map(quote, listed(settings["per"])))
    reader = left.con.sql(
        f"select dense_rank() over (order by {groups}) as grp, row_id, {quote(settings['on'])}::varchar as text "
        f"from {left.rows} order by grp, {left.ties}"
    ).to_arrow_reader(READ)

    def rows() -> Iterator[tuple[Any, ...]]:
        for batch in reader:
            yield from zip(*(batch.column(i).to_pylist() for i in range(3)), strict=True)

    for _, found in groupby(rows(), itemgetter(0)):
        yield [(row, text) for _, row, text in found]
