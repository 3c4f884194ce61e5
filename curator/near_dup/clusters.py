"""From pairs to a decision for every row: which is kept, which is lost, to which other and how similar they are.

Rows have numbers, in the order in which they were read, the index's after the data's. What is decided does not depend
on those numbers: rows are ranked by the keep policy, then by row_id; rows of the index come before all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curator.kernels import pairs
from curator.near_dup.spill import writing

if TYPE_CHECKING:
    import duckdb

MODES = ("linked", "greedy", "pairwise")
BATCH = 1 << 17
DECIDED = pa.schema({
    "row_id": pa.large_string(), "dup_of": pa.large_string(), "cluster_id": pa.large_string(),
    "similarity": pa.float64(), "cluster_size": pa.int32(), "outside": pa.bool_(),
})  # fmt: skip
Decided = tuple[Any, pa.Table]  # int64[k] numbers of rows, and what was decided of them


class Matcher(Protocol):
    """What knows which rows are similar."""

    inner: int
    total: int

    def edges(self, parent: Any = None) -> Iterator[tuple[Any, Any]]:
        """Yield (int64[k, 2] pairs, float64[k] similarities) at the threshold or above.

        parent: union-find, int64[total]: similar rows are joined in it, and pairs that are joined already are left out.
        None: every pair of rows that stand for a group (see `groups`).
        """
        ...

    def groups(self) -> Any:
        """Return int64[total]: one row of those that equal this one, the same for all of them."""
        ...

    def similarity(self, found: Any) -> Any:
        """Return float64[k], the similarity of each pair, int64[k, 2]."""
        ...


def decide(
    con: duckdb.DuckDBPyConnection, matcher: Matcher, mode: str, keep: str, names: Callable[[Any], Any], path: str
) -> None:
    """Write what was decided of each row of the data, one row each, in the order of their numbers: Parquet of `DECIDED`.

    All null where a row is in no cluster of two or more; `dup_of` is null where it is kept. `outside`: dup_of is a row
    of the index. A file, because a table of DuckDB would be held in its memory, and a join with it a second time.

    Args:
        con: connection on which `rows` is a view.
        matcher: the pairs.
        mode: `linked`: a cluster is what is connected by pairs, its first row by rank is kept. `greedy`: by rank, a row is
            lost when it is similar to a kept row. `pairwise`: a row is lost when it is similar to any row before it.
        keep: SQL list of orderings over `rows`.
        names: returns the row_id, Arrow text, of some row numbers: int64[k], ascending.
        path: of the file.
    """  # noqa: E501
    if mode == "linked":
        parent = np.arange(matcher.total, dtype=np.int32)
        for found, _ in matcher.edges(parent):
            del found  # joining is all that counts here
        members, roots = _components(parent)
        del parent
    else:
        groups = matcher.groups()
        members = _store_edges(con, matcher, groups)
        roots = groups[members]
        del groups
    ids = _named(members, names)
    ranks = _ranked(con, ids, members >= matcher.inner, keep)
    if mode == "linked":
        decided = _linked(matcher, members, roots, ids, ranks)
    else:
        decided = _by_rank(con, matcher, members, roots, ids, ranks, greedy=mode == "greedy")
    with writing(), pq.ParquetWriter(path, DECIDED) as out:
        for start in range(0, matcher.inner, BATCH):
            stop = min(start + BATCH, matcher.inner)
            numbers, found = decided(start, stop)
            place = np.full(stop - start, -1)
            place[numbers - start] = np.arange(len(numbers))
            out.write_table(found.take(pa.array(place, mask=place < 0)))


def _components(parent: Any) -> tuple[Any, Any]:
    """Return (rows, their roots) of the components of two rows or more; `parent` then names every row's root."""
    several = np.empty(len(parent), bool)
    pairs.components(parent, several)
    members = np.flatnonzero(several).astype(parent.dtype)
    return members, parent[members]


def _named(members: Any, names: Callable[[Any], Any]) -> Any:
    found = [names(members[at : at + BATCH]).cast(pa.large_string()) for at in range(0, len(members), BATCH)]
    return pa.chunked_array([c for f in found for c in f.chunks], pa.large_string()).combine_chunks()


def _insert(con: Any, table: str, **columns: Any) -> None:
    con.register("dedup_piece", pa.table(columns))
    con.execute(f"insert into {table} by name select * from dedup_piece")
    con.unregister("dedup_piece")


def _ranked(con: Any, ids: Any, outside: Any, keep: str) -> Any:
    """Return int32[members], the rank of each: rows of the index first, then by the policy, ties to the smallest id."""
    place = np.zeros(len(ids), np.int32)
    if keep.strip() != "row_id":
        con.register("dedup_piece", pa.table({"member": np.arange(len(ids)), "row_id": ids}).filter(pa.array(~outside)))
        con.execute(f"""
            create or replace table dedup_order as
            select member, (row_number() over (order by {keep}\n, row_id))::int as place
            from (select * from rows join dedup_piece using (row_id)) rows""")
        con.unregister("dedup_piece")
        for batch in con.cursor().sql("from dedup_order").to_arrow_reader(BATCH):
            place[batch.column(0).to_numpy()] = batch.column(1).to_numpy()
        con.execute("drop table dedup_order")
    keys = pa.table({"inside": pa.array(~outside), "place": place, "row_id": ids})
    order = pc.sort_indices(keys, [("inside", "ascending"), ("place", "ascending"), ("row_id", "ascending")])
    ranks = np.empty(len(ids), np.int32)
    ranks[order.to_numpy()] = np.arange(len(ids), dtype=np.int32)
    return ranks


def _linked(matcher: Matcher, members: Any, roots: Any, ids: Any, ranks: Any) -> Callable[[int, int], Decided]:
    order = np.lexsort((ranks, roots))
    first = np.flatnonzero(np.diff(roots[order], prepend=-1))
    cluster = np.empty(len(members), np.int32)
    cluster[order] = np.repeat(np.arange(len(first), dtype=np.int32), np.diff(first, append=len(members)))
    kept, inside = order[first].astype(np.int32), members < matcher.inner
    sizes = np.bincount(cluster[inside], minlength=len(first)).astype(np.int32)

    def decided(start: int, stop: int) -> Decided:
        some = np.arange(*np.searchsorted(members, (start, stop)))
        best = kept[cluster[some]]
        lost = best != some
        values = np.zeros(len(some))
        values[lost] = matcher.similarity(np.stack([members[some[lost]], members[best[lost]]], axis=1).astype(np.int64))
        name = ids.take(pa.array(best))
        columns = [ids.take(pa.array(some)), pc.if_else(pa.array(lost), name, None), name, pa.array(values, mask=~lost),
                   pa.array(sizes[cluster[some]]), pa.array(~inside[best])]  # fmt: skip
        return members[some], pa.table(columns, schema=DECIDED)

    return decided


def _store_edges(con: Any, matcher: Matcher, groups: Any) -> Any:
    """Fill dedup_edges with pairs of groups; return the rows of all groups that are in a pair or hold several rows."""
    con.execute("create or replace table dedup_edges (a bigint, b bigint, similarity double)")
    touched = np.zeros(matcher.total, bool)
    touched[groups[groups != np.arange(matcher.total, dtype=np.int32)]] = True
    for found, values in matcher.edges():
        touched[found.reshape(-1)] = True
        if len(found):
            _insert(con, "dedup_edges", a=found[:, 0], b=found[:, 1], similarity=values)
    return np.flatnonzero(touched[groups])


def _by_rank(
    con: Any, matcher: Matcher, members: Any, roots: Any, ids: Any, ranks: Any, *, greedy: bool
) -> Callable[[int, int], Decided]:
    """Decide group by group, by the rank of a group's first row: rows that are equal have the same neighbours."""
    con.execute("create or replace table dedup_members "
                "(number bigint, root bigint, row_id varchar, outside bool, rank int)")  # fmt: skip
    for at in range(0, len(members), BATCH):
        part = slice(at, at + BATCH)
        outside = members[part] >= matcher.inner
        _insert(con, "dedup_members", number=members[part], root=roots[part], row_id=ids[part], outside=outside,
                rank=ranks[part])  # fmt: skip
    con.execute("""
        create or replace table dedup_groups as
        select root, row_number() over (order by min(rank)) - 1 as place, arg_min(row_id, rank) as row_id,
            bool_or(outside) as outside
        from dedup_members group by root""")
    ((count,),) = con.execute("select count(*) from dedup_groups").fetchall()
    dup, best = np.full(count, -1, np.int64), np.zeros(count)
    reader = con.cursor().sql("""
        select greatest(x.place, y.place)::bigint as later, least(x.place, y.place)::bigint as earlier,
            max(similarity) as similarity
        from dedup_edges e join dedup_groups x on e.a = x.root join dedup_groups y on e.b = y.root
        group by all order by later, earlier""")
    for batch in reader.to_arrow_reader(BATCH):
        pairs.keep_first(*(batch.column(k).to_numpy() for k in range(3)), greedy, dup, best)
    cluster = np.where(dup >= 0, dup, np.arange(count))
    while not np.array_equal(cluster, up := cluster[cluster]):
        cluster = up
    con.execute("create or replace table dedup_ranks (place bigint, dup bigint, cluster bigint, similarity double)")
    for at in range(0, count, BATCH):
        part = slice(at, at + BATCH)
        places = np.arange(at, at + len(dup[part]))
        _insert(con, "dedup_ranks", place=places, dup=dup[part], cluster=cluster[part], similarity=best[part])
    con.execute("""
        create or replace table dedup_placed as
        select m.number, m.row_id,
            case when r.dup >= 0 then d.row_id when m.outside or m.row_id <> g.row_id or g.outside then g.row_id end as dup_of,
            c.row_id as cluster_id, case when r.dup >= 0 then r.similarity when dup_of is not null then 1.0 end as similarity,
            (count(*) filter (not m.outside) over (partition by r.cluster))::int as cluster_size,
            coalesce(d.outside, g.outside) as outside, m.outside as of_index
        from dedup_members m join dedup_groups g on m.root = g.root join dedup_ranks r on g.place = r.place
            join dedup_groups c on r.cluster = c.place left join dedup_groups d on r.dup = d.place
        qualify not of_index and count(*) over (partition by r.cluster) > 1;
        alter table dedup_placed drop column of_index;
        drop table dedup_groups; drop table dedup_ranks; drop table dedup_edges; drop table dedup_members""")  # noqa: E501
    columns = ", ".join(DECIDED.names)

    def decided(start: int, stop: int) -> Decided:
        query = f"select number, {columns} from dedup_placed where number >= {start} and number < {stop}"
        found = con.cursor().sql(query).to_arrow_table()
        return found.column(0).to_numpy(), found.drop(["number"]).cast(DECIDED)

    return decided


def picker(batches: Callable[[], Iterable[Any]], inner: int, outside: Any) -> Callable[[Any], Any]:
    """Return the function that names rows by number: the data's are read again as a stream, the index's are at hand.

    Args:
        batches: starts a stream of Arrow text arrays, the row_ids of the data in the order of their numbers.
        inner: rows of the data.
        outside: Arrow text, the ids of the index.
    """
    stream: Iterator[Any] = iter(())
    here: tuple[int, Any] = (0, pa.array([], pa.string()))
    asked = -1

    def names(rows: Any) -> Any:
        nonlocal stream, here, asked
        if len(rows) and rows[0] <= asked or asked < 0:
            stream, here = iter(batches()), (0, pa.array([], pa.string()))
        asked = int(rows[-1]) if len(rows) else asked
        found = []
        at = 0
        while at < len(rows) and rows[at] < inner:
            start, ids = here
            stop = at + int(np.searchsorted(rows[at:], min(start + len(ids), inner)))
            if stop > at:
                found.append(ids.take(pa.array(rows[at:stop] - start)).cast(pa.string()))
                at = stop
            if at < len(rows) and rows[at] < inner:
                here = (start + len(ids), next(stream))
        if at < len(rows):
            found.append(outside.take(pa.array(rows[at:] - inner)).cast(pa.string()))
        return pa.chunked_array(found, pa.string())

    return names
