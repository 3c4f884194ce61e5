"""`read`: rows from files, folders, the Hugging Face hub, or the built-in problem world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from curator.errors import CheckError, InputError
from curator.op import DROPPED, Names, Result, Settings, SourceFn, operator

REASONS = {
    "null_problem": "the problem is null or blank",
    "row_too_large": "the row has more than max_row_bytes",
    "bad_line": "the line is not a record: broken JSON or CSV, or not UTF-8",
    "invalid_utf8": "a text of the row is not valid UTF-8",
    "bad_value": "a value does not fit the type of its shared column",
}
ROWS, BYTES = 4096, 64 << 20  # of one result, at most: what is in memory at once
Drop = tuple[str, str, str]


def inputs(settings: Settings) -> list[str]:
    """Return the local files that `read` will open, for the step's key; nothing for `builtin:` paths."""
    from curator.reading.opening import open_input

    return [str(p) for p in open_input(settings).paths]


def columns(settings: Settings) -> Names | None:
    """Return the columns `read` will give, from schemas and first lines alone; None where only the network knows.

    Raises:
        InputError: no such file, a file that cannot be read, or a named column that is not there.
    """
    from curator.reading import hub
    from curator.reading.mapping import mapped
    from curator.reading.opening import open_input, paths_of

    if any(hub.is_hub(p) for p in paths_of(settings)):
        return None
    where = ", ".join(paths_of(settings))
    names = open_input(settings).names()
    return mapped(names, settings["columns"] or {}, settings["id"], settings["keep"], where).names


@operator(
    "source",
    effect="shapes",
    version=1,
    adds=("row_id", "parent_id", "problem_id"),
    reasons=REASONS,
)
def read(
    *,
    path: str | list[str],
    columns: dict[str, str] | None = None,
    id: str | None = None,
    split: str | None = None,
    n: int | None = None,
    keep: str | list[str] = "all",
    on_bad: str = "quarantine",
    max_row_bytes: int = 16 << 20,
    seed: int | None = None,
) -> SourceFn:
    """Read problems, or problems with traces, and give every row its ids.

    Shared columns get the names and types of `rows.COLUMNS`: what `columns` says, else the exact name, else an alias
    (question, prompt, ground_truth, ...). `messages` or `conversations` give `problem` (the last user turn before the
    last assistant turn) and `trace` (that assistant turn, `reasoning_content` folded into `<think>`). A `trace` is
    taken apart into `think` and `response`; where the file's `prompt` ends with `<think>`, the trace gets it back.
    Other columns are kept as they are. NaN in a shared column becomes null.

    `row_id`: the id column; without one, xxh3-128 of the row's content, with `-1`, `-2` ... for further identical rows,
    so that ids do not depend on the order of rows or files. `problem_id`: as given; else, where there is a trace, the
    hash of the normalised problem, so that samples of one problem share it; else the row_id. `sample_idx`: as given;
    else, where there is a trace, the place of the row within its problem by hash of its id.

    Args:
        path: file, glob or folder (Parquet, JSONL, JSON, CSV; .gz and .zst), a folder saved by `datasets`,
            `hf:owner/name` (`hf:owner/name:config:split`), builtin:pocket, builtin:pocket-eval,
            builtin:pocket-train. Or a list of paths.
        columns: output column -> source column, e.g. `{problem: my_col}`; wins over names and aliases.
        id: source column of `row_id`; `content` for ids from the content even where there is an id column.
        split: split of a hub data set or of a saved DatasetDict; default train.
        n: only the first n rows; for `builtin:`, how many to make.
        keep: `all`, or the columns wanted beside the ids, problem and trace.
        on_bad: `quarantine` drops a bad row with its reason; `fail` stops at the first one. Blank problems are dropped.
        max_row_bytes: larger rows are quarantined.
        seed: of `builtin:` problems; default is the pipeline's seed.

    Raises:
        CheckError: a setting that cannot be.
        InputError: nothing to read, a file cut off, a column that is not there, ids that repeat, files that disagree.
    """
    if on_bad not in ("quarantine", "fail"):
        msg = f"read: on_bad is '{on_bad}', it must be quarantine or fail"
        raise CheckError(msg)
    if max_row_bytes < 1 or (n is not None and n < 0):
        msg = f"read: max_row_bytes is {max_row_bytes} and n is {n}; max_row_bytes must be at least 1, n at least 0"
        raise CheckError(msg)
    settings: Mapping[str, Any] = {
        "path": path, "columns": columns, "id": id, "split": split, "n": n, "keep": keep, "on_bad": on_bad,
        "max_row_bytes": max_row_bytes, "seed": seed,
    }  # fmt: skip

    def run() -> Iterator[Result]:
        from curator.reading.opening import open_input, paths_of
        from curator.reading.stream import stream

        where = ", ".join(paths_of(settings))
        yield from _grouped(stream(open_input(settings), settings, where), where)

    return run


def _grouped(pieces: Iterator[tuple[pa.Table, list[Drop]]], where: str) -> Iterator[Result]:
    """Regroup pieces of the files into results of `ROWS` rows or `BYTES`, quarantined rows beside them."""
    waiting: list[pa.Table] = []
    drops: list[Drop] = []
    made = 0
    for table, bad in pieces:
        made += len(table) + len(bad)
        drops += bad
        waiting.append(table)
        held = sum(len(t) for t in waiting)
        while held >= ROWS or (held and sum(t.nbytes for t in waiting) >= BYTES):
            whole = pa.concat_tables(waiting)
            yield _result(whole.slice(0, ROWS), drops)
            waiting, drops = [whole.slice(ROWS)], []
            held = len(waiting[0])
    if made == 0:
        msg = f"{where}: there are no rows to read"
        raise InputError(msg)
    if drops or any(len(t) for t in waiting):
        yield _result(pa.concat_tables(waiting), drops)


def _result(table: pa.Table, drops: list[Drop]) -> Result:
    dropped = pa.table([pa.array(c, pa.string()) for c in zip(*drops, strict=True)], schema=DROPPED) if drops else None
    return Result(table.combine_chunks(), dropped)
