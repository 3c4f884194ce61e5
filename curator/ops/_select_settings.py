"""The settings of `select`: the columns they read, the key of the step, and what does not fit together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from curator.errors import CheckError
from curator.op import Names
from curator.ops._sql import check_where, columns_of, is_column, ordering

Settings = Mapping[str, Any]
OWN = {"problem_id", "row_id"}
# What `score` and `provenance` write, with any name before it: choosing by it wants a length-only control.
_LIKELIHOOD = re.compile(
    r"(?:.+_)?(?:logprob_sum|logprob_mean|perplexity|token_entropy|margin|span_logprob_sum|n_teacher_spans"
    r"|n_student_spans|span_labels)"
)


def listed(names: str | list[str] | None) -> Names:
    """Return a column or several as a tuple."""
    return () if names is None else (names,) if isinstance(names, str) else tuple(names)


def grouped(settings: Settings) -> bool:
    """Whether the step chooses within groups."""
    return bool(settings["best"] or settings["diverse"])


def likelihood(settings: Settings) -> str | None:
    """Return the first likelihood column that `best` reads."""
    read = columns_of(ordering(settings["best"])[0]) if settings["best"] else ()
    return next((name for name in read if _LIKELIHOOD.fullmatch(name)), None)


def _expressions(settings: Settings) -> Iterator[str]:
    """The SQL expressions that are no conditions."""
    for name in ("best", "rank", "length"):
        if settings[name]:
            yield ordering(settings[name])[0]


def needs(settings: Settings) -> Names:
    """Return the columns that must exist."""
    read: list[str] = []
    for name in ("where", "chance_where"):
        read += columns_of(settings[name]) if settings[name] else ()
    for expression in _expressions(settings):
        read += columns_of(expression)
    read += listed(settings["per"]) if grouped(settings) else ()
    read += [settings["on"]] if settings["diverse"] else []
    read += [settings["chance_by"]] if settings["chance"] is not None else []
    read += [*listed(settings["strata"]), *listed(settings["balanced"])]
    return tuple(dict.fromkeys(["row_id", *read]))


def check(settings: Settings, columns: Mapping[str, pa.DataType]) -> None:
    """Bind all SQL. Raises CheckError for a name that is not there, or a condition that is none."""
    for name in ("where", "chance_where"):
        if settings[name]:
            check_where(settings[name], columns)
    for expression in _expressions(settings):
        if not (is_column(expression) and expression in columns):
            check_where(f"({expression}) is not null", columns)


def of_whole(settings: Settings) -> bool:
    """Whether a row's fate depends on rows of other groups."""
    return any(settings[name] is not None for name in ("n", "quota", "balanced"))


def key(settings: Settings) -> Names:
    """Return the columns whose equal values are judged together."""
    if of_whole(settings):
        return ()
    if grouped(settings):
        return listed(settings["per"])
    return (settings["chance_by"],) if settings["chance"] is not None else ("row_id",)


def enough(settings: Settings) -> int | None:
    """Return n where problems can be fed in the order of their hash until n rows are there."""
    ordered = settings["rank"] or settings["strata"] or settings["balanced"] or settings["quota"] is not None
    apart = not grouped(settings) or set(listed(settings["per"])) <= OWN
    own = settings["chance"] is None or settings["chance_by"] in OWN
    return settings["n"] if not ordered and apart and own else None


def accept(settings: Settings) -> None:
    """Judge the settings that types alone let pass. Raises CheckError, each with its way out."""
    parts = ("where", "best", "n", "chance", "diverse", "quota", "balanced")
    if not any(settings[name] is not None for name in (*parts, "strata")):
        _refuse("nothing to do; give where, chance, best, diverse, quota, balanced or n")
    if settings["k"] < 1 or (settings["n"] is not None and settings["n"] < 0):
        _refuse(f"k is {settings['k']} and n is {settings['n']}; k must be at least 1, n at least 0")
    for name in ("where", "chance_where"):
        if settings[name]:
            columns_of(settings[name])
    for expression in _expressions(settings):
        columns_of(expression)
    if settings["best"] and settings["diverse"]:
        _refuse("best and diverse both choose k of a group; give each a step of its own")
    _accept_chance(settings)
    _accept_strata(settings)


def _accept_chance(settings: Settings) -> None:
    given = settings["chance"]
    for value in given.values() if isinstance(given, dict) else () if given is None else (given,):
        if not 0 <= value <= 1:
            _refuse(f"chance is {value}, it must lie between 0 and 1")
    if isinstance(given, dict) and not settings["strata"]:
        _refuse("chance differs by stratum, and there are no strata; set strata: domain")
    if settings["chance_where"] and given is None:
        _refuse("chance_where says for which rows to draw, and there is no chance; set chance: 0.5")


def _accept_strata(settings: Settings) -> None:
    quota, n, balanced = settings["quota"], settings["n"], settings["balanced"]
    if quota is not None and not settings["strata"]:
        _refuse("quota is of each stratum; set strata: domain")
    for value in quota.values() if isinstance(quota, dict) else () if quota is None else (quota,):
        if value < 0:
            _refuse(f"quota is {value}, it must be 0 or more")
    if settings["strata"] and quota is None and n is None and not isinstance(settings["chance"], dict):
        _refuse("strata wants n (in proportion) or quota (rows of each)")
    if balanced and (n is None or settings["strata"] or settings["rank"]):
        _refuse("balanced draws n rows by domain and length; set n, and leave strata and rank out")
    if settings["weights"] is not None and (not balanced or min(settings["weights"].values(), default=0) < 0):
        _refuse("weights are those of the domains of balanced, 0 or more each")
    if settings["rank"] and n is None and quota is None:
        _refuse("rank orders what n or quota take; set one of them, or use best for the best of each group")


def _refuse(message: str) -> None:
    msg = f"select: {message}"
    raise CheckError(msg)
