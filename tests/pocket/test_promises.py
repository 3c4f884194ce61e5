"""The table of asked and measured numbers, and the recorded evaluation."""

import json
from pathlib import Path

from curator.pocket import promises

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "pocket.json"


def test_table_says_yes_no_and_not_measured():
    text = promises.table({"judging": {"right": 0.9}, "proposing": {"solvable": 0.79}, "speed": {"load_s": 1.0}})
    assert "| judged level right | >= 0.9 | 0.9 | yes |" in text
    assert "| new problems that the exact solver solves | >= 0.8 | 0.79 | no |" in text
    assert "| load after the imports, s | <= 3 | 1 | yes |" in text
    assert "greedy accuracy, 1 operation | >= 0.98 | not measured" in text


def test_recorded_evaluation_is_complete_and_in_the_card():
    report = json.loads(RESULTS.read_text())
    card = (RESULTS.parents[2] / "data_cards" / "pocket-reasoner.md").read_text()
    assert all(promises.find(report, path) is not None for _, path, _, _ in promises.ASKED)
    assert promises.table(report) in card, "data_cards/pocket-reasoner.md shows other numbers than the evaluation"
