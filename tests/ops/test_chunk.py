"""`chunk`: spans go in, chunks come out, the text stays covered; with `segment` and `score` before it."""

import asyncio

import pyarrow as pa
import pytest
from scripted import Scripted

from curator import rows
from curator.engines.protocol import PROMPT_LOGPROBS, TextScore
from curator.errors import CheckError
from curator.ops.chunk import chunk
from curator.ops.score import score
from curator.ops.segment import segment
from curator.spans.column import fits

TEXT = "\n\n".join(["easy one", "easy two", "easy three", "hard nut"])


class Student(Scripted):
    """A token a character; letters of "hard" cost 5 nats each, others 1."""

    def __init__(self):
        super().__init__(lambda r, i: "", frozenset({PROMPT_LOGPROBS}))

    async def score(self, messages, text, also=frozenset()):
        costs = [-5.0 if text[max(0, i - 5) : i + 5].find("hard") >= 0 else -1.0 for i in range(len(text))]
        return TextScore(tuple(text), tuple(costs), tuple(range(len(text))))


def table(*texts):
    return pa.table({
        "row_id": [f"r{i}" for i in range(len(texts))], "problem": ["p"] * len(texts),
        "think": pa.array(texts, pa.string()),
    })  # fmt: skip


def scored(given, **settings):
    cut = segment(on="think", how="paragraphs")(given)
    done = asyncio.run(score(engine=Student(), on="think", spans="spans", **settings)(cut))
    return done.table


def pieces(out, i=0):
    return [out["think"][i].as_py()[s["start"] : s["end"]] for s in out["spans"][i].as_py()]


def test_the_boundary_moves_to_the_students_liking():
    out = chunk(parts=2)(scored(table(TEXT)))
    assert pieces(out) == ["easy one\n\n", "easy two\n\neasy three\n\nhard nut"]
    assert out["chunk_loss"][0].as_py() < out["chunk_loss_average"][0].as_py()
    assert out["n_spans"].to_pylist() == [2]
    assert fits(out["spans"][0].as_py(), TEXT)
    assert {s["kind"] for s in out["spans"][0].as_py()} == {"part"}


def test_a_named_student_is_read_by_its_name():
    out = chunk(parts=2, search="best", name="student")(scored(table(TEXT), name="student"))
    assert pieces(out) == ["easy one\n\n", "easy two\n\neasy three\n\nhard nut"]


def test_none_is_average_chunking_and_needs_no_scores():
    cut = segment(on="think", how="paragraphs")(table(TEXT))
    out = chunk(parts=2, search="none")(cut)
    assert pieces(out) == ["easy one\n\neasy two\n\n", "easy three\n\nhard nut"]
    assert out["chunk_loss"].to_pylist() == [None]


def test_what_is_outside_stays_and_odd_rows_pass():
    trace = f"<think>\n{TEXT}\n</think>\n\nhard answer"
    given = table(trace, None, "", "one line")
    out = chunk(parts=2)(scored(given))
    assert pieces(out)[0] == "<think>\n"
    assert pieces(out)[-1] == "\n</think>\n\nhard answer"
    assert pieces(out)[1:-1] == ["easy one\n\n", "easy two\n\neasy three\n\nhard nut"]
    assert out["spans"].to_pylist()[1:3] == [None, []]
    assert pieces(out, 3) == ["one line"]


def test_a_text_that_was_not_scored_to_its_end_has_average_chunks():
    given = scored(table(TEXT))
    sums = pa.array([[-1.0, -1.0, -1.0, None]], rows.COLUMNS["span_logprob_sum"].type)
    out = chunk(parts=2)(rows.put(given, {"span_logprob_sum": sums}))
    assert pieces(out) == ["easy one\n\neasy two\n\n", "easy three\n\nhard nut"]
    assert out["chunk_loss"].to_pylist() == [None]


def test_a_page_checks_and_names_what_is_missing():
    from curator.check import check_page
    from curator.yaml_io import parse

    page = """
engines: {student: {kind: pocket}}
steps:
  - read: {path: builtin:pocket}
  - segment: {on: problem}
  - chunk: {parts: 4, name: student}
  - export: {to: hf}
"""
    _, problems = check_page(parse(page, "page.yaml"))
    assert any("student_span_logprob_sum" in str(p) for p in problems)


def test_parts_is_asked_for():
    with pytest.raises((TypeError, CheckError)):
        chunk()
