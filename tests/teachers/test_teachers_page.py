"""`curator teachers`: table, Parquet and page; the label on all three; a run as the source."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pyarrow.parquet as pq
import pytest
from tournament_rows import sample, three, written

from curator.cli import main
from curator.report import plots
from curator.report.teachers import render
from curator.teachers import Asked, measure, rank

EVIL = "<script>console.error('pwned')</script>\"'&"


def call(*arguments) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(a) for a in arguments])
    return ended.value.code


class Page(HTMLParser):
    """Tags in order, and a complaint about any that is not closed in order."""

    VOID = {"meta", "link", "br", "img", "line", "circle", "rect"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in self.VOID or not self.get_starttag_text().endswith("/>") and tag in ("circle", "rect"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag, tag


def test_table_parquet_and_page(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("teachers", written(tmp_path, three())) == 0
    said = capsys.readouterr().out
    assert re.search(r"^ +1 +strong +0\.75", said, re.M)
    assert "20 of 20 problems have a verdict of every ranked teacher" in said
    assert "proxy ranking by verified_rate" in said
    assert "teacher selected" not in said
    rows = pq.read_table("teachers/teachers.parquet").to_pylist()
    assert [(r["rank"], r["teacher"], r["ranking"]) for r in rows] == [
        (1, "strong", "proxy"), (2, "middling", "proxy"), (3, "weak", "proxy"),
    ]  # fmt: skip
    assert pq.read_table("teachers/disagreements.parquet").num_rows == 6
    page = (tmp_path / "teachers/teachers.html").read_text()
    assert '<span class="label-proxy">proxy</span>' in page
    assert Page(page).open == []
    assert page.count("<svg") == 4


def test_a_smoke_test_that_trains(tmp_path, capsys):
    script = tmp_path / "train.py"
    script.write_text(
        "import json, pathlib, sys\nscore = 'middling' in sys.argv[1]\n"
        "pathlib.Path(sys.argv[2]).write_text(json.dumps({'aime': float(score)}))\n"
    )
    command = f"{sys.executable} {script} {{corpus}} {{result}}"
    out = tmp_path / "out"
    assert call("teachers", written(tmp_path, three()), "-o", out, "--train", command) == 0
    assert "teacher selected: middling" in capsys.readouterr().out
    assert '<span class="label-smoke">smoke test</span>' in (out / "teachers.html").read_text()
    assert pq.read_table(out / "teachers.parquet").to_pylist()[0]["smoke_score_aime"] == 1.0


def test_corpora_by_hand_then_the_results(tmp_path, capsys):
    file, out = written(tmp_path, three()), tmp_path / "out"
    assert call("teachers", file, "-o", out, "--corpora") == 0
    said = capsys.readouterr().out
    assert "proxy ranking" in said
    assert "3 corpora lie in" in said
    corpora = sorted((out / "smoke").glob("*/corpus.parquet"))
    assert len(corpora) == 3
    for i, corpus in enumerate(corpora):  # a result beside each is taken, and no fewer than all
        (corpus.parent / "result.json").write_text(json.dumps({"aime": i / 10}))
    assert call("teachers", file, "-o", out, "--corpora") == 0
    assert "teacher selected: weak" in capsys.readouterr().out


def test_results_of_other_teachers_are_refused_with_an_exit_code(tmp_path, capsys):
    (tmp_path / "r.json").write_text(json.dumps([{"teacher": "strong", "aime": 1}]))
    assert call("teachers", written(tmp_path, three()), "-o", tmp_path / "o", "--smoke", tmp_path / "r.json") == 3
    said = capsys.readouterr().err
    assert "smoke test of other teachers: it lacks middling, weak" in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "o/teachers.html").exists()


def test_mistakes_on_the_command_line(tmp_path, capsys):
    file = written(tmp_path, three())
    assert call("teachers", file, "-o", tmp_path / "o", "--smoke", "a", "--train", "b") == 2
    assert call("teachers", tmp_path / "nowhere.parquet") == 2
    assert "neither the folder of a run nor a file" in capsys.readouterr().err
    assert call("teachers", file, "-o", tmp_path / "o", "--rank", "fame") == 2


RUN = """
name: two
engines:
  one: {kind: replay, function: "tournament_answers:one"}
  two: {kind: replay, function: "tournament_answers:two"}
steps:
  - read: {path: builtin:pocket}
  - generate: {engine: [one, two], n: 2}
  - verify:
  - grade:
  - select: {where: correct, best: n_tokens, per: problem_id}
"""


def test_a_run_is_read_where_all_verdicts_still_are(tmp_path, monkeypatch, capsys):
    (tmp_path / "tournament_answers.py").write_text(
        "from curator.pocket import world\n"
        "ANSWERS = {r['problem']: r['answer'] for r in world.rows('pocket', None, 0)}\n"
        "def one(messages, sample_idx, prefix):\n"
        "    answer = next(a for p, a in ANSWERS.items() if p in messages[-1].content)\n"
        "    return '<think>hm</think>\\\\boxed{%s}' % answer\n"
        "def two(messages, sample_idx, prefix):\n"
        "    return one(messages, sample_idx, prefix) if len(messages[-1].content) % 2 else 'I do not know.'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "page.yaml").write_text(RUN)
    assert call("run", "page.yaml", "--limit", "8", "-q") == 0
    assert call("teachers", "runs/two") == 0
    assert "8 of 8 problems" in capsys.readouterr().out
    rows = {r["teacher"]: r for r in pq.read_table("runs/two/teachers/teachers.parquet").to_pylist()}
    assert rows["one"]["verified_rate"] == 1.0
    assert 0 < rows["two"]["verified_rate"] < 1  # an answer that says nothing counts as wrong
    assert rows["two"]["samples"] == 16


def test_hostile_names_are_text(tmp_path):
    rows = [sample(t, f"p{p}", p % 2 == 0) for t in (EVIL, "b", "c" * 80) for p in range(6)]
    page = render(rank(measure([written(tmp_path, rows)], Asked())), EVIL)
    assert "<script" not in page
    assert Page(page).open == []
    assert page.count("&lt;script&gt;") > 3


def test_numbers_on_axes():
    assert plots.rounded(0.02, 0.97) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert plots.rounded(5, 5)[0] <= 5 <= plots.rounded(5, 5)[-1]
    assert plots.clip("a" * 10, 10) == "a" * 10
    assert plots.clip("abcdefghij", 7) == "abc…hij"
    assert plots.field([("a", 1.0, 0.5)], "x", "y", "t") == ""
    assert plots.field([("a", 1.0, 0.5), ("b", 1.0, 0.5)], "x", "y", "t").count("<circle") == 2


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
@pytest.mark.slow
def test_a_browser_draws_the_page_without_complaint(tmp_path):
    rows = [sample(t, f"p{p}", p % 2 == 0) for t in (EVIL, "b", "c") for p in range(6)]
    (tmp_path / "p.html").write_text(render(rank(measure([written(tmp_path, rows)], Asked())), EVIL))
    done = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0",
         f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", f"file://{tmp_path / 'p.html'}"],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "pwned" not in done.stderr
    assert done.stdout.count("<svg") == 4
