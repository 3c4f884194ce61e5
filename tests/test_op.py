"""The operator contract: settings are read off the signature, registration changes nothing, lookup explains itself."""

from __future__ import annotations

import sys
import types

import pyarrow as pa
import pytest

from curator import docs, op
from curator.engines.protocol import Engine
from curator.errors import CheckError
from curator.pipeline import Step


@pytest.fixture
def shout(monkeypatch):
    monkeypatch.setattr(op, "REGISTRY", dict(op.REGISTRY))

    @op.operator("row", effect="marks", version=3, needs=lambda s: (s["on"],), adds={"loud": pa.string()})
    def shout(*, on: str, times: int = 1, engine: Engine | None = None):
        """Say it louder.

        Longer text.

        Args:
            on: the column to shout,
                over two lines.
            times: how often.
            engine: who shouts.

        Raises:
            ValueError: never.
        """
        return lambda table: table

    return shout


def test_registration_returns_the_factory_unchanged(shout):
    assert isinstance(shout, types.FunctionType)
    assert shout(on="x")("table") == "table"


def test_settings_are_the_signature_with_docs_from_the_docstring(shout):
    on, times, engine = op.REGISTRY["shout"].settings
    assert (on.name, on.required, on.doc) == ("on", True, "the column to shout, over two lines.")
    assert (times.type, times.default, times.required, times.doc) == (int, 1, False, "how often.")
    assert engine.is_engine
    assert not times.is_engine


def test_needs_may_depend_on_settings(shout):
    assert op.REGISTRY["shout"].needs({"on": "problem"}) == ("problem",)
    assert op.REGISTRY["shout"].adds({}) == {"loud": pa.string()}
    assert op.REGISTRY["shout"].wants({}) == frozenset()


def test_the_kind_may_depend_on_settings(monkeypatch):
    monkeypatch.setattr(op, "REGISTRY", dict(op.REGISTRY))

    @op.operator(lambda s: "model" if s.get("asks") else "row", effect="marks", version=1)
    def either(*, asks: bool = False):
        """Ask, or do not.

        Args:
            asks: whether.
        """

    found = op.REGISTRY["either"]
    assert found.kind({}) == "row"
    assert [Step("either", found, given).kind for given in ({}, {"asks": False}, {"asks": True})] == [
        "row",
        "row",
        "model",
    ]
    assert "kind     row, marks" in docs.explain(found)


def test_a_fixed_kind_is_the_same_for_all_settings(shout):
    assert op.REGISTRY["shout"].kind({}) == op.REGISTRY["shout"].kind({"times": 3}) == "row"


def test_summary_is_the_first_line(shout):
    assert op.REGISTRY["shout"].summary == "Say it louder."


def test_find_by_module_and_function(shout, monkeypatch):
    module = types.ModuleType("mine")
    module.shout, module.plain = shout, print
    monkeypatch.setitem(sys.modules, "mine", module)
    assert op.find("mine:shout").name == "shout"
    with pytest.raises(CheckError, match="not registered"):
        op.find("mine:plain")
    with pytest.raises(CheckError, match="cannot import mine:absent"):
        op.find("mine:absent")
    with pytest.raises(KeyError):
        op.find("no_such_operator")


@pytest.mark.parametrize("name", op.builtin_names())
def test_every_builtin_file_holds_an_operator_of_its_name(name):
    found = op.find(name)
    assert found.name == name
    assert found.summary.endswith(".")
    assert all(s.doc for s in found.settings), [s.name for s in found.settings if not s.doc]
    assert found.version >= 1
