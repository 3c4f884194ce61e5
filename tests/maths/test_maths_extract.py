from __future__ import annotations

import pytest

from curator.maths.extract import boxes, final_answer, last_box, last_phrase, reference


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{1} no, \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{5} and \boxed{-2}", "5, -2"),
        (r"$x=\boxed{5}$, $y=\boxed{2}$", "2"),  # words between them: the last one counts
        (r"\boxed{7}. Check: ... \boxed{7}", "7"),
        (r"\boxed 42 ", "42"),
        (r"\fbox{3}", "3"),
        (r"\boxed{} and so \boxed{9}", "9"),
        (r"\boxed{4} then \boxed{5 + ", "4"),  # the second never closes
        ("no box", None),
        (r"\boxed{\text{a \} b}}", r"\text{a \} b}"),
    ],
)
def test_last_box(text, answer):
    assert last_box(text) == answer


def test_nested_boxes_count_once():
    assert [b[2] for b in boxes(r"\boxed{a \boxed{b}}")] == [r"a \boxed{b}"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("The final answer is $x^2$.", "x^2"),
        ("**Answer:** 40", "40"),
        ("ANSWER: 3.5", "3.5"),
        ("work\n#### 1,234", "1,234"),
        ("**Answer:** \\( d = \\frac{35}{128} \\)", r"d = \frac{35}{128}"),
        ("**Final Answer**: \n\n\\[ 12 \\]", "12"),
        ("The answer is 5. It was easy.", "5"),
        ("Answer is 3. No, the answer is 4.", "4"),
        ("ok\nA: 5600", "5600"),
        ('{"reasoning": "x", "answer": "968"}', "968"),
        ('{"answer": "\\frac{1}{2}"}', r"\frac{1}{2}"),
        ('{"answer": "\\\\frac{1}{2}"}', r"\frac{1}{2}"),
        ('{"answer": 12}', "12"),
        ("nothing stated, 6 * 4 = 24", None),
    ],
)
def test_last_phrase(text, answer):
    assert last_phrase(text) == answer


@pytest.mark.parametrize(
    ("trace", "more", "found"),
    [
        (r"<think>\boxed{1}</think> so \boxed{2}", {}, ("2", "boxed")),
        (r"<think>\boxed{1}</think> done", {}, ("1", "boxed")),
        (r"<think>is it \boxed{1}", {}, ("1", "boxed")),
        ("<think>so the answer is 7, or", {}, (None, "truncated")),
        ("so the answer is 7, or", {"opened": True}, (None, "truncated")),
        ("we add 3 and\nthen", {"finish_reason": "length"}, (None, "truncated")),
        ("we add 3 and\nthen stop", {}, (None, "none")),
        ("42", {}, ("42", "bare")),
        ("<think>x</think>\n**42**", {}, ("42", "bare")),
        ("", {}, (None, "none")),
    ],
)
def test_final_answer(trace, more, found):
    assert final_answer(trace, **more) == found


def test_a_trace_of_50_mb_is_read_in_linear_time():
    assert final_answer("a {" * 17_000_000 + r" \boxed{3}").text == "3"
    assert final_answer(r"\boxed{" * 20_000).text is None


@pytest.mark.parametrize(
    ("given", "short"),
    [("72", "72"), (" x=5 ", "x=5"), ("She has 48/2 = 24.\n48+24 = 72\n#### 72", "72"), ("a\nA: 130", "130"),
     ("line one\nso \\boxed{3}", "3"), ("1\n2", "1\n2")],
)  # fmt: skip
def test_a_reference_may_be_a_whole_solution(given, short):
    assert reference(given) == short


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("#### Try: Eve = 2\nno\n\n**Answer: Ben**\nAnswer: Ben", "Ben"),  # a Markdown heading is no answer
        ("#### Step 1\nwork\nThe answer is 5.\n#### Check\nfine, it holds", "5"),
        ("work\n#### 18\n\n", "18"),
        ("work\n#### 18\nThat was it", "18"),
        ("#### Setting up\nand so on", None),
    ],
)
def test_four_hashes_are_an_answer_at_the_end(text, answer):
    assert last_phrase(text) == answer
