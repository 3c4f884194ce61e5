"""`curator diversity`: Vendi scores of vectors, and measures of texts, of one data set or several at equal n."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curator import table as files_of
from curator.cli.tables import line, table
from curator.diversity.compare import ORDER_NAMES, compare
from curator.diversity.features import is_vector
from curator.diversity.measure import Asked, Dataset, measure
from curator.diversity.spread import Equal
from curator.errors import CheckError
from curator.near import hint

VECTORS = ("grad", "embedding")  # looked for where no column is named
TEXTS = ("trace", "response", "short_cot", "solution", "problem", "text", "question", "prompt")
IDS = ("row_id", "id", "uuid")
GROUPS = 20  # shown for themselves; the smaller ones are one
SHOWN = 8  # largest eigenvalues in the JSON


def diversity(
    sources: list[Path], on: list[str], text: str | None, by: str | None, at: int | None, draws: int, seed: int, *,
    as_json: bool,
) -> None:  # fmt: skip
    """Measure, compare and print.

    Args:
        sources: Parquet files, folders of them, or folders of runs (their last rows).
        on: vector columns; default those of `VECTORS` that are in all sources.
        text: text column; default the first of `TEXTS` that is in all sources; `none` measures no text.
        by: column of groups, whose contributions are told.
        at: rows of a draw of a comparison.
        draws: how many of them.
        seed: of draws.
        as_json: print JSON.

    Raises:
        CheckError: nothing is there, or there is no such column.
        InputError: vectors that cannot be compared.
    """
    held = [(_name(path, sources), _files(path)) for path in sources]
    schemas = [(name, files_of.schema_of(files)) for name, files in held]
    found, asked = [], _asked(schemas, on, text, by, seed)
    for (name, files), (_, schema) in zip(held, schemas, strict=True):
        own = _labelled(asked, files, schema)
        rows = sum(_rows(f) for f in files)
        found.append(measure(name, _batches(files, own.columns(schema.names)), own, rows))
    m, equals = compare(found, asked, at=at, draws=draws)
    if as_json:
        line(_json(found, asked, m, equals, draws))
        return
    _print(found, asked, m, equals, draws)


def _name(path: Path, sources: Sequence[Path]) -> str:
    names = [p.resolve().name for p in sources]
    return path.resolve().name if names.count(path.resolve().name) == 1 else str(path)


def _files(path: Path) -> list[Path]:
    if (path / "run.json").is_file():
        from curator.run.result import Run

        return Run(path).files()
    if path.is_file():
        return [path]
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else []
    if not files:
        near = hint(path.name, [p.name for p in path.parent.glob("*")]) if path.parent.is_dir() else ""
        said = "holds no Parquet file" if path.is_dir() else f"is not there{near}"
        msg = f"diversity: {path} {said}; give a Parquet file, a folder of them, or the folder of a run"
        raise CheckError(msg)
    return files


def _rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


Schemas = Sequence[tuple[str, pa.Schema]]


def _asked(schemas: Schemas, on: list[str], text: str | None, by: str | None, seed: int) -> Asked:
    """Return what to measure: what is named, or what all sources have. Raises CheckError."""
    first = schemas[0][1]
    common = [n for n in first.names if all(n in schema.names for _, schema in schemas)]
    for column in [*on, *(n for n in (text, by) if n is not None and n != "none")]:
        for name, schema in schemas:
            if column not in schema.names:
                msg = f"diversity: {name} has no column '{column}'{hint(column, schema.names)}"
                raise CheckError(msg)
    for column in on:
        for name, schema in schemas:
            if not is_vector(schema.field(column).type):
                vectors = [f.name for f in schema if is_vector(f.type)]
                there = f"; there is {', '.join(vectors)}" if vectors else "; it has none: --text measures texts"
                msg = f"diversity: '{column}' of {name} is {schema.field(column).type}, not a list of numbers{there}"
                raise CheckError(msg)
    chosen = on or [n for n in VECTORS if n in common and all(is_vector(s.field(n).type) for _, s in schemas)]
    known = (n for n in TEXTS if n in common and _is_text(first.field(n).type))
    words = next(known, None) if text is None else None if text == "none" else text
    if not chosen and words is None:
        msg = (f"diversity: no vectors ({', '.join(VECTORS)}) and no text ({', '.join(TEXTS)}) in all sources; name a "
               f"column with --on or --text; common to all: {', '.join(common) or 'none'}")  # fmt: skip
        raise CheckError(msg)
    ids = next((n for n in IDS if n in common), None)
    return Asked(tuple(chosen), words, by, (), ids, seed)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _labelled(asked: Asked, files: list[Path], schema: pa.Schema) -> Asked:
    """Return `asked` with the largest groups of these files: known before, so that no order of rows decides which."""
    if asked.by is None:
        return asked
    import duckdb

    name = '"' + asked.by.replace('"', '""') + '"'
    query = (
        f"select {name}::varchar from {files_of.sql_files(files)} where {name} is not null group by 1 "
        f"order by count(*) desc, 1 limit {GROUPS}"
    )
    con = duckdb.connect()
    labels = tuple(value for (value,) in con.execute(query).fetchall())
    con.close()
    return Asked(asked.vectors, asked.text, asked.by, labels, asked.id, asked.seed)


def _batches(files: list[Path], columns: list[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for path in files:
        try:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(2048, columns=columns, use_threads=False):
                    yield batch.select(columns)
        except (OSError, pa.ArrowInvalid) as e:
            raise files_of.unreadable(path, e) from e


LABELS = {
    "vendi": "order 1", "vendi_q0.5": "order 0.5", "vendi_q2": "order 2", "vendi_qinf": "order inf",
    "ngram_vendi": "n-gram Vendi", "ngram_diversity": "n-gram diversity (distinct 1 to 4)",
    "compression": "compression ratio (less is more diverse)", "length_mean": "words of a text",
    "length_classes": "classes of length",
    **{f"distinct_{n}": f"distinct {n}-grams" for n in (1, 2, 3, 4)},
}  # fmt: skip


def _score(on: str) -> str:
    return "G-Vendi" if on == "grad" or on.endswith("_grad") else f"Vendi of {on}"


def _label(measure_name: str, asked: Sequence[str]) -> str:
    for on in asked:
        if measure_name.startswith(f"{on}_vendi"):
            return f"{_score(on)}, {LABELS[measure_name.removeprefix(on + '_')]}"
    return LABELS[measure_name]


def _print(found: Sequence[Dataset], asked: Asked, m: int, equals: Sequence[Equal], draws: int) -> None:
    vectors = asked.vectors
    rows: list[list[Any]] = [["rows", *(f.rows for f in found)]]
    for on in vectors:
        held = [f.vectors[on] for f in found]
        rows.append([f"rows with {on}", *(v.n for v in held)])
        if any(v.zero for v in held):
            rows.append([f"zero vectors in {on}", *(v.zero for v in held)])
        for q, name in ORDER_NAMES.items():
            rows.append([f"{_score(on)}, {LABELS[name]}", *(_number(v.scores[q].value) for v in held)])
            if q == 1:
                rows.append(["  95 % interval", *(_range(v.scores[q]) for v in held)])
    table("", ["", *(f.name for f in found)], rows)
    for on in vectors:
        for f in found:
            if f.vectors[on].groups:
                _groups(f, on, several=len(found) > 1)
    if not equals:
        return
    line("")
    if asked.text is not None:
        line(f"texts: column '{asked.text}'")
    if len(found) == 1:
        texts = [e for e in equals if not any(e.measure.startswith(f"{on}_vendi") for on in vectors)]
        if texts:
            table("", [f"texts, {m:,} rows", found[0].name], [[LABELS[e.measure], _number(e.values[0])] for e in texts])
        return
    line(f"at equal n: {m:,} rows each, {draws} draws; scores of different n are not comparable")
    head = ["", *(f.name for f in found)]
    for other in found[1:]:
        head += [f"{other.name} - {found[0].name}", "95 % interval"]
    body = []
    for e in equals:
        cells: list[Any] = [_label(e.measure, vectors), *map(_number, e.values)]
        for d in e.differences:
            cells += [_number(d.value), _range(d)]
        body.append(cells)
    table("", head, body)


def _groups(found: Dataset, on: str, *, several: bool) -> None:
    line("")
    held = found.vectors[on]
    title = f"{_score(on)} by group" + (f", {found.name}" if several else "")
    rows = [
        [g.name, g.n, f"{g.share:.1%}", _number(g.vendi), f"{g.surprise:.3f}", f"{g.gain:+.3f}"] for g in held.groups
    ]
    table(title, ["group", "rows", "share", "own score", "surprise", "gain"], rows)
    line("gain: nats of entropy for each unit of weight; above 0, more of the group makes the set more diverse")


def _number(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:,.1f}" if abs(value) >= 100 else f"{value:.4g}"


def _range(held: Any) -> str:
    return "" if math.isnan(held.low) else f"{_number(held.low)} to {_number(held.high)}"


def _json(found: Sequence[Dataset], asked: Asked, m: int, equals: Sequence[Equal], draws: int) -> str:
    import json

    data = []
    for f in found:
        vectors = {
            on: {
                "n": v.n, "d": v.d, "missing": v.missing, "zero": v.zero,
                "proxy": v.source[0] if v.source else None, "projection": v.source[1] if v.source else None,
                **{name: v.scores[q].value for q, name in ORDER_NAMES.items()},
                "vendi_low": v.scores[1.0].low, "vendi_high": v.scores[1.0].high,
                "entropy": math.log(v.scores[1.0].value) if v.n else None,
                "top_eigenvalues": [float(x) for x in v.spectrum[:SHOWN]],
                "groups": [g._asdict() for g in v.groups],
            }
            for on, v in f.vectors.items()
        }  # fmt: skip
        data.append({"name": f.name, "rows": f.rows, "vectors": vectors})
    names = [f.name for f in found]
    equal = {
        e.measure: {
            "values": dict(zip(names, e.values, strict=True)),
            "differences": {n: d._asdict() for n, d in zip(names[1:], e.differences, strict=True)},
        }
        for e in equals
    }
    told = {"n": m, "draws": draws if len(found) > 1 else 1, "measures": equal}
    return json.dumps(_plain({"datasets": data, "text": asked.text, "equal": told}), indent=1)


def _plain(value: Any) -> Any:
    """JSON has no NaN: null stands for what is not known."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list) else value
