"""`decontaminate`: finds what a plain set of n-grams finds, and convicts what is really there."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.contamination.evidence import Item
from curator.contamination.ngram import Convicts, NgramIndex
from curator.contamination.tokens import split
from curator.errors import CheckError, InputError
from curator.op import find
from curator.ops import decontaminate as module
from curator.ops._benchmarks import references, registry
from curator.ops.decontaminate import decontaminate
from curator.pocket import world
from curator.words import words

SHARED = Path(__file__).parents[2].parent / "shared"
BENCHMARKS = SHARED / "data" / "benchmarks"
LONG = "A bakery sells 14 trays of 36 rolls before noon and 5 trays of 24 rolls later. How many rolls are sold in all?"
ANY = {"method": "ngram", "min_coverage": 0, "numbers": False}


def table(problems) -> pa.Table:
    return pa.table({"row_id": [f"r{i}" for i in range(len(problems))], "problem": pa.array(problems, pa.string())})


@pytest.fixture
def bench(tmp_path):
    def write(*texts: str, name: str = "bench") -> str:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"id": f"i{i}", "question": t}) + "\n" for i, t in enumerate(texts)))
        return str(path)

    return write


def run(function, problems) -> tuple[list[str], dict[str, list[dict]]]:
    """Return (ids that stay, dropped id -> evidence), after checking conservation."""
    whole = table(problems)
    result = function(whole)
    dropped = result.dropped.to_pylist() if result.dropped else []
    stay = result.table.column("row_id").to_pylist()
    assert sorted(stay + [r["row_id"] for r in dropped]) == sorted(whole.column("row_id").to_pylist())
    assert {r["reason"] for r in dropped} <= {"contaminated"}
    assert result.table.schema.names == ["row_id", "problem", "contaminated", "contamination"]
    return stay, {r["row_id"]: json.loads(r["evidence"]) for r in dropped}


def grams(text: str, n: int) -> set[tuple[str, ...]]:
    found = re.findall(r"\w+", text.lower())
    return {tuple(found[i : i + n]) for i in range(len(found) - n + 1)}


def test_evidence_names_the_item_and_shows_both_sides(bench):
    row = "Here is one. " + LONG.replace("sells", "SELLS").replace("before noon", "before  noon") + " Thanks!"
    stay, dropped = run(
        decontaminate(against=bench("What is the capital of France, and why is it so?", LONG)), ["Find 3 x.", row]
    )
    assert stay == ["r0"]
    (hit,) = dropped["r1"]
    assert (hit["benchmark"], hit["item"], hit["method"], hit["convicted"]) == ("bench", "i1", "ngram", True)
    assert hit["matched"][0]["item"] == LONG[:-1]
    assert hit["matched"][0]["row"] == row[len("Here is one. ") : -len("? Thanks!")]
    assert (hit["item_share"], hit["item_numbers"]) == (1.0, 1.0)


def test_mark_keeps_the_rows(bench):
    result = decontaminate(against=bench(LONG), action="mark")(table([LONG, "Find 3 x.", None]))
    assert result.table.column("contaminated").to_pylist() == [True, False, False]
    assert result.table.column("contamination").null_count == 2
    assert result.dropped is None
    assert result.counts == {"contaminated": 1, "to_review": 0}


def test_a_light_edit_is_found(bench):
    edited = LONG.replace("before noon", "in the morning").replace("in all", "in total")
    assert run(decontaminate(against=bench(LONG)), [edited])[0] == []


def test_another_number_is_another_problem(bench):
    changed = LONG.replace("36", "48")
    stay, _ = run(decontaminate(against=bench(LONG)), [changed])
    assert stay == ["r0"]
    assert run(decontaminate(against=bench(LONG), numbers=False), [changed])[0] == []
    review = decontaminate(against=bench(LONG))(table([changed]))
    (hit,) = json.loads(review.table.column("contamination")[0].as_py())
    assert (hit["convicted"], hit["item_numbers"]) == (False, 0.75)
    assert review.counts["to_review"] == 1


def test_the_same_words_with_another_label_or_sign_are_another_problem(bench):
    letters = "Determine the number of ways to arrange all the letters of the word {}."
    signs = "Let $x,$ $y,$ and $z$ be positive real numbers such that $x + y {} z = 1.$  Find the minimum value of all."
    path = bench(letters.format("ELLIPSE"), signs.format("+"))
    rows = [letters.format("RADII"), signs.format("-"), letters.format("ELLIPSE"), signs.format("+")]
    assert run(decontaminate(against=path), rows)[0] == ["r0", "r1"]
    assert run(decontaminate(against=path, numbers=False), rows)[0] == []
    held = "Here is a longer text about PROOF, which says this and that. " * 3 + signs.format("+") + " $a - b$"
    assert run(decontaminate(against=path), [held])[0] == []


def test_a_part_of_an_item_is_found(bench):
    part = LONG.split(". ")[0] + "."
    assert run(decontaminate(against=bench(LONG)), [part])[0] == []


def test_boilerplate_does_not_convict(bench):
    end = " where m and n are relatively prime positive integers. Find m + n."
    items = [f"{q}{end}" for q in (
        "A cube of side 17 is cut by a plane through three vertices and the area of the section is m / n",
        "Twelve chairs stand in a row and 4 people sit down so that no two are neighbours with probability m / n",
        "The roots of a cubic with leading coefficient 9 form a progression with common ratio m / n",
    )]  # fmt: skip
    row = "Points A and B lie on a circle of radius 6 and the chord has length m / n" + end
    assert run(decontaminate(against=bench(*items)), [row])[0] == ["r0"]
    assert run(decontaminate(against=bench(*items), **ANY), [row])[0] == []


@pytest.mark.parametrize(("row", "found"), [
    ("What is 72 * 3?", True),
    ("Please answer: what is 72 * 3? Explain.", True),
    ("What is 72 + 3?", False),
    ("What is 72 * 3 + 5?", False),
    ("What is 72 * 3.5?", False),
    ("What is (72 * 3) - 1?", False),
    ("What is 5 + 72 * 3?", False),
    ("What is 72 * 33?", False),
    ("Compute 72 * 3.", False),
])  # fmt: skip
def test_short_items_need_all_of_themselves(bench, row, found):
    assert run(decontaminate(against=bench("What is 72 * 3?")), [row])[0] == ([] if found else ["r0"])


def test_a_very_short_item_needs_the_whole_row(bench):
    stay, dropped = run(decontaminate(against=bench("Find x.")), ["find X", "Find x. It is the root of x = 3."])
    assert (stay, list(dropped)) == (["r1"], ["r0"])
    assert dropped["r0"][0]["method"] == "whole_item"


def test_golden_cases(bench):
    if not (SHARED / "specs" / "golden.json").exists():
        pytest.skip("the shared specification is not here")
    groups = json.loads((SHARED / "specs" / "golden.json").read_text())["groups"]
    (group,) = [g for g in groups if g["id"] == "ngram_decontamination"]
    for case in group["cases"]:
        if "n_grams" in case:
            assert len(grams(case["text"], case["n"])) == case["n_grams"]
            sizes = NgramIndex([Item("b", "i", case["text"])], case["n"]).runs.sizes
            assert int((sizes == case["n"]).sum()) == case["n_grams"]
        elif "a" in case:
            stay, _ = run(decontaminate(against=bench(case["a"]), n=case["n"], **ANY), [case["b"]])
            assert (stay == []) == case["match"]
        else:
            a, b = " ".join(case["tokens_a"]), " ".join(case["tokens_b"])
            stay, _ = run(decontaminate(against=bench(a), n=case["n"], **ANY), [b])
            assert (stay == []) == case["match_without"]


word = st.sampled_from(["find", "the", "sum", "of", "3", "12", "x", "É", "ﬁ", "number"])
text = st.lists(word, max_size=14).flatmap(
    lambda w: st.sampled_from([" ", "  ", ", ", "-", " — "]).map(lambda s: s.join(w))
)


@settings(deadline=None, max_examples=80)
@given(st.lists(text, min_size=1, max_size=5), st.lists(text, max_size=6), st.integers(2, 5))
def test_the_plain_rule_finds_what_python_sets_find(items, found, n):
    """An independent oracle: sets of word tuples, for items that have n words and more."""

    def plain(t: str) -> set[tuple[str, ...]]:
        tokens = words(t).words
        return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}

    index = NgramIndex([Item("b", str(i), t) for i, t in enumerate(items)], n)
    column = pa.array(found, pa.string())
    hits = index.hits(column, Convicts(0, numbers=False))
    for at, row in enumerate(found):
        expected = {i for i, t in enumerate(items) if plain(t) & plain(row)}
        mine = [h for h in hits if h.row == at]
        assert {h.item for h in mine if h.method == "ngram"} == expected
        for hit in mine:
            assert 0 < hit.score <= 1
            assert hit.convicted
            for here, there in hit.spans:
                assert words(here).words == words(there).words


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), max_size=30))
def test_words_know_where_they_are(found):
    split = words(found)
    for token, start, end in zip(*split, strict=True):
        assert words(found[start:end]).words == [token]
    if found.isascii():
        assert split.words == re.findall(r"\w+", found.lower())


def test_the_result_does_not_depend_on_how_rows_are_cut(bench):
    problems = [LONG, "Find 3 x.", LONG + " é", None, "What is 72 * 3?"] * 3
    function = decontaminate(against=bench(LONG, "What is 72 * 3?"), action="mark")
    whole = table(problems)
    once = function(whole).table
    assert pa.concat_tables([function(whole.slice(i, 1)).table for i in range(len(whole))]).equals(once)
    chunked = pa.concat_tables([whole.slice(0, 4), whole.slice(4)])
    assert function(chunked).table.combine_chunks().equals(once.combine_chunks())


def test_several_columns_are_searched():
    whole = pa.table({"row_id": ["a"], "problem": ["Hello."], "trace": [f"I recall: {LONG}"]})
    assert find("decontaminate").needs({"on": ["problem", "trace"], "vectors": None}) == ("row_id", "problem", "trace")
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "b.jsonl"
        path.write_text(json.dumps({"problem": LONG}))
        result = decontaminate(against=str(path), on=["problem", "trace"])(whole)
    (hit,) = json.loads(result.dropped.column("evidence")[0].as_py())
    assert hit["column"] == "trace"


def test_planted_contamination_of_the_pocket_world():
    rows = list(world.rows("pocket", 600))
    stay, dropped = run(decontaminate(against="builtin:pocket-eval"), [r["problem"] for r in rows])
    guilty = {i for i, r in enumerate(rows) if r["planted"] == "contaminated"}
    caught = {int(i[1:]) for i in dropped}
    evaluation = {r["id"]: r["problem"] for r in world.rows("pocket-eval")}
    reachable = {i for i in guilty if grams(rows[i]["problem"], 8) & grams(evaluation[rows[i]["planted_of"]], 8)
                 or len(re.findall(r"\w+", evaluation[rows[i]["planted_of"]])) < 8}  # fmt: skip
    assert reachable <= caught <= guilty
    assert len(caught) >= 0.85 * len(guilty) >= 5  # the rest has another name in every run of eight words
    assert all(dropped[f"r{i}"][0]["item"] == rows[i]["planted_of"] for i in caught)


def test_real_boilerplate():
    """The plain 13-gram rule flags 67 MATH training problems against AIME 2024; none of them is an AIME problem."""
    train, aime = BENCHMARKS / "math_train7474.parquet", str(BENCHMARKS / "aime24_test.parquet")
    if not train.exists():
        pytest.skip("the shared data is not here")
    problems = pq.read_table(train).column("question").to_pylist()
    assert len(run(decontaminate(against=aime, n=13, **ANY), problems)[1]) == 67
    assert len(run(decontaminate(against=aime), problems)[1]) == 0


def test_real_items_with_edits_are_found_and_with_other_numbers_are_not():
    path = BENCHMARKS / "math500_test.parquet"
    if not path.exists():
        pytest.skip("the shared data is not here")
    items = [t for t in pq.read_table(path).column("question").to_pylist() if len(words(t).words) >= 8]
    rng = random.Random(0)
    edited, changed = [], []
    for item in items:
        plain = [m for m in re.finditer(r"(?<!\\)\b[a-z]{3,}\b", item) if rng.random() < 0.06]
        text_ = item
        for m in plain[::-1]:
            text_ = text_[: m.start()] + rng.choice(["", "quite", "the other"]) + text_[m.end() :]
        edited.append(f"Solve this problem. {text_}")
        number = rng.choice(list(re.finditer(r"\d+", item)) or [None])
        if number:
            changed.append(item[: number.start()] + str(int(number[0]) + 1000) + item[number.end() :])
    function = decontaminate(against=str(path))
    assert len(run(function, edited)[1]) >= 0.97 * len(items)
    assert len(run(function, changed)[1]) <= 0.03 * len(changed)


def test_names_paths_and_mappings(bench, tmp_path):
    assert references(["aime24"])[0].settings["path"] == "hf:HuggingFaceH4/aime_2024::train"
    mapped = {"path": bench("q", name="mine"), "name": "theirs", "columns": {"problem": "question"}}
    assert [r.name for r in references([bench("q", name="mine"), mapped, "builtin:pocket-eval"])] == [
        "mine", "theirs", "pocket-eval"]  # fmt: skip
    assert all({"hub"} <= set(e) <= {"hub", "config", "split", "columns"} for e in registry().values())
    assert module.inputs({"against": [bench("q"), "builtin:pocket-eval", "aime24"]}) == [bench("q")]


def test_what_cannot_be(bench, tmp_path):
    for settings_, told in (
        ({"against": "aime42"}, "did you mean 'aime2"),
        ({"against": []}, "against is empty"),
        ({"against": {"pth": "x"}}, "write {path"),
        ({"against": "builtin:pocket-eval", "method": "embedding"}, "needs vectors (a column) or model"),
        ({"against": "builtin:pocket-eval", "method": "embeding"}, "did you mean 'embedding'"),
        ({"against": "builtin:pocket-eval", "method": []}, "is not known"),
        ({"against": "builtin:pocket-eval", "method": "judge"}, "needs an engine"),
        ({"against": "builtin:pocket-eval", "tokens": "bpe"}, "word, whitespace or char"),
        ({"against": "builtin:pocket-eval", "strip": ["lowr"]}, "did you mean 'lower'"),
        (
            {"against": "builtin:pocket-eval", "vectors": "a", "model": "b", "method": "judge", "engine": object()},
            "both",
        ),
        ({"against": "builtin:pocket-eval", "action": "delete"}, "drop or mark"),
        ({"against": "builtin:pocket-eval", "n": 0}, "at least 1"),
        ({"against": "builtin:pocket-eval", "min_coverage": 2}, "at most 1"),
    ):
        with pytest.raises(CheckError) as caught:
            decontaminate(**settings_)
        assert told in str(caught.value)
    with pytest.raises(InputError, match="no such file"):
        module.inputs({"against": f"{tmp_path}/none.jsonl"})
    path = tmp_path / "odd.jsonl"
    path.write_text('{"thing": "x"}')
    with pytest.raises(InputError, match="no column for problem"):
        decontaminate(against=str(path))(table(["x"]))


def test_rarity_counts_items_not_words():
    index = NgramIndex([Item("b", str(i), t) for i, t in enumerate(["rare word word word", "word again", "word"])], 2)
    rare, word = (index.weights(split(pa.array([w])).hashes)[0] for w in ("Rare", "word"))
    assert (rare, word) == (pytest.approx(math.log(4 / 1.5)), pytest.approx(math.log(4 / 3.5)))
    unseen = index.weights(np.array([1], np.uint64))[0]
    assert unseen == pytest.approx(math.log(4 / 0.5))
