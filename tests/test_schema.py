"""The editor schema accepts every page that check accepts, and sees the mistakes an editor should underline."""

from __future__ import annotations

from pathlib import Path

import pytest

from curator.schema import schema
from curator.yaml_io import parse

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "pipelines").rglob("*.yaml"))


@pytest.fixture(scope="module")
def validator():
    found = schema()
    jsonschema.Draft202012Validator.check_schema(found)
    return jsonschema.Draft202012Validator(found)


def data(text):
    return parse(text, "page.yaml", env={}).data


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_published_pages_are_valid(validator, page):
    validator.validate(data(page.read_text()))


@pytest.mark.parametrize(
    "text",
    [
        "steps: [{read: {path: x}}, {dedup: }, verify]",
        "engines: {t: {kind: openai, model: m, base_url: u}}\nsteps: [{read: {path: x}}]",
        "steps: [{read: {path: x}}, {'my.module:verb': {any: thing}}]",
        "seed: 3\ndescription: d\nsteps: [{read: {path: [a, b], columns: {problem: q}}}]",
    ],
)
def test_good_pages_are_valid(validator, text):
    validator.validate(data(text))


def test_a_value_from_the_environment_fits_every_setting(validator):
    validator.validate({"steps": [{"generate": {"engine": "t", "n": "${N}", "temperature": "${T:-1}"}}]})


@pytest.mark.parametrize(
    "text",
    [
        "name: x",
        "stepz: []\nsteps: [{read: {path: x}}]",
        "steps: []",
        "steps: [{reed: {path: x}}]",
        "steps: [{read: }]",
        "steps: [{read: {path: x, pth: y}}]",
        "steps: [{read: {path: x}}, {generate: {engine: t, n: many}}]",
        "steps: [{read: {path: x}, dedup: {}}]",
        "engines: {t: {kind: opnai}}\nsteps: [{read: {path: x}}]",
        "engines: {t: {kind: openai, modl: x}}\nsteps: [{read: {path: x}}]",
        "engines: {t: {}}\nsteps: [{read: {path: x}}]",
    ],
)
def test_mistakes_are_seen(validator, text):
    assert list(validator.iter_errors(data(text)))
