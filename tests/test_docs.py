"""Generated pages are in step with the operators, and say everything a user sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator import docs, errors
from curator.op import builtin_names, find
from curator.rows import COLUMNS

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_page_of_operators_is_in_step(at_root):
    assert docs.main(["--check"]) == 0, "run: make docs"


def test_a_page_out_of_step_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert docs.main(["--check"]) == 1
    assert "run: make docs" in capsys.readouterr().err
    assert docs.main([]) == 0
    assert docs.main(["--check"]) == 0


@pytest.mark.parametrize("name", builtin_names())
def test_every_operator_explains_itself(name):
    op = find(name)
    assert op.summary.endswith(".")
    undocumented = [s.name for s in op.settings if not s.doc]
    assert not undocumented, f"{name}: no line in Args for {undocumented}"
    assert all(op.reasons.values())
    text = docs.explain(op)
    assert all(s.name in text for s in op.settings)


def test_the_page_of_exit_codes_lists_every_code():
    text = (ROOT / "docs" / "exit-codes.md").read_text()
    codes = {e.exit_code for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.CuratorError)}
    for code in {0, *codes, 130}:
        assert f"| {code} |" in text, code


def test_shared_columns_are_all_on_the_page(at_root):
    text = docs.COLUMNS_PAGE.read_text()
    assert all(f"| `{name}` |" in text for name in COLUMNS)
