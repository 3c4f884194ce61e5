"""A pipeline is the same object from YAML, from Python, and from its own YAML; joining numbers labels and aliases."""

from __future__ import annotations

import types
import typing
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import curator as cu
from curator.build import Builder
from curator.errors import CheckError
from curator.op import known_names
from curator.pipeline import EngineSpec, Pipeline, Where, find_op
from curator.settings import SECRET_TEXT
from curator.yaml_io import parse

NAMES = known_names()


def read_back(text: str) -> Pipeline:
    """The pipeline of a page, without the checks: settings here are random, so most pages make no sense."""
    page = parse(text, "page.yaml", env={})
    problems = [str(m) for m in page.faults]
    found = Builder(page, problems).build((), None)
    assert problems == [], text
    return found


texts = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["yes", "no", "null", "~", "1e5", "0x1F", "1_000", "${HOME}", "$${X}", "a: b", "- x", "2024-01-01"]
    ),
    st.sampled_from(["#", "{x}", "[1]", "true", "12:30:00", "line\nbreak\n", " padded ", "'", '"', "\\n", "é中\u2028"]),
).filter(lambda t: not SECRET_TEXT.search(t))


def values(hint):
    """A strategy for a setting's annotation: everything that YAML can say."""
    simple = {
        bool: st.booleans(),
        int: st.integers(1, 2**40),
        float: st.floats(0.001, 0.999),
        str: texts,
        type(None): st.none(),
        Any: st.one_of(texts, st.lists(texts, max_size=2), st.dictionaries(st.just("path"), texts)),
    }
    if hint in simple:
        return simple[hint]
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return st.sampled_from(args)
    if origin is typing.Annotated:
        return values(args[0])
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*(values(a) for a in args))
    if origin is tuple and args[-1] is not Ellipsis:
        return st.tuples(*map(values, args))
    if origin is tuple:
        return st.lists(values(args[0]), max_size=3).map(tuple)
    if origin is list:
        return st.lists(values(args[0]), max_size=3)
    if isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return st.dictionaries(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), values(args[1]), max_size=3)
    pytest.fail(f"no strategy for {hint}")


specs = st.builds(
    lambda alias, kind, extra: EngineSpec(alias, kind, extra),
    st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True),
    st.just("replay"),
    st.just({"path": "answers.jsonl"}),
)


def drawn_step(draw, verb, aliases):
    chosen = {}
    for setting in find_op(verb).settings:
        if setting.is_body:
            inner = draw(st.lists(st.sampled_from(["dedup", "verify", "generate"]), min_size=1, max_size=2))
            chosen[setting.name] = [drawn_step(draw, name, aliases) for name in inner]
        elif setting.required or draw(st.booleans()):
            several = st.lists(aliases, min_size=1, unique=True).map(tuple)
            one = st.one_of(aliases, several) if setting.many else aliases
            chosen[setting.name] = draw(one if setting.is_engine else values(setting.type))
    return getattr(cu, verb)(**chosen)


@st.composite
def pipelines(draw):
    engines = {spec.alias: spec for spec in draw(st.lists(specs, min_size=1, max_size=3))}
    aliases = st.sampled_from(sorted(engines))
    chain = Pipeline(name=draw(st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)), seed=draw(st.integers(0, 99)))
    for verb in draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)):
        try:
            chain = chain | drawn_step(draw, verb, aliases)
        except CheckError as e:  # a bound that the strategy does not know
            assert "must be" in str(e)  # noqa: PT017
    return Pipeline(chain.name, chain.steps, engines, chain.seed, description=draw(texts))


@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
@given(pipelines())
def test_yaml_and_python_are_the_same_object(pipeline):
    again = read_back(pipeline.to_yaml() if pipeline.steps else pipeline.to_yaml().replace("steps: []", ""))
    if pipeline.steps:
        assert again == pipeline
        assert again.to_yaml() == pipeline.to_yaml()


def test_every_verb_is_an_attribute_with_its_docstring_and_signature():
    listed = dir(cu)
    for name in NAMES:
        assert name in listed
        if name not in ("export", "barrier"):  # rooms too, see test_export_is_a_verb_and_a_room
            assert getattr(cu, name).__doc__ == find_op(name).doc


def test_export_is_a_verb_and_a_room():
    import curator.export

    assert isinstance(cu.export(to="trl"), Pipeline)
    assert curator.export.__name__ == "curator.export"


def test_an_unknown_verb_says_the_near_miss():
    with pytest.raises(AttributeError, match="no operator 'dedupe'; did you mean 'dedup'"):
        cu.dedupe  # noqa: B018


def test_the_first_setting_may_go_without_its_name():
    assert cu.read("x.parquet") == cu.read(path="x.parquet")
    with pytest.raises(CheckError, match="only path may be given without its name"):
        cu.read("x.parquet", "y.parquet")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cu.generate(engine="t", m=4), "generate has no setting 'm'"),
        (lambda: cu.generate(engine="t", temprature=1.0), "did you mean 'temperature'"),
        (lambda: cu.generate(engine="t", n="4"), "n wants a whole number, got '4'"),
        (lambda: cu.generate(engine="t", n=True), "n wants a whole number, got True"),
        (lambda: cu.generate(n=4), "generate needs the setting 'engine'"),
        (lambda: cu.generate(engine=3), "wants an engine's alias, got 3"),
        (lambda: cu.step("dedupe"), "no operator 'dedupe'; did you mean 'dedup'"),
        (lambda: cu.step("nowhere:thing"), "cannot import nowhere:thing"),
    ],
)
def test_wrong_settings_are_told_when_the_verb_is_called(call, message):
    with pytest.raises(CheckError, match=message):
        call()


def test_labels_are_the_verb_then_numbered():
    chain = cu.read("a") | cu.dedup(on="problem") | cu.sql(where="true") | cu.dedup() | cu.dedup()
    assert [s.label for s in chain.steps] == ["read", "dedup", "sql", "dedup-2", "dedup-3"]


def test_joining_is_associative():
    a, b, c = cu.read("a"), cu.dedup() | cu.generate(engine=cu.engine("replay", path="1")), cu.generate(engine="x")
    assert (a | b) | c == a | (b | c)


def test_equal_engines_share_an_alias_and_different_ones_are_numbered():
    one, same, other = (cu.engine("replay", path=p) for p in ("1", "1", "2"))
    chain = cu.generate(engine=one) | cu.generate(engine=same) | cu.generate(engine=other)
    assert [s.settings["engine"] for s in chain.steps] == ["replay", "replay", "replay-2"]
    assert {a: s.settings["path"] for a, s in chain.engines.items()} == {"replay": "1", "replay-2": "2"}


def test_a_chosen_alias_is_kept_and_two_engines_may_not_share_one():
    teacher = cu.engine("replay", path="1", alias="teacher")
    assert list((cu.generate(engine=teacher) | cu.generate(engine="teacher")).engines) == ["teacher"]
    with pytest.raises(CheckError, match="engine 'teacher' is given twice"):
        cu.generate(engine=teacher) | cu.generate(engine=cu.engine("replay", path="2", alias="teacher"))


def test_name_and_seed_come_from_where_they_were_given():
    chain = Pipeline(name="mine", seed=7) | cu.read("a")
    assert (chain.name, chain.seed) == ("mine", 7)
    assert (cu.read("a") | Pipeline(name="mine", seed=7)).name == "mine"


def test_what_python_alone_can_say_is_refused_by_to_yaml():
    chain = Pipeline(steps=(cu.read("a").steps[0],), engines={"t": EngineSpec("t", "replay", {"fn": print})})
    with pytest.raises(CheckError, match="engine 't': .* is not plain data; YAML cannot say it"):
        chain.to_yaml()


def test_where_is_not_part_of_equality():
    step = cu.read("a").steps[0]
    assert Pipeline(steps=(step,), where=Where("x.yaml", 3)) == Pipeline(steps=(step,))


def test_run_refuses_a_pipeline_with_mistakes_and_lists_them_all(tmp_path):
    with pytest.raises(CheckError) as e:
        (cu.dedup() | cu.generate(engine="nobody")).run(tmp_path / "run")
    assert "must be a source" in str(e.value)
    assert "no engine 'nobody'" in str(e.value)
    assert not (tmp_path / "run").exists()
