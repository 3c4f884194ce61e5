import pytest
import run_stand_ins


@pytest.fixture
def engines(monkeypatch):
    """Pipelines open `FakeEngine`s; the fixture is the list of those opened."""
    opened = []

    def open_engine(alias, kind, settings, *, store=None):
        opened.append(run_stand_ins.FakeEngine(alias, settings, store))
        return opened[-1]

    monkeypatch.setattr("curator.engines.open_engine", open_engine, raising=False)
    return opened
