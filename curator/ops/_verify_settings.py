"""The settings of `verify`: what kinds they name, which columns those need, and what does not fit together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from curator import near, prompts, rows
from curator.engines.protocol import GENERATE, REWARDS
from curator.errors import CheckError
from curator.op import Kind, Wants
from curator.text import fields

RULES = ("math", "choice", "code", "constraints", "sat")
ASKED = ("judge", "reward")
ADDS = ("verdict", "correct", "score", "score_scale", "predicted_answer", "verifier", "verdict_detail")
CONSENSUS = ("consensus_answer", "consensus_votes", "consensus_n", "consensus_undecided")
CONVENTIONS = ("order", "percent", "decimals", "omissions")  # of maths.rules, which `check` need not import
SAT = ("clause", "k")  # of `construct: {kind: saturn}`
OURS = ("reference", "answer", "response", "trace")  # template fields that are not columns
Settings = Mapping[str, Any]


def kinds_of(settings: Settings) -> tuple[str, ...]:
    """Return the kinds of a step in the order they are asked; ("auto",) where each row has its own."""
    kind = settings.get("kind", "math")
    return (kind,) if isinstance(kind, str) else tuple(kind or ())


def step_kind(settings: Settings) -> Kind:
    """Return `table` for consensus, `model` where an engine is asked, else `row`."""
    kinds = kinds_of(settings)
    if "consensus" in kinds:
        return "table"
    asks = any(k in ASKED for k in kinds) or ("auto" in kinds and settings.get("engine") is not None)
    return "model" if asks else "row"


def needs(settings: Settings) -> tuple[str, ...]:
    """Return the columns that the kinds of a step cannot do without."""
    by_kind: dict[str, tuple[str, ...]] = {
        "math": (settings["answer"], *([settings["tolerance"]] if isinstance(settings["tolerance"], str) else [])),
        "choice": (settings["answer"], *([settings["choices"]] if settings["choices"] else [])),
        "code": (settings["tests"],),
        "constraints": (settings["constraints"],),
        "sat": SAT,
        "judge": judged_columns(settings),
        "reward": (settings["problem"],),
        "consensus": (settings["by"],),
        "auto": (),
    }
    found = ["row_id", settings["trace"]]
    for kind in kinds_of(settings):
        found += by_kind.get(kind, ())
    return tuple(dict.fromkeys(found))


def wants(settings: Settings) -> Wants:
    """Return what the engines must be able to do."""
    if both(settings):
        return {"engine": frozenset({GENERATE}), "reward_engine": frozenset({REWARDS})}
    return frozenset({REWARDS}) if "reward" in kinds_of(settings) else frozenset({GENERATE})


def both(settings: Settings) -> bool:
    """Whether a judge and a reward model are asked, each an engine of its own."""
    return set(ASKED) <= set(kinds_of(settings))


def adds(settings: Settings) -> Mapping[str, pa.DataType]:
    """Return the columns of a verdict, and those of a vote or of tests where there may be any."""
    kinds = kinds_of(settings)
    tests = ("test_verdicts",) if {"code", "auto"} & set(kinds) else ()
    return rows.types(ADDS + tests + (CONSENSUS if "consensus" in kinds else ()))


def template_of(name: str) -> str:
    """Return a template of `prompts` by its name, or the text itself. Raises CheckError for an unknown name."""
    if re.fullmatch(r"[\w-]+", name):
        if name not in prompts.TEMPLATES:
            _refuse(f"no template '{name}'{near.hint(name, prompts.TEMPLATES)}; one of your own has {{fields}}")
        return prompts.TEMPLATES[name]
    return name


def judged_columns(settings: Settings) -> tuple[str, ...]:
    named = fields(template_of(settings["template"]))
    mine = {"reference": settings["answer"], "problem": settings["problem"]}
    return tuple(mine.get(n, n) for n in named if n not in OURS or n in mine)


def _refuse(message: str) -> None:
    msg = f"verify: {message}"
    raise CheckError(msg)


def accept(settings: Settings, engine: object) -> None:
    """Judge the settings that types alone let pass. Raises CheckError, each with its way out."""
    kinds = kinds_of(settings)
    if not kinds or len(set(kinds)) < len(kinds):
        _refuse(f"kind is {list(kinds)}; name each kind once, such as [math, judge]")
    for kind in kinds:
        if kind not in (*RULES, *ASKED, "consensus", "auto"):
            _refuse(f"no kind '{kind}'{near.hint(kind, (*RULES, *ASKED))}")
    for alone in ("auto", "consensus"):
        if alone in kinds and len(kinds) > 1:
            _refuse(f"kind {alone} stands alone, got {list(kinds)}; give it a step of its own")
    _accept_reward(settings)
    asking = [k for k in kinds if k in ASKED]
    if asking and engine is None:
        _refuse(f"kind {asking[0]} asks an engine and none is named; add engine: ALIAS, or use kind: math")
    if engine is not None and not asking and "auto" not in kinds:
        _refuse(f"engine is set, but kind {kinds[0]} asks none; write kind: [{kinds[0]}, judge], or leave engine out")
    for name, kind in settings["auto"].items():
        if kind not in (*RULES, "judge"):
            _refuse(f"auto sends '{name}' to '{kind}', which is none of {', '.join(RULES)}, judge")
    if not 0 < settings["pass_share"] <= 1 or settings["limit_s"] <= 0:
        _refuse(
            f"pass_share is {settings['pass_share']} and limit_s {settings['limit_s']}; they want (0, 1] and above 0"
        )
    if settings["threshold"] is not None and settings["scale"] is None and ("reward" not in kinds or both(settings)):
        _refuse("threshold cuts a judge's number or a reward; set scale: [0, 5], or leave it out")
    _accept_maths(settings, kinds)
    if "code" in kinds and not settings["unsafe"]:
        _isolated()
    if "judge" in kinds or "auto" in kinds:
        _accept_judge(settings)


def _accept_reward(settings: Settings) -> None:
    """Judge the settings of a reward model that stands beside a judge."""
    engine, threshold = settings["reward_engine"], settings["reward_threshold"]
    if not both(settings):
        if engine is not None or threshold is not None:
            _refuse("reward_engine, reward_threshold are for [judge, reward]; a reward alone takes engine, threshold")
        return
    if engine is None:
        _refuse("judge and reward ask different engines; engine is the judge, add reward_engine: ALIAS")
    if threshold is None:
        _refuse("a reward without a threshold decides nothing beside a judge; set reward_threshold")


def _accept_maths(settings: Settings, kinds: tuple[str, ...]) -> None:
    strict, tolerance = settings["strict"], settings["tolerance"]
    for name in () if isinstance(strict, bool) else strict:
        if name not in CONVENTIONS:
            _refuse(f"strict: no convention '{name}'{near.hint(name, CONVENTIONS)}; there are {', '.join(CONVENTIONS)}")
    if settings["rtol"] < 0 or (not isinstance(tolerance, str) and tolerance < 0):
        _refuse(f"tolerance is {tolerance} and rtol {settings['rtol']}; they are distances, 0 or more")
    if isinstance(tolerance, str) and "consensus" in kinds:
        _refuse(f"tolerance '{tolerance}' is a column, and a vote compares two samples; give a number")


def _isolated() -> None:
    from curator.sandbox.judge import refusal

    if why := refusal():
        _refuse(f"kind code: {why}")


def _accept_judge(settings: Settings) -> None:
    named = fields(template_of(settings["template"]))
    if not named:
        _refuse("template quotes nothing of the row; it wants fields such as {problem}, {reference} and {answer}")
    if settings["both_orders"] and not {"reference", "answer"} <= set(named):
        _refuse("both_orders swaps {reference} and {answer}, and the template has not both")
    if settings["votes"] > 1 and settings["temperature"] == 0:
        _refuse(f"votes is {settings['votes']} at temperature 0, the same reply each time; set temperature: 0.7")
    scale, words = settings["scale"], settings["words"]
    if scale is None and set(words.values()) != {True, False}:
        _refuse(f"words is {dict(words)}; it wants a word for true and one for false, such as {{yes: true, no: false}}")
    if scale is not None:
        if scale[0] >= scale[1]:
            _refuse(f"scale is {list(scale)}; it wants [lowest, highest]")
        if settings["threshold"] is None or not scale[0] <= settings["threshold"] <= scale[1]:
            _refuse(
                f"threshold is {settings['threshold']}; on the scale {list(scale)} it says from where on is correct"
            )
    if settings["pattern"] is not None:
        try:
            re.compile(settings["pattern"])
        except re.error as e:
            _refuse(f"pattern does not compile: {e}")
