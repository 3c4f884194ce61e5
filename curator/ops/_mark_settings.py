"""The settings of `mark`: which rules are set, the columns they read, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.difficulty.bands import Band, parse
from curator.errors import CheckError
from curator.op import Kind, Names

Settings = Mapping[str, Any]
TEXT = ("ngram", "repetition", "form", "scripts", "odd_characters", "refusal")  # rules that read `on`
WHOLE = ("ngram", "perplexity_quantile")
RULES = (*TEXT, "perplexity_max", "perplexity_quantile", "turns")


def set_(settings: Settings, name: str) -> bool:
    """Whether a rule is set."""
    return settings.get(name) not in (None, False, [], {})


def step_kind(settings: Settings) -> Kind:
    """Return `table` where a rule compares rows, else `row`."""
    return "table" if any(set_(settings, name) for name in WHOLE) else "row"


def needs(settings: Settings) -> Names:
    """Return the columns that must exist."""
    found = ["row_id"]
    found += [settings["on"]] if any(set_(settings, name) for name in TEXT) else []
    if set_(settings, "perplexity_max") or set_(settings, "perplexity_quantile"):
        found.append(settings["perplexity"])
    found += [settings["by"]] if isinstance(settings["perplexity_max"], dict) else []
    found += [settings["turns"]] if settings["turns"] else []
    return tuple(dict.fromkeys(found))


def bands_of(settings: Settings) -> dict[str, Band]:
    """Return script -> band. Raises CheckError where one cannot be read."""
    try:
        return {name.lower(): parse(name, text) for name, text in settings["scripts"].items()}
    except ValueError as e:
        msg = f"mark: {e}"
        raise CheckError(msg) from None


def accept(settings: Settings) -> None:
    """Judge the settings that types alone let pass. Raises CheckError."""
    if not any(set_(settings, name) for name in RULES):
        msg = f"mark: no rule is set; set one of {', '.join(RULES)}"
        raise CheckError(msg)
    bands_of(settings)
    for name in ("perplexity_quantile", "odd_characters"):
        value = settings[name]
        if value is not None and not 0 <= value <= 1:
            msg = f"mark: {name} is {value}, it must lie between 0 and 1"
            raise CheckError(msg)
    limits = settings["perplexity_max"]
    for value in limits.values() if isinstance(limits, dict) else () if limits is None else (limits,):
        if value < 1:
            msg = f"mark: perplexity_max is {value}; a perplexity is at least 1"
            raise CheckError(msg)
