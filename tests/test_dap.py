from __future__ import annotations

import json
from pathlib import Path

import pytest

from curator.dap import level_from_headings, level_from_pass_rate, read_rewrite, sections_ok
from curator.prompts import LEVELS, SECTIONS

GOLDEN = Path(__file__).resolve().parents[2] / "shared" / "specs" / "golden.json"


def text(level: str, *, line: str = "", cot: str = "words", solution: str = r"\boxed{4}") -> str:
    body = "\n".join(f"**{name}**\n{cot}" for name in SECTIONS[level])
    return f"{line}\n{body}\n**Solution**\n{solution}"


@pytest.mark.skipif(not GOLDEN.exists(), reason="the specification's vectors are not there (../shared/specs)")
def test_golden_levels_from_headings():
    group = next(g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "dap_level_from_headings")
    assert len(group["cases"]) == 6
    for case in group["cases"]:
        assert level_from_headings(case["headings"]) == case["level"]


@pytest.mark.parametrize("level", LEVELS)
def test_a_rewrite_is_read_with_and_without_the_line(level):
    stated, read = read_rewrite(text(level, line=f"DIFFICULTY: {level}")), read_rewrite(text(level))
    assert (stated.level, stated.source) == (level, "teacher")
    assert (read.level, read.source) == (level, "headings")
    assert sections_ok(stated, level)
    assert stated.answer == "4"
    assert stated.short_cot.startswith("**Analysis**")
    assert "DIFFICULTY" not in stated.text
    assert stated.short_solution == r"\boxed{4}"


def test_the_line_wins_over_the_headings():
    assert read_rewrite(text("easy", line="**Difficulty:** hard")).level == "hard"
    assert not sections_ok(read_rewrite(text("easy", line="DIFFICULTY: hard")), "hard")


@pytest.mark.parametrize("line", ["DIFFICULTY: trivial", "the DIFFICULTY: easy", "DIFFICULTY: easy or hard"])
def test_a_line_that_does_not_name_one_level_is_none(line):
    assert read_rewrite(line + "\nwords").level is None


def test_headings_in_other_dress_and_sections_repeated():
    dressed = "## Analysis\na\n### **Approach**\nb\n**Summary:** c\n## Solution:\n$\\boxed{4}$"
    r = read_rewrite(dressed)
    assert r.headings == ("Analysis", "Approach", "Summary", "Solution")
    assert sections_ok(r, "easy")
    many = text("hard").replace("**Integration**", "**Sub-problem Processing**\nmore\n**Integration**")
    assert sections_ok(read_rewrite(many), "hard")


def test_bold_words_inside_a_line_are_no_headings():
    assert read_rewrite("so **Analysis** it is\nand **Approach**").headings == ()


def test_own_thinking_is_left_out_and_other_tags_reported():
    own = read_rewrite(f"<think>hm **Integration**\n\\boxed{{9}}</think>{text('easy')}")
    assert (own.tags, own.level, own.answer) == (False, "easy", "4")
    for tag in ("<think>", "</think>", "<|begin_of_thought|>"):
        assert read_rewrite(text("easy", cot=f"a {tag} b")).tags


def test_solution_tags_are_read_where_there_is_no_heading():
    r = read_rewrite("**Analysis**\na\n<|begin_of_solution|>\n\\boxed{4}\n<|end_of_solution|>")
    assert (r.short_solution, r.answer) == (r"\boxed{4}", "4")


def test_an_empty_solution_is_a_missing_section():
    assert not sections_ok(read_rewrite(text("easy", solution="")), "easy")


@pytest.mark.parametrize(
    ("rate", "level"),
    [(1.0, "easy"), (0.75, "easy"), (0.7499, "medium"), (0.25, "medium"), (0.2499, "hard"), (0.0, "hard"),
     (None, None), (float("nan"), None)],
)  # fmt: skip
def test_pass_rate_bins(rate, level):
    assert level_from_pass_rate(rate) == level
