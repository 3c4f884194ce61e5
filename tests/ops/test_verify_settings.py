"""What `check` refuses about `verify`, each with the way out; and pages that are right."""

from __future__ import annotations

import pytest

from curator.check import check_page
from curator.errors import CheckError
from curator.op import find
from curator.ops.verify import verify
from curator.pipeline import Step
from curator.yaml_io import parse

JUDGE = {"kind": "judge", "engine": object()}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "judge"}, "kind judge asks an engine and none is named; add engine: ALIAS, or use kind: math"),
        ({"kind": ["math", "judge"]}, "kind judge asks an engine and none is named"),
        ({"kind": "reward"}, "kind reward asks an engine and none is named"),
        ({"engine": object()}, r"engine is set, but kind math asks none; write kind: \[math, judge\]"),
        ({"kind": []}, r"kind is \[\]; name each kind once"),
        ({"kind": ["math", "math"]}, "name each kind once"),
        ({"kind": ["math", "consensus"]}, "kind consensus stands alone"),
        ({"kind": ["judge", "reward"], "engine": object()}, "engine is the judge, add reward_engine: ALIAS"),
        ({"kind": ["judge", "reward"], "engine": object(), "reward_engine": object()}, "set reward_threshold"),
        ({**JUDGE, "reward_engine": object()}, r"are for \[judge, reward\]; a reward alone takes engine"),
        ({**JUDGE, "reward_threshold": 1.0}, r"are for \[judge, reward\]"),
        ({"kind": ["judge", "reward"], "engine": object(), "reward_engine": object(), "reward_threshold": 0.0,
          "threshold": 1.0}, "threshold cuts a judge's number"),
        ({**JUDGE, "template": "same_answr"}, "no template 'same_answr'; did you mean 'same_answer'"),
        ({**JUDGE, "template": "is it good?"}, "template quotes nothing of the row"),
        ({**JUDGE, "both_orders": True, "template": "{problem} {answer}"}, "both_orders swaps"),
        ({**JUDGE, "votes": 3}, "votes is 3 at temperature 0"),
        ({**JUDGE, "words": {"yes": True}}, "wants a word for true and one for false"),
        ({**JUDGE, "scale": (5, 0), "threshold": 3}, "wants \\[lowest, highest\\]"),
        ({**JUDGE, "scale": (0, 5)}, "threshold is None; on the scale"),
        ({**JUDGE, "scale": (0, 5), "threshold": 7.0}, "threshold is 7.0; on the scale"),
        ({**JUDGE, "pattern": "("}, "pattern does not compile"),
        ({"threshold": 1.0}, "threshold cuts a judge's number or a reward"),
        ({"kind": "auto", "auto": {"law": "reward"}}, "auto sends 'law' to 'reward'"),
        ({"strict": ["ordr"]}, "no convention 'ordr'; did you mean 'order'"),
        ({"tolerance": -1.0}, "tolerance is -1.0"),
        ({"kind": "consensus", "tolerance": "error"}, "tolerance 'error' is a column"),
        ({"pass_share": 0.0}, "pass_share is 0.0"),
        ({"limit_s": 0.0}, "limit_s 0.0"),
    ],
)  # fmt: skip
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(CheckError, match=message):
        verify(**settings)


def test_wrong_settings_do_not_break_what_is_asked_of_them():
    op = find("verify")
    for settings in ({"kind": None}, {"kind": "nonsense"}, {"kind": ["math"]}, {}):
        assert Step("verify", op, settings).kind in ("row", "model", "table")


PAGE = """
engines: {{teacher: {{kind: pocket}}}}
steps:
  - read: {{path: rows.jsonl}}
  - verify: {settings}
"""


@pytest.fixture
def told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text('{"problem": "2+2?", "trace": "4", "answer": "4", "problem_id": "p"}\n')

    def problems(settings):
        return [
            str(p)
            for p in check_page(parse(PAGE.format(settings=settings), "page.yaml"))[1]
            if "not installed" not in str(p)
        ]

    return problems


@pytest.mark.parametrize(
    "settings",
    [
        "", "{kind: choice}", "{kind: consensus}", "{kind: [math, judge], engine: teacher}", "{kind: auto}",
        "{kind: judge, engine: teacher, both_orders: true, votes: 3, temperature: 0.7}",
        "{kind: judge, engine: teacher, words: {yes: true, no: false}, pattern: '(yes|no)'}",
        "{kind: judge, engine: teacher, template: 'Grade {answer} by {reference}', scale: [0, 5], threshold: 4.5}",
    ],
)  # fmt: skip
def test_pages_that_are_right(told, settings):
    assert told(settings) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("{kind: judge}", "page.yaml:5: verify: kind judge asks an engine and none is named; add engine: ALIAS"),
        ("{kind: maths}", "page.yaml:5: verify: kind must be one of math, choice, code"),
        ("{kind: [maths]}", "page.yaml:5: verify: no kind 'maths'; did you mean 'math'?"),
        ("{kind: constraints}", "page.yaml:5: verify: needs column 'constraints'"),
        ("{kind: choice, choices: options}", "page.yaml:5: verify: needs column 'options'"),
        ("{kind: reward, engine: teacher}", "page.yaml:5: verify wants an engine with rewards"),
        ("{kind: [judge, reward], engine: teacher, reward_engine: teacher, reward_threshold: 0.0}",
         "page.yaml:5: verify wants an engine with rewards"),
        ("{kind: judge, engine: teacher, template: 'x {rubric}'}", "page.yaml:5: verify: needs column 'rubric'"),
        ("{kind: consensus, by: problems}", "page.yaml:5: verify: needs column 'problems'"),
    ],
)  # fmt: skip
def test_pages_that_are_wrong(told, settings, message):
    (found,) = told(settings)
    assert found.startswith(message), found
