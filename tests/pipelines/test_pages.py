"""Every published page checks, and runs on a few rows: with recorded answers here, or on the pocket model."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path

import pytest
from test_pocket_pages import SMALL

from curator.check import check_file, load
from curator.pipeline import EngineSpec, Pipeline

ROOT = Path(__file__).resolve().parents[2]
REPLAY = {"function": "pages_answers:answer", "score": "pages_answers:score"}
PAGES = sorted((ROOT / "pipelines").rglob("*.y*ml"))
REPLAYED = [p for p in PAGES if p.stem not in SMALL]  # the others want wrong answers or likelihoods
RECIPES = sorted((ROOT / "recipes").rglob("*.py"))
HEADER = ("source:", "published:", "ours:", "cost:", "run:")


def named(path):
    return path.relative_to(ROOT).as_posix()


def test_every_page_is_run_by_a_test():
    assert REPLAYED
    assert set(SMALL) < {p.stem for p in PAGES}


@pytest.fixture(autouse=True)
def _at_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_checks(page):
    _, problems = check_file(named(page))
    assert [str(p) for p in problems if "not installed here" not in p.message] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_says_its_source_what_is_ours_what_it_costs_and_the_command(page):
    head = "\n".join(line for line in page.read_text().splitlines() if line.startswith("#")).lower()
    assert named(page) in head
    missing = [word for word in HEADER if word not in head]
    assert not missing, f"{named(page)}: no {missing} in its header"
    assert f"curator run {named(page)}" in head


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_page_is_named_like_its_file(page):
    assert load(named(page)).name == page.stem


def rehearsed(pipeline: Pipeline) -> Pipeline:
    """The pipeline with every engine replaced by one that answers at once."""
    engines = {a: EngineSpec(a, "replay", REPLAY) for a in pipeline.engines}
    return dataclasses.replace(pipeline, engines=engines)


@pytest.mark.parametrize("page", REPLAYED, ids=named)
def test_a_page_runs_and_no_row_is_lost(page, tmp_path):
    done = rehearsed(load(named(page))).run(tmp_path / "run", workers=0, progress=False, limit=12)
    for step in done.summary():
        assert step["in"] + step["made"] == step["out"] + step["dropped"], step
    assert [s["step"] for s in done.summary()] == [s.label for s in load(named(page)).steps]


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_a_recipe_builds_and_checks(recipe):
    found = [v for v in runpy.run_path(str(recipe)).values() if isinstance(v, Pipeline)]
    assert found, f"{named(recipe)}: no pipeline at the top level"
    for pipeline in found:
        assert [str(p) for p in pipeline.check() if "not installed here" not in p.message] == []


def test_the_recipe_of_the_main_job_is_its_page():
    recipe = runpy.run_path(str(ROOT / "recipes/litecot.py"))["litecot"]
    assert recipe == load("pipelines/litecot.yaml")
