"""Instruction following: the constraints of a row, read from its column and checked one by one (see `checks`)."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from curator.near import hint
from curator.verdicts.case import ERROR, NO_REFERENCE, NOT_TEXT, UNPARSEABLE, Case, Outcome, graded
from curator.verdicts.checks import CHECKS, Bad

VERIFIER = "constraints/1"
_NAMES = ("type", "name", "id", "instruction_id")
_COUNTS = {"at least": "min", "at most": "max", "less than": "max", "more than": "min", "exactly": "both"}


# Ids of IFEval (arXiv 2311.07911) -> our name and their argument -> ours. `relation` arguments become min and max.
def _count(name: str, number: str, relation: str | None = None, **renamed: str) -> tuple[str, Mapping[str, str]]:
    return name, {
        number: "both" if relation is None else "n",
        **({relation: "relation"} if relation else {}),
        **renamed,
    }


IFEVAL: Mapping[str, tuple[str, Mapping[str, str]]] = {
    "keywords:existence": ("include", {"keywords": "words"}),
    "keywords:forbidden_words": ("exclude", {"forbidden_words": "words"}),
    "keywords:frequency": _count("keyword", "frequency", "relation", keyword="word"),
    "keywords:letter_frequency": _count("letter", "let_frequency", "let_relation", letter="letter"),
    "language:response_language": ("language", {"language": "code"}),
    "length_constraints:number_sentences": _count("sentences", "num_sentences", "relation"),
    "length_constraints:number_words": _count("words", "num_words", "relation"),
    "length_constraints:number_paragraphs": _count("paragraphs", "num_paragraphs"),
    "length_constraints:nth_paragraph_first_word": (
        "first_word", {"num_paragraphs": "count", "nth_paragraph": "paragraph", "first_word": "word"}),
    "detectable_content:number_placeholders": ("placeholders", {"num_placeholders": "min"}),
    "detectable_content:postscript": ("postscript", {"postscript_marker": "marker"}),
    "detectable_format:number_bullet_lists": _count("bullets", "num_bullets"),
    "detectable_format:number_highlighted_sections": ("highlights", {"num_highlights": "min"}),
    "detectable_format:multiple_sections": ("sections", {"section_spliter": "splitter", "num_sections": "min"}),
    "detectable_format:json_format": ("json", {}),
    "detectable_format:title": ("title", {}),
    "combination:two_responses": ("responses", {}),
    "startend:end_checker": ("ends_with", {"end_phrase": "text"}),
    "startend:quotation": ("quoted", {}),
    "change_case:capital_word_frequency": _count("capital_words", "capital_frequency", "capital_relation"),
    "change_case:english_capital": ("uppercase", {}),
    "change_case:english_lowercase": ("lowercase", {}),
    "punctuation:no_comma": ("no_comma", {}),
}  # fmt: skip
_FIXED: Mapping[str, Mapping[str, Any]] = {
    "combination:two_responses": {"count": 2},
    "length_constraints:number_paragraphs": {"separator": "***"},
}


def judge(case: Case, column: str, threshold: float) -> Outcome:
    """Check every constraint of a row against its response; the score is the share that holds.

    A constraint that is not known, or whose arguments make no sense, is an error of the data that names it; the
    response is then not judged. No constraints: no_reference.
    """
    if lacking := case.unread(VERIFIER):
        return lacking
    if not case.response:
        return Outcome(UNPARSEABLE, "truncated" if case.found.how == "truncated" else "no response", verifier=VERIFIER)
    if case.cut:
        return Outcome(UNPARSEABLE, "truncated", verifier=VERIFIER)
    try:
        checks = list(read(case.row.get(column)))
        held = [(name, check(case.response)) for name, check in checks]
    except Bad as e:
        return Outcome(ERROR, str(e), verifier=VERIFIER)
    if not held:
        return Outcome(NO_REFERENCE, "no constraints", verifier=VERIFIER)
    failed = ", ".join(name for name, ok in held if not ok)
    score = sum(ok for _, ok in held) / len(held)
    return graded(score, threshold, "0-1", VERIFIER, f"not met: {failed}" if failed else None)


def read(value: Any) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Yield (name, check) for each constraint of a cell: a list, or JSON of one.

    Raises:
        Bad: the cell or one of its constraints cannot be read.
    """
    if value is NOT_TEXT or isinstance(value, bytes):
        raise Bad("constraints are bytes that are not text")
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else []
        except (ValueError, RecursionError):
            raise Bad("constraints are not JSON") from None
    if isinstance(value, Mapping):
        value = [value]
    if value is not None and not isinstance(value, list | tuple):
        msg = f"constraints are {type(value).__name__}, not a list"
        raise Bad(msg)
    for one in value or ():
        name, arguments = _one(one)
        yield name, _bound(name, arguments)


def _one(one: Any) -> tuple[str, dict[str, Any]]:
    """Take a constraint apart: `"json"`, `{type: words, min: 100}`, or IFEval's `{instruction_id, kwargs}`."""
    if isinstance(one, str):
        one = {"type": one}
    key = next((k for k in _NAMES if isinstance(one, Mapping) and isinstance(one.get(k), str)), None)
    if key is None:
        msg = f"a constraint is {{type: ..., arguments}}, got {str(one)[:80]}"
        raise Bad(msg)
    name = one[key]
    given = one.get("kwargs") if isinstance(one.get("kwargs"), Mapping) else {k: v for k, v in one.items() if k != key}
    arguments = {k: v for k, v in given.items() if v is not None and k != "kwargs"}  # a struct has every field
    if name in IFEVAL:
        return _translated(name, arguments)
    if name not in CHECKS:
        msg = f"unknown constraint '{name[:80]}'{hint(name, (*CHECKS, *IFEVAL))}"
        raise Bad(msg)
    return name, arguments


def _translated(name: str, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    ours, renamed = IFEVAL[name]
    found = {renamed[k]: v for k, v in given.items() if k in renamed} | dict(_FIXED.get(name, {}))
    if "n" in found:
        n, relation = found.pop("n"), str(found.pop("relation", "at least"))
        bound = _COUNTS.get(relation)
        if bound is None or not isinstance(n, int | float):
            msg = f"constraint '{name}': relation '{relation}' is not one of {', '.join(_COUNTS)}"
            raise Bad(msg)
        n = int(n) + {"less than": -1, "more than": 1}.get(relation, 0)
        found |= {"min": n, "max": n} if bound == "both" else {bound: n}
    if "both" in found:
        n = found.pop("both")
        found |= {"min": n, "max": n}
    return ours, found


@cache
def _parameters(name: str) -> Mapping[str, tuple[Any, bool]]:
    """Argument -> (type, whether it must be given); `text_` is written text."""
    check = CHECKS[name]
    hints = typing.get_type_hints(check)
    found = list(inspect.signature(check).parameters.values())[1:]
    return {p.name.rstrip("_"): (hints[p.name], p.default is p.empty) for p in found}


def _bound(name: str, given: Mapping[str, Any]) -> Callable[[str], bool]:
    wanted = _parameters(name)
    for key in given:
        if key not in wanted:
            has = f"; it takes {', '.join(wanted)}" if wanted else "; it takes none"
            msg = f"constraint '{name}' has no argument '{key}'{has}"
            raise Bad(msg)
    arguments = {}
    for key, (kind, required) in wanted.items():
        if key in given:
            arguments[key if key != "text" else "text_"] = _typed(name, key, kind, given[key])
        elif required:
            msg = f"constraint '{name}' needs the argument '{key}'"
            raise Bad(msg)

    def check(text: str) -> bool:
        try:
            return CHECKS[name](text, **arguments)
        except Bad as e:
            msg = f"constraint '{name}': {e}"
            raise Bad(msg) from None

    return check


def _typed(name: str, key: str, kind: Any, value: Any) -> Any:
    if kind == list[str]:
        value = [value] if isinstance(value, str) else value
        good = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
    elif kind is str:
        good = isinstance(value, str)
    else:
        value = int(value) if isinstance(value, float) and value.is_integer() else value
        good = isinstance(value, int) and not isinstance(value, bool)
    if not good:
        wants = {str(list[str]): "a list of texts", str(str): "text"}.get(str(kind), "a whole number")
        msg = f"constraint '{name}': {key} wants {wants}, got {str(value)[:40]!r}"
        raise Bad(msg)
    return value
