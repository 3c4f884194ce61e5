"""The rules of `mark` that look at a row by itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curator import rows
from curator.difficulty import marks
from curator.difficulty.marks import Flags
from curator.op import Result, RowFn
from curator.ops._mark_settings import Settings, bands_of, set_


def row_function(settings: Settings) -> RowFn:
    """Return the function of a step without rules that compare rows."""

    def run(table: pa.Table) -> Result:
        found = flags_of(table, settings)
        old = table["flags"].to_pylist() if "flags" in table.column_names and settings["keep"] else [None] * len(table)
        told = table["flag_detail"].to_pylist() if any(old) and "flag_detail" in table.column_names else old
        merged = [merge(a, b, c) for a, b, c in zip(old, told, found, strict=True)]
        types = rows.types(("flags", "flag_detail"))
        table = rows.put(table, {n: pa.array([m[k] for m in merged], types[n]) for k, n in enumerate(types)})
        return Result(table, None, {"flagged": float(sum(bool(f) for f in found))})

    return run


def merge(old: Sequence[str] | None, told: Any, new: Flags) -> tuple[list[str], str | None]:
    """Return flags and detail of a row, the old ones first."""
    detail = json.loads(told) if isinstance(told, str) else {}
    detail = {**(detail if isinstance(detail, dict) else {}), **new}
    flags = list(dict.fromkeys([*(old or ()), *new]))
    return flags, json.dumps(detail, ensure_ascii=False, sort_keys=True) if flags else None


def flags_of(table: pa.Table, settings: Settings) -> list[Flags]:
    """Return what speaks against each row by itself."""
    names = table.column_names
    texts = table[settings["on"]].to_pylist() if settings["on"] in names else [None] * len(table)
    prompts = table["prompt"].to_pylist() if set_(settings, "form") and "prompt" in names else [None] * len(table)
    found = [_of_text(text, prompt, settings) for text, prompt in zip(texts, prompts, strict=True)]
    if settings["perplexity_max"] is not None:
        for flags, value, limit in zip(found, table[settings["perplexity"]].to_pylist(), _limits(table, settings),
                                       strict=True):  # fmt: skip
            if value is not None and limit is not None and not value <= limit:
                flags["perplexity"] = value
    if settings["turns"]:
        for flags, conversation in zip(found, table[settings["turns"]].to_pylist(), strict=True):
            flags |= marks.turns(conversation)
    return found


def _limits(table: pa.Table, settings: Settings) -> list[float | None]:
    given = settings["perplexity_max"]
    if not isinstance(given, Mapping):
        return [given] * len(table)
    return [given.get(str(v), given.get("*")) for v in table[settings["by"]].to_pylist()]


def _of_text(text: str | None, prompt: str | None, settings: Settings) -> Flags:
    found: Flags = {}
    if set_(settings, "form"):
        found |= marks.tags(text or "", settings["form"], opened=(prompt or "").rstrip().endswith("<think>"))
    if text is None:
        return found
    if set_(settings, "scripts") or settings["odd_characters"] is not None:
        found |= marks.characters(text, bands_of(settings), settings["odd_characters"])
    if settings["refusal"]:
        found |= marks.refusal(text)
    if settings["repetition"] is not None:
        found |= marks.repetition(text, settings["repetition_n"], settings["repetition"])
    return found
