"""What `curator check` asks about engines, and how one is put together. Imports no model library."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from curator import near
from curator.bounds import Ge, Gt, Le
from curator.engines import KINDS, Kind
from curator.engines.budget import Limits, Price, load_prices, price_of, unknown_price_note
from curator.engines.protocol import (
    BAD_WORDS,
    EMBED,
    ENTROPY,
    GENERATE,
    LOGPROBS,
    MARGIN,
    PREFIX,
    PROMPT_LOGPROBS,
    REWARDS,
    SEED,
    TOKENIZE,
    Engine,
)
from curator.errors import CheckError
from curator.op import Setting, _arg_docs

if TYPE_CHECKING:  # 0.01 s that `check` need not pay
    from curator.engines.managed import Managed
    from curator.engines.store import Store

DISTRIBUTION = "trace-curator"
MARGINS = frozenset({GENERATE, PREFIX, BAD_WORDS, LOGPROBS, PROMPT_LOGPROBS, MARGIN, SEED, TOKENIZE})
LOCAL = MARGINS | {ENTROPY, EMBED}
REWARDING = dict.fromkeys(("reward", "vllm_reward"), frozenset({REWARDS, TOKENIZE}))


def common(
    *,
    max_tokens_total: Annotated[int, Gt(0)] | None = None,
    max_cost: Annotated[float, Gt(0)] | None = None,
    max_error_share: Annotated[float, Ge(0), Le(1)] = 0.1,
    prices: str | None = None,
) -> tuple[Limits, str | None]:
    """Settings that every kind of engine has.

    Args:
        max_tokens_total: most tokens (prompt and completion) this engine may use in a run.
        max_cost: most dollars this engine may cost in a run. Needs a price, see `prices`.
        max_error_share: part of the samples that may fail before the step stops, resumable; looked at from the 20th
            sample on. Prompts longer than the model's context are the rows' own fault and do not count.
        prices: YAML file with dollars per million tokens, `{version, models: {name: {input, output}}}`.
    """
    return Limits(max_tokens_total, max_cost, max_error_share), prices


def settings_of(kind: Kind) -> tuple[Setting, ...]:
    """Return the settings of a kind's constructor and the common ones."""
    return (*_signature(_class_of(kind).__init__), *_signature(common))


def _class_of(kind: Kind) -> Any:
    return getattr(importlib.import_module(kind.module), kind.name)


def _signature(function: Any) -> tuple[Setting, ...]:
    hints = typing.get_type_hints(function, include_extras=True)
    docs = _arg_docs(inspect.getdoc(function) or "")
    found = []
    for p in inspect.signature(function).parameters.values():
        if p.name in ("self", "alias"):
            continue
        required = p.default is inspect.Parameter.empty
        default = None if required else p.default
        found.append(Setting(p.name, hints.get(p.name, Any), default, required, docs.get(p.name, ""), is_engine=False))
    return tuple(found)


def capabilities_of(kind: str, settings: Mapping[str, Any]) -> frozenset[str]:
    """Return the capabilities of a kind with these settings, without building it."""
    if kind == "openai":
        from curator.engines.openai_wire import CAPABILITIES

        return CAPABILITIES.get(str(settings.get("flavour") or "openai"), CAPABILITIES["openai"])
    if kind == "replay":
        from curator.engines.replay import capabilities

        return capabilities(settings)
    if kind in REWARDING:
        return REWARDING[kind]
    if kind == "vllm":
        return MARGINS
    return LOCAL if kind in KINDS else frozenset()


def missing(name: str, kind: Kind, settings: Mapping[str, Any]) -> list[str]:
    """Return one sentence for each package, key or file that is not there."""
    out = []
    absent = [m for m in kind.needs if importlib.util.find_spec(m) is None]
    if absent:
        out.append(
            f"kind {name} needs {' and '.join(absent)}, not installed here: "
            f"pip install '{DISTRIBUTION}[{kind.extra}]'"
        )  # fmt: skip
    if name == "openai":
        from curator.engines.openai_talk import check_settings

        out += check_settings(settings)
    model = str(settings.get("model") or "")
    if name in ("transformers", "vllm", *REWARDING) and model.startswith((".", "/", "~")) and not Path(model).is_dir():
        out.append(f"no model folder {model}; a name without a leading . or / is looked up on the hub")
    if name in REWARDING:
        from curator.engines.rewards import check_model as check_reward

        out += check_reward(model)
    if name == "pocket" and not absent:
        from curator.engines.pocket import check_model

        out += check_model()
    return out


def build(
    alias: str, name: str, settings: Mapping[str, Any], store: Store | None, default_concurrency: int | None
) -> Managed:
    """Put an engine together; see `curator.engines.open_engine`."""
    from curator.engines.managed import Managed

    kind = KINDS.get(name)
    if kind is None:
        msg = f"engine '{alias}': no kind '{name}'{near.hint(name, KINDS)}"
        raise CheckError(msg)
    lacking = missing(name, kind, settings)
    if lacking:
        msg = f"engine '{alias}': {lacking[0]}"
        raise CheckError(msg)
    known = [s.name for s in settings_of(kind)]
    shared = {s.name for s in _signature(common)}
    for given in settings:
        if given not in known:
            msg = f"engine '{alias}': kind {name} has no setting '{given}'{near.hint(given, known)}"
            raise CheckError(msg)
    own = {k: v for k, v in settings.items() if k not in shared}
    if default_concurrency is not None and "max_concurrency" in known:
        own.setdefault("max_concurrency", default_concurrency)
    limits, prices = common(**{k: v for k, v in settings.items() if k in shared})
    try:
        raw: Engine = _class_of(kind)(alias=alias, **own)
    except TypeError as e:
        msg = f"engine '{alias}': {e}"
        raise CheckError(msg) from e
    price, note = price_for(name, settings, prices)
    return Managed(raw, name, store, limits, price, note)


def price_for(name: str, settings: Mapping[str, Any], path: str | None = None) -> tuple[Price | None, str]:
    """Return the price of an engine: from the file, else 0 where the model runs on this machine, else None and why.

    Raises:
        CheckError: the price file cannot be read.
    """
    version, prices = load_prices(path)
    model = str(settings.get("model") or name)
    listed = price_of(model, prices)
    if listed is not None:
        return listed, ""
    from curator.engines.openai_talk import base_url_of, is_local

    if name != "openai" or is_local(base_url_of(settings)):
        return Price(0.0, 0.0, version), ""
    return None, unknown_price_note(model, prices, version)
