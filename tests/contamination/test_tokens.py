"""Token kernels see what plain Python sees, in any script."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.contamination.tokens import LAYOUT, SAME, hash_of, split
from curator.words import words

PIECES = ["find", "Σ", "ß", "É", "e\u0301", "東京", "𝒳", "👩‍🔬", "\\left(", "\\dfrac{1}{2}", "\\leq", "left", " ", "\n",
          "\u3000", "１２", "ﬁ", "İ", "a_b", "\\", "", "$x$", "\\ left"]  # fmt: skip
texts = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=12).map("".join)


def places(text: str, at: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Characters to bytes."""
    before = [0]
    for c in text:
        before.append(before[-1] + len(c.encode("utf-8")))
    return [(before[a], before[b]) for a, b in at]


def latex_words(text: str) -> list[tuple[str, int, int]]:
    drop = set(LAYOUT.split())
    out = []
    for word, start, end in zip(*words(text), strict=True):
        if start and text[start - 1] == "\\":
            if word in drop or SAME.get(word) == "":
                continue
            word = SAME.get(word, word)
        out.append((word, start, end))
    return out


def oracle(text: str, rule: str) -> list[tuple[str, int, int]]:
    if rule == "word":
        return latex_words(text)
    pattern = r"\S+" if rule == "whitespace" else r"\S"
    return [("".join(c.lower()[0] for c in m[0]), m.start(), m.end()) for m in re.finditer(pattern, text)]


@pytest.mark.parametrize("rule", ["word", "whitespace", "char"])
@settings(deadline=None, max_examples=60)
@example(["", "one", "word" * 50_000, "x\u0301 \\left\\right \\dfrac 7"])
@given(st.lists(texts, min_size=1, max_size=4))
def test_tokens_are_those_of_plain_python(rule, rows):
    clean = [r.encode("utf-8", "ignore").decode() for r in rows]
    found = split(pa.array([*clean, None]), rule, places=True)
    assert len(found.ends) == len(clean) + 2
    for i, row in enumerate(clean):
        expected = oracle(row, rule)
        span = slice(found.ends[i], found.ends[i + 1])
        here = list(zip(found.starts[span].tolist(), found.stops[span].tolist(), strict=True))
        assert here == places(row, [(a, b) for _, a, b in expected])
        assert found.text(i) == row.encode()
        same = {}
        for (word, _, _), h in zip(expected, found.hashes[span].tolist(), strict=True):
            assert h
            assert same.setdefault(word, h) == h  # equal tokens, equal hashes
        assert len(set(same.values())) == len(same)


def test_layout_does_not_count_but_the_word_left_does():
    one, other = "compute \\left( \\dfrac{3}{4} \\right)", "compute (\\frac{3}{4})"
    found = split(pa.array([one, other, "how many are left"]))
    assert found.hashes[found.ends[0] : found.ends[1]].tolist() == found.hashes[found.ends[1] : found.ends[2]].tolist()
    assert found.hashes[-1] == hash_of("left")
    plain = split(pa.array([one]), latex=False)
    assert np.diff(plain.ends).tolist() == [6]


def test_a_word_of_ten_megabytes_and_a_row_of_a_hundred():
    long = split(pa.array(["x" * 10_000_000, "a b"]), places=True)
    assert np.diff(long.ends).tolist() == [1, 2]
    assert (long.starts[0], long.stops[0]) == (0, 10_000_000)
    book = split(pa.array(["ten word " * 11_200_000], pa.large_string()))
    assert np.diff(book.ends).tolist() == [22_400_000]
