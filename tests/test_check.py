"""`check` finds every mistake, at its line, with the near miss, and invents none."""

from __future__ import annotations

import textwrap
from pathlib import Path

import engine_room
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator import op, settings
from curator.check import check_file, load
from curator.errors import CheckError, InputError


@pytest.fixture(autouse=True)
def _room(monkeypatch):
    monkeypatch.setattr(settings, "engine_room", lambda: engine_room)
    for user in ("check", "flow"):
        monkeypatch.setattr(f"curator.{user}.engine_room", lambda: engine_room)


@pytest.fixture
def rows_file(tmp_path):
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"problem": ["1+1?"], "answer": ["2"], "trace": ["2"], "level": [3]}), path)
    return path


@pytest.fixture
def told(tmp_path, rows_file, monkeypatch):
    """Check a page (its first step reads `rows.parquet`) and return what is told, without the folder."""
    monkeypatch.chdir(tmp_path)

    def check(text, *overrides, read=True):
        head = "engines:\n  teacher: {kind: pocket}\nsteps:\n  - read: {path: rows.parquet}\n" if read else ""
        Path("page.yaml").write_text(head + text if read else textwrap.dedent(text))
        _, problems = check_file("page.yaml", overrides)
        return [str(p) for p in problems]

    return check


def test_a_good_page_has_nothing_to_tell(told):
    assert told("  - dedup: {on: problem}\n  - generate: {engine: teacher}\n  - select: {where: n_tokens > 3}\n") == []


def test_all_mistakes_of_a_page_are_told_in_its_order(told):
    assert told(
        """\
        nme: x
        seed: many
        engines:
          teacher: {kind: pockt}
          judge: {kind: openai, modl: x}
          broken: pocket
        steps:
          - generate: {engine: techer, n: "4", temprature: 1}
          - dedupe: {on: problem}
          - select: {where: correct}
          - dedup: problem
          - [sql]
        """,
        read=False,
    ) == [
        "page.yaml:1: no top-level key 'nme'; did you mean 'name'?",
        "page.yaml:2: seed wants a whole number, got 'many'",
        "page.yaml:4: engine 'teacher': no engine kind 'pockt'; did you mean 'pocket'?",
        "page.yaml:5: engine 'judge': kind openai has no setting 'modl'; did you mean 'model'?",
        "page.yaml:5: engine 'judge': kind openai needs the setting 'model' (text)",
        "page.yaml:6: engine 'broken' wants {kind: ...}, got 'pocket'",
        "page.yaml:8: generate: n wants a whole number, got '4'",
        "page.yaml:8: generate has no setting 'temprature'; did you mean 'temperature'?",
        "page.yaml:8: the first step is generate; it must be a source, such as read",
        "page.yaml:8: generate: no engine 'techer'; did you mean 'teacher'?",
        "page.yaml:9: no operator 'dedupe'; did you mean 'dedup'?",
        "page.yaml:11: dedup wants its settings by name, got 'problem'; write `dedup: {on: problem}`",
        "page.yaml:12: a step is one verb and its settings, `- verb: {...}`, got ['sql']",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "page.yaml: an empty page; a pipeline has name, engines and steps"),
        ("- read\n", "page.yaml:1: a page is a mapping of name, engines and steps, got ['read']"),
        ("name: x\n", "page.yaml:1: steps wants a list, the first a source: `- read: {path: ...}`"),
        ("steps: read\n", "page.yaml:1: steps wants a list, the first a source: `- read: {path: ...}`"),
        ("name: ../x\nsteps: [{read: {path: rows.parquet}}]\n", "page.yaml:1: name wants letters, digits"),
        ("name: 3\nsteps: [{read: {path: rows.parquet}}]\n", "page.yaml:1: name wants letters"),
        ("engines: [a]\nsteps: [{read: {path: rows.parquet}}]\n", "page.yaml:1: engines wants a mapping"),
        ("steps: [{read: {path: rows.parquet}}\n", "page.yaml:2: not YAML"),
    ],
)
def test_pages_that_are_no_pipeline(told, text, message):
    found = told(text, read=False)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_columns_are_followed_through_every_step(told):
    (message,) = told("  - grade:\n")
    assert message.startswith("page.yaml:5: grade: needs column 'correct', which no step before it gives (there is ")
    assert "verify adds it" in message or "verify" not in op.builtin_names()


def test_a_near_miss_among_columns_is_told(told):
    (message,) = told("  - dedup: {on: problm}\n")
    assert message.startswith("page.yaml:5: dedup: needs column 'problm'")
    assert message.endswith("; did you mean 'problem'?")


def test_after_an_unknown_operator_columns_are_not_guessed(told):
    assert len(told("  - verfy:\n  - grade:\n  - select: {where: correct}\n")) == 1


def test_after_a_step_with_wrong_settings_columns_are_not_guessed(told):
    found = told("  - generate: {engine: teacher, m: 3}\n  - select: {where: n_tokens > 3}\n")
    assert len(found) == 1
    assert found[0].startswith("page.yaml:5: generate has no setting 'm'; there is engine, n, prompt, ")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("levle > 2", "'levle'"),
        ("level >", "syntax error"),
        ("trace", "not a condition"),
        ("level > 2 and nofunction(problem) > 3", "nofunction"),
        ("answer.x = 1", "SQL"),
    ],
)
def test_sql_of_select_is_bound_against_the_columns(told, where, message):
    (found,) = told(f"  - select:\n      where: {where}\n")
    assert found.startswith("page.yaml:6: select: ")
    assert message in found


def test_columns_after_sql_are_known(told):
    assert told("  - sql: {query: 'select row_id, problem, 1 as one from rows'}\n  - select: {where: one = 1}\n") == []
    (found,) = told("  - sql: {query: 'select row_id, problem from rows'}\n  - dedup: {on: trace}\n")
    assert "dedup: needs column 'trace'" in found


@pytest.mark.parametrize(
    ("step", "line", "message"),
    [
        ("  - export:\n      to: [trl, axolotll]\n", 6, "export: "),
        ("  - generate:\n      engine: teacher\n      n: 0\n", 7, "generate: n is 0"),
        ("  - select:\n", 5, "select: nothing to do"),
        ("  - sample: {n: 1, fraction: 0.5}\n", 5, "sample: "),
        ("  - decontaminate:\n      against: aime2\n", 6, "decontaminate: "),
    ],
)
def test_what_the_operator_itself_refuses_is_told_once(told, step, line, message):
    (found,) = told(step)
    assert found.startswith(f"page.yaml:{line}: {message}")


def test_whatever_a_factory_raises_is_a_problem_and_no_crash(told, monkeypatch):
    def broken(*, on: str = "problem"):
        raise ModuleNotFoundError("No module named 'exotic'")

    fields = {f: getattr(op.find("dedup"), f) for f in op.Op.__dataclass_fields__}
    monkeypatch.setitem(op.REGISTRY, "dedup", op.Op(**{**fields, "factory": broken}))
    assert told("  - dedup:\n") == ["page.yaml:5: dedup: ModuleNotFoundError: No module named 'exotic'"]


def test_an_engine_that_cannot_is_told_with_those_that_can(told, monkeypatch):
    generate = op.find("generate")
    wants = op.Op(
        **{**{f: getattr(generate, f) for f in generate.__dataclass_fields__}, "wants": lambda s: {"logprobs"}}
    )
    monkeypatch.setitem(op.REGISTRY, "generate", wants)
    (found,) = told("  - generate: {engine: teacher}\n")
    assert found == (
        "page.yaml:5: generate wants an engine with logprobs (return the log-probabilities of what it generates), "
        "which 'teacher' of kind pocket has not; use an engine of kind replay"
    )


def test_a_missing_key_is_told_at_the_engine(told):
    text = "engines:\n  a: {kind: openai, model: m, api_key_env: NO_SUCH_KEY}\nsteps: [{read: {path: rows.parquet}}]\n"
    (found,) = told(text, read=False)
    assert found.startswith("page.yaml:2: engine 'a': the environment variable NO_SUCH_KEY is not set")


def test_a_secret_in_a_page_is_refused_and_not_repeated(told):
    engine = "engines:\n  a: {kind: openai, model: m, api_key: sk-1234567890abcdef1234}\n"
    text = engine + "steps: [{read: {path: rows.parquet}}]\n"
    (found,) = told(text, read=False)
    assert "api_key_env" in found
    assert "1234" not in found


def test_steps_after_a_sink_and_second_sources(told):
    found = told("  - export: {to: trl}\n  - dedup:\n  - read: {path: rows.parquet}\n")
    assert "page.yaml:6: dedup comes after export, which writes; put it before" in found
    assert "page.yaml:7: read-2 is a source and must be the first step" in found


def test_a_missing_input_file_is_told_at_its_setting(told):
    (found,) = told("steps:\n  - read:\n      path: nowhere.parquet\n", read=False)
    assert found.startswith("page.yaml:3: read: ")
    assert "nowhere.parquet" in found


# overrides


def test_overrides_reach_settings_engines_and_the_head(tmp_path, told):
    told("  - dedup:\n  - generate: {engine: teacher}\n  - dedup: {on: problem}\n")
    found = load(
        "page.yaml",
        [
            "steps.generate.n=8", "steps.generate.prompt=a=b {problem}", "steps.dedup-2.on=trace",
            "engines.teacher.max_tokens_total=5", "name=other", "seed=3", "steps.read.columns.problem=level",
        ],
    )  # fmt: skip
    read, _, generate, second = found.steps
    assert (generate.settings["n"], generate.settings["prompt"]) == (8, "a=b {problem}")
    assert second.settings["on"] in ("trace", ["trace"])
    assert read.settings["columns"] == {"problem": "level"}
    assert found.engines["teacher"].settings == {"max_tokens_total": 5}
    assert (found.name, found.seed) == ("other", 3)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps.generate.m=8", "--set steps.generate.m: generate has no setting 'm'"),
        ("steps.generate.n=eight", "--set steps.generate.n: generate: n wants a whole number, got 'eight'"),
        ("steps.genrate.n=8", "--set steps.genrate.n: no step 'genrate'; did you mean 'generate'?"),
        ("engines.techer.model=x", "--set engines.techer.model: no engine 'techer'; did you mean 'teacher'?"),
        ("engines.teacher.modl=x", "--set engines.teacher.modl: engine 'teacher': kind pocket has no setting 'modl'"),
        ("lrr=2", "--set lrr: sets steps.LABEL.SETTING, engines.ALIAS.SETTING, name, description or seed"),
        ("steps.generate=2", "--set steps.generate: sets steps.LABEL.SETTING"),
        ("steps.generate.n", "--set steps.generate.n: wants key=value, such as steps.generate.n=8"),
        ("steps.generate.n=[", "--set steps.generate.n: '[' is not YAML"),
        ("steps.generate.n.deep=1", "--set steps.generate.n.deep: "),
        ("seed=x", "--set seed: seed wants a whole number, got 'x'"),
        (
            "engines.teacher.api_key=sk-1234567890abcdef1234",
            "--set engines.teacher.api_key: engine 'teacher': 'api_key'",
        ),
    ],
)
def test_a_wrong_override_is_refused(told, override, message):
    found = told("  - generate: {engine: teacher, n: 4}\n", override)
    assert len(found) == 1
    assert found[0].startswith(message)
    assert "1234" not in found[0]


def test_load_raises_with_all_problems(told):
    told("  - dedupe:\n  - generte:\n")
    with pytest.raises(CheckError) as e:
        load("page.yaml")
    assert len(str(e.value).splitlines()) == 2


def test_a_missing_page_names_the_near_one(told):
    told("")
    with pytest.raises(InputError, match="no file 'pge.yaml'; did you mean 'page.yaml'"):
        load("pge.yaml")


def test_seed_replaces_the_seed_of_the_page(told):
    told("")
    assert load("page.yaml", seed=9).seed == 9


def test_a_page_gives_its_name_or_its_file_name(told):
    told("")
    assert load("page.yaml").name == "page"


def test_a_hook_is_a_function_of_the_operator_s_own_file(monkeypatch):
    from curator import flow
    from curator.op import find
    from curator.ops import dedup, select

    assert flow.hook(find("select"), "check") is select.check
    monkeypatch.setattr(dedup, "output", select.check, raising=False)  # as if imported under that name
    assert flow.hook(find("dedup"), "output") is None
