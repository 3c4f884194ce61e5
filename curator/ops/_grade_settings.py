"""The settings of `grade`: which kind of step they make, the columns it reads and adds, and what does not fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from curator import rows
from curator.difficulty import bands as band_tables
from curator.difficulty.bands import Band
from curator.engines.protocol import GENERATE
from curator.errors import CheckError
from curator.op import Kind, Names
from curator.ops._sql import columns_of
from curator.text import fields

Settings = Mapping[str, Any]
Thresholds = float | dict[str, float]

COUNTS: Names = ("n", "n_ok", "n_undecided", "pass_rate", "pass_rate_low", "pass_rate_high")
SPREAD: Names = ("score_mean", "score_std", "score_max", "cv")
DIFFICULTY: Names = ("difficulty", "difficulty_source")
REST = "*"  # of a table by category: all that have no entry


def step_kind(settings: Settings) -> Kind:
    """Return `table` where verdicts are counted, `model` where an engine is asked."""
    return "table" if settings.get("kind", "verdicts") == "verdicts" else "model"


def named(settings: Settings, column: str) -> str:
    """Return the name of a column of this step: with the step's `name` before it."""
    return f"{settings['name']}_{column}" if settings["name"] else column


def adds(settings: Settings) -> Mapping[str, pa.DataType]:
    """Return the columns that appear, by kind and by what is asked for."""
    kind = settings["kind"]
    if kind == "judged":
        found: Names = ("judged_difficulty", "judged_n", "judged_std")
    else:
        found = COUNTS + (("n_asked", "stopped") if kind == "sampled" else SPREAD)
        found += ("passed",) if settings["threshold"] is not None else ()
        found += ("decision",) if settings["cv_min"] is not None else ()
        found += ("length_mean",) if settings["length"] or kind == "sampled" else ()
        found += ("solved_by", "model_rates") if settings["models"] else ()
    found += ("band",) if settings["bands"] else ()
    found += DIFFICULTY if settings["bins"] else ()
    return {named(settings, name): kind for name, kind in rows.types(found).items()}


def with_values(table: pa.Table, found: Sequence[Mapping[str, Any]], settings: Settings) -> pa.Table:
    """Return the table with the step's columns; `found`: of each row, its values by their names without `name`."""
    values = {}
    for column, kind in adds(settings).items():
        short = column.removeprefix(f"{settings['name']}_") if settings["name"] else column
        values[column] = pa.array([f[short] for f in found], kind)
    return rows.put(table, values)


def needs(settings: Settings) -> Names:
    """Return the columns that must exist."""
    if settings["kind"] == "judged":
        more = (settings["category"],) if _nested(settings["bands"]) else ()
        return tuple(dict.fromkeys(("row_id", *fields(settings["template"]), *more)))
    if settings["kind"] == "sampled":
        asked = (*fields(settings["prompt"]), *fields(settings["system"]))
        return tuple(dict.fromkeys(("row_id", *asked, *_verified(settings))))
    found = ["row_id", settings["by"], *(columns_of(settings["where"]) if settings["where"] else ())]
    found += [settings["score"]] if settings["score"] else []
    found += [settings["correct"]] if settings["threshold"] is None or not settings["score"] else []
    found += ["verdict"] if settings["unparseable"] == "incorrect" else []
    found += [settings["category"]] if _varies(settings) else []
    found += [name for name in (settings["models"], settings["length"]) if name]
    return tuple(dict.fromkeys(found))


def _verified(settings: Settings) -> Names:
    from curator.ops._verify_settings import needs as of_verify

    try:
        return tuple(c for c in of_verify(verify_settings(settings)) if c != "trace")
    except CheckError:
        return ()  # told by `accept`


def wants(settings: Settings) -> frozenset[str]:
    """Return what an engine must be able to do."""
    return frozenset({GENERATE})


def _varies(settings: Settings) -> bool:
    """Whether any table is by category."""
    tables = (settings["threshold"], settings["cv_min"])
    return any(isinstance(t, dict) for t in tables) or _nested(settings["bands"])


def _nested(bands: Mapping[str, Any] | None) -> bool:
    return bool(bands) and any(isinstance(v, dict) for v in (bands or {}).values())


def band_table(settings: Settings) -> dict[str | None, tuple[Band, ...]]:
    """Return category -> bands; the category None stands for one table for all. Raises CheckError."""
    written = settings["bands"] or {}
    tables = written if _nested(written) else {None: written}
    try:
        return {category: band_tables.table(table) for category, table in tables.items()}
    except (ValueError, TypeError, AttributeError) as e:
        msg = f"grade: {e}"
        raise CheckError(msg) from None


def verify_settings(settings: Settings) -> dict[str, Any]:
    """Return all settings of `verify` for the samples of kind sampled.

    Raises:
        CheckError: one has no such name, or the kind asks somebody.
    """
    from curator.near import hint
    from curator.op import find
    from curator.ops._verify_settings import RULES, kinds_of

    known = {s.name: s.default for s in find("verify").settings}
    for name in settings["verify"]:
        if name not in known:
            msg = f"grade: verify has no setting '{name}'{hint(name, known)}"
            raise CheckError(msg)
    found = {**known, **settings["verify"], "trace": "trace"}
    if not set(kinds_of(found)) <= set(RULES):
        msg = f"grade: samples are checked by rules ({', '.join(RULES)}), not by {found['kind']}; for a judge use "
        raise CheckError(msg + "generate, verify and grade, one after the other")
    return found


def accept(settings: Settings) -> None:
    """Judge the settings that types alone let pass. Raises CheckError, each with its way out."""
    _range("confidence", settings["confidence"])
    kind, engine = settings["kind"], settings["engine"]
    if (kind == "verdicts") != (engine is None):
        way = "asks nobody; leave engine out, or write kind: sampled" if engine is not None else "needs engine: ALIAS"
        _refuse(f"kind {kind} {way}")
    band_table(settings)
    if settings["bands"] and kind == "sampled" and _nested(settings["bands"]):
        _refuse("kind sampled stops by one table of bands; give each category a step of its own (select before it)")
    if settings["cv_min"] is not None and settings["threshold"] is None:
        _refuse("cv_min is the third test of Algorithm 1 and wants the threshold of the first; set threshold: 0.99")
    if kind != "judged" and settings["band_of"] == "judged_difficulty":
        _refuse(f"band_of is judged_difficulty, which kind {kind} does not have; write kind: judged")
    if settings["band_of"] == "length_mean" and kind == "verdicts" and not settings["length"]:
        _refuse("band_of is length_mean, and no length is set; set length: n_tokens")
    if kind == "sampled":
        _accept_sampled(settings)
    if kind == "judged":
        _accept_judged(settings)


def _accept_sampled(settings: Settings) -> None:
    from curator.ops._verify_settings import accept as accept_verify

    if settings["stop_at"] is not None:
        if not settings["bands"]:
            _refuse("stop_at stops when the band is decided, and there are no bands; set bands")
        if not 0.5 < settings["stop_at"] <= 1:
            _refuse(f"stop_at is {settings['stop_at']}, it must lie above 0.5 and be at most 1")
        if settings["band_of"] != "pass_rate":
            _refuse(f"stop_at needs bands of the pass rate, not of {settings['band_of']}")
    if min(settings["prior"]) <= 0:
        _refuse(f"prior is {list(settings['prior'])}; both numbers of a Beta prior lie above 0")
    for name in ("score", "threshold", "models", "where"):
        if settings[name] is not None:
            _refuse(f"{name} reads samples that are there; with kind sampled leave it out")
    if settings["band_of"] not in ("pass_rate", "n_ok", "length_mean"):
        _refuse(f"kind sampled has no {settings['band_of']}; band_of is pass_rate, n_ok or length_mean")
    accept_verify(verify_settings(settings), None)


def _accept_judged(settings: Settings) -> None:
    low, high = settings["scale"]
    if low >= high:
        _refuse(f"scale is {[low, high]}; it wants [lowest, highest]")
    if not fields(settings["template"]):
        _refuse("template quotes nothing of the row; it wants a field such as {problem}")
    if settings["calls"] > 1 and settings["temperature"] == 0:
        _refuse(f"calls is {settings['calls']} at temperature 0, the same reply each time; set temperature: 0.7")
    if settings["bins"]:
        _refuse("bins are of pass rates; for a judged difficulty write bands")
    if settings["bands"] and settings["band_of"] != "judged_difficulty":
        _refuse("kind judged has bands of its own number only; write band_of: judged_difficulty")


def _range(name: str, value: float) -> None:
    if not 0 < value < 1:
        _refuse(f"{name} is {value}, it must lie between 0 and 1")


def _refuse(message: str) -> None:
    msg = f"grade: {message}"
    raise CheckError(msg)
