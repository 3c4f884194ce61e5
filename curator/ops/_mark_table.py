"""`mark` with rules that compare rows: frequent runs of tokens, and quantiles. Texts are streamed, never held."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from curator import rows
from curator.difficulty.marks import Flags
from curator.op import Split, TableFn, View
from curator.ops._mark import flags_of, merge
from curator.ops._mark_settings import TEXT, Settings, needs, set_
from curator.ops._sql import with_columns
from curator.rows import quote

_HELD = 1 << 25  # hashed tokens held between passes, 256 MiB; of larger tables the texts are read again


def table_function(settings: Settings) -> TableFn:
    """Return the function of the step."""

    def run(view: View) -> Split:
        tokens = Tokens(view, settings["on"])
        runs = _frequent(tokens, settings) if settings["ngram"] is not None else None
        limit = _quantile(view, settings)
        kinds = [rows.COLUMNS[name].type for name in ("row_id", "flags", "flag_detail")]
        kept = "(row_id varchar, flags varchar[], flag_detail varchar)"
        view.con.execute(f"create or replace temp table mark_told {kept}")
        flagged = 0
        for told in _told(tokens, settings, runs, limit):
            flagged += len(told)
            columns = [pa.array(c, k) for c, k in zip(zip(*told, strict=True), kinds, strict=True)]
            view.con.register("mark_batch", pa.table(columns, ["row_id", "flags", "flag_detail"]))
            view.con.execute("insert into mark_told select * from mark_batch")
            view.con.unregister("mark_batch")
        counts = {"flagged": float(flagged), "frequent_runs": float(len(runs[1]) if runs else 0)}
        counts |= {"perplexity_limit": limit} if limit is not None else {}
        return Split(_query(view, settings), None, counts)

    return run


def _query(view: View, settings: Settings) -> str:
    """All rows, with the flags that are in mark_told; rows that are not there have those they had."""
    old = settings["keep"] and "flags" in view.schema.names
    detail = "rows.flag_detail" if old and "flag_detail" in view.schema.names else "null"
    new = {
        "flags": f"coalesce(t.flags, {'rows.flags' if old else 'null'}, []::varchar[])",
        "flag_detail": f"coalesce(t.flag_detail, {detail})",
    }
    return f"select {with_columns(view.schema, new)} from rows left join mark_told t using (row_id)"


class Tokens:
    """The hashed tokens of a column, batch by batch, as often as wanted; those of small tables are held."""

    def __init__(self, view: View, column: str) -> None:
        self.view, self.column = view, column
        self._held: list[tuple[Any, Any]] | None = []
        self._size = 0
        self._complete = False

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        if self._complete and self._held is not None:
            yield from self._held
            return
        for batch in self.view.batches([self.column]):
            found = hashed(batch.column(0))
            self._size += len(found[0])
            if self._held is not None:
                self._held.append(found)
            if self._size > _HELD:
                self._held = None
            yield found
        self._complete = True

    def of(self, number: int, column: Any) -> tuple[Any, Any]:
        """Return the tokens of batch `number`, whose texts are `column`."""
        return self._held[number] if self._held is not None else hashed(column)


def hashed(column: Any) -> tuple[Any, Any]:
    """Return the hashes of a text column's tokens, and where each row's begin."""
    from curator.kernels.repeats import pieces
    from curator.kernels.words import text_buffers

    tokens, ends = pieces(*text_buffers(column))
    return tokens.copy(), ends  # not the room that was made for them


def _frequent(tokens: Tokens, settings: Settings) -> Any:
    """Return the table of the frequent runs with their counts, or None where there are none."""
    from curator.kernels.repeats import Corpus

    ((rows_,),) = tokens.view.con.execute("select count(*) from rows").fetchall()
    corpus = None
    for part in tokens:
        # As if all rows were like the first ones: where they are longer, only the second pass has more to do.
        a_row = len(part[0]) / max(1, len(part[1]) - 1)
        corpus = corpus or Corpus(settings["ngram"], settings["ngram_more_than"], int(rows_ * a_row))
        corpus.count(*part)
    if corpus is None:
        return None
    for part in tokens:
        corpus.recount(*part)
    return corpus.frequent()


def _quantile(view: View, settings: Settings) -> float | None:
    if settings["perplexity_quantile"] is None:
        return None
    column = quote(settings["perplexity"])
    ask = f"select quantile_cont({column}::double, {settings['perplexity_quantile']}) from rows"
    ((found,),) = view.con.execute(f"{ask} where isfinite({column})").fetchall()
    return None if found is None else float(found)


def _told(tokens: Tokens, settings: Settings, runs: Any, limit: float | None) -> Iterator[list[tuple[Any, ...]]]:
    """Yield (row_id, flags, detail) of the rows against which something speaks, batch by batch."""
    view = tokens.view
    alone = any(set_(settings, name) for name in (*TEXT[1:], "turns", "perplexity_max"))
    if runs is None and limit is None and not alone:
        return
    extra = [c for c in ("flags", "flag_detail") if settings["keep"] and c in view.schema.names]
    extra += ["prompt"] if set_(settings, "form") and "prompt" in view.schema.names else []
    for number, batch in enumerate(view.batches(list(dict.fromkeys([*needs(settings), *extra])))):
        table = pa.Table.from_batches([batch])
        found = flags_of(table, settings) if alone else [{} for _ in range(len(table))]
        if runs is not None:
            _add_runs(tokens.of(number, table[settings["on"]]), table[settings["on"]], found, settings["ngram"], runs)
        if limit is not None:
            for flags, value in zip(found, table[settings["perplexity"]].to_pylist(), strict=True):
                if value is not None and not value <= limit:
                    flags["perplexity"] = value
        hit = [i for i, flags in enumerate(found) if flags]
        if hit:
            few = table.select(["row_id", *(c for c in extra if c != "prompt")]).take(pa.array(hit)).to_pylist()
            yield [
                (row["row_id"], *merge(row.get("flags"), row.get("flag_detail"), found[i]))
                for i, row in zip(hit, few, strict=True)
            ]


def _add_runs(tokens: tuple[Any, Any], column: Any, found: list[Flags], n: int, runs: Any) -> None:
    import numpy as np

    from curator.kernels.repeats import worst

    counts, places = worst(*tokens, n, *runs)
    for i in np.flatnonzero(counts).tolist():
        run = " ".join(column[i].as_py().split()[places[i] : places[i] + n])
        found[i]["repeated_ngram"] = {"times": int(counts[i]), "run": run[:200]}


