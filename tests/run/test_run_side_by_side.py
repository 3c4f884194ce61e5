"""Several engines in one step, from the page to the receipts."""

from __future__ import annotations

import pytest

import curator as cu
from curator.check import check_page, load
from curator.errors import CheckError
from curator.run.plan import plan
from curator.yaml_io import parse

PAGE = """
name: side-by-side
engines:
  one: {kind: replay, function: "side_answers:one"}
  two: {kind: replay, function: "side_answers:two"}
steps:
  - read: {path: builtin:pocket}
  - generate: {engine: [one, two], n: 2, temperature: [0.6, 1.0]}
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    (tmp_path / "side_answers.py").write_text(
        "def one(messages, sample_idx, prefix):\n    return f'one {sample_idx}'\n"
        "def two(messages, sample_idx, prefix):\n    return f'two {sample_idx}'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "page.yaml").write_text(PAGE)
    return tmp_path / "page.yaml"


def test_each_engine_answers_and_is_counted(page, tmp_path):
    done = load(page).run(tmp_path / "run", workers=0, progress=False, limit=6)
    rows = done.table("generate").to_arrow_table().to_pylist()
    assert len(rows) == 6 * 2 * 2 * 2
    assert {(r["engine"], r["trace"][:3]) for r in rows} == {("one", "one"), ("two", "two")}
    used = next(r for r in done.receipts if r["op"] == "generate")["engines"]
    assert {alias: use["requests"] for alias, use in used.items()} == {"one": 24, "two": 24}


def test_a_plan_adds_the_engines_up(page, tmp_path):
    found = plan(load(page), tmp_path / "run", limit=6)
    assert found.steps[-1].requests == 48


def test_yaml_and_python_say_it_alike(page):
    one, two = (cu.engine("replay", alias=a, function=f"side_answers:{a}") for a in ("one", "two"))
    chain = cu.read("builtin:pocket") | cu.generate(engine=[one, two], n=2, temperature=[0.6, 1.0])
    assert chain.steps == load(page).steps
    assert set(chain.engines) == {"one", "two"}
    again, problems = check_page(parse(chain.to_yaml(), "again.yaml"))
    assert (problems, again.steps) == ([], chain.steps)


def test_unnamed_engines_of_one_kind_are_numbered():
    engines = [cu.engine("replay", function=f"side_answers:{a}") for a in ("one", "two")]
    chain = cu.read("builtin:pocket") | cu.generate(engine=engines)
    assert chain.steps[1].settings["engine"] == ("replay", "replay-2")
    assert chain.engines["replay-2"].settings["function"] == "side_answers:two"


@pytest.mark.parametrize(
    ("engines", "said"), [("[one, tow]", "no engine 'tow'; did you mean 'two'"), ("[one, one]", "names 'one' twice"),
                          ("[]", "wants an engine's alias"), ("[1]", "wants an engine's alias")],
)  # fmt: skip
def test_mistakes_are_told_with_their_line(page, engines, said):
    page.write_text(page.read_text().replace("[one, two]", engines))
    with pytest.raises(CheckError, match=said) as told:
        load(page)
    assert f"{page.name}:8" in str(told.value)


def test_an_operator_that_takes_one_engine_takes_no_list(page):
    page.write_text(page.read_text() + "  - compress: {engine: [one, two]}\n")
    with pytest.raises(CheckError, match="compress: engine wants an engine's alias"):
        load(page)
