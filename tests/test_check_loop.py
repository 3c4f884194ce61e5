"""Loops on a page: every mistake in the body with its line, columns through two rounds, the page written back."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import curator as cu
from curator.check import check_page
from curator.errors import CheckError
from curator.yaml_io import parse


@pytest.fixture
def told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pq.write_table(pa.table({"problem": ["1+1?"], "answer": ["2"], "level": [3]}), "rows.parquet")

    def check(text, *overrides):
        head = "engines:\n  teacher: {kind: pocket}\nsteps:\n  - read: {path: rows.parquet}\n"
        return [str(p) for p in check_page(parse(head + text, "page.yaml", {}), overrides)[1]]

    return check


GOOD = """\
  - loop:
      rounds: 2
      until: count(*) > 9
      steps:
        - draw: {n: 5, k: 2}
        - propose: {engine: teacher}
        - dedup: {on: problem, against: "${state}"}
        - decontaminate: {against: ["${state}", builtin:pocket-eval]}
        - generate: {engine: teacher, n: 2}
        - verify: {kind: consensus}
        - select: {where: correct, best: n_tokens, per: problem_id}
  - select: {where: round > 0}
"""


def test_a_good_loop_has_nothing_to_tell(told):
    assert told(GOOD) == []


def test_every_mistake_of_a_body_has_its_line(told):
    page = """\
  - loop:
      rounds: 2
      steps:
        - genrate: {engine: teacher}
        - generate: {engine: techer, m: 2}
        - select:
            where: nonsense > 2
        - loop: {rounds: 1, steps: [verify]}
        - read: {path: rows.parquet}
        - export: {to: trl}
"""
    found = told(page)
    assert "page.yaml:8: no operator 'genrate'; did you mean 'generate'?" in found
    assert any(p.startswith("page.yaml:9: generate has no setting 'm'") for p in found)
    assert any(p.startswith("page.yaml:9: loop.generate: no engine 'techer'") for p in found)
    assert any(p.startswith("page.yaml:11: loop.select: ") for p in found) is False  # after a step that is none
    assert any("loop.loop: a loop does not stand in a loop" in p for p in found)
    assert any("loop.read: a source does not stand in a loop" in p for p in found)
    assert any("loop.export: a sink does not stand in a loop" in p for p in found)


def test_columns_are_followed_through_the_body(told):
    found = told("  - loop: {rounds: 1, steps: [{select: {where: levle > 2}}]}\n")
    assert len(found) == 1
    assert found[0].startswith("page.yaml:5: loop.select: ")
    assert "levle" in found[0]
    found = told("  - loop: {rounds: 1, steps: [{generate: {engine: techer}}]}\n")
    assert found == ["page.yaml:5: loop.generate: no engine 'techer'; did you mean 'teacher'?"]


def test_what_only_fails_in_the_second_round_is_told_as_that(told):
    first = "{sql: {query: 'select * exclude (level) from rows'}}"
    found = told(f"  - loop: {{rounds: 2, mode: replace, steps: [{first}]}}\n")
    assert len(found) == 1
    assert "loop, from the second round on: " in found[0]
    assert "level" in found[0]
    clash = "{sql: {query: 'select * replace (1 as answer) from rows'}}"
    found = told(f"  - loop: {{rounds: 2, steps: [{clash}]}}\n")
    assert "column 'answer' is string in the state and int32 in what the steps yield" in found[0]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{rounds: -1, steps: [verify]}", "rounds is -1"),
        ("{rounds: 2}", "loop needs the setting 'steps' (a list of steps)"),
        ("{rounds: 2, steps: []}", "steps wants a list of steps"),
        ("{rounds: 2, stepps: [verify]}", "loop has no setting 'stepps'; did you mean 'steps'?"),
        ("{rounds: 2, steps: [{dedup: {on: problem}}], mode: apend}", "did you mean 'append'?"),
        ("{rounds: 2, until: round > 3, steps: [{dedup: {on: problem}}]}", "GROUP BY"),
        ("{rounds: 2, until: count(*), steps: [{dedup: {on: problem}}]}", "not a condition"),
        ("{rounds: 2, until: random() > 1, steps: [{dedup: {on: problem}}]}", "differs from run to run"),
        ("{rounds: 2, until: count(*) >, steps: [{dedup: {on: problem}}]}", "syntax error"),
    ],
)
def test_settings_of_the_loop(told, settings, said):
    found = told(f"  - loop: {settings}\n")
    assert any(said in p for p in found), found
    assert all(p.startswith("page.yaml:5") for p in found)


def test_the_state_only_stands_in_a_loop(told):
    (found,) = told('  - dedup: {on: problem, against: "${state}"}\n')
    assert found == (
        "page.yaml:5: environment variable state is not set; as the state of a loop it only stands in the steps of one"
    )


def test_the_state_has_the_columns_of_the_round(told):
    against = "{path: '${state}', columns: {problem: nonsense}}"
    found = told(f"  - loop: {{rounds: 1, steps: [{{decontaminate: {{against: {against}}}}}]}}\n")
    assert found == [] or "${state}" in found[0]  # the reference set is only opened by the run


def test_overrides_reach_into_a_loop(told):
    assert told(GOOD, "steps.loop.rounds=3", "steps.loop.propose.temperature=0.7") == []
    assert told(GOOD, "steps.loop.dedup.against=${state}") == []
    (found,) = told(GOOD, "steps.loop.propos.temperature=0.7")
    assert "no step 'loop.propos'; did you mean 'loop.propose'?" in found
    (found,) = told(GOOD, "steps.loop.propose.temprature=0.7")
    assert "did you mean 'temperature'?" in found


def chain():
    teacher = cu.engine("pocket", alias="teacher")
    body = cu.generate(engine=teacher, n=2) | cu.dedup(on="trace", against="${state}") | cu.verify()
    return (
        cu.read(path="builtin:pocket")
        | cu.loop(2, until="count(*) > 9", steps=body)
        | cu.loop(rounds=1, steps=[cu.verify(), cu.select(where="correct")], mode="replace")
    )


def test_python_and_the_page_build_the_same_loop():
    made = chain()
    assert made.check() == []
    text = made.to_yaml()
    again, problems = check_page(parse(text, "page.yaml", {}))
    assert problems == []
    assert again.steps == made.steps
    assert again.to_yaml().replace("name: page", "name: pipeline") == text
    assert "against: '${state}'" in text
    assert [s.label for s in made.steps] == ["read", "loop", "loop-2"]
    assert [s.label for s in made.steps[1].body] == ["generate", "dedup", "verify"]


def test_engines_of_a_loop_are_joined_and_renamed_with_the_others():
    one, other = cu.engine("pocket"), cu.engine("replay", function="m:f")
    page = cu.read(path="builtin:pocket") | cu.loop(rounds=1, steps=cu.generate(engine=other)) | cu.generate(engine=one)
    assert set(page.engines) == {"pocket", "replay"}
    third = cu.engine("replay", function="m:g")
    page = cu.generate(engine=other) | cu.loop(rounds=1, steps=cu.generate(engine=third))
    assert page.steps[1].body[0].settings["engine"] == "replay-2"
    assert page.steps[1].engines == {"generate.engine": "replay-2"}


@pytest.mark.parametrize("steps", [[], "verify", [3], cu.step])
def test_a_body_that_is_none(steps):
    with pytest.raises(CheckError, match="loop: steps wants steps"):
        cu.loop(rounds=1, steps=steps)


def test_a_nested_loop_in_python_is_refused_by_check():
    page = cu.read(path="builtin:pocket") | cu.loop(rounds=1, steps=cu.loop(rounds=1, steps=cu.verify()))
    assert any("a loop does not stand in a loop" in str(p) for p in page.check())


def test_the_schema_of_a_page_knows_loops():
    jsonschema = pytest.importorskip("jsonschema")
    from curator.schema import schema

    page = parse("steps:\n  - read: {path: x}\n" + GOOD, "page.yaml", {}).data
    jsonschema.validate(page, schema())
    page["steps"][1]["loop"]["steps"][0]["draw"]["kk"] = 3
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(page, schema())
