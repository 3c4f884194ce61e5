"""`curator review`: hits of a run by benchmark, of dropped rows and of rows that stayed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from curator.cli import main

ITEM = "A bakery sells 14 trays of 36 rolls before noon and 5 trays of 24 rolls later. How many rolls are sold in all?"
PAGE = """\
name: small
steps:
  - read: {path: problems.jsonl}
  - decontaminate: {against: [first.jsonl, second.jsonl]}
"""


@pytest.fixture
def cli(tmp_path, monkeypatch, capsys):
    """Run a command beside a finished run; return (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    rows = {"copy": ITEM, "kin": ITEM.replace("36", "37"), "clean": "Find x."}
    lines = [json.dumps({"id": k, "problem": v, "trace": "So."}) + "\n" for k, v in rows.items()]
    Path("problems.jsonl").write_text("".join(lines))
    Path("first.jsonl").write_text(json.dumps({"id": "f1", "problem": ITEM}))
    Path("second.jsonl").write_text(
        json.dumps({"id": "s1", "problem": "Who is [bold]there[/bold], and why is he there?"})
    )
    Path("page.yaml").write_text(PAGE)

    def call(*arguments):
        with pytest.raises(SystemExit) as e:
            main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return e.value.code, out, err

    assert call("run", "page.yaml", "--quiet")[0] == 0
    return call


def test_hits_of_dropped_rows_and_of_rows_that_stayed(cli):
    code, out, err = cli("review", "runs/small")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "first: 2 hits, 1 row convicted, 1 row to review"
    assert [line for line in lines if line.startswith("row ")][0].startswith("row copy (dropped)   item f1   ngram 1.0")
    assert "row kin (kept, to review)" in out
    assert f"  row   {ITEM[:-1]}\n  item  {ITEM[:-1]}" in out
    assert "clean" not in out


def test_choosing(cli):
    assert "kin" not in cli("review", "runs/small", "--convicted")[1]
    assert "... and 1 more" in cli("review", "runs/small", "--limit", "1")[1]
    code, _, err = cli("review", "runs/small", "--benchmark", "frist")
    assert code == 2
    assert "did you mean 'first'" in err


def test_a_terminal_shows_both_sides_in_a_table(cli, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    code, out, _ = cli("review", "runs/small")
    assert code == 0
    assert "bakery" in out
    assert "┃" in out or "│" in out


def test_of_copies_the_difference_is_marked_and_of_paraphrases_what_is_shared():
    from curator.cli.review import _marked

    def words(text):
        return {text.plain[s.start : s.end]: s.style for s in text.spans}

    row, item = _marked(ITEM.replace("36", "37"), ITEM)
    assert (words(row), words(item)) == ({"37": "bold red"}, {"36": "bold red"})
    row, item = _marked("Before midday, the bakery has 14 trays.", ITEM)
    assert words(row) == {"bakery": "bold", "14": "bold", "trays": "bold"}


def test_nothing_to_review(cli):
    Path("none.yaml").write_text(PAGE.split("  - decon")[0].replace("small", "none"))
    assert cli("run", "none.yaml", "--quiet")[0] == 0
    code, _, err = cli("review", "runs/none")
    assert code == 2
    assert "no step decontaminate" in err
    assert cli("review", "nowhere")[0] == 2


LOOP = """\
name: rounds
steps:
  - read: {path: problems.jsonl}
  - loop:
      rounds: 2
      mode: replace
      steps:
        - decontaminate: {against: first.jsonl}
        - sql: {where: problem is not null}
  - export: {to: hf}
"""


def test_what_was_found_inside_a_loop(cli):
    """Each round's hits are told, and the card says that the loop looked."""
    Path("page.yaml").write_text(LOOP)
    assert cli("run", "page.yaml", "--quiet")[0] == 0
    code, out, _ = cli("review", "runs/rounds")
    assert code == 0
    assert out.splitlines()[0] == "first: 3 hits, 1 row convicted, 1 row to review"  # the kin is met in both rounds
    card = Path("runs/rounds/out/README.md").read_text()
    assert "No decontamination step ran" not in card
    assert "| loop.decontaminate | first.jsonl |" in card
    assert "| 1 |" in next(line for line in card.splitlines() if line.startswith("| loop.decontaminate"))
