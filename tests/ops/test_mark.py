"""`mark`: every rule by itself, together, and in a table; flags add up and drop nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import step

from curator.difficulty import marks
from curator.errors import CheckError
from curator.op import find
from curator.ops.mark import mark

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"


def rows(*traces: str | None, **more) -> pa.Table:
    names = [f"r{i:04}" for i in range(len(traces))]
    return pa.table({"row_id": names, "trace": pa.array(traces, pa.string()), **more})


def flags(table: pa.Table, **settings_) -> list[list[str]]:
    return [r["flags"] for r in marked(table, **settings_)]


def marked(table: pa.Table, **settings_) -> list[dict]:
    run = mark(**settings_)
    bound = {**{s.name: s.default for s in find("mark").settings}, **settings_}
    if find("mark").kind(bound) == "table":
        return step(run, table)[0]
    return run(table).table.to_pylist()


def test_form():
    table = rows(
        "<think>\nx\n</think>\n\n4", "<think>\n</think>4", "<think>x", "4", "<think>x</think><think>y</think>4",
        "</think>x<think>", "<think>x</think>", None,
    )  # fmt: skip
    assert flags(table, form=["think", "response", "tags"]) == [
        [], ["no_think"], ["no_response", "bad_tags"], ["no_think"], ["bad_tags"], ["no_think", "bad_tags"],
        ["no_response"], ["no_think", "no_response"],
    ]  # fmt: skip
    opened = rows("x</think>4", "<think>x</think>4", prompt=["Q\n<think>", "Q"])
    assert flags(opened, form=["think", "tags"]) == [[], []]


def test_perplexity_ends_teachers_and_quantiles():
    if GOLDEN.exists():
        (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "threshold_bands"]
        for case in (c for c in group["cases"] if "ppl" in c):
            assert (flags(rows("x", perplexity=[case["ppl"]]), perplexity_max=20) == [[]]) == case["keep"]
    table = rows(*"abcde", perplexity=[2.0, 9.0, None, 3.0, float("inf")], engine=["r1", "am", "am", "am", "am"])
    assert flags(table, perplexity_max={"r1": 1.5, "*": 5}) == [["perplexity"], ["perplexity"], [], [], ["perplexity"]]
    assert flags(table, perplexity_max={"r1": 1.5}) == [["perplexity"], [], [], [], []]
    assert flags(table, perplexity_quantile=0.5) == [[], ["perplexity"], [], [], ["perplexity"]]
    assert marked(table, perplexity_max=5)[1]["flag_detail"] == '{"perplexity": 9.0}'
    assert flags(rows("a", perplexity=pa.array([None], pa.float64())), perplexity_quantile=0.5) == [[]]


def test_golden_script_bands():
    """Yi-Sang: shares on the ends of the band are inside."""
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "threshold_bands"]
    for case in (c for c in group["cases"] if "script_ratio" in c):
        share = case["script_ratio"]
        text = "한" * round(share * 1000) + "a" * round((1 - share) * 1000)
        band = "[0.05, 0.20]" if "0.20]" in case["rule"] else "[0.30, 1]"
        assert (flags(rows(text), scripts={"hangul": band}) == [[]]) == case["keep"], case


def test_scripts_and_odd_characters():
    text = "Let x = 3 × 4 €, 漢字 и \U0001d4a9."
    assert [marks.script(c) for c in "a漢한иあ"] == ["latin", "cjk", "hangul", "cyrillic", "hiragana"]
    assert flags(rows(text, "👍👍👍👍ab", "ab\ufffd" * 3, "ok\n\t ok"), odd_characters=0.3) == [
        [], ["odd_characters"], ["odd_characters"], [],
    ]  # fmt: skip
    assert flags(rows("нет", "no", "1 + 1"), scripts={"Cyrillic": "[0, 0.5)"}) == [["script"], [], []]


def test_refusals_begin_the_response():
    table = rows(
        "<think>I'm sorry, but hm</think>The answer is 4.", "<think>hm</think>I'm sorry, but I can’t help with that.",
        "I cannot solve this.", "As an AI, I have no hands.", "x " * 500 + "I cannot solve this", "We cannot help it.",
    )  # fmt: skip
    assert flags(table, refusal=True) == [[], ["refusal"], ["refusal"], ["refusal"], [], []]


def test_repetition_in_a_trace():
    loop = "wait let me check " * 30
    found = marked(rows(loop, "a b c d", None), repetition=20, repetition_n=4)
    assert [r["flags"] for r in found] == [["repetition"], [], []]
    assert json.loads(found[0]["flag_detail"]) == {"repetition": {"run": "wait let me check", "times": 30}}
    assert flags(rows("x " * 23), repetition=20, repetition_n=4) == [[]]  # 20 times is not more than 20
    assert flags(rows("x " * 24), repetition=20, repetition_n=4) == [["repetition"]]


def test_even_turns():
    one = [{"role": "user", "content": "a"}]
    two = [*one, {"role": "assistant", "content": "b"}]
    table = rows(*"abc", messages=[one, two, [{"role": "system", "content": "s"}, *two]])
    assert flags(table, turns="messages") == [["odd_turns"], [], []]
    told = rows(*"abcd", messages=[json.dumps(two), "[]", "no", '[{"from": "user"}]'])
    assert flags(told, turns="messages") == [[], ["odd_turns"], ["odd_turns"], ["odd_turns"]]


def test_a_run_that_comes_more_than_twenty_times_in_the_corpus():
    run = " ".join(f"w{i}" for i in range(20))
    twenty = [f"{i} {run} end{i}" for i in range(20)]
    assert flags(rows(*twenty), ngram=20) == [[]] * 20
    found = marked(rows(*twenty, f"x {run}", "short", None, " ".join(f"v{i}" for i in range(50))), ngram=20)
    assert [bool(r["flags"]) for r in found] == [True] * 21 + [False] * 3
    assert json.loads(found[20]["flag_detail"]) == {"repeated_ngram": {"run": run, "times": 21}}
    assert flags(rows("again " * 45), ngram=20) == [["repeated_ngram"]]  # inside one row it counts as well


@settings(deadline=None, max_examples=30)
@given(st.lists(st.one_of(st.none(), st.text("ab ", max_size=12)), max_size=8), st.randoms(use_true_random=False))
def test_neither_the_order_nor_the_batches_matter(traces, random):
    table = rows(*traces)
    order = list(range(len(traces)))
    random.shuffle(order)
    run = {"ngram": 2, "ngram_more_than": 2, "form": ["think"]}
    one = step(mark(**run), table, 2)[0]
    assert one == step(mark(**run), table.take(pa.array(order, pa.int64())), 5)[0]
    assert len(one) == len(traces)


@pytest.mark.parametrize("second", [{"form": ["think"]}, {"ngram": 1, "ngram_more_than": 2, "form": ["think"]}])
def test_flags_add_up(second):
    table = pa.Table.from_pylist(marked(rows("I cannot solve this", "a a a", "<think>x</think>1"), refusal=True))
    found = marked(table, **second)
    more = ["repeated_ngram"] if "ngram" in second else []
    assert [sorted(r["flags"]) for r in found] == [["no_think", "refusal"], sorted(["no_think", *more]), []]
    assert set(json.loads(found[0]["flag_detail"])) == {"no_think", "refusal"}
    assert found[2]["flag_detail"] is None
    assert [sorted(r["flags"]) for r in marked(table, keep=False, **second)][0] == ["no_think"]


def test_in_a_run_with_the_reports(tmp_path):
    import pyarrow.parquet as pq

    import curator as cu

    pq.write_table(pa.table({"problem": ["a", "b"], "trace": ["<think>x</think>1", "I cannot solve this"]}),
                   tmp_path / "in.parquet")  # fmt: skip
    for rule in ({"refusal": True}, {"ngram": 20, "refusal": True}):
        pipeline = cu.read(str(tmp_path / "in.parquet")) | cu.mark(**rule) | cu.select(where="len(flags) = 0")
        done = pipeline.run(tmp_path / f"run{len(rule)}", workers=0, progress=False)
        assert done.table().to_arrow_table()["problem"].to_pylist() == ["a"]


@pytest.mark.parametrize("bad", [
    {}, {"scripts": {"hangul": "5%"}}, {"perplexity_max": 0.5}, {"perplexity_quantile": 2.0}, {"odd_characters": -1.0},
])  # fmt: skip
def test_settings_that_do_not_fit(bad):
    with pytest.raises(CheckError, match="mark:"):
        mark(**bad)


def test_what_it_needs():
    op = find("mark")
    bound = {s.name: s.default for s in op.settings}
    assert op.needs({**bound, "turns": "messages"}) == ("row_id", "messages")
    both = {**bound, "ngram": 20, "perplexity_max": {"r1": 3.0}}
    assert op.needs(both) == ("row_id", "trace", "perplexity", "engine")
    assert (op.kind({**bound, "refusal": True}), op.kind({**bound, "ngram": 20})) == ("row", "table")
