"""`dedup`: one row of each set of rows that say the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curator import fold, rows
from curator.errors import CheckError
from curator.near import hint
from curator.op import Names, Split, TableFn, View, operator
from curator.ops import _against, _exact, _keep, _near
from curator.ops._sql import literal, with_columns

METHODS = ("exact", "minhash", "edit", "semantic")
CLUSTERS = ("linked", "greedy", "pairwise")
THRESHOLDS = {"exact": 1.0, "minhash": 0.8, "edit": 0.95, "semantic": 0.9}
NEEDED = {"edit": ("rapidfuzz", "rapidfuzz"), "semantic": ("sentence_transformers", '"trace-curator[embed]"')}


def _names(on: str | list[str] | None) -> Names:
    return () if on is None else (on,) if isinstance(on, str) else tuple(on)


def _needs(settings: Mapping[str, Any]) -> Names:
    ask = settings.get
    vectors = _names(ask("vectors")) if ask("method") == "semantic" else ()
    texts = () if vectors and not ask("numbers", True) else _names(settings["on"])
    keep = _keep.policy(settings["keep"])[1]
    return tuple(dict.fromkeys(("row_id", *texts, *vectors, *_names(ask("block_by")), *keep)))


def _adds(settings: Mapping[str, Any]) -> dict[str, pa.DataType]:
    kept = {_against.PAYLOAD: pa.binary(), _against.SETTINGS: pa.string()} if settings.get("index") else {}
    return {**rows.types(("cluster_id", "dup_of", "similarity", "cluster_size")), **kept}


def inputs(settings: Mapping[str, Any]) -> list[str]:
    """Return the files of the index, for the step's key."""
    return _against.files(settings["against"])


@operator(
    "table",
    effect="keeps",
    version=3,
    needs=_needs,
    adds=_adds,
    reasons={
        "exact_duplicate": "another row has the same normalised text and comes first by `keep`",
        "minhash_duplicate": "its n-grams are nearly those of a row that comes first by `keep`",
        "edit_duplicate": "few edits turn it into a row that comes first by `keep`",
        "semantic_duplicate": "its vector points where that of a row does that comes first by `keep`",
        "index_duplicate": "a row of the index in `against` says the same",
    },
    reports={
        "duplicate clusters": "select cluster_size, count(*) as clusters from rows where cluster_size > 1 "
        "and dup_of is null group by all order by all"
    },
)
def dedup(
    *,
    on: str | list[str] = "problem",
    method: str = "exact",
    threshold: float | None = None,
    numbers: bool = True,
    keep: str = "row_id",
    cluster: str | None = None,
    normalise: list[str] | None = None,
    unit: str = "word",
    n: int = 5,
    permutations: int = 128,
    bands: int | None = None,
    rows_per_band: int | None = None,
    verify: str = "jaccard",
    model: str | None = None,
    vectors: str | None = None,
    exact_up_to: int = 100_000,
    block_by: str | list[str] | None = None,
    against: str | list[str] | None = None,
    index: bool = False,
    action: str = "drop",
) -> TableFn:
    """Keep one row of each set of duplicates; the others are dropped and say which row they lost to, and why.

    `exact`: normalised texts are equal (128-bit hashes of them are).
    `minhash`: the Jaccard similarity of n-gram sets reaches `threshold`; candidates from bands of MinHash signatures
    (Broder 1997), then verified.
    `edit`: 1 - (insertions + deletions) / (characters of both) reaches `threshold`, as rapidfuzz's ratio / 100; every
    pair is found; cost grows with the square of the rows that share their figures.
    `semantic`: the cosine of two vectors reaches `threshold`; every pair is found up to `exact_up_to` rows.

    Two problems whose figures differ are not merged: numbers, and in `minhash` and `edit` their order and the
    operators that touch them; in `semantic` the numbers in any order (unpublished, ours, because most near copies in
    mathematics are another problem: see docs/dedup.md). `numbers: false` turns it off. In `exact`, numbers and
    operators are text like any other. Rows without text, or with a null vector, are never duplicates.

    The result depends on no order of rows, files or shards. Rows that stay gain `cluster_id` (their own row_id) and
    `cluster_size`; with `action: mark` all stay, and `dup_of` and `similarity` say what would have been dropped.

    Args:
        on: text column, or several: `exact` wants all to agree, the others compare them as one text.
        method: `exact`, `minhash`, `edit` or `semantic`.
        threshold: least similarity, 0 to 1. Default: minhash 0.8, edit 0.95 (OpenThoughts), semantic 0.9 (ours, like
            minhash's).
        numbers: rows whose figures differ are kept apart, in all methods but `exact`.
        keep: SQL orderings, as in `verified desc, length(trace), cost`: the row that comes first is kept, null last,
            ties to the smallest row_id. Never "the first in the file", which would depend on the order of rows.
        cluster: `linked`: all that is connected by pairs is one set. `greedy`: in the order of `keep`, a row is dropped
            when it is similar to a kept one. `pairwise`: when it is similar to any row before it, as OpenThoughts does.
            Default: linked for minhash and semantic, greedy for edit.
        normalise: of `exact` and `edit`: any of `nfkc` (one form of each Unicode character), `latex` (spellings of one
            formula), `lower`, `punctuation` (removed: operators and signs too), `whitespace` (runs become one space).
            Default: nfkc, lower, whitespace. Applied in the order given here, whatever the order in the list.
        unit: of minhash: `word` (`\\w+` in any script, lower case) or `char` n-grams.
        n: words or characters in an n-gram; a shorter text is one n-gram.
        permutations: length of the signatures.
        bands: bands of the signature; default: as many as miss at most 0.5 % of the pairs at the threshold.
        rows_per_band: places in a band; given together with `bands`.
        verify: `jaccard` (exact, of the n-grams) or `signature` (share of equal places).
        model: of semantic: a sentence-transformers id; `on` is embedded.
        vectors: of semantic: a column of vectors, instead of `model`.
        exact_up_to: rows of one block above which semantic neighbours come from a faiss inverted file.
        block_by: columns that must agree before rows are compared at all, such as `[category, difficulty]`.
        against: an earlier dataset kept as Parquet; rows that duplicate one of its rows are dropped, whatever `keep`.
        index: keep `dedup_index` and `dedup_settings` beside each row, so that a later `against` need not read texts;
            an index made with other settings is refused.
        action: `drop`, or `mark`.

    Raises:
        CheckError: a setting out of range or unknown, `keep` that does not parse, a library that is missing.
        InputError: an index that cannot be read or was built with other settings; vectors that cannot be compared.
    """
    plan = _plan(locals())
    made = _json(plan.made)

    def run(view: View) -> Split:
        files = _against.files(against)
        if plan.method == "exact":
            _exact.decide(view, plan.on, plan.normalise, plan.keep, _against.batches(files, plan.on, plan.made))
        else:
            _near.decide(plan, view, files)
            view.give_back()  # what it held is free now
        if index:
            _store_index(view, plan)
        return _split(view, plan, action, made if index else None)

    return run


def _plan(given: Mapping[str, Any]) -> _near.Plan:
    """Return the settings, resolved. Raises CheckError."""
    method = str(given["method"])
    _one_of("method", method, METHODS)
    on = _names(given["on"])
    if not on:
        raise CheckError("dedup: on is empty; name the columns that must agree")
    threshold = THRESHOLDS[method] if given["threshold"] is None else float(given["threshold"])
    cluster = given["cluster"] or ("greedy" if method == "edit" else "linked")
    for name, value, options in (("cluster", cluster, CLUSTERS), ("unit", given["unit"], ("word", "char")),
                                 ("verify", given["verify"], ("jaccard", "signature")),
                                 ("action", given["action"], ("drop", "mark"))):  # fmt: skip
        _one_of(name, value, options)
    if not 0 < threshold <= 1:
        msg = f"dedup: threshold is {threshold}, it must be above 0 and at most 1 (0.95, not 95)"
        raise CheckError(msg)
    _fitting(method, given)
    return _near.Plan(
        method, on, _keep.policy(given["keep"])[0], threshold, bool(given["numbers"]), cluster, given["unit"],
        given["n"],
        _bands(given, threshold) if method == "minhash" else None,
        fold.chain(["nfkc", "lower", "whitespace"] if given["normalise"] is None else given["normalise"]),
        given["model"], given["vectors"], _names(given["block_by"]), given["exact_up_to"],
    )  # fmt: skip


def _one_of(name: str, value: Any, options: Names) -> None:
    if value not in options:
        msg = f"dedup: {name} is '{value}', it must be {', '.join(options[:-1])} or {options[-1]}{hint(value, options)}"
        raise CheckError(msg)


def _fitting(method: str, given: Mapping[str, Any]) -> None:
    """Refuse settings that say nothing to the method, and what the method lacks."""
    from importlib.util import find_spec

    if method == "exact" and (given["threshold"] not in (None, 1) or given["cluster"] or given["block_by"]):
        raise CheckError(
            "dedup: threshold, cluster and block_by are of the other methods; exact takes on and normalise"
        )
    if method == "semantic" and bool(given["model"]) == bool(given["vectors"]):
        raise CheckError("dedup: semantic wants either model (a sentence-transformers id) or vectors (a column)")
    if method != "semantic" and (given["model"] or given["vectors"]):
        msg = f"dedup: model and vectors are of semantic, method is {method}"
        raise CheckError(msg)
    if given["index"] and (method == "edit" or given["vectors"]):
        raise CheckError(
            "dedup: index keeps what is computed for exact, minhash and model; here the data is its own index"
        )
    if method in NEEDED and not given["vectors"] and find_spec(NEEDED[method][0]) is None:
        msg = f"dedup: {method} needs {NEEDED[method][0]}: pip install {NEEDED[method][1]}"
        raise CheckError(msg)
    if given["exact_up_to"] < 2 or given["n"] < 1:
        msg = f"dedup: n is {given['n']} and exact_up_to {given['exact_up_to']}; n must be at least 1, exact_up_to 2"
        raise CheckError(msg)


def _bands(given: Mapping[str, Any], threshold: float) -> Any:
    from curator.near_dup.bands import Bands, derive

    size, bands, depth = given["permutations"], given["bands"], given["rows_per_band"]
    if (bands is None) != (depth is None):
        raise CheckError(
            "dedup: bands and rows_per_band are given together, or neither: then they follow from threshold"
        )
    if not 1 <= size <= 4096 or (bands is not None and (bands < 1 or depth < 1 or bands * depth > size)):
        product = f"; bands x rows_per_band is {bands * depth}" if bands is not None else ""
        msg = f"dedup: permutations is {size}, it must be 1 to 4096 and hold all bands{product}"
        raise CheckError(msg)
    bands, depth = derive(threshold, size) if bands is None else (bands, depth)
    return Bands(size, bands, depth, threshold, given["verify"])


def _json(made: Mapping[str, Any]) -> str:
    import json

    return json.dumps(made, ensure_ascii=False, sort_keys=True)


def _store_index(view: View, plan: _near.Plan) -> None:
    view.con.execute("create or replace table dedup_payload (row_id varchar, payload blob)")
    columns = plan.on if plan.method == "exact" else plan.columns
    for batch in view.batches(["row_id", *columns]):
        made = _exact.payload(batch, plan.on, plan.normalise) if plan.method == "exact" else _near.payload(plan, batch)
        view.con.register("dedup_batch", pa.table({"row_id": batch.column(0), "payload": made}))
        view.con.execute("insert into dedup_payload select * from dedup_batch")
        view.con.unregister("dedup_batch")


def _split(view: View, plan: _near.Plan, action: str, made: str | None) -> Split:
    source, kept = "rows positional join dedup_rows d", "d.dup_of is null"
    new = {
        "cluster_id": "coalesce(d.cluster_id, rows.row_id)",
        "dup_of": "d.dup_of",
        "similarity": "d.similarity",
        "cluster_size": "coalesce(d.cluster_size, 1)::int",
    }
    if plan.method == "exact":
        source = "rows left join dedup_result d using (row_id)"
    if action == "drop":  # what stays is its own cluster
        new |= {"cluster_id": "rows.row_id", "dup_of": "null::varchar", "similarity": "null::double"}
    if action == "drop" and plan.method == "exact":  # a join that holds little of each row
        held = "(select row_id, cluster_size, dup_of is not null as lost from dedup_result)"
        source, kept = f"rows left join {held} d using (row_id)", "d.lost is not true"
    if made is not None:
        new |= {_against.PAYLOAD: "p.payload", _against.SETTINGS: literal(made)}
        source += " left join dedup_payload p on p.row_id = rows.row_id"
    chosen = with_columns(view.schema, new)
    if action == "mark":
        return Split(f"select {chosen} from {source}")
    told = (
        "to_json(struct_pack(dup_of := dup_of, similarity := round(similarity, 6), cluster_id := cluster_id, "
        f'method := {literal(plan.method)}, "on" := {_sql_list(plan.on)}, {_extra(plan)}))::varchar'
    )
    return Split(
        f"select {chosen} from {source} where {kept}",
        f"select row_id, case when outside then 'index_duplicate' else '{plan.method}_duplicate' end as reason, "
        f"{told} as evidence from dedup_result where dup_of is not null",
    )


def _extra(plan: _near.Plan) -> str:
    if plan.method == "exact":
        return f"normalise := {_sql_list(plan.normalise)}"
    return f"threshold := {plan.threshold}, numbers := {str(plan.numbers).lower()}, cluster := {literal(plan.cluster)}"


def _sql_list(names: Names) -> str:
    return "[" + ", ".join(map(literal, names)) + "]::varchar[]"
