"""Methods of `decontaminate` put together: combination, judge, vectors, bad input, and independence of rows."""

from __future__ import annotations

import asyncio
import json
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import Scripted

from curator import prompts
from curator.engines.protocol import Completion
from curator.errors import CheckError, InputError
from curator.op import find
from curator.ops.decontaminate import decontaminate

ITEM = "A bakery sells 14 trays of 36 rolls before noon and 5 trays of 24 rolls later. How many rolls are sold in all?"
REWORDED = (
    "Before midday 14 trays, each with 36 rolls, are sold by a bakery; "
    "afterwards 5 trays of 24 rolls. What is the total?"
)
OTHER = "A train leaves at 7 and needs 3 hours for 210 km. How fast is it on average?"


def table(*problems, **more) -> pa.Table:
    ids = [f"r{i}" for i in range(len(problems))]
    return pa.table({"row_id": ids, "problem": pa.array(problems, pa.string()), **more})


@pytest.fixture
def bench(tmp_path):
    path = tmp_path / "bench.jsonl"
    path.write_text("".join(json.dumps({"id": f"i{i}", "question": t}) + "\n" for i, t in enumerate([OTHER, ITEM])))
    return str(path)


def told(result, row=0) -> list[dict]:
    return json.loads(result.table.column("contamination")[row].as_py() or "[]")


def test_recommended_finds_copies_and_paraphrases(bench):
    result = decontaminate(against=bench)(table(ITEM, REWORDED, "Find 3 x.", None))
    gone = {r["row_id"]: json.loads(r["evidence"]) for r in result.dropped.to_pylist()}
    assert {k: (v[0]["method"], v[0]["item"]) for k, v in gone.items()} == {
        "r0": ("ngram", "i1"), "r1": ("paraphrase", "i1")}  # fmt: skip
    assert gone["r1"][0]["matched"] == [{"row": REWORDED, "item": ITEM}]
    assert "#36" in gone["r1"][0]["shared"]


@pytest.mark.parametrize(("method", "found"), [
    ("exact", [0]), ("edit", [0, 1]), ("ngram", [0, 1]), ("paraphrase", [0, 1, 2]),
    (["edit", "paraphrase"], [0, 1, 2]), (["exact", "ngram"], [0, 1]), ("recommended", [0, 1, 2]),
])  # fmt: skip
def test_each_method(bench, method, found):
    rows = table(ITEM.upper(), ITEM.replace("sold", "sod"), REWORDED, ITEM.replace("36", "37"), OTHER.replace("7", "8"))
    marked = decontaminate(against=bench, method=method, action="mark")(rows).table
    assert [i for i, g in enumerate(marked.column("contaminated").to_pylist()) if g] == found


@pytest.mark.parametrize(("tokens", "n", "row", "found"), [
    ("whitespace", 8, ITEM.replace("14 trays", "14  TRAYS").replace("noon", "noon,"), True),
    ("char", 40, ITEM.replace(" ", ""), True),
    ("char", 40, ITEM[:30] + "...", False),
    ("word", 13, ITEM, True),
    ("word", 32, ITEM + " " + ITEM, True),
])  # fmt: skip
def test_tokens(bench, tokens, n, row, found):
    result = decontaminate(against=bench, method="ngram", tokens=tokens, n=n, action="mark")(table(row))
    assert result.table.column("contaminated").to_pylist() == [found]


def test_layout_of_formulas_does_not_hide_a_copy(tmp_path):
    item = r"Compute the value of $\dfrac{a}{b} + \left( c \right)$ when $a \leq 3$ and $b$ is the fourth prime number."
    row = r"Compute the value of $\frac{a}{b} + (c)$ when $a \le 3$ and $b$ is the fourth prime number."
    path = tmp_path / "b.jsonl"
    path.write_text(json.dumps({"problem": item}))
    for latex, share in ((True, 1.0), (False, None)):
        made = decontaminate(against=str(path), method="ngram", latex=latex, action="mark")(table(row))
        (hit,) = told(made)
        assert (hit["item_share"] == 1.0) == (share == 1.0)


def judge(engine, bench, *rows, **more):
    function = decontaminate(against=bench, method="judge", engine=engine, action="mark", **more)
    return asyncio.run(function(table(*rows)))


def test_the_judge_is_asked_in_both_orders(bench):
    engine = Scripted(lambda request, i: "<think>no, or</think>Yes.")
    result = judge(engine, bench, REWORDED, "Find 3 x.", None)
    assert result.table.column("contaminated").to_pylist() == [True, False, False]
    asked = [r.messages[0].content for r in engine.requests]
    assert asked == [
        prompts.fill(prompts.SAME_PROBLEM, first=ITEM, second=REWORDED),
        prompts.fill(prompts.SAME_PROBLEM, first=REWORDED, second=ITEM),
    ]
    (hit,) = told(result)
    assert (hit["method"], hit["item"], hit["answers"], hit["score"]) == ("judge", "i1", ["yes", "yes"], 1.0)
    assert {r.key for r in engine.requests} == {"r0"}
    one = Scripted(lambda request, i: "yes")
    judge(one, bench, REWORDED, both_orders=False)
    assert len(one.requests) == 1


@pytest.mark.parametrize(("answers", "state"), [
    (("yes", "no"), "review"), (("no", "no"), "clean"), (("yes", "yes and no"), "review"), (("maybe", "no"), "review"),
])  # fmt: skip
def test_one_yes_is_for_review(bench, answers, state):
    engine = Scripted(lambda request, i: answers[request.messages[0].content.index(ITEM) > 150])
    result = judge(engine, bench, REWORDED)
    assert result.table.column("contaminated").to_pylist() == [False]
    assert bool(told(result)) == (state == "review")
    assert result.counts["to_review"] == (state == "review")


def test_a_failed_question_says_so(bench):
    engine = Scripted(lambda request, i: Completion("", "error", error="boom"))
    result = judge(engine, bench, REWORDED)
    assert result.table.column("contaminated").to_pylist() == [False]
    assert told(result)[0]["answers"] == ["error", "error"]
    assert result.counts["judge_errors"] == 2


def test_what_is_convicted_is_not_paid_for(bench):
    engine = Scripted(lambda request, i: "no")
    function = decontaminate(against=bench, method=["ngram", "judge"], engine=engine)
    result = asyncio.run(function(table(ITEM, OTHER)))
    assert result.dropped.num_rows == 2
    assert engine.requests == []


def test_only_the_judge_makes_it_a_model_operator():
    op = find("decontaminate")
    assert op.kind({"method": "recommended"}) == "row"
    assert op.kind({"method": ["ngram", "judge"]}) == op.kind({"method": "judge"}) == "model"
    assert op.kind({"method": 3}) == op.kind({}) == "row"
    assert op.wants({"method": "judge"}) == {"generate"}
    assert not op.wants({"method": "ngram"})


@pytest.fixture
def vectored(tmp_path):
    path = tmp_path / "v.parquet"
    pq.write_table(pa.table({"problem": [OTHER, ITEM], "v": [[1.0, 0.0], [0.0, 1.0]]}), path)
    return str(path)


def test_vectors_of_a_column(vectored):
    rows = table("a", "b", "c", v=pa.array([[0.1, 5.0], [1.0, 1.0], None], pa.list_(pa.float64())))
    function = decontaminate(against=vectored, method="embedding", vectors="v", cosine=0.95, action="mark")
    result = function(rows)
    assert result.table.column("contaminated").to_pylist() == [True, False, False]
    assert (told(result)[0]["method"], told(result)[0]["matched"]) == ("embedding", [{"row": "a", "item": ITEM}])
    assert find("decontaminate").needs({"on": "problem", "vectors": "v"}) == ("row_id", "problem", "v")


def test_the_judge_sees_the_nearest_vectors(vectored):
    engine = Scripted(lambda request, i: "yes")
    function = decontaminate(
        against=vectored, method="judge", vectors="v", k=1, floor=0.5, engine=engine, action="mark"
    )
    result = asyncio.run(function(table("a", "b", v=[[0.1, 5.0], [-1.0, -1.0]])))
    assert [h["benchmark"] for h in told(result)] == ["v"]
    assert len(engine.requests) == 2


@pytest.mark.parametrize(("column", "message"), [
    ([[1.0, 0.0, 0.0]], "rows have vectors of 3 numbers, items of 2"),
    ([[1.0, float("nan")]], "holds NaN"),
])  # fmt: skip
def test_vectors_that_do_not_fit(vectored, column, message):
    function = decontaminate(against=vectored, method="embedding", vectors="v")
    with pytest.raises(InputError, match=message):
        function(table("a", v=column))


def test_reference_sets_that_cannot_be_read(tmp_path, bench):
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"no parquet at all")
    with pytest.raises(InputError) as caught:
        decontaminate(against=str(broken))(table("x"))
    assert "broken.parquet" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="no column v with vectors"):
        decontaminate(against=bench, method="embedding", vectors="v")(table("x", v=[[1.0]]))


def test_missing_packages_are_told_before_the_first_row(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckError, match="pip install 'trace-curator\\[embed\\]'"):
        decontaminate(against="builtin:pocket-eval", method="embedding", model="some/model")
    with pytest.raises(CheckError, match="pip install rapidfuzz"):
        decontaminate(against="builtin:pocket-eval", method="edit")


def test_texts_that_are_no_text(bench):
    mixed = pa.table({"row_id": ["a", "b"], "problem": pa.array([[{"role": "user", "content": ITEM}], None])})
    result = decontaminate(against=bench, method="ngram", action="mark")(mixed)
    assert result.table.column("contaminated").to_pylist() == [True, False]
    numbers = pa.table({"row_id": ["a"], "problem": pa.array([72])})
    assert decontaminate(against=bench, action="mark")(numbers).table.column("contaminated").to_pylist() == [False]


def test_a_row_of_a_hundred_megabytes(bench):
    book = "Nothing of it is here " * 4_600_000
    found = decontaminate(against=bench, action="mark")(table(book + ITEM, "one", ""))
    assert found.table.column("contaminated").to_pylist() == [True, False, False]
    assert len(found.table.column("contamination")[0].as_py()) < 10_000


@pytest.mark.parametrize("method", ["exact", "ngram", "paraphrase", "edit"])
def test_rows_and_items_with_hardly_anything(tmp_path, method):
    """Empty, null and one-word rows; items that are empty, one word, or shorter than n; all rows one text."""
    path = tmp_path / "short.jsonl"
    items = ["", "   ", "x", "Compute 7 + 8 - 3", None, ITEM]
    path.write_text("".join(json.dumps({"id": f"i{k}", "question": t}) + "\n" for k, t in enumerate(items)))
    function = decontaminate(against=str(path), method=method, action="mark", min_length=1, numbers=False)
    rows = ["", None, " ", "word", "y" * 1000, "東", "\\", "\u0301", ITEM]
    found = function(table(*rows)).table.column("contaminated").to_pylist()
    assert found == [False] * 8 + [True]
    alike = function(table(*[ITEM] * 50, None))
    assert alike.table.column("contaminated").to_pylist() == [True] * 50 + [False]
    assert len(set(alike.table.column("contamination").to_pylist()[:50])) == 1
    short = function(table("compute 7 + 8 - 3", "x")).table.column("contaminated").to_pylist()
    assert (
        short == {"exact": [True, True], "ngram": [True, True], "paraphrase": [False] * 2, "edit": [True, True]}[method]
    )
    assert function(table()).table.num_rows == 0


def test_only_items_without_words(tmp_path):
    path = tmp_path / "none.jsonl"
    path.write_text(json.dumps({"question": "!?"}))
    for method in ("exact", "ngram", "paraphrase", "edit"):
        function = decontaminate(against=str(path), method=method, action="mark")
        found = function(table(ITEM, "!?", "")).table.column("contaminated").to_pylist()
        assert found == [False, method == "edit", False]  # equal texts need no words


@pytest.mark.parametrize("text", ["", "{broken"])
def test_reference_sets_without_problems(tmp_path, text):
    path = tmp_path / "odd.jsonl"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        decontaminate(against=str(path))(table("x"))
    assert "odd.jsonl" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("method", ["exact", "ngram", "edit"])
def test_a_huge_row_by_each_method(bench, method):
    """With `recommended` it is above; here 20 MB, of one word and of many."""
    found = decontaminate(against=bench, method=method, action="mark")(table("z" * 20_000_000, "ab " * 7_000_000, ITEM))
    assert found.table.column("contaminated").to_pylist() == [False, False, True]


ROWS = [ITEM, REWORDED, OTHER + " é", "Find x.", "", None, ITEM.replace("36", "37"), "東京 14 36", "\\left( 3 \\right)"]


METHODS = [
    ["exact"], ["ngram"], ["paraphrase"], ["edit"], ["embedding"], ["judge"],
    ["exact", "ngram", "paraphrase", "edit", "embedding"],
]  # fmt: skip


@pytest.mark.parametrize("method", METHODS, ids="-".join)
@settings(deadline=None, max_examples=15)
@given(rows=st.lists(st.sampled_from(ROWS), min_size=1, max_size=12), size=st.integers(1, 5), rng=st.randoms())
def test_neither_order_nor_shards_show(method, rows, size, rng):
    function = _shared(tuple(method))
    whole = table(*rows, v=[[float(len(t or "")), 3.0, hash_of_text(t)] for t in rows])
    once = {r["row_id"]: r for r in function(whole).table.to_pylist()}
    order = list(range(len(rows)))
    rng.shuffle(order)
    mixed = whole.take(order)
    parts = [function(mixed.slice(i, size)).table for i in range(0, len(rows), size)]
    assert {r["row_id"]: r for part in parts for r in part.to_pylist()} == once


def hash_of_text(text: str | None) -> float:
    return float(sum(map(ord, text or "")) % 97)


@cache
def _shared(method: tuple[str, ...]):
    """Built once for all examples. The scripted judge says yes where its two texts are equally long, evenly."""
    import tempfile

    items = [OTHER, ITEM, "Find x."]
    with tempfile.NamedTemporaryFile(suffix=".parquet", delete=False) as file:
        vectors = [[float(len(t)), 3.0, hash_of_text(t)] for t in items]
        pq.write_table(pa.table({"id": ["0", "1", "2"], "question": items, "v": vectors}), file.name)
    more = {"vectors": "v"} if "embedding" in method else {}
    if "judge" in method:
        more["engine"] = Scripted(lambda request, i: "yes" if len(request.messages[0].content) % 2 else "no")
    made = decontaminate(against=file.name, method=list(method), action="mark", **more)
    return (lambda t: asyncio.run(made(t))) if "judge" in method else made
