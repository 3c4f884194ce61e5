"""The pictures of features: spectrum, map with sparse clusters, score per round; light, and quiet in a browser."""

from __future__ import annotations

import math
import re
import shutil
import subprocess

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator as cu
from curator import report
from curator.diversity.vendi import Moments
from curator.report import diversity, features
from curator.report.gather import gather


def unit(n, d, seed, groups):
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(groups, d))[chance.integers(0, groups, n)] + 0.4 * chance.normal(size=(n, d))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def featured(x, **more) -> pa.Table:
    n, d = x.shape
    return pa.table({
        "row_id": [f"r{i:05}" for i in range(n)], "problem_id": [f"p{i:05}" for i in range(n)],
        "problem": [f"Find {i}." for i in range(n)], "grad": pa.array(x.tolist(), pa.list_(pa.float32())),
        "grad_proxy": ["pocket"] * n, "grad_projection": [f"countsketch:{d}:0"] * n, **more,
    })  # fmt: skip


def pictured(tmp_path, table):
    pq.write_table(table, tmp_path / "rows.parquet")
    with duckdb.connect() as con:
        return features.picture(con, [tmp_path / "rows.parquet"], table.schema)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("features")
    rounds = pa.array([0] * 300 + [1] * 200 + [2] * 200, pa.int32())
    pq.write_table(featured(unit(700, 24, 0, 12), round=rounds), base / "rows.parquet")
    pipeline = cu.read(path=str(base / "rows.parquet")) | cu.cluster(k=12) | cu.diversify(n=600)
    pipeline.run(base / "mine", progress=False)
    return base / "mine"


def test_the_page_has_three_pictures_and_stays_light(folder):
    page = report.html(folder, folder / "r.html").read_text("utf-8")
    for title in ("Eigenvalues by rank", "Map of the rows by their features", "G-Vendi per round"):
        assert f'aria-label="{title}"' in page
    assert "rows in sparse clusters" in page
    assert len(page) < 250_000
    assert sum(len(p) for p in re.findall(r"<path[^>]*>", page)) < 30_000
    story = gather(folder)
    assert story.pool.n == 700
    assert story.diversity.n == 600
    assert story.pool.clustered
    assert 0 < sum(m for *_, m in story.pool.points) < len(story.pool.points)


def test_numbers_are_those_of_the_rows(folder):
    story = gather(folder)
    rows = duckdb.sql(f"select grad from read_parquet('{folder}/steps/*diversify*/part-*.parquet')").fetchall()
    whole = Moments().add(np.array([r[0] for r in rows]))
    assert story.diversity.vendi == pytest.approx(whole.vendi(), rel=1e-5)
    assert sum(story.diversity.spectrum) == pytest.approx(1, abs=1e-6)
    rounds = story.pool.rounds
    assert [(r, n) for r, n, _, _ in rounds] == [(0, 300), (1, 500), (2, 700)]
    assert rounds[0][2] == pytest.approx(rounds[0][3])
    assert all(equal <= whole + 0.5 for _, _, whole, equal in rounds)


def test_rows_without_features_show_nothing(tmp_path):
    assert pictured(tmp_path, pa.table({"row_id": ["a"], "problem": ["x"]})) is None
    nothing = featured(unit(3, 4, 0, 1)).set_column(3, "grad", pa.nulls(3, pa.list_(pa.float32())))
    assert pictured(tmp_path, nothing) is None
    assert diversity.section(None, None) == ""


def test_mixed_features_are_told_not_drawn(tmp_path):
    table = featured(unit(4, 4, 0, 1)).set_column(4, "grad_proxy", pa.array(["a", "a", "<b>", "<b>"]))
    found = pictured(tmp_path, table)
    page = diversity.section(found, None)
    assert "cannot be compared" in page
    assert "&lt;b&gt;" in page
    assert "<svg" not in page


@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_few_rows_can_be_drawn(tmp_path, n):
    x = np.tile(unit(1, 6, 0, 1), (n, 1)) if n == 5 else unit(n, 6, 0, 1)
    found = pictured(tmp_path, featured(x, round=pa.array(range(n), pa.int32())))
    page = diversity.section(found, None)
    assert "Eigenvalues by rank" in page
    assert "nan" not in page.lower()
    assert math.isfinite(found.vendi)


def test_a_large_step_is_sampled(tmp_path, monkeypatch):
    monkeypatch.setattr(features, "ROWS", 50)
    found = pictured(tmp_path, featured(unit(200, 8, 0, 3)))
    assert (found.n, found.sampled) == (50, True)
    assert "a sample of 50 rows" in diversity.section(found, None)


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_draws_it_quietly(folder, tmp_path):
    page = report.html(folder, folder / "r.html")
    picture = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0"]
    more = ["--window-size=1000,2600", f"--screenshot={picture}", page.as_uri()]
    done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=240)
    assert picture.stat().st_size > 10_000
    assert "CONSOLE" not in done.stderr
