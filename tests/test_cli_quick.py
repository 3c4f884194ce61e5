"""`curator check` is read without typer where it is plain, and then as typer would read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.cli import pages, quick
from curator.cli.app import app

words = st.one_of(
    st.sampled_from(
        ["check", "page.yaml", "./a//b.yaml", "--set", "--set=", "--set=n=8", "n=8", "a=--set", "--", "-", "-x"]
        + ["", " ", "--help", "--se", "--set=--", "-set", "--sets=1", "--set =1", "ö.yaml", "plan", "@args"]
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5),
)


def by_typer(arguments: list[str]) -> object:
    """What typer hands to the command; None where it calls no check."""
    seen: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "check", lambda files, sets: seen.append((files, sets)) or 0)
        try:
            app(arguments, prog_name="curator", standalone_mode=False)
        except Exception:  # a usage error: typer says what is wrong
            return None
    return seen[0] if seen else None


@settings(deadline=None, max_examples=400)
@given(st.lists(words, max_size=5).map(lambda found: ["check", *found]))
@example(["check", "--set", "steps.a.b=1", "page.yaml", "--set=seed=3", "other.yaml"])
@example(["check", "page.yaml", "--set", "--set"])
@example(["check", "page.yaml", "--set", "--", "x"])
def test_what_is_read_without_typer_is_what_typer_reads(arguments):
    found = quick.check(arguments)
    assert found is None or found == by_typer(arguments)


@pytest.mark.parametrize("words", ["", "plan page.yaml", "check", "check --help", "check a.yaml --set", "check -- a"])
def test_what_is_not_plain_is_left_to_typer(words):
    assert quick.check(words.split()) is None


def test_the_plain_forms_are_read():
    assert quick.check(["check", "a.yaml", "--set", "n=1", "b.yaml", "--set=m=2"]) == (
        [Path("a.yaml"), Path("b.yaml")], ["n=1", "m=2"])  # fmt: skip
