"""What `check` learns about engines, and how one is put together."""

from __future__ import annotations

import subprocess
import sys
import typing

import pytest

from curator import engines
from curator.engines import budget, describe
from curator.engines.protocol import BAD_WORDS, GENERATE, PREFIX, PROMPT_LOGPROBS
from curator.errors import CheckError, OutputError

ASKED = {kind: {"model": "m"} for kind in ("openai", "transformers", "vllm", "reward", "vllm_reward")}


@pytest.mark.parametrize("kind", engines.kinds())
def test_every_setting_has_a_type_a_default_and_a_line(kind):
    found = {s.name: s for s in engines.settings_of(kind)}
    assert "alias" not in found
    assert {"max_tokens_total", "max_cost", "max_error_share", "prices"} <= set(found)
    for s in found.values():
        assert s.doc, s.name
        assert s.type is not typing.Any
    assert [s.name for s in found.values() if s.required] == [n for n in ("model",) if kind in ASKED]


def test_asking_imports_nothing_heavy():
    code = (
        "import sys, curator.engines as e\n"
        "for k in e.kinds(): e.settings_of(k); e.capabilities_of(k, {}); e.missing(k, {})\n"
        "heavy = {'torch', 'transformers', 'vllm', 'openai', 'aiohttp', 'pyarrow.dataset'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_capabilities_follow_the_settings():
    assert PREFIX not in engines.capabilities_of("openai", {"model": "m"})
    assert {PREFIX, BAD_WORDS, PROMPT_LOGPROBS} <= engines.capabilities_of("openai", {"flavour": "vllm"})
    assert engines.capabilities_of("openai", {"flavour": "nonsense"}) == engines.capabilities_of("openai", {})
    assert PROMPT_LOGPROBS not in engines.capabilities_of("replay", {"path": "x"})
    assert {GENERATE, PREFIX, BAD_WORDS} <= engines.capabilities_of("vllm", {})


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("openai", {"model": "m", "flavour": f, "base_url": "http://localhost:1/v1"})
        for f in ("openai", "vllm", "sglang")
    ]
    + [("replay", {"function": "json:dumps"}), ("replay", {"function": "json:dumps", "score": "json:dumps"})],
)
def test_what_is_said_beforehand_is_what_the_engine_says(kind, settings):
    if engines.missing(kind, settings):
        pytest.skip("not installed here")
    assert engines.open_engine("t", kind, settings).capabilities == engines.capabilities_of(kind, settings)


@pytest.mark.parametrize("kind", ["transformers", "vllm"])
def test_what_is_said_of_local_models(kind, tiny_model):
    if engines.missing(kind, {"model": str(tiny_model)}):
        pytest.skip("not installed here")
    assert engines.open_engine("t", kind, {"model": str(tiny_model)}).capabilities == engines.capabilities_of(kind, {})


def test_missing_things_are_sentences_with_a_way_out(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    (key,) = engines.missing("openai", {"model": "m"})
    assert "OPENAI_API_KEY" in key
    assert "MY_KEY" in engines.missing("openai", {"api_key_env": "MY_KEY"})[0]
    assert engines.missing("openai", {"base_url": "http://localhost:8000/v1"}) == []
    monkeypatch.setenv("MY_KEY", "x")
    assert engines.missing("openai", {"api_key_env": "MY_KEY"}) == []
    monkeypatch.setattr(describe.importlib.util, "find_spec", lambda _name: None)
    assert "pip install 'trace-curator[vllm]'" in engines.missing("vllm", {})[0]
    assert "pip install 'trace-curator[pocket]'" in engines.missing("pocket", {})[0]


def test_a_model_folder_that_is_not_there_is_missing(tmp_path):
    for kind in ("transformers", "vllm"):
        assert "no model folder ./nowhere" in engines.missing(kind, {"model": "./nowhere"})[-1]
        assert not any("folder" in m for m in engines.missing(kind, {"model": str(tmp_path)}))
        assert not any("folder" in m for m in engines.missing(kind, {"model": "Qwen/Qwen3-8B"}))


def test_opening_what_is_wrong_says_what():
    with pytest.raises(CheckError, match="no kind 'vlm'; did you mean 'vllm'"):
        engines.open_engine("t", "vlm", {})
    with pytest.raises(CheckError, match="no setting 'delai'; did you mean 'delay'"):
        engines.open_engine("t", "replay", {"delai": 1})
    with pytest.raises(CheckError, match="model"):
        engines.open_engine("t", "openai", {"base_url": "http://localhost:1/v1"})


def test_default_concurrency_reaches_the_pacer():
    settings = {"model": "m", "base_url": "http://localhost:1/v1"}
    assert engines.open_engine("t", "openai", settings, default_concurrency=7).inner.pacer.max == 7
    fixed = {**settings, "max_concurrency": 3}
    assert engines.open_engine("t", "openai", fixed, default_concurrency=7).inner.pacer.max == 3


def test_prices(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    far = {"model": "org/big", "base_url": "https://example.com/v1"}
    unknown = engines.open_engine("t", "openai", far)
    assert unknown.price is None
    assert "no price for model 'org/big'" in unknown.note
    with pytest.raises(CheckError, match="no price is known"):
        engines.open_engine("t", "openai", {**far, "max_cost": 1.0})
    file = tmp_path / "prices.yaml"
    file.write_text("version: 2030-01-01\nmodels:\n  big: {input: 1, output: 2.5}\n")
    known = engines.open_engine("t", "openai", {**far, "prices": str(file), "max_cost": 1.0})
    assert known.price == (1.0, 2.5)
    assert engines.open_engine("t", "openai", {**far, "base_url": "http://localhost:1/v1"}).price == (0.0, 0.0)
    file.write_text("models: [1]")
    with pytest.raises(CheckError, match="is not of the form"):
        engines.open_engine("t", "openai", {**far, "prices": str(file)})
    assert budget.load_prices(None)[0]


def test_a_store_may_be_a_folder_that_is_not_there_yet(tmp_path):
    from curator.engines.store import Store

    store = Store(tmp_path / "a" / "b")
    assert len(store) == 0
    assert not (tmp_path / "a").exists()
    (tmp_path / "f").write_text("")
    with pytest.raises(OutputError):
        Store(tmp_path / "f")
