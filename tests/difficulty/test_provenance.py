"""Where a sentence comes from, and which tokens are its own: golden vectors and laws."""

from __future__ import annotations

import math

import pytest
from golden import group
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.difficulty.likelihood import by_span
from curator.difficulty.provenance import probability, three_models, two_models


def test_golden_two_models():
    for case in group("sentence_provenance_two_model")["cases"]:
        if "teacher_logprobs" in case:
            teacher, student = (
                probability(sum(case[f"{m}_logprobs"]), len(case[f"{m}_logprobs"])) for m in ("teacher", "student")
            )
            assert teacher == pytest.approx(case["p_teacher"], abs=1e-6)
            assert student == pytest.approx(case["p_student"], abs=1e-6)
            assert teacher - student == pytest.approx(case["d_ts"], abs=1e-4)
        else:
            teacher, student = case["p_teacher"], case["p_student"]
        assert two_models(teacher, student, case["beta"]) == case["label"]


def test_golden_three_models():
    for case in group("sentence_provenance_three_model")["cases"]:
        given_ = (case["p_teacher"], case["p_student"], case["p_distilled"], case["alpha"], case["beta"])
        assert three_models(*given_) == case["label"]


def test_differences_of_exactly_beta_fall_to_the_last_rule():
    assert two_models(0.75, 0.5, 0.25) == "common"
    assert three_models(0.75, 0.5, 1.0, 0.05, 0.25) == "boosted"


def test_what_is_unknown_has_no_label():
    assert probability(None, 3) is None
    assert probability(-1.0, 0) is None
    assert two_models(None, 0.5, 0.1) is None
    assert three_models(0.5, 0.5, None, 0.1, 0.1) is None


words = st.lists(st.text("ab c\n", min_size=1, max_size=5), min_size=1, max_size=12)


@settings(deadline=None)
@given(words, words, st.data())
def test_spans_share_out_every_token_once(pieces, cuts, data):
    """Tokens and spans cut the same text at places of their own; nothing is lost, and no token counts twice."""
    text = "".join(pieces)
    offsets = [sum(map(len, pieces[:i])) for i in range(len(pieces))]
    ends = sorted(data.draw(st.sets(st.integers(1, len(text)))) | {len(text)})
    spans = list(zip([0, *ends[:-1]], ends, strict=True))
    logprobs = [-float(i + 1) for i in range(len(pieces))]
    sums, counts = by_span(text, offsets, logprobs, spans)
    assert sum(counts) == len(pieces)
    assert math.fsum(s for s in sums if s is not None) == pytest.approx(math.fsum(logprobs))
    assert [s is None for s in sums] == [c == 0 for c in counts]


def test_a_space_before_a_word_does_not_hang_it_on_the_sentence_before():
    text, offsets = "One. Two", (0, 3, 4)  # tokens "One", ".", " Two"
    assert by_span(text, offsets, (-1, -2, -4), [(0, 5), (5, 8)]) == ([-3.0, -4.0], [2, 1])


def test_two_tokenizers_compare_by_characters():
    text, spans = "ab cd. ef", [(0, 7), (7, 9)]
    one = by_span(text, (0, 2, 5, 6), (-1, -1, -1, -2), spans)
    other = by_span(text, range(9), [-0.5] * 9, spans)
    assert (one[1], other[1]) == ([3, 1], [7, 2])
    assert [len(one[0]), len(other[0])] == [2, 2]


def test_behind_the_end_of_what_was_scored_there_is_no_sum():
    assert by_span("abcdef", (0, 1), (-1, -2), [(0, 2), (2, 4), (4, 6)]) == ([-3.0, None, None], [2, 0, 0])
