"""Paraphrases are found, other problems are not; the compiled search misses nothing that the rule would convict."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.contamination.evidence import Item
from curator.contamination.paraphrase import SIMILARITY, ParaphraseIndex, Weights, _order, compare, hash_of
from curator.contamination.problem import body, read
from curator.kernels import features

DATA = Path(__file__).parents[2].parent / "shared" / "data"
BAKERY = (
    "A bakery sells 14 trays of 36 rolls before noon and twice as many trays of 24 rolls later. How many rolls in all?"
)
REWORDED = (
    "Question: Before midday 14 trays, each with 36 rolls, are sold by a bakery; afterwards it sells trays of 24 "
    "rolls, two times as many trays. What is the total of rolls that were sold?\nAnswer: \n#### 1176"
)


def index(*texts: str) -> ParaphraseIndex:
    return ParaphraseIndex([Item("b", str(i), t) for i, t in enumerate(texts)])


def convicted(found: ParaphraseIndex, *rows: str | None, **rule) -> list[int]:
    return sorted({h.row for h in found.hits(pa.array(rows, pa.string()), **rule) if h.convicted})


@pytest.mark.parametrize(("row", "found"), [
    (BAKERY, True),
    (REWORDED, True),
    (REWORDED.replace("36", "38"), False),  # another number
    (REWORDED.replace("two times", "three times"), False),  # another number in words
    (BAKERY.replace("36 rolls", "24 rolls").replace("of 24", "of 36"), False),  # numbers in other places
    (REWORDED.replace("14 trays,", "14 of 20 trays,"), False),  # a number more
    ("A farm has 14 cows that eat 36 kg and 28 goats that eat 24 kg. How much do they eat?", False),
    ("", False),
    (None, False),
    ("rolls", False),
])  # fmt: skip
def test_the_same_problem_in_other_words(row, found):
    assert convicted(index(BAKERY, "What is the capital of France?"), row) == ([0] if found else [])


def test_names_do_not_count():
    item = "Yesterday Toulouse counted 240 sheep in Seattle while Charleston drove 38 goats across the frozen river."
    row = "Yesterday Bilbao counted 240 sheep in Odessa while Antwerp drove 38 goats across the frozen river."
    assert convicted(index(item), row) == [0]


def test_operators_and_labels_count():
    item = "Let $a$ and $b$ be positive reals with $a^2 + b^2 = 25$ and $a + b = 7$. Compute the product of the reals."
    changed = item.replace("a^2 + b^2", "a^2 - b^2")
    assert convicted(index(item), item.replace("Compute", "Calculate"), changed) == [0]
    letters = "Determine how many arrangements of the seven letters of the word {} begin and end with a vowel."
    assert convicted(index(letters.format("ELLIPSE")), letters.format("ALABAMA")) == []


@pytest.mark.parametrize(("text", "digits", "spelled", "sequence"), [
    ("1,234.5 and 007", {"1234", "5", "7"}, set(), ("1234", "5", "7")),
    ("2.50 of 1 / 2, half", {"2.5", "1/2"}, {"1/2"}, ("2.5", "1/2", "1/2")),
    ("twice three dozen one", set(), {"2", "3", "12"}, ("2", "3", "12")),
    ("80,000 80000 12,34", {"80000", "12", "34"}, set(), ("80000", "80000", "12", "34")),
])  # fmt: skip
def test_numbers_have_values(text, digits, spelled, sequence):
    found = read(text)
    assert (set(found.digits), set(found.spelled), found.sequence) == (digits, spelled, sequence)


def test_the_question_is_cut_out():
    assert body("Question: How?\nAnswer: 3") == "How?"
    assert body("Problem: a #### 7") == "a "
    assert body("Answer: 3") == "Answer: 3"
    assert body("\nAnswer: 3") == "\nAnswer: 3"
    assert body("#### a #### b") == "#### a "


@given(st.lists(st.sampled_from("abc"), max_size=8), st.lists(st.sampled_from("abc"), max_size=8))
def test_order_is_the_common_subsequence(one, other):
    def lcs(a, b):
        if not a or not b:
            return 0
        return lcs(a[1:], b[1:]) + 1 if a[0] == b[0] else max(lcs(a[1:], b), lcs(a, b[1:]))

    expected = 2 * lcs(one, other) / (len(one) + len(other)) if one or other else 1.0
    assert _order(one, other) == pytest.approx(expected)


PARTS = (
    "Anna Bob the of sells rolls trays bakery midday afterwards total twice half three 3 14 36 1,000 1000 2.50 2.5 0.5 "
    "1/2 is's É Zoë ‘quoted’ $x^2$ \\frac{1}{2} = How many ? . #### \nAnswer: Question: sold Selling"
)
part = st.sampled_from(PARTS.split(" "))
problems = st.lists(part, max_size=14).map(" ".join)


@settings(deadline=None, max_examples=150)
@given(st.lists(problems, min_size=1, max_size=4), st.lists(problems, min_size=1, max_size=4), st.booleans())
def test_the_search_misses_no_pair_that_the_rule_convicts(items, rows, numbers):
    found = index(*items)
    proposed = {tuple(p) for p in found.candidates(pa.array(rows), SIMILARITY, numbers=numbers).tolist()}
    for r, row in enumerate(rows):
        for i, item in enumerate(items):
            likeness = compare(read(body(item)), read(body(row)), found.weight, numbers=numbers)
            if likeness.convicted:
                assert (r, i) in proposed


@settings(deadline=None)
@given(problems)
def test_the_kernel_reads_as_many_features_as_python(text):
    from curator.contamination.paraphrase import _spelled

    if text.isascii():
        kernel = features.read_texts([text], features.number_words(_spelled()))
        question = body(text) if text.lower().lstrip().startswith(("question", "problem")) else None
        if question is None:
            mine = read(body(text)).features  # before a question's first word the kernel sees no answer begin
            assert set(kernel.hashes.tolist()) == {hash_of(f) for f in mine} or not mine


def test_the_search_on_real_problems_misses_nothing():
    if not DATA.exists():
        pytest.skip("the shared data is not here")
    items = pq.read_table(DATA / "benchmarks/gsm8k_test.parquet").column("question").to_pylist()[:150]
    pairs = pq.read_table(DATA / "pairs/gsm8k_test_rephrased_llm_decontaminator_even.parquet")
    rows = pairs.column("variant").to_pylist()[:75]
    found = index(*items)
    proposed = {tuple(p) for p in found.candidates(pa.array(rows), SIMILARITY, numbers=True).tolist()}
    for r, row in enumerate(rows):
        theirs = read(body(row))
        for i in range(len(items)):
            if compare(found.problem(i), theirs, found.weight).convicted:
                assert (r, i) in proposed


def test_rows_do_not_see_each_other():
    found = index(BAKERY)
    rows = [REWORDED, None, "rolls", BAKERY] * 3
    whole = [(h.row, h.score) for h in found.hits(pa.array(rows))]
    alone = [(i, h.score) for i, row in enumerate(rows) for h in found.hits(pa.array([row], pa.string()))]
    assert whole == alone


def test_weights_have_a_prior():
    one = Weights(["the bakery sells 3 rolls"])
    assert one("bakery"[:5]) > 2 * one("the")
    assert one("#3") < one("#36")


def test_real_paraphrases_and_real_strangers():
    """Not a fit: half of the paraphrases must be found, and of 7,473 other problems hardly one."""
    if not DATA.exists():
        pytest.skip("the shared data is not here")
    found = index(*pq.read_table(DATA / "benchmarks/gsm8k_test.parquet").column("question").to_pylist())
    pairs = pq.read_table(DATA / "pairs/gsm8k_test_rephrased_llm_decontaminator_even.parquet").to_pylist()
    assert len(convicted(found, *(p["variant"] for p in pairs))) >= 0.85 * len(pairs)
    rng = random.Random(3)
    changed = []
    for pair in pairs:
        number = rng.choice(list(re.finditer(r"\d+", pair["original"])) or [None])
        if number:
            put = str(int(number[0]) + rng.choice([1, 2, 5]))
            changed.append(pair["original"][: number.start()] + put + pair["original"][number.end() :])
    assert len(convicted(found, *changed)) <= 0.01 * len(changed)
    strangers = pq.read_table(DATA / "benchmarks/gsm8k_train.parquet").column("question").to_pylist()
    assert len(convicted(found, *strangers)) <= 0.001 * len(strangers)
