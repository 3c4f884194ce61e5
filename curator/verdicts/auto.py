"""`kind: auto`: which verifier judges a row, by what its columns say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# answer_type (the names of specs synthesis 1.3 and of common data sets) and domain -> kind. Unpublished, ours.
BY_TYPE: Mapping[str, str] = {
    **dict.fromkeys(
        ("math", "number", "numeric", "integer", "float", "fraction", "expr", "expression", "equation", "interval",
         "set", "tuple", "matrix", "list", "percentage", "mathematics", "maths", "algebra"), "math"),
    **dict.fromkeys(("choice", "mcq", "mcqa", "multiple_choice", "multiple-choice", "option"), "choice"),
    **dict.fromkeys(("code", "coding", "program", "programming", "tests", "unit_tests"), "code"),
    **dict.fromkeys(("sat", "saturn", "satisfiability"), "sat"),
    **dict.fromkeys(("constraints", "instruction_following", "instruction-following", "ifeval", "if"), "constraints"),
    **dict.fromkeys(("text", "string", "free_text", "open", "science", "physics", "chemistry", "biology", "medicine",
                     "general", "other", "puzzle"), "judge"),
}  # fmt: skip
COLUMNS = ("answer_type", "domain")


def kind_of(row: Mapping[str, Any], overrides: Mapping[str, str], filled: Mapping[str, str]) -> str | None:
    """Return the kind for a row, or None where its columns name something that the mapping does not know.

    The answer type decides before the domain. Where neither is given: the first of `filled` (column -> kind) that has a
    value in this row, else `math`.
    """
    known = {**BY_TYPE, **{k.lower(): v for k, v in overrides.items()}}
    named = [str(row[c]).strip().lower() for c in COLUMNS if row.get(c) not in (None, "")]
    for name in named:
        if name in known:
            return known[name]
    if named:
        return None
    return next((kind for column, kind in filled.items() if row.get(column) not in (None, "", [], {})), "math")
