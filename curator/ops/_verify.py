"""What stands behind `verify`: columns read and written, verifiers asked in turn."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from curator.engines.protocol import Sampling
from curator.ops._verify_settings import SAT, Settings, adds, both, judged_columns, kinds_of, template_of
from curator.rows import put
from curator.text import fields

if TYPE_CHECKING:
    from curator.verdicts.ask import Judge, Rewarding
    from curator.verdicts.case import Case, Outcome
    from curator.verdicts.rules import Rules

Turn = tuple[str, list["Case"]]


def judge_of(settings: Settings) -> Judge:
    """Return the judge that the settings describe."""
    from curator.verdicts.ask import Judge
    from curator.verdicts.judge import Reading

    template = template_of(settings["template"])
    words = {str(k).casefold(): v for k, v in settings["words"].items()}
    pattern = re.compile(settings["pattern"]) if settings["pattern"] is not None else None
    scale = (float(settings["scale"][0]), float(settings["scale"][1])) if settings["scale"] is not None else None
    sampling = Sampling(temperature=settings["temperature"], top_p=1.0, max_tokens=settings["max_tokens"])
    return Judge(
        template, fields(template), Reading(words, pattern, scale), settings["threshold"] or 0.0, settings["votes"],
        settings["both_orders"], sampling, settings["seed"] or 0,
    )  # fmt: skip


def reward_of(settings: Settings) -> Rewarding:
    """Return the reward model's question that the settings describe."""
    from curator.verdicts.ask import Rewarding

    threshold = settings["reward_threshold"] if both(settings) else settings["threshold"]
    return Rewarding(settings["problem"], settings["judged"], tuple(settings["heads"]), threshold)


def rules_of(settings: Settings) -> Rules:
    """Return the rule verifiers that the settings describe."""
    from curator.verdicts.rules import Rules

    names = (
        "strict",
        "tolerance",
        "rtol",
        "limit_s",
        "constraints",
        "tests",
        "pass_share",
        "max_tests",
        "memory_mb",
        "unsafe",
    )
    return Rules(
        **{n: settings[n] for n in names}, choices=settings["choices"] or "choices", code=settings["code_columns"]
    )


def read(table: pa.Table, settings: Settings) -> list[Case]:
    """Return the rows as cases, with the columns any of the kinds may look at."""
    from curator.verdicts.auto import COLUMNS
    from curator.verdicts.case import Case, text, values
    from curator.verdicts.code import COLUMNS as CODE

    code = {**CODE, **settings["code_columns"]}.values()
    also = ("finish_reason", "prompt", "error", settings["choices"] or "choices", settings["tests"], *code, *COLUMNS)
    asked = judged_columns(settings) if {"judge", "auto"} & set(kinds_of(settings)) else ()
    also += SAT if {"sat", "auto"} & set(kinds_of(settings)) else ()
    also += (settings["tolerance"],) if isinstance(settings["tolerance"], str) else ()
    names = dict.fromkeys((*also, settings["constraints"], settings["problem"], *asked))
    extra = {n: values(table[n]) for n in names if n in table.column_names}
    if settings["problem"] in extra:
        extra.setdefault("problem", extra[settings["problem"]])
    answers = values(table[settings["answer"]]) if settings["answer"] in table.column_names else [None] * len(table)
    traces = values(table[settings["trace"]])
    given = zip(table["row_id"].to_pylist(), traces, answers, strict=True)
    return [
        Case(i, text(t), text(a), {n: text(v[at]) if isinstance(v[at], bytes) else v[at] for n, v in extra.items()})
        for at, (i, t, a) in enumerate(given)
    ]


def turns(cases: Sequence[Case], settings: Settings) -> Generator[Turn, list[Outcome], list[Outcome]]:
    """Yield (kind, cases) to be judged and take the outcomes; return one combined outcome a case.

    A kind is asked only about the rows whose verdict the kinds before it have not settled.
    """
    from curator.verdicts.combine import combined, settled

    rule = settings["combine"]
    asked = [_kinds_for(case, settings) for case in cases]
    said: list[list[Outcome]] = [[k] if not isinstance(k, tuple) else [] for k in asked]
    lists = [k if isinstance(k, tuple) else () for k in asked]
    for turn in range(max(map(len, lists), default=0)):
        groups: dict[str, list[int]] = {}
        for i, kinds in enumerate(lists):
            if turn < len(kinds) and not settled(rule, said[i]):
                groups.setdefault(kinds[turn], []).append(i)
        for kind, at in groups.items():
            outcomes = yield kind, [cases[i] for i in at]
            for i, outcome in zip(at, outcomes, strict=True):
                said[i].append(outcome)
    return [combined(rule, found) for found in said]


def _kinds_for(case: Case, settings: Settings) -> tuple[str, ...] | Outcome:
    """The kinds that judge a row, or the outcome where nobody can."""
    kinds = kinds_of(settings)
    if kinds != ("auto",):
        return kinds
    from curator.verdicts.auto import kind_of
    from curator.verdicts.case import ERROR, Outcome

    filled = {
        settings["tests"]: "code",
        settings["constraints"]: "constraints",
        settings["choices"] or "choices": "choice",
    }
    kind = kind_of(case.row, settings["auto"], filled)
    what = ", ".join(f"{c} '{case.row[c]}'" for c in ("answer_type", "domain") if case.row.get(c))
    if kind is None:
        return Outcome(ERROR, f"no kind for {what}; name one in auto", verifier="auto/1")
    if kind == "judge" and settings["engine"] is None:
        return Outcome(ERROR, f"{what} wants a judge, and no engine is set", verifier="auto/1")
    return (kind,)


def judged(cases: Sequence[Case], settings: Settings) -> list[Outcome]:
    """Judge cases by rules alone."""
    rules = rules_of(settings)
    steps = turns(cases, settings)
    try:
        kind, some = next(steps)
        while True:
            kind, some = steps.send(rules.judge(kind, some))
    except StopIteration as end:
        found: list[Outcome] = end.value
        return found


async def judged_with(cases: Sequence[Case], settings: Settings, engine: Any) -> list[Outcome]:
    """Judge cases by rules, in a thread, and by an engine."""
    import asyncio  # 0.03 s that `check` need not pay

    rules = rules_of(settings)
    steps = turns(cases, settings)
    try:
        kind, some = next(steps)
        while True:
            if kind == "judge":
                said = await judge_of(settings)(some, engine)
            elif kind == "reward":
                said = await reward_of(settings)(some, settings["reward_engine"] if both(settings) else engine)
            else:
                said = await asyncio.to_thread(rules.judge, kind, some)
            kind, some = steps.send(said)
    except StopIteration as end:
        found: list[Outcome] = end.value
        return found


def written(table: pa.Table, said: Sequence[Outcome], settings: Settings) -> pa.Table:
    """Return the table with the columns of the verdicts; old ones of these names are replaced."""
    values: dict[str, list[Any]] = {
        "verdict": [o.verdict for o in said],
        "correct": [o.correct for o in said],
        "score": [o.score for o in said],
        "score_scale": [o.scale if o.score is not None else None for o in said],
        "predicted_answer": [o.predicted for o in said],
        "verifier": [o.verifier for o in said],
        "verdict_detail": [o.detail for o in said],
        "test_verdicts": [o.tests for o in said],
    }
    return put(table, {n: pa.array([_unicode(v) for v in values[n]], kind) for n, kind in adds(settings).items()})


def _unicode(value: Any) -> Any:
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
