from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from curator.errors import CheckError
from curator.op import find
from curator.ops.segment import segment
from curator.ops.splice import REASONS, splice
from curator.run import laws
from curator.spans.edits import Edit, inserted, replay

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "specs" / "golden.json"
TRACE = "<think>\nAdd.\n\nWait, no.\n\nHmm, yes.\n</think>\n\nIt is 7."
PIECES = ("Add.\n\n", "Wait, no.\n\n", "Hmm, yes.")


def table(*texts, **more):
    ids = [f"r{i}" for i in range(len(texts))]
    return pa.table({"row_id": ids, "trace": pa.array(texts, pa.string()), **more})


def run(given=None, **settings):
    given = segment()(given if given is not None else table(TRACE))
    result = splice(**settings)(given)
    op = find("splice")
    bound = {s.name: s.default for s in op.settings} | settings
    spec = laws.Spec("splice", "splice", "row", op.effect, op.factory, {}, op.adds(bound), tuple(op.reasons))
    laws.settle(spec, given, result, "shard 0")
    for row in result.table.to_pylist():
        log = [Edit.of(e) for e in row["edit_log"]]
        new = row[settings.get("into", "edited")]
        assert replay(row[settings.get("on", "trace")], log) == new
        assert "".join(new[a:b] for a, b in inserted(log)) == "".join(e.text for e in reversed(log))
    return result


def texts(**settings):
    return [r["edited"] for r in run(**settings).table.to_pylist()]


@pytest.mark.parametrize(
    ("settings", "edited"),
    [
        ({"edit": "keep", "at": 0}, "<think>\nAdd.\n\n"),
        ({"edit": "keep", "at": 1, "text": "So,"}, "<think>\nAdd.\n\nWait, no.\n\nSo,"),
        ({"edit": "cut", "fraction": 0.7, "text": "</think>"}, "<think>\nAdd.\n\nWait, no.\n\n</think>"),
        ({"edit": "cut", "fraction": 0.1}, "<think>\nAdd.\n\n"),
        ({"edit": "insert", "at": 0, "side": "before", "text": "Use code. "}, TRACE.replace("Add", "Use code. Add")),
        ({"edit": "insert", "text": " Done."}, TRACE.replace("yes.", "yes. Done.")),
        ({"edit": "insert", "kinds": ["Wait"], "at": 0, "text": "X"}, TRACE.replace("no.\n\n", "no.\n\nX")),
        ({"edit": "replace", "at": [0, 2], "text": "-"}, "<think>\n-Wait, no.\n\n-\n</think>\n\nIt is 7."),
        ({"edit": "drop", "at": "inner"}, TRACE.replace("Wait, no.\n\n", "")),
        ({"edit": "drop", "at": "all", "kinds": ["Wait", "Hmm"]}, "<think>\nAdd.\n\n\n</think>\n\nIt is 7."),
        ({"edit": "mask", "at": "all"}, "<think>\n[MASK][MASK][MASK]\n</think>\n\nIt is 7."),
        ({"edit": "mask", "at": "all", "share": 0.0}, TRACE),
        ({"edit": "prepend", "text": "{row_id}: "}, "r0: " + TRACE),
    ],
)
def test_each_edit(settings, edited):
    assert texts(**settings) == [edited]


def test_each_gives_one_row_a_proper_prefix():
    result = run(edit="keep", each=True, text="</think>\n")
    rows = result.table.to_pylist()
    heads = ["<think>\n" + PIECES[0], "<think>\n" + PIECES[0] + PIECES[1]]
    assert [r["edited"] for r in rows] == [h + "</think>\n" for h in heads]
    assert [(r["row_id"], r["parent_id"], r["cut_idx"], r["n_cuts"]) for r in rows] == [
        ("r0/0", "r0", 0, 2), ("r0/1", "r0", 1, 2),
    ]  # fmt: skip
    assert {r["trace"] for r in rows} == {TRACE}


@pytest.mark.skipif(not GOLDEN.exists(), reason="the specification's vectors are not there (../shared/specs)")
def test_golden_proper_prefixes():
    group = next(g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "spl_proper_prefixes")
    for case in group["cases"]:
        text = "\n\n".join(["a"] + ["Wait"] * (case["n_spans"] - 1))
        rows = run(table(text), edit="keep", each=True).table.to_pylist()
        assert len(rows) == case["n_prefixes"]
        assert text not in [r["edited"] for r in rows]


def test_prefix_values_need_the_empty_prefix_and_the_whole_text():
    rows = run(edit="keep", each=True, ends=True, trim=True, text="\n</think>\n").table.to_pylist()
    assert [r["cut_idx"] for r in rows] == [-1, 0, 1, 2]
    thoughts = ["", "Add.", "Add.\n\nWait, no.", "Add.\n\nWait, no.\n\nHmm, yes."]
    assert [r["edited"] for r in rows] == [f"<think>\n{t}\n</think>\n" for t in thoughts]


def test_several_fractions_give_a_row_each():
    rows = run(edit="cut", fraction=[1.0, 0.7, 0.1]).table.to_pylist()
    assert [(r["row_id"], r["cut_idx"], r["n_cuts"]) for r in rows] == [("r0/0", 2, 3), ("r0/1", 1, 3), ("r0/2", 0, 3)]


def test_each_inner_span_dropped_in_turn():
    assert texts(edit="drop", at="all", each=True) == [TRACE.replace(p, "") for p in PIECES]


def test_one_of_several_texts_by_hash():
    pool = ["A", "B", "C"]
    given = table(*[TRACE] * 40)
    first = [r["edited"] for r in run(given, edit="prepend", text=pool).table.to_pylist()]
    assert {t[0] for t in first} == set(pool)
    again = run(given.slice(20), edit="prepend", text=pool).table.to_pylist()
    assert [r["edited"] for r in again] == first[20:]
    assert [r["edited"] for r in run(given, edit="prepend", text=pool, seed=1).table.to_pylist()] != first


def test_a_second_edit_of_the_new_column_goes_on_with_its_log():
    once = run(edit="keep", at=1).table
    again = segment(on="edited")(once)
    result = splice(edit="insert", on="edited", at=0, text="!")(again)
    (row,) = result.table.to_pylist()
    assert replay(TRACE, [Edit.of(e) for e in row["edit_log"]]) == row["edited"] == "<think>\nAdd.\n\n!Wait, no.\n\n"


@pytest.mark.parametrize(
    ("given", "settings", "reason"),
    [
        (table(None), {"edit": "keep"}, "null_text"),
        (table("one thought"), {"edit": "keep", "each": True}, "no_cut"),
        (table("one thought"), {"edit": "drop", "at": 3}, "no_span"),
        (table("one thought"), {"edit": "drop", "at": "inner"}, "no_span"),
        (table(""), {"edit": "cut"}, "no_span"),
        (table("x", hint=pa.array([None], pa.string())), {"edit": "prepend", "text": "{hint}"}, "null_field"),
    ],
)
def test_rows_without_a_place_are_dropped_by_name(given, settings, reason):
    result = run(given, **settings)
    assert result.table.num_rows == 0
    assert result.dropped["reason"].to_pylist() == [reason]
    assert reason in REASONS


def test_spans_of_another_text_are_refused():
    given = segment()(table("abc"))
    other = given.set_column(1, "trace", pa.array(["abcd"]))
    assert splice(edit="keep")(other).dropped["reason"].to_pylist() == ["spans_do_not_fit"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"edit": "insert"}, "add text"),
        ({"edit": "drop", "text": "x"}, "puts nothing in"),
        ({"edit": "mask", "text": ["a", ""]}, "empty text"),
        ({"edit": "cut", "fraction": 0.0}, "parts of 1"),
        ({"edit": "keep", "at": "random", "between": (0.9, 0.1)}, "parts of 1"),
        ({"edit": "cut", "each": True}, "one place"),
        ({"edit": "drop", "each": True}, "several places"),
        ({"edit": "drop", "at": []}, "empty list"),
        ({"edit": "cut", "fraction": []}, "parts of 1"),
        ({"edit": "keep", "ends": True}, "belongs to"),
        ({"edit": "keep", "into": "trace"}, "overwrite"),
    ],
)
def test_settings_that_do_not_fit(settings, said):
    with pytest.raises(CheckError, match=said):
        splice(**settings)
