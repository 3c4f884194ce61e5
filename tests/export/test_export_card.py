"""The card: valid metadata, nothing invented, nothing from the data that acts."""

import json
import re
from pathlib import Path

import pytest
import yaml
from export_stand import FACTS, HOSTILE, read, row, some, written
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import CheckError
from curator.export import licenses
from curator.export.card import size_bucket
from curator.export.card_body import cell, fence

CARD = Path(__file__).parents[3] / "shared" / "data" / "card"
needs_schema = pytest.mark.skipif(not CARD.is_dir(), reason="shared/data/card is not here")


def card(folder, found, facts=FACTS, **settings):
    text = (written(folder, found, facts, **settings) / "README.md").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    return yaml.safe_load(head), body


@needs_schema
@pytest.mark.parametrize(
    ("licence", "settings"),
    [
        ("MIT", {}),
        (None, {}),
        ("Apache license 2.0 or so", {"to": ["trl", "verl-rl"], "split": {"train": 0.8, "validation": 0.2}}),
        ("CC-BY-4.0", {"languages": ("en", "zh"), "license": "cc-by-4.0", "pretty_name": "A: {b}", "tags": ("x",)}),
    ],
)  # fmt: skip
def test_metadata_is_valid(tmp_path, licence, settings):
    import jsonschema

    found = [row(p, s, license=licence) for p in range(30) for s in range(2)]
    meta, _ = card(tmp_path / "d", found, **settings)
    jsonschema.validate(
        meta, json.loads((CARD / "datasetcard.schema.json").read_text()), jsonschema.Draft202012Validator
    )


@needs_schema
def test_our_list_of_licences_is_the_published_one():
    spec = json.loads((CARD / "card_spec.json").read_text())
    assert {entry["id"] for entry in spec["licenses"]} == licenses.IDS
    assert [size_bucket(10**k) for k in range(13)][2:] == spec["size_categories"][1:]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["MIT"], "mit"),
        (["mit", "MIT License"], "mit"),
        (["Apache-2.0", "CC BY 4.0"], ["apache-2.0", "cc-by-4.0"]),
        (["MIT", None], "other"),
        (["MAA text, no data licence", "MIT"], "other"),
        (["MAA text"], "other"),
        ([None, "unknown", " "], "unknown"),
        ([], "unknown"),
    ],
)
def test_licences_are_combined_and_never_guessed(found, expected):
    assert licenses.combined(found) == expected


@given(st.text())
def test_a_known_licence_is_on_the_list(text):
    assert licenses.known(text) in {None} | licenses.IDS


def test_a_stated_licence_is_checked():
    assert licenses.chosen("Apache 2.0") == "apache-2.0"
    with pytest.raises(CheckError, match="did you mean 'cc-by-4.0'"):
        licenses.chosen("ccby-4.0")


def test_unknown_licence_is_said_plainly(tmp_path):
    meta, body = card(tmp_path / "d", [row(0, 0, license=None)])
    assert meta["license"] == "unknown"
    assert "The licence is unknown" in body
    meta, body = card(tmp_path / "e", [row(0, 0, license=None), row(1, 0)])
    assert meta["license"] == "other"
    assert {"license_name", "license_link"} <= set(meta)
    assert "what" not in meta["license_name"]


def test_counts_reasons_models_and_cost_come_from_the_receipts(tmp_path):
    _, body = card(tmp_path / "d", some())
    for line in (
        "| compress | compress | 12 | 0 | 12 | 0 |",
        "| decontaminate | contaminated | 1 |",
        "| teacher | vllm | owner/model | 12 | 100 | 50 | 0.2500 | card of owner/model on the Hub |",
        "| owner/model | teacher | 12 |",
        "| made up | MIT | mit | 12 |",
        "| maths 1 | correct | 12 |",
        "| easy | 12 |",
        "(seed 3)",
        "[arXiv:2505.19716](https://arxiv.org/abs/2505.19716), named by the pipeline file",
    ):
        assert line in body
    assert "| decontaminate | aime24.parquet, math500 | ngram=8 | 1 |" in body


def test_paths_of_this_machine_are_not_on_the_card(tmp_path):
    out = written(tmp_path / "d", some())
    text = (out / "README.md").read_text()
    assert "/secret/home" not in text
    assert str(tmp_path) not in text


def test_what_did_not_run_is_said_not_to_have_run(tmp_path):
    facts = {"name": "x", "pipeline": "", "receipts": [], "engines": {}, "seed": 0}
    found = [row(0, 0, verdict=None, verifier=None, engine=None, model=None, source=None, license=None)]
    meta, body = card(tmp_path / "d", found, facts)
    assert "No decontamination step ran" in body
    assert "No answer was checked" in body
    assert "No model wrote any text of this run." in body
    assert "name no source" in body
    assert "annotations_creators" not in meta
    assert "synthetic" not in meta["tags"]


def test_pipeline_is_included_and_reads_back(tmp_path):
    out = written(tmp_path / "d", some())
    assert (out / "pipeline.yaml").read_text() == FACTS["pipeline"]


def test_configs_name_files_that_exist_and_count_their_rows(tmp_path):
    meta, _ = card(tmp_path / "d", some(30), to=["trl", "verl-rl"], split={"train": 0.8, "test": 0.2})
    assert [c["config_name"] for c in meta["configs"]] == ["default", "verl-rl", "metadata"]
    assert [c.get("default") for c in meta["configs"]] == [True, None, None]
    infos = {i["config_name"]: i for i in meta["dataset_info"]}
    for config in meta["configs"]:
        sizes = {s["name"]: s["num_examples"] for s in infos[config["config_name"]]["splits"]}
        assert {f["split"] for f in config["data_files"]} == set(sizes)
        for entry in config["data_files"]:
            assert len(read(tmp_path / "d", entry["path"])) == sizes[entry["split"]]


def test_nothing_from_the_data_acts_on_the_page(tmp_path):
    evil = "<img src=x onerror=alert(1)> | --- | ](javascript:x) **b** `\n# Title\n---\nlicense: mit"
    found = [
        row(p, 0, problem=evil + HOSTILE, source=evil, license=evil, domain=evil, model=evil, verifier=evil)
        for p in range(3)
    ]
    meta, body = card(tmp_path / "d", found, {**FACTS, "name": evil}, use="long")
    assert meta["license"] == "other"
    outside = re.sub(r"^(`{3,})json\n.*?^\1$", "", body, flags=re.S | re.M)
    assert outside != body
    assert "<img" not in outside
    assert not re.search(r"(?<!\\)\]\(javascript", outside)
    assert "`\\`" not in outside
    assert "\n# Title" not in outside


@given(st.text())
def test_a_cell_stays_one_cell(text):
    shown = cell(text)
    assert not re.search(r"[<>\n\r]", shown)
    assert not re.search(r"(?<!\\)(\\\\)*\|", shown)


@given(st.text(alphabet="`a\n", min_size=1))
def test_a_fence_is_longer_than_any_inside(text):
    mark = fence(text, "").split("\n", 1)[0]
    assert mark not in text


@pytest.mark.parametrize(
    ("rows", "bucket"), [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**12, "n>1T")]
)
def test_size_buckets(rows, bucket):
    assert size_bucket(rows) == bucket
