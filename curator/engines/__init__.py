"""Engines: one small protocol, and one file for each way to reach a model.

`open_engine` is the only door: it hands out an engine behind the response store, its budget and its error share.
Nothing heavy is imported before an engine is asked for the first time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from curator.engines.managed import Managed
    from curator.engines.store import Store
    from curator.op import Setting


class Kind(NamedTuple):
    """One way to reach a model: where its class is, and the packages it needs beside the core.

    `extra`: name of the optional dependency group; `needs`: the modules that group brings.
    """

    module: str
    name: str
    extra: str = ""
    needs: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "openai": Kind("curator.engines.openai", "OpenAIEngine"),
    "vllm": Kind("curator.engines.vllm", "VLLMEngine", "vllm", ("vllm",)),
    "transformers": Kind("curator.engines.transformers", "TransformersEngine", "local", ("torch", "transformers")),
    "reward": Kind("curator.engines.rewards", "RewardEngine", "local", ("torch", "transformers")),
    "vllm_reward": Kind("curator.engines.rewards", "VLLMRewardEngine", "vllm", ("vllm",)),
    "pocket": Kind("curator.engines.pocket", "PocketEngine", "pocket", ("tokenizers", "jinja2", "safetensors")),
    "replay": Kind("curator.engines.replay", "ReplayEngine"),
}


def kinds() -> tuple[str, ...]:
    """Return the kinds an engine can be of."""
    return tuple(KINDS)


def settings_of(kind: str) -> tuple[Setting, ...]:
    """Return the settings of a kind: those of its constructor, then those every kind has. Imports nothing heavy.

    Raises:
        KeyError: there is no such kind.
    """
    from curator.engines import describe

    return describe.settings_of(KINDS[kind])


def capabilities_of(kind: str, settings: Mapping[str, Any]) -> frozenset[str]:
    """Return what an engine of this kind with these settings can do. Imports nothing heavy."""
    from curator.engines import describe

    return describe.capabilities_of(kind, settings)


def missing(kind: str, settings: Mapping[str, Any], wanted: frozenset[str] = frozenset()) -> list[str]:
    """Return what is missing on this machine before such an engine can work, one sentence each: packages, keys.

    `wanted`: the capabilities that it will be asked for.
    """
    from curator.engines import describe

    return describe.missing(kind, KINDS[kind], settings, wanted)


def open_engine(
    alias: str,
    kind: str,
    settings: Mapping[str, Any],
    *,
    store: Store | None = None,
    default_concurrency: int | None = None,
) -> Managed:
    """Return an engine ready to be asked; models are loaded and connections made with the first request.

    Args:
        alias: the name the pipeline gives it.
        kind: one of `kinds()`.
        settings: as written, see `settings_of`.
        store: where answers are kept and looked up; None keeps nothing.
        default_concurrency: `max_concurrency`, for kinds that have it, where the settings do not say.

    Raises:
        CheckError: unknown kind or setting, a missing package or key, a limit without a price.
    """
    from curator.engines import describe

    return describe.build(alias, kind, settings, store, default_concurrency)
