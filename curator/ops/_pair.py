"""The SQL of `pair`: places on each side, the pairs, what is too long, and the fate of every row."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa

from curator import rows
from curator.errors import InputError
from curator.op import Split, View
from curator.ops._sql import literal, ordering, with_columns
from curator.rows import quote


class Sides(NamedTuple):
    """Which rows are on which side, in which order, and the columns that hold lengths."""

    chosen: str
    rejected: str
    prefer: str
    against: str
    by: str
    tokens: str
    prompt_tokens: str


class Caps(NamedTuple):
    """Longest prompt, chosen side and rejected side, in tokens, inclusive; None for no limit."""

    prompt: int | None
    chosen: int | None
    rejected: int | None


def place(view: View, sides: Sides) -> None:
    """Make `pair_rows`: for every row its side or sides, its place there, and its lengths."""
    have = view.schema.names
    sample = "sample_idx" if "sample_idx" in have else "null::int"

    def column(name: str) -> str:
        return quote(name) if name in have else "null::int"

    def rank(side: str, order: str) -> str:
        value, direction = ordering(order)
        ties = f"({value}) {direction} nulls last, {sample} nulls last, row_id"
        return f"row_number() over (partition by pair_key, {side} order by {ties})"

    view.con.execute(f"""
        create or replace temp table pair_rows as
        select row_id, pair_key, is_chosen, is_rejected, {sample} as sample,
            {column(sides.tokens)} as tokens, {column(sides.prompt_tokens)} as prompt_tokens,
            {rank("is_chosen", sides.prefer)} as chosen_place, {rank("is_rejected", sides.against)} as rejected_place
        from (select *, coalesce({quote(sides.by)}::varchar, row_id) as pair_key,
            ({sides.chosen}\n) is true as is_chosen, ({sides.rejected}\n) is true as is_rejected from rows)""")


def match(view: View, k: int, order: str, nearest: str) -> None:
    """Make `pair_found`: up to `k` pairs a problem, each row in one at most.

    Raises:
        InputError: several pairs a problem and a row on both sides.
    """
    if k > 1:
        both = view.con.execute("select row_id from pair_rows where is_chosen and is_rejected limit 3").fetchall()
        if both:
            told = ", ".join(i for (i,) in both)
            msg = f"pair: rows {told} meet both conditions; with k: {k} a row could be in two pairs. Set k: 1"
            raise InputError(msg)
    apart = {"any": "true", "rejected_first": "r.sample < c.sample", "chosen_first": "c.sample < r.sample"}[order]
    close = "abs(c.tokens - r.tokens) nulls last, " if nearest == "length" else ""
    joined = "true" if k == 1 else "c.chosen_place = r.rejected_place"
    number = f"row_number() over (partition by pair_key order by c.chosen_place, {close}r.rejected_place)"
    view.con.execute(f"""
        create or replace temp table pair_found as
        select pair_key, c.row_id as chosen_id, r.row_id as rejected_id, c.tokens as chosen_tokens,
            r.tokens as rejected_tokens, c.prompt_tokens
        from (from pair_rows where is_chosen) c join (from pair_rows where is_rejected) r using (pair_key)
        where c.row_id <> r.row_id and {apart} and {joined} qualify {number} <= {k}""")


def preference(view: View, sides: Sides, caps: Caps, *, alone: bool) -> Split:
    """Return the chosen rows with their rejected sides; every other row with its reason.

    `alone`: the first chosen row of a problem that has no pair, or whose pair is too long, stays without one.
    """
    rule = literal(f"{sides.chosen} by {sides.prefer}, over {sides.rejected} by {sides.against}")
    verdicts = "rows.correct is distinct from pair_other.correct" if "correct" in view.schema.names else "false"
    limits = {"prompt_tokens": caps.prompt, "chosen_tokens": caps.chosen, "rejected_tokens": caps.rejected}
    view.con.execute(f"create or replace temp table pair_judged as select *, {_fault(limits)} as fault from pair_found")
    single = (
        "select row_id from pair_rows anti join (from pair_judged where fault is null) using (pair_key) "
        f"where is_chosen and {'true' if alone else 'false'} qualify row_number() over (partition by pair_key order by "
        "chosen_place) = 1"
    )
    view.con.execute(f"create or replace temp table pair_alone as {single}")
    side = {f"rejected_{name}": _other(view.schema, name) for name in _CARRIED}
    new = {"rejected_id": "pair_judged.rejected_id", **side}
    new["pair_differs"] = f"case when {verdicts} then 'verdict' else {rule} end"
    none = {name: f"null::{_SQL[str(rows.COLUMNS[name].type)]}" for name in new}
    out = (
        f"select {with_columns(view.schema, new)} from rows join pair_judged on pair_judged.chosen_id = rows.row_id "
        "join rows pair_other on pair_other.row_id = pair_judged.rejected_id where pair_judged.fault is null "
        f"union all by name select {with_columns(view.schema, none)} from rows semi join pair_alone using (row_id)"
    )
    told = "to_json(struct_pack(chosen := chosen_id, rejected := rejected_id, prompt_tokens := prompt_tokens, "
    told += "chosen_tokens := chosen_tokens, rejected_tokens := rejected_tokens))::varchar"
    dropped = f"""
        with dropped as (
        select rejected_id as row_id, 'rejected_side' as reason, {told} as evidence from pair_judged where fault is null
        union all
        select unnest([chosen_id, rejected_id]), fault, {told} from pair_judged where fault is not null
        union all
        select row_id, case when not is_chosen and not is_rejected then 'undecided'
            when paired > 0 then 'not_needed' when n_chosen = 0 or n_rejected = 0 or n_rows < 2 then 'no_partner'
            else 'order' end, to_json(struct_pack(chosen := n_chosen, rejected := n_rejected, pairs := paired))::varchar
        from pair_rows join (select pair_key, count(*) as n_rows, count(*) filter (is_chosen) as n_chosen,
            count(*) filter (is_rejected) as n_rejected from pair_rows group by 1) using (pair_key)
        join (select pair_key, count(chosen_id) as paired from (select distinct pair_key from pair_rows)
            left join pair_found using (pair_key) group by 1) using (pair_key)
        anti join (select unnest([chosen_id, rejected_id]) as row_id from pair_found) using (row_id))
        from dropped anti join pair_alone using (row_id)"""
    return Split(out, dropped, _lengths(view))


_SQL = {
    "string": "varchar", "int32": "int",
    str(rows.COLUMNS["inserted"].type): 'struct("start" int, "end" int, kind varchar, "text" varchar)[]',
}  # fmt: skip
_CARRIED = ("trace", "think", "response", "finish_reason", "inserted", "n_tokens", "engine", "model")


def _other(schema: pa.Schema, name: str) -> str:
    """SQL for a column of the rejected side; null where the table has none."""
    kind = _SQL[str(rows.COLUMNS[f"rejected_{name}"].type)]
    return f"pair_other.{name}" if name in schema.names else f"null::{kind}"


def _fault(limits: dict[str, int | None]) -> str:
    """SQL for the reason why the caps refuse a row or pair; null where they do not."""
    capped = {column: cap for column, cap in limits.items() if cap is not None}
    if not capped:
        return "null::varchar"
    long = " or ".join(f"{column} > {cap}" for column, cap in capped.items())
    unknown = " or ".join(f"{column} is null" for column in capped)
    return f"case when {long} then 'too_long' when {unknown} then 'no_length' end"


def _lengths(view: View) -> dict[str, float]:
    """Counts of the receipt: pairs, and how often the chosen side is the shorter one (the length-only control)."""
    names = ("pairs", "chosen_shorter", "chosen_longer", "chosen_tokens", "rejected_tokens")
    (found,) = view.con.execute(
        "select count(*), count(*) filter (chosen_tokens < rejected_tokens), "
        "count(*) filter (chosen_tokens > rejected_tokens), coalesce(sum(chosen_tokens), 0), "
        "coalesce(sum(rejected_tokens), 0) from pair_judged where fault is null"
    ).fetchall()
    return {name: float(n) for name, n in zip(names, found, strict=True)}


def kto(view: View, k: int | None, caps: Caps) -> Split:
    """Return the rows of both sides with their label; a row on both sides is on none."""
    decided = "is_chosen <> is_rejected"
    of_chosen = {"prompt_tokens": caps.prompt, "tokens": caps.chosen}
    of_rejected = {"prompt_tokens": caps.prompt, "tokens": caps.rejected}
    seat = "case when is_chosen then chosen_place else rejected_place end"
    view.con.execute(f"""
        create or replace temp table pair_fate as
        select row_id, is_chosen as desirable, case when not {decided} then 'undecided'
            when {"false" if k is None else f"{seat} > {k}"} then 'not_needed'
            when is_chosen then {_fault(of_chosen)} else {_fault(of_rejected)} end as reason, tokens, prompt_tokens
        from pair_rows""")
    out = (
        f"select {with_columns(view.schema, {'desirable': 'pair_fate.desirable'})} "
        "from rows join pair_fate using (row_id) where reason is null"
    )
    told = "to_json(struct_pack(tokens := tokens, prompt_tokens := prompt_tokens))::varchar"
    dropped = f"select row_id, reason, {told} as evidence from pair_fate where reason is not null"
    ((good, bad),) = view.con.execute(
        "select count(*) filter (desirable), count(*) filter (not desirable) from pair_fate where reason is null"
    ).fetchall()
    return Split(out, dropped, {"desirable": float(good), "undesirable": float(bad)})


def process(view: View, steps: str, labels: str, threshold: float, after_error: str) -> Split:
    """Return the rows whose steps have a label each."""
    schema = view.schema
    text = quote(steps)
    if not pa.types.is_list(schema.field(steps).type):
        text = f"list_filter(string_split_regex({text}, '\\n\\s*\\n'), lambda s: trim(s) <> '')"
    inner = schema.field(labels).type.value_type
    right = "l" if pa.types.is_boolean(inner) else f"l > {float(threshold)}"
    marks = f"list_transform({quote(labels)}, lambda l: {right})"
    view.con.execute(f"""
        create or replace temp table pair_steps as
        select row_id, texts, marks, coalesce(list_position(marks, false), 0) as first_error,
            (len(texts) > 0 and len(texts) = len(marks) and len(list_filter(marks, lambda m: m is null)) = 0) is true
            as whole
        from (select row_id, {text} as texts, {marks} as marks from rows)""")
    end = "case when first_error > 0 then first_error else len(texts) end"
    cut = after_error == "cut"
    seen = f"texts[:{end}]" if cut else "texts"
    judged = f"marks[:{end}]" if cut else "marks"
    if after_error == "wrong":
        judged = "list_transform(marks, lambda m, i: m and (first_error = 0 or i < first_error))"
    new = {"step_texts": "pair_made.seen::varchar[]", "step_labels": "pair_made.judged::boolean[]"}
    view.con.execute(
        f"create or replace temp table pair_made as select row_id, {seen} as seen, {judged} as judged from pair_steps "
        "where whole"
    )
    out = f"select {with_columns(schema, new)} from rows join pair_made using (row_id)"
    told = "to_json(struct_pack(steps := len(texts), labels := len(marks)))::varchar"
    dropped = f"select row_id, 'no_steps' as reason, {told} as evidence from pair_steps where not whole"
    ((wrong, total),) = view.con.execute(
        "select count(*) filter (first_error > 0), count(*) from pair_steps where whole"
    ).fetchall()
    return Split(out, dropped, {"with_error": float(wrong), "whole": float(total)})
