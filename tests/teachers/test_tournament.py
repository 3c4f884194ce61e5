"""The numbers of a tournament against plain counting, its ranking, and what it says of itself."""

from __future__ import annotations

import math
import random
from collections import defaultdict
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tournament_rows import sample, three, written

from curator.errors import CheckError, InputError
from curator.teachers import PROXY, SMOKE, Asked, measure, rank
from curator.teachers.measure import interval

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "traces"


def of(found, teacher):
    return next(row for row in found if row["teacher"] == teacher)


def test_the_numbers_of_three_teachers(tmp_path):
    counted = measure([written(tmp_path, three())], Asked())
    strong = of(counted.teachers, "strong")
    assert (strong["problems"], strong["samples"], strong["decided"], strong["verified"]) == (20, 20, 20, 15)
    assert strong["verified_rate"] == strong["verified_rate_own"] == strong["solved_rate"] == 0.75
    assert strong["tokens_per_verified"] == pytest.approx(20 * 20 / 15)
    assert strong["solved_alone"] == 5
    assert (strong["student_perplexity"], strong["student_entropy"]) == (2.0, 0.5)
    low, high = strong["verified_rate_low"], strong["verified_rate_high"]
    assert (low, high) == pytest.approx((0.5313, 0.8881), abs=1e-4)  # Wilson's interval of 15 of 20
    assert (counted.by, counted.problems, counted.common, counted.unit) == ("engine", 20, 20, "tokens")


def test_pairs_count_who_solves_what_the_other_does_not(tmp_path):
    pairs = {(p["teacher"], p["other"]): p for p in measure([written(tmp_path, three())], Asked()).pairs}
    assert len(pairs) == 6
    one = pairs["strong", "middling"]
    assert (one["both"], one["only_teacher"], one["only_other"], one["neither"]) == (10, 5, 0, 5)
    assert one["other_answer"] == 5
    assert pairs["middling", "strong"]["difference"] == pytest.approx(-0.25)


def test_a_ranking_without_a_smoke_test_is_a_proxy_and_says_so(tmp_path):
    found = rank(measure([written(tmp_path, three())], Asked()))
    assert [r["teacher"] for r in found.teachers] == ["strong", "middling", "weak"]
    assert found.label == PROXY
    assert {r["ranking"] for r in found.teachers} == {PROXY}
    assert "proxy" in found.verdict
    assert "not selected" in found.verdict
    assert "teacher selected" not in found.verdict


def test_a_smoke_test_decides_against_the_proxy(tmp_path):
    scores = {
        "strong": {"aime": 0.2, "math": 0.4}, "middling": {"aime": 0.5, "math": 0.3}, "weak": {"aime": 0, "math": 0},
    }  # fmt: skip
    found = rank(measure([written(tmp_path, three())], Asked()), scores=scores)
    assert [r["teacher"] for r in found.teachers] == ["middling", "strong", "weak"]
    assert (found.label, found.measure) == (SMOKE, "smoke_mean")
    assert found.verdict.startswith("teacher selected: middling")
    first = found.teachers[0]
    assert (first["smoke_score_aime"], first["smoke_mean"]) == (0.5, pytest.approx(0.4))


def test_level_with_the_first_is_a_paired_difference(tmp_path):
    """Two teachers that differ on one problem of twenty cannot be told apart; one that fails all others can."""
    rows = [sample("a", f"p{p}", True) for p in range(20)]
    rows += [sample("b", f"p{p}", p != 3) for p in range(20)] + [sample("c", f"p{p}", p > 11) for p in range(20)]
    found = {r["teacher"]: r for r in rank(measure([written(tmp_path, rows)], Asked())).teachers}
    assert (found["a"]["level_with_first"], found["b"]["level_with_first"]) == (True, True)
    assert found["c"]["level_with_first"] is False
    assert found["c"]["behind_first"] == pytest.approx(0.6)
    assert found["c"]["behind_first_low"] == pytest.approx(0.6 - 1.96 * math.sqrt(0.6 * 0.4 / 19), abs=1e-3)


def test_missing_problems_are_stated_and_do_not_count(tmp_path):
    rows = [r for r in three() if not (r["engine"] == "weak" and r["problem_id"] in ("p1", "p5"))]
    counted = measure([written(tmp_path, rows)], Asked())
    assert (counted.problems, counted.common) == (20, 18)
    weak, strong = of(counted.teachers, "weak"), of(counted.teachers, "strong")
    assert (weak["cover"], weak["verified_rate"]) == (0.9, pytest.approx(3 / 18))
    assert (strong["verified_rate"], strong["verified_rate_own"]) == (pytest.approx(13 / 18), 0.75)


def test_a_teacher_with_few_problems_is_listed_and_not_ranked(tmp_path):
    rows = [*three(), *(sample("rare", f"p{p}", True) for p in range(3))]
    counted = measure([written(tmp_path, rows)], Asked())
    found = rank(counted)
    assert counted.common == 20
    assert found.unranked == {"rare": "a verdict on 3 of 20 problems, less than 90%"}
    assert found.teachers[-1]["teacher"] == "rare"
    assert found.teachers[-1]["rank"] is None
    assert of(measure([written(tmp_path, rows)], Asked(min_cover=0.1)).teachers, "rare")["verified_rate"] == 1.0


def test_an_open_verdict_is_left_out_and_an_answer_that_says_nothing_is_wrong(tmp_path):
    rows = [sample("a", "p0", True), sample("a", "p1", None), sample("a", "p2", None, verdict="unparseable")]
    rows += [sample("b", f"p{p}", True) for p in range(3)]
    counted = measure([written(tmp_path, rows)], Asked(min_cover=0.5))
    a = of(counted.teachers, "a")
    assert (a["decided"], a["undecided"], a["verified"], counted.common) == (2, 1, 1, 2)
    assert a["verified_rate"] == 0.5


def test_prices(tmp_path):
    prices = tmp_path / "prices.yaml"
    prices.write_text("version: t\nmodels:\n  strong: {input: 1.0, output: 2.0}\n  weak: {input: 0, output: 0}\n")
    counted = measure([written(tmp_path, three())], Asked(prices=prices))
    strong = of(counted.teachers, "strong")
    assert strong["cost"] == pytest.approx((20 * 5 * 1 + 20 * 20 * 2) / 1e6)
    assert strong["verified_per_dollar"] == pytest.approx(15 / strong["cost"])
    assert of(counted.teachers, "weak")["verified_per_dollar"] is None  # it costs nothing: no yield per dollar
    assert any("no price for middling" in note for note in counted.notes)
    assert rank(counted, "verified_per_dollar").teachers[0]["teacher"] == "strong"


def test_diversity_is_measured_at_equal_length(tmp_path):
    words = " ".join(f"w{i}" for i in range(400))
    rows = [sample("varied", f"p{p}", True, trace=f"{words} {p}") for p in range(2)]
    rows += [sample("dull", f"p{p}", True, trace="again and again " * 50) for p in range(2)]
    counted = measure([written(tmp_path, rows)], Asked())
    assert of(counted.teachers, "varied")["distinct_4"] == 1.0  # cut to the 300 words of the other
    assert of(counted.teachers, "dull")["distinct_4"] == pytest.approx(3 / 297)
    assert any("over 300 words" in note for note in counted.notes)


def test_what_is_not_there_is_said_and_not_made_up(tmp_path):
    gone = ("student_perplexity", "student_token_entropy", "student_n_scored", "trace", "n_tokens", "predicted_answer")
    counted = measure([written(tmp_path, three(), without=gone)], Asked())
    strong = of(counted.teachers, "strong")
    lacking = ("student_perplexity", "student_entropy", "distinct_4", "tokens_per_verified", "cost")
    assert {strong[k] for k in lacking} == {None}
    said = " ".join(counted.notes)
    assert "no likelihood under the student" in said
    assert "no texts" in said
    with pytest.raises(CheckError, match="no teacher has a student_perplexity"):
        rank(counted, "student_perplexity")


@pytest.mark.parametrize(
    ("change", "asked", "error", "said"),
    [
        ({"without": ("engine",)}, Asked(), CheckError, "name one: --by"),
        ({}, Asked(by="engin"), CheckError, "did you mean 'engine'"),
        ({}, Asked(correct="verdict"), CheckError, "not true, false or null"),
        ({}, Asked(by="finish_reason"), InputError, "only 'stop'"),
        ({}, Asked(min_cover=1.1), InputError, "no problem has a verdict of all 0"),
    ],
)
def test_bad_input_is_told(tmp_path, change, asked, error, said):
    with pytest.raises(error, match=said):
        measure([written(tmp_path, three(), **change)], asked)


def test_teachers_that_share_no_problem(tmp_path):
    rows = [sample("a", f"p{p}", True) for p in range(5)] + [sample("b", f"q{p}", True) for p in range(5)]
    with pytest.raises(InputError, match="no problem has a verdict of all 2 ranked teachers"):
        measure([written(tmp_path, rows)], Asked(min_cover=0.5))


def test_a_measure_that_does_not_exist(tmp_path):
    with pytest.raises(CheckError, match="cannot rank by 'fame'"):
        rank(measure([written(tmp_path, three())], Asked()), "fame")


cells = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(0, 2), st.sampled_from([True, False, None])),
    min_size=2, max_size=30, unique_by=lambda c: c[:3],
)  # fmt: skip


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cells, st.randoms(use_true_random=False))
def test_the_same_numbers_for_any_order_and_any_cut_into_files(tmp_path, found, chance):
    rows = [sample(t, f"p{p}", ok, i) for t, p, i, ok in found]
    asked = Asked(min_cover=0.0)

    def told(*files):
        try:
            held = rank(measure(list(files), asked))
        except InputError as e:
            return str(e)
        return held.teachers, held.pairs, held.common

    whole = told(written(tmp_path, rows))
    mixed = chance.sample(rows, len(rows))
    half = len(mixed) // 2
    cut = told(written(tmp_path, mixed[:half], name="1.parquet"), written(tmp_path, mixed[half:], name="2.parquet"))
    assert cut == whole
    if isinstance(whole, tuple):
        by_hand = defaultdict(list)
        for t, p, _, ok in found:
            by_hand[t, p] += [] if ok is None else [ok]
        teachers = {t for t, *_ in found}
        common = {p for p in range(4) if all(by_hand.get((t, p)) for t in teachers)}
        assert whole[2] == len(common)
        for row in whole[0]:
            rates = [sum(by_hand[row["teacher"], p]) / len(by_hand[row["teacher"], p]) for p in common]
            assert row["verified_rate"] == pytest.approx(sum(rates) / len(rates))
            assert row["verified_rate_low"] <= row["verified_rate"] + 1e-12
            assert row["verified_rate_high"] >= row["verified_rate"] - 1e-12


def test_the_interval_covers_when_samples_of_a_problem_are_alike():
    """Four samples a problem, all four alike in most problems: as sure as the problems, not as the samples."""
    chance, hits, rounds = random.Random(0), 0, 400
    for _ in range(rounds):
        rates = []
        for _ in range(60):
            p = chance.choice([0.02, 0.98])  # the truth over problems is one half
            rates.append(sum(chance.random() < p for _ in range(4)) / 4)
        mean = sum(rates) / 60
        variance = sum((r - mean) ** 2 for r in rates) / 59
        low, high = interval(mean, variance, 60, 240)
        hits += low <= 0.5 <= high
    assert 0.91 <= hits / rounds <= 0.98
    alike, single = interval(0.5, 0.25, 60, 240), interval(0.5, 0.25, 60, 60)
    assert alike[1] - alike[0] == pytest.approx(single[1] - single[0], rel=0.02)


@pytest.mark.skipif(not DATA.exists(), reason="real data is not there (../shared/data)")
@pytest.mark.parametrize(("name", "teachers"), [("gsm8k_outcomes_44models", 44), ("math_l5_outcomes_43models", 43)])
def test_real_outcomes_give_their_own_accuracies(name, teachers):
    path = DATA / f"zeroeval_{name}.parquet"
    counted = measure([path], Asked(by="model"))
    held = defaultdict(list)
    for row in pq.read_table(path, columns=["model", "correct"]).to_pylist():
        held[row["model"]] += [] if row["correct"] is None else [row["correct"]]
    assert len(counted.teachers) == teachers
    for row in counted.teachers:
        assert row["verified_rate_own"] == pytest.approx(sum(held[row["teacher"]]) / len(held[row["teacher"]]))
    assert 0 < len(counted.unranked) < 3
