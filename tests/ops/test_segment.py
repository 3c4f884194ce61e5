from __future__ import annotations

import asyncio

import duckdb
import pyarrow as pa
import pytest
from scripted import Scripted

from curator import rows
from curator.check import check_page
from curator.engines.protocol import GENERATE, TOKENIZE, Completion
from curator.errors import CheckError
from curator.op import find
from curator.ops.segment import segment
from curator.run import laws
from curator.spans.column import SPANS, fits
from curator.yaml_io import parse

TRACE = "<think>\nAdd é.\n\nWait, no.\n\nHmm, yes.\n</think>\n\nBut it is 7."


def table(*texts):
    return pa.table({"row_id": [f"r{i}" for i in range(len(texts))], "trace": pa.array(texts, pa.string())})


def pieces(row):
    return [(row["trace"][s["start"] : s["end"]], s["kind"]) for s in row["spans"]]


def test_thoughts_of_a_trace_leave_tags_and_response_outside():
    out = segment()(table(TRACE, None, "", "plain\n\nWait x"))
    one, null, empty, plain = out.to_pylist()
    assert pieces(one) == [
        ("<think>\n", "outside"), ("Add é.\n\n", "start"), ("Wait, no.\n\n", "Wait"), ("Hmm, yes.", "Hmm"),
        ("\n</think>\n\nBut it is 7.", "outside"),
    ]  # fmt: skip
    assert (one["n_spans"], one["seg_ok"]) == (5, True)
    assert (null["spans"], null["n_spans"], null["seg_ok"]) == (None, None, None)
    assert (empty["spans"], empty["n_spans"], empty["seg_ok"]) == ([], 0, True)
    assert [k for _, k in pieces(plain)] == ["start", "Wait"]
    assert out.schema.field("spans").type == SPANS == rows.COLUMNS["spans"].type


def test_all_of_a_trace():
    (row,) = segment(within="all")(table(TRACE)).to_pylist()
    assert [k for _, k in pieces(row)] == ["start", "Wait", "Hmm", "But"]


def test_positions_are_characters_as_duckdb_counts_them():
    out = segment()(table("é中😀\n\nWait 😀"))
    con = duckdb.connect()
    con.register("out", out)
    sql = 'select list_transform(spans, lambda s: substring(trace, s.start + 1, s."end" - s.start)) from out'
    assert con.sql(sql).fetchall() == [(["é中😀\n\n", "Wait 😀"],)]


def test_the_laws_of_the_runner_hold_and_reports_run():
    op = find("segment")
    given = table(TRACE, None, "x")
    bound = {s.name: s.default for s in op.settings}
    spec = laws.Spec("segment", "segment", "row", op.effect, op.factory, {}, op.adds(bound), ())
    out, lost, _ = laws.settle(spec, given, segment()(given), "shard 0")
    assert (out.num_rows, lost.num_rows) == (3, 0)
    con = duckdb.connect()
    con.register("rows", out)
    assert con.sql(op.reports["spans"]).fetchall() == [(2, 0, 3.0, 3.0, 5)]
    assert con.sql(op.reports["kinds"]).fetchall()


@pytest.mark.parametrize(
    ("settings", "text", "found"),
    [
        ({"how": "regex", "pattern": r"\d+", "keep": "alone"}, "a1b22", ["a", "1", "b", "22"]),
        ({"how": "paragraphs"}, "a\n\nb", ["a\n\n", "b"]),
        ({"how": "sentences"}, "A b. C d.", ["A b. ", "C d."]),
        ({"how": "steps"}, "Step 1: a\nStep 2: b", ["Step 1: a\n", "Step 2: b"]),
        ({"how": "tokens", "size": 2}, "123456789", ["12345678", "9"]),
        ({"how": "equal", "parts": 2}, "abcd", ["ab", "cd"]),
        ({"how": "keywords", "words": ("Wait",)}, "a Wait b", ["a ", "Wait b"]),
        ({"how": "jsonpath", "path": "$[*]"}, '["a", "b"]', ['["', "a", '", "', "b", '"]']),
    ],
)
def test_each_kind(settings, text, found):
    (row,) = segment(**settings)(table(text)).to_pylist()
    assert [p for p, _ in pieces(row)] == found


def test_an_engine_quotes_the_boundaries_of_the_thinking():
    engine = Scripted(
        lambda r, i: "Add é.\nHmm, yes." if "Wait" in r.messages[0].content else Completion("x", "length")
    )
    result = asyncio.run(
        segment(how="quoted", engine=engine)(table(TRACE, None, "", "other text", "<think>\n\n</think>\nx"))
    )
    one, null, empty, cut, blank = result.table.to_pylist()
    assert [k for _, k in pieces(one)] == ["outside", "unit", "unit", "outside"]
    assert fits(one["spans"], TRACE)
    assert (null["spans"], empty["spans"]) == (None, [])
    assert (cut["n_spans"], cut["seg_ok"]) == (1, False)
    assert [k for _, k in pieces(blank)] == ["outside"]
    assert len(engine.requests) == 2
    assert "</think>" not in engine.requests[0].messages[0].content


def test_a_failed_reply_is_counted_and_the_row_goes_on():
    engine = Scripted(lambda r, i: Completion("", "error", error="503"))
    result = asyncio.run(segment(how="quoted", engine=engine)(table("abc def")))
    assert result.counts == {"replies_failed": 1}
    assert result.table["seg_ok"].to_pylist() == [False]


def test_tokens_of_an_engine():
    engine = Scripted(lambda r, i: "", frozenset({GENERATE, TOKENIZE}))
    result = asyncio.run(segment(how="tokens", size=2, engine=engine)(table("a b c d e")))
    (row,) = result.table.to_pylist()
    assert [p.strip() for p, _ in pieces(row)] == ["a b", "c d", "e"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"how": "quoted"}, "engine"),
        ({"how": "regex"}, "pattern"),
        ({"how": "regex", "pattern": "("}, "does not compile"),
        ({"how": "jsonpath"}, "path"),
        ({"how": "jsonpath", "path": "a.b"}, "no path"),
        ({"words": ()}, "words"),
        ({"words": (" ",)}, "words"),
        ({"engine": Scripted(lambda r, i: "")}, "asks none"),
        ({"how": "quoted", "engine": Scripted(lambda r, i: ""), "prompt": "cut"}, "{text}"),
    ],
)
def test_settings_that_do_not_fit(settings, said):
    with pytest.raises(CheckError, match=said):
        segment(**settings)


def test_check_asks_for_a_tokenizer():
    page = "name: x\nengines: {e: {kind: openai, model: m, base_url: 'http://127.0.0.1:1/v1'}}\nsteps:\n"
    page += "  - read: {path: builtin:pocket}\n  - segment: {on: problem, how: tokens, engine: e}\n"
    assert "tokenize" in str(check_page(parse(page, "p.yaml"))[1][0])
