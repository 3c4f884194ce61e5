"""`pair`: preference pairs, answers with a label, or steps with labels, from the samples of a problem."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa

from curator import rows
from curator.errors import CheckError
from curator.op import Names, Split, TableFn, View, operator
from curator.ops import _pair
from curator.ops._sql import check_where, columns_of, is_column, ordering

REASONS = {
    "rejected_side": "the row is the rejected side of a pair; its text lies in the row that the evidence names",
    "too_long": "a side of the pair, or its prompt, is longer than its cap",
    "no_length": "there is a cap and the row has no token count",
    "no_partner": "the problem has no row for the other side",
    "order": "no two rows of the problem stand in the order asked for",
    "not_needed": "the pairs of the problem are full, and other rows come before this one",
    "undecided": "neither condition is true: the row is on no side",
    "no_steps": "no steps, no labels, or not one label a step",
}
SIDES: Names = (
    "rejected_id", "rejected_trace", "rejected_think", "rejected_response", "rejected_finish_reason",
    "rejected_inserted", "rejected_n_tokens", "rejected_engine", "rejected_model", "pair_differs",
)  # fmt: skip
ADDS: Mapping[str, Names] = {"preference": SIDES, "kto": ("desirable",), "process": ("step_texts", "step_labels")}


def _needs(settings: Mapping[str, Any]) -> Names:
    if settings["kind"] == "process":
        return ("row_id", settings["steps"], settings["labels"])
    caps = (("max_prompt_tokens", "prompt_tokens"), ("max_chosen_tokens", "tokens"), ("max_rejected_tokens", "tokens"))
    read = [*columns_of(settings["chosen"]), *columns_of(settings["rejected"])]
    read += [name for key in ("prefer", "against") for name in columns_of(ordering(settings[key])[0])]
    read += [settings[column] for cap, column in caps if settings[cap] is not None]
    read += [settings["tokens"]] if settings["match"] == "length" else []
    read += ["sample_idx"] if settings["order"] != "any" else []
    return tuple(dict.fromkeys(["row_id", settings["by"], "trace", *read]))


def check(settings: Mapping[str, Any], columns: Mapping[str, pa.DataType]) -> None:
    """Bind the conditions and orderings against the columns that reach this step.

    Raises:
        CheckError: a name that is not there, a condition that is none, or labels that are no list.
    """
    if settings["kind"] == "process":
        labels = columns.get(settings["labels"])
        if labels is not None and not pa.types.is_list(labels) and not pa.types.is_null(labels):
            msg = f"pair: labels names '{settings['labels']}', which is {labels}; not a list of true/false or numbers"
            raise CheckError(msg)
        return
    for key in ("chosen", "rejected"):
        check_where(settings[key], columns)
    for key in ("prefer", "against"):
        expression = ordering(settings[key])[0]
        if not (is_column(expression) and expression in columns):
            check_where(f"({expression}) is not null", columns)


@operator(
    "table", effect="keeps", version=2, needs=_needs, reasons=REASONS,
    adds=lambda s: rows.types(ADDS.get(s["kind"], ())),
    key=lambda s: ("row_id",) if s["kind"] == "process" else (s["by"],),
)  # fmt: skip
def pair(
    *,
    kind: Literal["preference", "kto", "process"] = "preference",
    chosen: str = "correct",
    rejected: str = "not correct",
    prefer: str = "sample_idx",
    against: str = "sample_idx",
    by: str = "problem_id",
    k: int | None = None,
    order: Literal["any", "rejected_first", "chosen_first"] = "any",
    match: Literal["none", "length"] = "none",
    alone: Literal["drop", "keep"] = "drop",
    max_prompt_tokens: int | None = None,
    max_chosen_tokens: int | None = None,
    max_rejected_tokens: int | None = None,
    tokens: str = "n_tokens",
    prompt_tokens: str = "n_prompt_tokens",
    steps: str = "step_texts",
    labels: str = "step_labels",
    threshold: float = 0.0,
    after_error: Literal["keep", "cut", "wrong"] = "keep",
) -> TableFn:
    """Build what preference training reads, by the published rules, from the samples of a problem.

    `preference`: the first row by `prefer` that meets `chosen` stays and gets the first one by `against` that meets
    `rejected` as its `rejected_*` columns. Defaults are REDI's rule (arXiv 2505.24850: first correct, first not
    correct). Others: Sky-T1-Flash `{chosen: correct, rejected: correct, prefer: n_tokens, against: n_tokens desc}`
    (shortest over longest correct); Light-R1 and InfiAlign `{chosen: "correct and engine = 'teacher'", rejected: "not
    correct and engine = 'student'"}`. Length caps are applied to finished pairs, as REDI's code does: a pair that is
    too long is not replaced by the next one. A row is in one pair at most. `kto`: every row that meets one of the two
    conditions stays and says so in `desirable`. `process`: rows with steps and a label each stay (a number counts as
    right above `threshold`: Math-Shepherd's hard estimate). The receipt counts how often the chosen side is the
    shorter and the longer one: a trainer that only learns length would pass for one that learned more.

    Args:
        kind: what to build.
        chosen: SQL condition of the chosen side; null counts as false.
        rejected: SQL condition of the rejected side. `not correct` leaves answers without a verdict out; REDI's own
            "not correct" is `correct is not true`.
        prefer: column or expression, `asc` (default) or `desc`: which row that meets `chosen` comes first.
        against: the same for `rejected`. Ties of both go to the lower sample_idx, then row_id.
        by: column whose equal values are samples of one problem; null counts as the row_id.
        k: pairs a problem (default 1); of `kto`, rows of each side (default all).
        order: the rejected side must be an earlier, or a later, sample than the chosen one. REDI's text describes
            `rejected_first`; its code, and so the default, asks for no order.
        match: `length` takes, for the chosen row, the rejected one whose length is nearest.
        alone: `keep` also keeps the first chosen row of a problem without a pair, its `rejected_*` null: the positive
            set of REDI's first stage and the pairs of its second in one table. `export: {to: [trl, trl-dpo]}` takes
            them apart.
        max_prompt_tokens: longest prompt, inclusive (REDI: 800).
        max_chosen_tokens: longest chosen side, inclusive (REDI: 19000).
        max_rejected_tokens: longest rejected side, inclusive (REDI: 19000).
        tokens: column with the length of a trace.
        prompt_tokens: column with the length of its prompt.
        steps: of `process`: the column with the steps; a text is cut at blank lines.
        labels: of `process`: list column, true/false or a number for each step.
        threshold: of `process`: a number above it is right.
        after_error: of `process`: steps after the first wrong one stay, are cut off, or count as wrong.

    Raises:
        CheckError: `k` below 1, or `order`/`match` with several pairs a problem.
        InputError: a row meets both conditions and several pairs a problem are asked for.
    """
    if k is not None and k < 1:
        msg = f"pair: k is {k}, it must be at least 1"
        raise CheckError(msg)
    if kind == "preference" and (k or 1) > 1 and (order != "any" or match != "none"):
        msg = f"pair: order and match choose the best pair of a problem; with k: {k} leave them out"
        raise CheckError(msg)
    if kind == "process":
        return lambda view: _pair.process(view, steps, labels, threshold, after_error)
    for expression in (chosen, rejected, ordering(prefer)[0], ordering(against)[0]):
        columns_of(expression)
    sides = _pair.Sides(chosen, rejected, prefer, against, by, tokens, prompt_tokens)
    caps = _pair.Caps(max_prompt_tokens, max_chosen_tokens, max_rejected_tokens)

    def run(view: View) -> Split:
        _pair.place(view, sides)
        if kind == "kto":
            return _pair.kto(view, k, caps)
        _pair.match(view, k or 1, order, match)
        return _pair.preference(view, sides, caps, alone=alone == "keep")

    return run
