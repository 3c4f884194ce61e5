"""A stand-in for `curator.engines` in tests of `check`: three kinds that can do different things."""

from __future__ import annotations

from curator.op import Setting


def _setting(name, hint, default=None, required=False):
    return Setting(name, hint, default, required, f"the {name}", is_engine=False)


SETTINGS = {
    "pocket": (_setting("max_tokens_total", int | None),),
    "openai": (
        _setting("model", str, required=True),
        _setting("base_url", str | None),
        _setting("api_key_env", str, "OPENAI_API_KEY"),
        _setting("max_cost", float | None),
    ),
    "replay": (_setting("path", str, required=True),),
}
CAN = {"pocket": {"generate", "prefix"}, "openai": {"generate"}, "replay": {"generate", "prefix", "logprobs"}}


def kinds():
    return tuple(SETTINGS)


def settings_of(kind):
    return SETTINGS[kind]


def capabilities_of(kind, settings):
    return frozenset(CAN[kind])


def missing(kind, settings, wanted=frozenset()):
    if kind == "openai" and settings.get("api_key_env", "OPENAI_API_KEY") == "NO_SUCH_KEY":
        return ["the environment variable NO_SUCH_KEY is not set; export NO_SUCH_KEY=..."]
    return []
