"""What stands behind `score`: one entry a kind, which says what it adds, what it wants and how a row is asked about."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import pyarrow as pa

from curator import prompts, rows
from curator.difficulty.likelihood import by_span, total
from curator.engines.protocol import EMBED, ENTROPY, GRADIENTS, MARGIN, PROMPT_LOGPROBS, REWARDS, Message
from curator.errors import CheckError
from curator.op import ModelFn, Names, Result
from curator.text import fields

Settings = Mapping[str, Any]
Found = dict[str, Any]
COMMON: Names = ("n_scored", "score_error", "scored_by")
GRADIENT: Names = ("grad", "grad_loss", "grad_n_tokens", "grad_truncated", "grad_proxy", "grad_projection")
SPANS: Names = ("span_logprob_sum", "span_n_scored")
COLUMN_OF = {"entropy": "token_entropy", "margin": "margin"}
WANTED = {"entropy": ENTROPY, "margin": MARGIN}
GRADIENT_ERRORS = frozenset({"empty", "zero_gradient", "nan_loss", "nan_gradient"})
GRADIENT_SETTINGS = {"d": 1024, "projection": "countsketch", "projection_seed": 0, "max_tokens": 4096}


class Asked(NamedTuple):
    """One row's question: the conversation before the text, the text, and its spans (None where there are none)."""

    messages: tuple[Message, ...]
    text: str
    spans: list[tuple[int, int]] | None


class Kind(NamedTuple):
    """One kind of score.

    `adds`: its columns beside `common`. `wants`: what the engine must be able to do. `ask`: the values of one row.
    """

    adds: Callable[[Settings], Names]
    wants: Callable[[Settings], frozenset[str]]
    ask: Callable[[Any, Asked, Settings], Awaitable[Found]]
    common: Names = COMMON


async def _logprob(engine: Any, asked: Asked, settings: Settings) -> Found:
    also = frozenset(WANTED[name] for name in settings["also"])
    told = await (engine.score(asked.messages, asked.text, also) if also else engine.score(asked.messages, asked.text))
    n = len(told.logprobs)
    found: Found = {"n_scored": n, "score_truncated": told.truncated, "score_error": told.error}
    if told.error is None and n == 0:
        found["score_error"] = "the prompt leaves no room for the text" if told.truncated else "the text has no token"
    if n:
        whole = total(told.logprobs)
        found |= {"logprob_sum": whole, "logprob_mean": whole / n, "perplexity": _exp(-whole / n)}
        found |= {"token_entropy": fmean(told.entropies)} if told.entropies else {}
        found |= {"margin": fmean(told.margins)} if told.margins else {}
    if asked.spans is not None:
        sums, counts = by_span(asked.text, told.offsets, told.logprobs, asked.spans)
        found |= {"span_logprob_sum": sums, "span_n_scored": counts}
    return found


async def _reward(engine: Any, asked: Asked, settings: Settings) -> Found:
    told = await engine.rewards((*asked.messages, Message("assistant", asked.text)))
    found: Found = {"n_scored": told.n_tokens, "score_error": told.error}
    if told.error is None:
        heads = settings["heads"] or list(told.scores)
        absent = [h for h in heads if h not in told.scores]
        if absent or len(heads) != 1 and not settings["heads"]:
            found["score_error"] = f"the model's heads are {', '.join(told.scores)}; name those that count in heads"
        else:
            found["reward"] = fmean(told.scores[h] for h in heads)
    return found


async def _embedding(engine: Any, asked: Asked, settings: Settings) -> Found:
    del settings
    told = await engine.embed(asked.messages, asked.text)
    vector = list(told.vector) or None
    return {
        "embedding": vector, "n_scored": told.n_tokens, "score_truncated": told.truncated, "score_error": told.error
    }  # fmt: skip


async def _gradient(engine: Any, asked: Asked, settings: Settings) -> Found:
    import numpy as np  # 0.1 s that `check` need not pay

    projection = f"{settings['projection']}:{settings['d']}:{settings['projection_seed']}"
    told = await engine.gradient(asked.messages, asked.text, projection, settings["max_tokens"])
    return {
        "grad": np.frombuffer(told.vector, "<f4") if told.vector else None, "grad_n_tokens": told.n_tokens,
        "grad_loss": told.loss if told.loss is not None and math.isfinite(told.loss) else None,
        "grad_truncated": told.truncated, "grad_proxy": proxy(engine.identity), "grad_projection": projection,
        "score_error": told.error,
    }  # fmt: skip


def proxy(identity: Mapping[str, str]) -> str:
    """Return the id of a proxy model: its name, and what tells its weights from others of that name."""
    weights = identity.get("files") or identity.get("revision") or ""
    return f"{identity.get('model', '')}@{weights[:12]}"


def _logprob_adds(settings: Settings) -> Names:
    found: Names = ("logprob_sum", "logprob_mean", "perplexity", "score_truncated")
    found += tuple(COLUMN_OF[name] for name in COLUMN_OF if name in settings["also"])
    return found + (SPANS if settings["spans"] else ())


# A new kind is one more entry.
KINDS: dict[str, Kind] = {
    "logprob": Kind(
        _logprob_adds, lambda s: frozenset({PROMPT_LOGPROBS, *(WANTED[n] for n in s["also"] if n in WANTED)}), _logprob
    ),
    "reward": Kind(lambda _: ("reward",), lambda _: frozenset({REWARDS}), _reward),
    "embedding": Kind(lambda _: ("embedding", "score_truncated"), lambda _: frozenset({EMBED}), _embedding),
    "gradient": Kind(lambda _: GRADIENT, lambda _: frozenset({GRADIENTS}), _gradient, ("score_error",)),
}


def adds(settings: Settings) -> Mapping[str, pa.DataType]:
    """Return the columns that appear."""
    kind = KINDS[settings["kind"]]
    found = rows.types(kind.adds(settings) + kind.common)
    return {named(settings, name): kind for name, kind in found.items()}


def named(settings: Settings, column: str) -> str:
    """Return the name of a column of this step."""
    return f"{settings['name']}_{column}" if settings["name"] else column


def wants(settings: Settings) -> frozenset[str]:
    """Return what the engine must be able to do."""
    return KINDS[settings["kind"]].wants(settings)


def needs(settings: Settings) -> Names:
    """Return the columns that must exist."""
    text = fields(settings["on"]) or (settings["on"],)
    more = (settings["spans"],) if settings["spans"] else ()
    return tuple(dict.fromkeys(("row_id", *text, *fields(settings["given"]), *fields(settings["system"]), *more)))


def check(settings: Settings, columns: Mapping[str, pa.DataType]) -> None:
    """Refuse a spans column that holds no spans. Raises CheckError."""
    kind = columns.get(settings["spans"]) if settings["spans"] else None
    if kind is None or pa.types.is_null(kind):
        return
    inner = kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else None
    if inner is None or not pa.types.is_struct(inner) or {"start", "end"} - {f.name for f in inner}:
        msg = f"score: spans '{settings['spans']}' is {kind}; it wants a list of structs with start and end (segment)"
        raise CheckError(msg)


def accept(settings: Settings) -> None:
    """Judge the settings that types alone let pass. Raises CheckError."""
    kind = settings["kind"]
    if kind != "logprob" and (settings["also"] or settings["spans"]):
        _refuse(f"also and spans are of kind logprob, not of {kind}; leave them out")
    if settings["heads"] and kind != "reward":
        _refuse(f"heads are of kind reward, not of {kind}; leave them out")
    foreign = [name for name, usual in GRADIENT_SETTINGS.items() if settings[name] != usual]
    if foreign and kind != "gradient":
        _refuse(f"{', '.join(foreign)}: settings of kind gradient, not of {kind}; leave them out")
    if settings["spans"] and fields(settings["on"]):
        _refuse("spans are places in one column; on is a template of several, give the column")
    if settings["system"] and not settings["given"]:
        _refuse("given is empty (the text alone), so there is no place for system; leave one out")
    if kind == "reward" and not settings["given"]:
        _refuse("a reward model judges an answer to a question; set given")


def _refuse(message: str) -> None:
    msg = f"score: {message}"
    raise CheckError(msg)


def model_function(settings: Settings) -> ModelFn:
    """Return the function of the step."""
    accept(settings)
    engine, kind, columns = settings["engine"], KINDS[settings["kind"]], needs(settings)

    async def ask(row: Mapping[str, Any]) -> Found:
        asked = _asked(row, settings)
        return {"score_error": asked} if isinstance(asked, str) else await kind.ask(engine, asked, settings)

    async def run(table: pa.Table) -> Result:
        import asyncio  # 0.03 s that `check` need not pay

        found = await asyncio.gather(*(ask(row) for row in table.select(list(columns)).to_pylist()))
        for one in found:
            one["scored_by"] = engine.model if one.get("score_error") is None else None
        values = {}
        for column, type_ in adds(settings).items():
            short = column.removeprefix(f"{settings['name']}_") if settings["name"] else column
            values[column] = pa.array([one.get(short) for one in found], type_)
        return Result(rows.put(table, values), None, _counts(found))

    return run


def _asked(row: Mapping[str, Any], settings: Settings) -> Asked | str:
    """A row's question, or why there is none."""
    template, on = settings["given"], settings["on"]
    absent = [name for name in needs(settings) if row[name] is None]
    if absent:
        return f"column '{absent[0]}' is null"
    text = prompts.fill(on, **{n: str(row[n]) for n in fields(on)}) if fields(on) else str(row[on])
    if not text:
        return "the text is empty"

    def message(role: Any, text: str) -> Message:
        return Message(role, prompts.fill(text, **{n: str(row[n]) for n in fields(text)}))

    system = (message("system", settings["system"]),) if settings["system"] else ()
    messages = (*system, message("user", template)) if template else ()
    given = row[settings["spans"]] if settings["spans"] else None
    spans = None if given is None else [(int(s["start"]), int(s["end"])) for s in given]
    if spans is not None and not _in_order(spans, len(text)):
        return "the spans are not ascending, disjoint places of the text"
    return Asked(messages, text, spans)


def _in_order(spans: Sequence[tuple[int, int]], length: int) -> bool:
    ends = [0, *(end for _, end in spans)]
    return all(before <= start <= end for before, (start, end) in zip(ends, spans, strict=False)) and ends[-1] <= length


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf


def _counts(found: Sequence[Found]) -> dict[str, float]:
    """Numbers of the receipt: over all tokens, so that corpus means weigh tokens alike (DED's token entropy)."""
    tokens = [one.get("n_scored") or one.get("grad_n_tokens") or 0 for one in found]
    cut = [bool(one.get("score_truncated") or one.get("grad_truncated")) for one in found]
    counts = {
        "tokens_scored": float(sum(tokens)), "truncated": float(sum(cut)),
        "not_scored": float(sum(one.get("score_error") is not None for one in found)),
        "logprob_total": math.fsum(one.get("logprob_sum") or 0.0 for one in found),
    }  # fmt: skip
    errors = Counter(one["score_error"] for one in found if one.get("score_error") in GRADIENT_ERRORS)
    counts |= {name: float(n) for name, n in errors.items()}
    if any("token_entropy" in one for one in found):
        pairs = zip(found, tokens, strict=True)
        counts["entropy_total"] = math.fsum(one.get("token_entropy", 0.0) * n for one, n in pairs)
    return counts
