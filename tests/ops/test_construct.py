"""`construct`: rows of a level depend on seed, level and number alone; `verify: {kind: sat}` accepts any solution."""

import pyarrow as pa
import pytest

import curator as cu
from curator.errors import CheckError, InputError
from curator.op import find
from curator.sat import solutions


def rows(**given):
    return [r for part in find("construct").factory(**given)() for r in part.table.to_pylist()]


def test_rows_carry_their_certificate():
    found = rows(levels=[(3, 5, 13)], n=5, seed=1)
    assert [r["row_id"] for r in found] == [f"sat-3-5-13-0000{i}" for i in range(5)]
    for r in found:
        right = solutions(r["clause"], r["k"])
        assert r["solution"] == r["answer"]
        assert r["solution"] in right
        assert r["n_solutions"] == len(right)
        assert r["guess_rate"] == len(right) / 32
        assert r["sat_difficulty"] == pytest.approx(8.3895, abs=1e-3)
        assert r["problem"].count("(") == 13


def test_a_row_does_not_depend_on_the_others():
    few, many = rows(levels=[(3, 5, 5)], n=3, seed=1), rows(levels=[(3, 6, 20), (3, 5, 5)], n=6, seed=1)
    assert few == many[6:9]
    assert rows(levels=[(3, 5, 5)], n=3, seed=2) != few


def test_max_guess_rate_holds_for_every_row():
    assert all(r["guess_rate"] <= 0.35 for r in rows(levels=[(3, 5, 6)], n=20, max_guess_rate=0.35, seed=0))


@pytest.mark.parametrize(
    ("given", "said"),
    [({"levels": [(6, 5, 3)]}, r"level \(6, 5, 3\) wants 1 <= n <= k"),
     ({"levels": [(3, 4, 40)]}, "has only 28 clauses"),
     ({"levels": []}, "there must be a level"),
     ({"max_guess_rate": 0.0}, r"it wants \(0, 1\]"),
     ({"levels": [(3, 20, 5)], "max_guess_rate": 0.5}, "at most 16 letters")],
)  # fmt: skip
def test_levels_that_cannot_be_are_refused(given, said):
    with pytest.raises(CheckError, match=said):
        find("construct").factory(**given)


def test_where_there_are_no_other_problems_it_says_so():
    with pytest.raises(InputError, match="ask for fewer than n: 20"):
        rows(levels=[(1, 2, 2)], n=20, seed=0)
    with pytest.raises(InputError, match="raise max_guess_rate or l"):
        rows(levels=[(3, 5, 1)], n=1, max_guess_rate=0.01, seed=0)


def judged(clause, answers, k=2):
    n = len(answers)
    clauses = pa.array([clause] * n, pa.list_(pa.list_(pa.int32())))
    table = pa.table(
        {"row_id": [str(i) for i in range(n)], "trace": answers, "k": pa.array([k] * n, pa.int32()), "clause": clauses}
    )
    out = find("verify").factory(kind="sat")(table)
    return list(zip(out["verdict"].to_pylist(), out["verdict_detail"].to_pylist(), strict=True))


def test_every_solution_is_right_and_hostile_text_is_only_text():
    boxed = [rf"\boxed{{{bits}}}" for bits in ("01", "10", "11", "00", "111")]
    said = judged([[1, 2]], [*boxed, "no idea at all"])
    assert [v for v, _ in said] == ["correct", "correct", "correct", "incorrect", "unparseable", "unparseable"]
    assert said[3][1] == "1 of 1 clauses are not met"
    assert judged([[1, 2]], [r"\boxed{__import__('os').abort()}"])[0][0] == "unparseable"
    assert judged([[1, 3]], [r"\boxed{01}"])[0][0] == "error"


def test_a_page_of_it_checks():
    judged = cu.generate(engine=cu.engine("pocket")) | cu.verify(kind="sat")
    assert (cu.construct(n=2) | judged).check() == []
    problems = (cu.read(path="builtin:pocket") | judged).check()
    assert "needs column 'clause'" in str(problems[0])
    assert "construct adds it" not in str(problems[0])
