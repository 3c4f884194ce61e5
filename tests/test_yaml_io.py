"""YAML 1.2 with lines: what a plain word means, the environment, and pages that are no pipeline."""

from __future__ import annotations

import math

import pytest
import yaml

from curator.errors import CheckError
from curator.yaml_io import MAX_NODES, parse, scalar


def value(text, **env):
    page = parse(f"key: {text}\n", "page.yaml", env=env)
    assert page.faults == []
    return page.data["key"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("true", True), ("FALSE", False), ("null", None), ("~", None),
        ("", None), ("8", 8), ("-3", -3), ("0x1F", 31), ("0o17", 15), ("017", 17), ("1e-5", 1e-5), ("1e5", 1e5),
        (".5", 0.5), ("1.", 1.0), ("-.inf", -math.inf), ("1_000", "1_000"), ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"), ("'8'", "8"), ('"true"', "true"), ("[1, a]", [1, "a"]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("!!str 8", "8"), ("é", "é"),
    ],
)  # fmt: skip
def test_plain_words_mean_what_yaml_1_2_says(text, expected):
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("text", "env", "expected"),
    [
        ("${N}", {"N": "8"}, 8),
        ('"${N}"', {"N": "8"}, "8"),
        ("a-${N}-b", {"N": "8"}, "a-8-b"),
        ("${N:-4}", {}, 4),
        ("${N:-4}", {"N": ""}, 4),
        ("${N:-4}", {"N": "5"}, 5),
        ("${N:-}", {}, None),
        ("${N}", {"N": ""}, None),
        ("$${N}", {"N": "8"}, "${N}"),
        ("$5 ${N}", {"N": "x: y"}, "$5 x: y"),
        ('["${A}", "${B:-b}"]', {"A": "1"}, ["1", "b"]),
    ],
)
def test_the_environment_fills_in(text, env, expected):
    assert value(text, **env) == expected


def test_a_value_from_the_environment_is_text_and_cannot_add_keys():
    assert value("${N}", N="{a: 1}") == "{a: 1}"
    assert value("${N}", N="a\nb: c") == "a\nb: c"


def test_a_missing_variable_is_a_fault_with_its_line_and_way_out():
    ((where, message),) = parse("a: 1\nb: ${NOT_THERE}\n", "page.yaml", env={}).faults
    assert (str(where), message) == (
        "page.yaml:2",
        "environment variable NOT_THERE is not set; set it, or write ${NOT_THERE:-default}",
    )


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: 1\n b: 2\n", 2, "not YAML: mapping values are not allowed"),
        ("a: [1\nb: 2\n", 2, "not YAML: "),
        ("a: 1\na: 2\n", 2, "'a' is given twice"),
        ("a: 1\n? [x]\n: 2\n", 2, "keys are plain words"),
        ("x: &x {a: 1}\ny:\n  <<: *x\n", 3, "merges"),
        ("a: !!python/object/apply:os.system ['true']\n", 1, "tags are not read"),
        ("a: !!binary aGk=\n", 1, "'binary' values are not read"),
        ("a: 1\n---\nb: 2\n", 2, "not YAML: but found another document"),
        ("a: \x00\n", None, "not YAML: "),
        ("a: *nowhere\n", 1, "not YAML: found undefined alias"),
    ],
)
def test_what_is_no_page_is_told_with_its_line(text, line, message):
    page = parse(text, "page.yaml")
    (where, told) = page.faults[0]
    assert told.startswith(message) or message in told
    assert where.line == line


def test_aliases_of_aliases_do_not_fill_the_memory():
    text = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 40))
    page = parse(text, "page.yaml")
    assert f"more than {MAX_NODES} values" in page.faults[0][1]


def test_an_alias_that_contains_itself_is_a_fault():
    page = parse("a: &a [*a]\n", "page.yaml")
    assert page.faults


def test_every_value_knows_its_line():
    page = parse("name: x\nsteps:\n  - read: {path: a,\n      n: 3}\n  - dedup:\n", "page.yaml")
    assert page.where("name").line == 1
    assert page.where("steps", 0, "read", "path").line == 3
    assert page.where("steps", 0, "read", "n").line == 4
    assert page.where("steps", 0, "read", "not there").line == 3
    assert page.where("steps", 1, "dedup").line == 5


def test_an_override_is_read_as_yaml(monkeypatch):
    monkeypatch.setenv("N_OF_THIS_TEST", "8")
    assert scalar("${N_OF_THIS_TEST}") == 8
    assert scalar("8") == 8
    assert scalar("a=b") == "a=b"
    assert scalar("[1, x]") == [1, "x"]
    assert scalar("") is None
    with pytest.raises(CheckError, match="not YAML"):
        scalar("[1")


def test_pyyaml_reads_our_pages_as_we_do():
    """Other tools read run folders too: what we write must not mean something else in YAML 1.1."""
    import curator as cu

    odd = ["yes", "no", "on", "1e5", "1_000", "12:30:00", "0x1F", "2024-01-01", "~", "null", "017"]
    chain = cu.read(path=odd)
    assert yaml.safe_load(chain.to_yaml())["steps"][0]["read"]["path"] == odd
