"""Cuts cover the text, whatever the text: the law of SEG; and what each kind calls a piece."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.spans import cuts, jsonpath, quotes, thoughts
from curator.text import split_think

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "specs" / "golden.json"
golden = pytest.mark.skipif(not GOLDEN.exists(), reason="the specification's vectors are not there (../shared/specs)")


def group(name):
    return next(g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == name)


BITS = st.sampled_from(
    [
        "\n\n",
        "\r\n\r\n",
        "\n \t\n",
        "\n",
        " ",
        "Wait",
        "Wait, ",
        "**But** ",
        "Hmmm",
        "Not sure",
        "```python\nx = 1\n\n```",
        "<think>",
        "</think>",
        "\n</think>\n\n",
        "é中😀",
        "e.g. ",
        "Mr. X. ",
        "3.14",
        "Step 1: ",
        "## Step 2: ",
        "。",
        "!",
        "\u2028",
        "\x0c",
        "1. ",
        "\u0301",
        '{"a": [1, "b\\n"]}',
        "\x00",
    ]  # fmt: skip
)
TEXT = st.lists(BITS | st.text(max_size=8), max_size=30).map("".join)
PATTERN = re.compile(r"[A-Z]\w*|\n\n")
WAYS = {
    "thoughts": lambda t: thoughts.thoughts(t, thoughts.compiled()),
    "thoughts in a window": lambda t: thoughts.thoughts(t, thoughts.compiled(thoughts.PAPER, 20)),
    "keywords": lambda t: cuts.by_words(t, ("Wait", "But", "Not"), "right"),
    "keywords left": lambda t: cuts.by_words(t, ("Wait", "But", "Not"), "left"),
    "keywords alone": lambda t: cuts.by_words(t, ("Wait", "But", "Not"), "alone"),
    "regex": lambda t: cuts.by_regex(t, PATTERN, "right"),
    "regex left": lambda t: cuts.by_regex(t, PATTERN, "left"),
    "regex alone": lambda t: cuts.by_regex(t, PATTERN, "alone"),
    "regex of nothing": lambda t: cuts.by_regex(t, re.compile("x*"), "alone"),
    "paragraphs": cuts.paragraphs,
    "sentences": cuts.sentences,
    "steps": cuts.numbered,
    "tokens": lambda t: cuts.by_tokens(t, 3, None),
    "tokens counted": lambda t: cuts.by_tokens(t, 3, lambda s: len(s.encode("utf-8", "surrogatepass"))),
    "equal": lambda t: cuts.equal(t, 3),
    "equal sentences": lambda t: cuts.equal(t, 4, "sentences"),
    "jsonpath": lambda t: jsonpath.by_path(t, ("a", None)),
    "quoted": lambda t: quotes.align(t, [t[:9], "Wait, then"]),
    "quoted by itself": lambda t: quotes.align(t, quotes.quoted(t)),
}


def lossless(text, cut):
    assert "".join(cut.pieces(text)) == text
    assert cut.starts == sorted(set(cut.starts))
    assert len(cut.starts) == len(cut.kinds)
    assert all(cut.pieces(text))
    assert (cut.starts[:1] == [0]) == bool(text)


@pytest.mark.parametrize("way", WAYS)
@settings(deadline=None)
@given(text=TEXT)
def test_pieces_are_ordered_disjoint_and_join_to_the_text(way, text):
    cut = WAYS[way]
    lossless(text, cut(text))
    lossless(text, cuts.inside(text, cuts.frame(text), cut))


@settings(deadline=None)
@given(TEXT)
def test_the_frame_is_the_thinking_that_split_think_finds(text):
    at, parts = cuts.frame(text), split_think(text)
    assert (at is None) == (parts.think is None)
    if at is not None:
        assert text[at.start : at.end].strip() == parts.think.strip()
        assert at.closed == parts.closed


@golden
def test_golden_seg_lossless():
    for case in group("seg_lossless")["cases"]:
        text = case["text"]
        if case["how"] == "keywords":
            words = tuple(case["keywords"])
            assert cuts.by_words(text, words, case["keep"]).pieces(text) == case["pieces"]
            assert thoughts.thoughts(text, thoughts.compiled(words)).pieces(text) == case["pieces"]
        else:
            cut = cuts.paragraphs(text) if case["how"] == "paragraph" else cuts.equal(text, case["m"])
            lossless(text, cut)


@golden
def test_golden_switch_words_at_the_start_of_a_step():
    cases = group("retro_search_keywords")["cases"]
    assert len(cases) == 11
    for case in cases:
        assert thoughts.compiled().find(case["step"]) == case["keyword"], case


@pytest.mark.parametrize(
    ("step", "window", "word"),
    [
        ("- Wait, no", 0, "Wait"),
        ("## But", 0, "But"),
        ("2. However, x", 0, "However"),
        ("> _Hmm_, odd", 0, "Hmm"),
        ("Trace back to 3", 0, "Trace back"),
        ("Hmmmm", 0, None),
        ("So, wait, no", 0, None),
        ("So, wait, no", 20, "Wait"),
        ("twelve letters, wait, no", 20, "Wait"),
        ("a few more letters, wait, no", 20, None),
        ("waiting", 20, None),
        ("so not sure at all", 20, "Not sure"),
        ("hmm hmmm", 20, "Hmm"),
    ],
)
def test_where_a_switch_word_must_stand(step, window, word):
    assert thoughts.compiled(thoughts.PAPER, window).find(step) == word


def test_thoughts_and_their_steps():
    text = "A1\n\nA2\n\nWait B1\n\nB2\n\nAlternatively C1"
    seen = thoughts.outline(text, thoughts.compiled())
    assert (len(seen.steps), seen.thoughts) == (5, [0, 2, 4])
    assert [text[: seen.end(i)] for i in range(3)] == [text[:8], text[:21], text]
    assert [seen.steps_through(i) for i in range(3)] == [2, 4, 5]
    cut = thoughts.thoughts(text, thoughts.compiled())
    assert cut.kinds == ["start", "Wait", "Alternatively"]
    assert cut.starts == [seen.steps[i] for i in seen.thoughts]


@settings(deadline=None)
@given(TEXT)
def test_the_outline_counts_what_the_cuts_count(text):
    seen = thoughts.outline(text, thoughts.compiled())
    assert (
        len(seen.steps)
        == thoughts.count_steps(text)
        == len([p for p in cuts.paragraphs(text).pieces(text) if p.strip()])
    )
    if text.strip():
        assert seen.end(len(seen.thoughts) - 1) == len(text)
        assert len(seen.thoughts) == len(thoughts.thoughts(text, thoughts.compiled()).starts)


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("\n\n a\n\nb\n\n", ["\n\n a\n\n", "b\n\n"]),
        ("a\r\n\r\nb", ["a\r\n\r\n", "b"]),
        ("a\n \t\n\n\nb\nc", ["a\n \t\n\n\n", "b\nc"]),
        ("  \n\n  ", ["  \n\n  "]),
    ],
)
def test_paragraphs(text, pieces):
    assert cuts.paragraphs(text).pieces(text) == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("One. Two! Three?", ["One. ", "Two! ", "Three?"]),
        ("It is 3.14, e.g. pi. So.", ["It is 3.14, e.g. pi. ", "So."]),
        ("See Fig. 3 and J. Doe.", ["See Fig. 3 and J. Doe."]),
        ('He said "no." Then left.', ['He said "no." ', "Then left."]),
        ("1. First item\n\nNext", ["1. First item\n\n", "Next"]),
        ("甲。乙！丙", ["甲。", "乙！", "丙"]),
        ("No end\n\nat all", ["No end\n\n", "at all"]),
    ],
)
def test_sentences(text, pieces):
    assert cuts.sentences(text).pieces(text) == pieces


def test_numbered_steps_are_lines_not_mentions():
    text = "Plan.\n**Step 1:** add, see Step 2.\n### Step 2\nStep 10. done"
    cut = cuts.numbered(text)
    assert cut.pieces(text) == ["Plan.\n", "**Step 1:** add, see Step 2.\n", "### Step 2\n", "Step 10. done"]
    assert cut.kinds == ["text", "step", "step", "step"]


def test_keywords_on_either_side_or_alone():
    text = "a Wait, b Waiting But c"
    words = ("Wait", "But")
    assert cuts.by_words(text, words, "right").pieces(text) == ["a ", "Wait, b Waiting ", "But c"]
    assert cuts.by_words(text, words, "left").pieces(text) == ["a Wait", ", b Waiting But", " c"]
    alone = cuts.by_words(text, words, "alone")
    assert alone.pieces(text) == ["a ", "Wait", ", b Waiting ", "But", " c"]
    assert alone.kinds == ["start", "Wait", "text", "But", "text"]


def test_equal_parts_of_whole_sentences():
    text = "One. Two. Three. Four. Five."
    assert cuts.equal(text, 2, "sentences").pieces(text) == ["One. Two. ", "Three. Four. Five."]
    assert len(cuts.equal(text, 9, "sentences").starts) == 5
    assert [len(p) for p in cuts.equal("x" * 10, 3).pieces("x" * 10)] == [3, 3, 4]


@settings(deadline=None)
@given(TEXT, st.integers(1, 9))
def test_token_pieces_hold_as_many_tokens_as_they_can(text, size):
    def count(piece):
        return len(re.findall(r"\w+|\W", piece))

    pieces = cuts.by_tokens(text, size, count).pieces(text)
    for piece, after in zip(pieces, pieces[1:], strict=False):
        assert count(piece) <= size or len(piece) == 1
        assert count(piece + after[0]) >= size or len(after) < 1


def test_json_values():
    text = '{"steps": [{"t": "a\\n\\u00e9"}, {"t": 12}, {"u": "no"}, {"t": ""}], "t": "other"}'
    cut = jsonpath.by_path(text, jsonpath.parse("$.steps[*].t"))
    assert cut.ok
    found = [p for p, k in zip(cut.pieces(text), cut.kinds, strict=True) if k == "value"]
    assert [jsonpath.decoded(p) for p in found] == ["a\né", "12"]
    last = jsonpath.by_path(text, jsonpath.parse("$['steps'][-2].u"))
    assert [p for p, k in zip(last.pieces(text), last.kinds, strict=True) if k == "value"] == ["no"]


@pytest.mark.parametrize(
    "text", ["", "no json", '{"a": 1', '{"a" 1}', "[1,]", '{"b": 1}', "[" * 300 + "]" * 300, '{"a": 1} x', '{"']
)
def test_what_is_no_such_json_is_one_piece_and_says_so(text):
    cut = jsonpath.by_path(text, ("a",))
    lossless(text, cut)
    assert not cut.ok
    assert len(cut.starts) == bool(text)


@pytest.mark.parametrize("path", ["", "a", "$", "$.", "$.a[", "$..a", "$.a[x]", "$[?(@.a)]"])
def test_paths_that_are_none(path):
    with pytest.raises(ValueError, match="no path"):
        jsonpath.parse(path)


def test_quoted_boundaries_are_found_again():
    text = "First we add\n3 and 4.\n\nWait, is that   right? Yes.\n\nSo the answer is 7."
    reply = '<think>hm</think>\n1. "First we add 3 ..."\n- Wait, is that right?\n“So the answer”\n'
    cut = quotes.align(text, quotes.quoted(reply))
    assert cut.ok
    assert cut.pieces(text) == ["First we add\n3 and 4.\n\n", "Wait, is that   right? Yes.\n\n", "So the answer is 7."]
    assert quotes.align(text, ["Wait, is that right"]).kinds == ["start", "unit"]


@pytest.mark.parametrize(
    "told",
    [
        [],
        ["First we add", "Never said this"],
        ["So the answer", "First we add"],
        ["First", "a"],
        ["First we add", "First we add"],
    ],
)
def test_quotes_that_are_not_there_are_not_believed(told):
    text = "First we add.\n\nSo the answer is a."
    cut = quotes.align(text, told)
    assert (cut.starts, cut.ok) == ([0], False)
