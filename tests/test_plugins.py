"""Operators from elsewhere: by entry point of an installed package, and as `module:function`."""

from __future__ import annotations

import importlib
import sys
import textwrap
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import curator as cu
from curator import op
from curator.check import check_file, load
from curator.errors import CheckError
from curator.settings import bind

MODULE = '''
import pyarrow as pa
import pyarrow.compute as pc

import curator as cu


@cu.operator("row", effect="marks", version=1, needs=("problem",), adds={"loud": pa.string()})
def shout(*, times: int = 1):
    """Say the problem louder.

    Args:
        times: exclamation marks.
    """
    def run(table):
        said = pc.binary_join_element_wise(pc.utf8_upper(table["problem"]), "!" * times, "")
        return table.append_column("loud", said.cast(pa.string()))
    return run


def not_an_operator():
    pass
'''


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Install a package with one operator, as pip would: a module and its dist-info with an entry point."""
    site = tmp_path / "site"
    (site / "loud_reasoning-1.0.dist-info").mkdir(parents=True)
    (site / "loud_reasoning.py").write_text(MODULE)
    (site / "loud_reasoning-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: loud-reasoning\nVersion: 1.0\n"
    )
    (site / "loud_reasoning-1.0.dist-info" / "entry_points.txt").write_text(
        "[curator.ops]\nshout = loud_reasoning:shout\nbroken = loud_reasoning:nothing\n"
    )
    monkeypatch.syspath_prepend(str(site))
    for name in op.builtin_names():  # what is first imported while the copy stands would be lost with it
        op.find(name)
    monkeypatch.setattr(op, "REGISTRY", dict(op.REGISTRY))
    monkeypatch.chdir(tmp_path)
    importlib.invalidate_caches()
    Path("rows.jsonl").write_text('{"problem": "why?", "answer": "2"}\n')
    yield
    sys.modules.pop("loud_reasoning", None)


def page(verb):
    text = f"""\
        name: plugged
        steps:
          - read: {{path: rows.jsonl}}
          - {verb}: {{times: 3}}
          - sql: {{where: loud is not null}}
    """
    Path("page.yaml").write_text(textwrap.dedent(text))
    return "page.yaml"


@pytest.mark.parametrize("verb", ["shout", "loud_reasoning:shout"])
def test_it_runs_from_yaml_like_one_of_ours(package, verb):
    done = load(page(verb)).run("out", workers=0, progress=False)
    (file,) = done.files("shout")
    assert pq.read_table(file)["loud"].to_pylist() == ["WHY?!!!"]


def test_it_is_a_verb_of_python_and_of_the_listing(package):
    assert "shout" in op.known_names()
    assert "shout" in dir(cu)
    assert cu.shout(times=3).steps[0].op.summary == "Say the problem louder."
    assert cu.step("loud_reasoning:shout", 3) == cu.shout(3)


def test_to_yaml_writes_what_finds_it_again(package):
    chain = cu.read("rows.jsonl") | cu.step("loud_reasoning:shout", times=3)
    assert "- shout: {times: 3}" in chain.to_yaml()
    Path("again.yaml").write_text(chain.to_yaml())
    assert load("again.yaml").steps == chain.steps


def test_to_yaml_without_an_entry_point_writes_module_and_function(package):
    Path("site/loud_reasoning-1.0.dist-info/entry_points.txt").unlink()
    assert "- loud_reasoning:shout: {times: 3}" in cu.step("loud_reasoning:shout", times=3).to_yaml()


def test_its_mistakes_are_told_like_ours(package):
    _, problems = check_file(page("shout"), ["steps.shout.times=x", "steps.shout.time=1"])
    assert [str(p) for p in problems] == [
        "--set steps.shout.times: shout: times wants a whole number, got 'x'",
        "--set steps.shout.time: shout has no setting 'time'; did you mean 'times'?",
    ]
    assert bind(op.find("shout"), {})[1] == []


@pytest.mark.parametrize(
    ("verb", "message"),
    [
        ("shut", "no operator 'shut'; did you mean 'shout'?"),
        ("broken", "operator 'broken': cannot import loud_reasoning:nothing"),
        ("loud_reasoning:nothing", "operator 'loud_reasoning:nothing': cannot import loud_reasoning:nothing"),
        ("nowhere:shout", "operator 'nowhere:shout': cannot import nowhere:shout (No module named 'nowhere')"),
        ("loud_reasoning:not_an_operator", "is not registered; decorate it with @curator.operator(...)"),
    ],
)
def test_what_cannot_be_found_says_so(package, verb, message):
    with pytest.raises(CheckError) as e:
        load(page(verb))
    assert message in str(e.value)
    assert str(e.value).startswith("page.yaml:4: ")
