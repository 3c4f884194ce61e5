"""The whole of reading, as one stream: pieces in, rows with ids and quarantined rows out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from curator.errors import InputError
from curator.fold import chain, normalise
from curator.reading.mapping import Mapped, mapped
from curator.reading.records import Bad
from curator.reading.shape import Seen, content_ids, key64, shaped
from curator.reading.tables import Input, Piece
from curator.rows import COLUMNS

Drop = tuple[str, str, str]
_PROBLEM_KEY = chain(["nfkc", "lower", "whitespace"])


class Reader:
    """One pass over an input. `taken` rows are counted so that `n` can cut."""

    def __init__(self, source: Input, settings: Mapping[str, Any], where: str) -> None:
        self.source, self.settings, self.where = source, settings, where
        names = source.names()
        self.plan: Mapped = mapped(names, settings["columns"] or {}, settings["id"], settings["keep"], where)
        free = frozenset(s for t, s in self.plan.sources.items() if t in COLUMNS)
        self.schema = source.schema(free)
        if set(self.schema.names) - set(names):  # columns that first appear far down the file
            self.plan = mapped(self.schema.names, settings["columns"] or {}, settings["id"], settings["keep"], where)

    def rows(self) -> Iterator[tuple[dict[str, Any], list[int], str, list[Drop]]]:
        """Yield (columns with row_id and problem_id, numbers of the rows, file, dropped rows), piece by piece."""
        seen, left = Seen(), self.settings["n"]
        made = left is not None and self.source.made is not None
        for file, piece in self.source.pieces(self.schema):
            if left is not None and not made:
                piece = _cut(piece, left)
                left -= len(piece.numbers) + len(piece.bad)
            drops = [self._drop(bad) for bad in piece.bad]
            columns, numbers = self._shape(piece, file, seen, drops)
            yield columns, numbers, file, drops
            if left is not None and left <= 0:
                return

    def _shape(self, piece: Piece, file: str, seen: Seen, drops: list[Drop]) -> tuple[dict[str, Any], list[int]]:
        wrong: dict[int, str] = {}

        def quarantine(row: int, why: str) -> None:
            wrong.setdefault(row, why)

        columns = shaped(piece.table, self.plan, quarantine, file)
        self._ids(piece, columns, seen)
        ids = columns["row_id"].to_pylist()
        lost: dict[int, Drop] = {}
        for row, why in wrong.items():
            start = str(piece.table.slice(row, 1).to_pylist()[0])[:200]
            lost[row] = self._drop(Bad(f"{file}:{piece.numbers[row]}", "bad_value", why, start), ids[row])
        if "problem" in columns:
            blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(columns["problem"]), ""), True)
            for row in np.flatnonzero(np.asarray(blank)).tolist():
                if row not in lost:
                    lost[row] = self._null_problem(piece, row, file, ids[row])
        drops += [lost[row] for row in sorted(lost)]
        if not lost:
            return columns, piece.numbers
        keep = [i for i in range(len(ids)) if i not in lost]
        return {k: v.take(pa.array(keep, pa.int64())) for k, v in columns.items()}, [piece.numbers[i] for i in keep]

    def _ids(self, piece: Piece, columns: dict[str, Any], seen: Seen) -> None:
        given = columns.get("row_id")
        if given is None or given.null_count:
            found = content_ids(piece.table)
            again = seen.count(key64(found))
            made = [f"{i}-{c}" if c else i for i, c in zip(found, again, strict=True)]
            given = pa.array(made) if given is None else pc.coalesce(given, pa.array(made))
        columns["row_id"] = given
        if "problem_id" in columns:
            columns["problem_id"] = pc.coalesce(columns["problem_id"], given)
        elif "trace" in columns and "problem" in columns:
            keys = [None if p is None else _problem_id(p) for p in columns["problem"].to_pylist()]
            columns["problem_id"] = pc.coalesce(pa.array(keys, pa.string()), given)
        else:
            columns["problem_id"] = given

    def _null_problem(self, piece: Piece, row: int, file: str, row_id: str) -> Drop:
        start = str(piece.table.slice(row, 1).to_pylist()[0])[:200]
        told = {"at": f"{file}:{piece.numbers[row]}", "row": start}
        return row_id, "null_problem", json.dumps(told, ensure_ascii=False)

    def _drop(self, bad: Bad, row_id: str | None = None) -> Drop:
        if self.settings["on_bad"] == "fail":
            msg = f"{bad.place}: {bad.detail}; on_bad: quarantine would go on without the row"
            raise InputError(msg)
        told = {"at": bad.place, "why": bad.detail, "start": bad.start}
        return row_id or bad.place, bad.reason, json.dumps(told, ensure_ascii=False)


def _cut(piece: Piece, left: int) -> Piece:
    """Return the first `left` rows of a piece. Quarantined rows count; those beyond the cut go."""
    if len(piece.numbers) + len(piece.bad) <= left:
        return piece
    bad = {int(b.place.rsplit(":", 1)[1]): b for b in piece.bad}
    chosen = sorted([*piece.numbers, *bad])[:left]
    good = [i for i, number in enumerate(piece.numbers) if number in set(chosen)]
    table = piece.table.take(pa.array(good, pa.int64()))
    return Piece(table, [piece.numbers[i] for i in good], [bad[i] for i in chosen if i in bad])


def _problem_id(problem: str) -> str:
    return str(xxhash.xxh3_128_hexdigest(normalise(problem, _PROBLEM_KEY).encode()))


def stream(source: Input, settings: Mapping[str, Any], where: str) -> Iterator[tuple[pa.Table, list[Drop]]]:
    """Yield (rows, dropped rows), a piece at a time, all with one schema.

    Raises:
        InputError: nothing to read, a file cut off, ids that repeat, files that disagree.
    """
    reader = Reader(source, settings, where)
    ranks = _sample_numbers(reader) if "trace" in _made(reader) and "sample_idx" not in reader.plan.sources else None
    ids, at, given = Seen(), 0, "row_id" in reader.plan.sources
    for columns, _numbers, _file, drops in reader.rows():
        if given:  # ids made from the content are unique by themselves
            keys = key64([*columns["row_id"].to_pylist(), *(row_id for row_id, _, _ in drops)])
            if ids.count(keys).any():
                raise InputError(_repeated(reader, where))
        size = len(columns["row_id"])
        if ranks is not None:
            columns["sample_idx"] = pa.array(ranks[at : at + size], pa.int32())
        at += size
        columns.setdefault("parent_id", pa.nulls(size, pa.string()))
        yield pa.table({name: columns[name] for name in _ordered(columns)}), drops


def _made(reader: Reader) -> tuple[str, ...]:
    return reader.plan.names


def _ordered(columns: dict[str, Any]) -> list[str]:
    return [*(n for n in COLUMNS if n in columns), *(n for n in columns if n not in COLUMNS)]


def _sample_numbers(reader: Reader) -> Any:
    """Return int32[rows]: the place of each row within its problem, by hash of its id; a pass of its own."""
    problems, keys = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
    for columns, *_ in reader.rows():
        problems.append(key64(columns["problem_id"].to_pylist()))
        keys.append(key64(columns["row_id"].to_pylist()))
    problem, key = np.concatenate(problems), np.concatenate(keys)
    order = np.lexsort((key, problem))
    ordered = problem[order]
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order)) - np.searchsorted(ordered, ordered, "left")
    return rank


def _repeated(reader: Reader, where: str) -> str:
    """Return the message about ids that repeat: the first three, where they stand, and what to do."""
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    for columns, numbers, file, _ in reader.rows():
        for row_id, number in zip(columns["row_id"].to_pylist(), numbers, strict=True):
            place = f"{file}:{number}"
            if row_id in first:
                found.setdefault(row_id, f"'{row_id}' ({first[row_id]} and {place})")
            first.setdefault(row_id, place)
        if len(found) >= 3:
            break
    source = reader.plan.sources.get("row_id", "row_id")
    told = ", ".join(list(found.values())[:3])
    return (
        f"{where}: ids repeat in column '{source}': {told}. If the rows are samples of one problem, say "
        f"columns: {{problem_id: {source}}} and id: content; else name another column with id, or say id: content"
    )
