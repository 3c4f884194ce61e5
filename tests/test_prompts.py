"""Prompts are filled in one pass, and name the sections that `compress` checks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curator import prompts


@given(st.text(), st.text())
def test_a_field_in_a_value_is_not_filled_again(problem, trace):
    text = prompts.fill(prompts.COMPRESS, problem=problem + "{trace}", trace=trace, budget="")
    assert (problem + "{trace}") in text
    assert text.endswith(trace)


def test_unknown_braces_stay():
    assert prompts.fill("{problem} \\boxed{} {x_1} {Y}", problem="p") == "p \\boxed{} {x_1} {Y}"


def test_every_section_of_every_level_is_named_in_the_prompt():
    for names in prompts.SECTIONS.values():
        for name in names:
            assert f"**{name}**" in prompts.COMPRESS


def test_the_fingerprint_moves_with_any_template(monkeypatch):
    before = prompts.fingerprint()
    monkeypatch.setitem(prompts.TEMPLATES, "generate", prompts.GENERATE + " ")
    assert prompts.fingerprint() != before
