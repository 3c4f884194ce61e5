"""Several verifiers of one row: who is asked next, and what follows from what they said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from curator.verdicts.case import UNDECIDED, Outcome

Rule = Literal["first", "any", "all"]


def settled(rule: Rule, said: Sequence[Outcome]) -> bool:
    """Whether the outcomes so far fix the verdict, so that nobody else need be asked."""
    if rule == "first":
        return any(o.correct is not None for o in said)
    return any(o.correct is (rule == "any") for o in said)


def combined(rule: Rule, said: Sequence[Outcome]) -> Outcome:
    """Return the verdict that follows from outcomes given in the order of asking, with what each said.

    `first`: the first that decided. `any`: correct where one says so, incorrect where all say incorrect. `all`: the
    other way round. What was left open by a verifier stays open (Kleene's three values: incorrect or unknown is
    unknown): a judge that fails does not make an answer wrong. Of several that could not decide, the verdict is the
    one a second run may mend: error, timeout, unparseable, no_reference.
    """
    if len(said) == 1:
        return said[0]
    wanted = {"first": None, "any": True, "all": False}[rule]
    deciding = [o for o in said if o.correct is not None and (wanted is None or o.correct is wanted)]
    open_ = sorted((o for o in said if o.correct is None), key=lambda o: UNDECIDED.index(o.verdict))
    chosen = deciding[0] if deciding else open_[0] if open_ else said[-1]
    others = [o for o in said if o is not chosen]
    others = [o for o in others if (o.verdict, o.detail) != (chosen.verdict, chosen.detail)]
    told = "; ".join([*([chosen.detail] if chosen.detail else []), *(_said(o) for o in others)])
    predicted = chosen.predicted or next((o.predicted for o in said if o.predicted), None)
    tests = next((o.tests for o in said if o.tests is not None), None)
    return replace(chosen, detail=told or None, predicted=predicted, tests=tests)


def _said(o: Outcome) -> str:
    """What a verifier said; a number on a scale of its own is told, because `score` holds only that of the decider."""
    why = f" ({o.detail})" if o.detail else ""
    number = f" {o.score:.3g}" if o.score is not None and o.scale not in (None, "0-1") else ""
    return f"{o.verifier} said {o.verdict}{number}{why}"
