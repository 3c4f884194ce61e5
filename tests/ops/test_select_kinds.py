"""`select`: chance, difference, quotas, balanced draws, and the length-only control beside a choice by likelihood."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tableview import ids, step

from curator.difficulty.diversity import distances, max_min
from curator.errors import CheckError
from curator.op import find
from curator.ops.grade import grade
from curator.ops.select import select

GOLDEN = Path(__file__).parents[2].parent / "shared" / "specs" / "golden.json"
SCHEMA = pa.schema([
    ("row_id", pa.string()), ("problem_id", pa.string()), ("sample_idx", pa.int32()), ("domain", pa.string()),
    ("n_tokens", pa.int32()), ("think", pa.string()), ("logprob_mean", pa.float64()), ("score", pa.float64()),
    ("level", pa.string()),
])  # fmt: skip


def table(*rows: dict) -> pa.Table:
    filled = [{"row_id": f"r{i:04}", "problem_id": f"p{i:04}", "sample_idx": 0, **r} for i, r in enumerate(rows)]
    return pa.Table.from_pylist(filled, schema=SCHEMA)


def reasons(dropped: list[dict]) -> Counter:
    return Counter(r["reason"] for r in dropped)


# chance


def test_a_problem_has_one_fate_and_the_share_is_right():
    rows = table(*({"problem_id": f"p{i // 3}"} for i in range(3000)))
    out, dropped, _ = step(select(chance=0.3, seed=1), rows)
    kept = {r["problem_id"] for r in out}
    assert kept.isdisjoint(r["problem_id"] for r in rows.to_pylist() if r["row_id"] in {d["row_id"] for d in dropped})
    assert len(kept) / 1000 == pytest.approx(0.3, abs=0.05)
    assert ids(step(select(chance=0.3, seed=2), rows)[0]) != ids(out)
    assert set(ids(step(select(chance=0.2, seed=1), rows)[0])) <= set(ids(out))
    assert (len(step(select(chance=1.0), rows)[0]), len(step(select(chance=0.0), rows)[0])) == (3000, 0)
    assert reasons(dropped) == {"not_drawn": 3000 - len(out)}


def test_chance_where_and_by_value():
    rows = table(*({"domain": d} for d in ("math", "other", "odd") for _ in range(300)))
    out, _, _ = step(select(chance=0.5, chance_where="domain = 'other'"), rows)
    found = Counter(r["domain"] for r in out)
    assert (found["math"], found["odd"]) == (300, 300)
    assert found["other"] == pytest.approx(150, abs=40)
    out, _, _ = step(select(chance={"math": 0.0, "other": 0.5}, strata="domain"), rows)
    found = Counter(r["domain"] for r in out)
    assert (found["math"], found["odd"]) == (0, 300)
    out, _, _ = step(select(chance={"math": 1, "*": 0}, strata="domain"), rows)
    assert Counter(r["domain"] for r in out) == {"math": 300}


def test_golden_deepdistill_stage_one():
    """grade, then select: the samples of Algorithm 1."""
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "deepdistill_stage1_decision"]
    keep = "passed and (decision = 'cv_high' or (decision = 'cv_low' and domain in ('other', 'multiturn')))"
    drawn = {"keep": {1.0}, "keep_p0.5": {0.0, 1.0}, "drop": {0.0}}
    for case in group["cases"]:
        rows = table(*({"problem_id": "p", "domain": case["category"], "score": s} for s in case["scores"]))
        graded, _, _ = step(grade(score="score", threshold=case["thr"], cv_min=case["cv_t"], ddof=case["ddof"]), rows)
        shares = set()
        for seed in range(12):
            run = select(where=keep, chance=0.5, chance_where="decision = 'cv_low'", seed=seed)
            out, _, _ = step(run, pa.Table.from_pylist(graded))
            kept = [int(r["row_id"][1:]) for r in out]
            assert kept in ([], case["kept_indices"]), case
            shares.add(float(bool(kept)))
        assert shares == (drawn[case["decision"]] if case["kept_indices"] else {0.0}), case


# difference


def test_golden_ded():
    if not GOLDEN.exists():
        pytest.skip("the shared specification is not here")
    (group,) = [g for g in json.loads(GOLDEN.read_text())["groups"] if g["id"] == "ded_diversity"]
    for case in group["cases"]:
        rows = table(*({"problem_id": "p", "sample_idx": i, "think": s} for i, s in enumerate(case["strings"])))
        out, dropped, counts = step(select(diverse=case["mode"], k=case["P"]), rows)
        assert [r["sample_idx"] for r in out] == case["selected_sorted"]
        assert counts == {"mean_length_picked": 4.0, "mean_length_offered": 4.0}
        for d in dropped:
            assert d["reason"] == "not_diverse"
            assert d["evidence"]["nearest"] in ids(out)


traces = st.lists(
    st.tuples(st.sampled_from(["p", "q", None]), st.integers(0, 5), st.one_of(st.none(), st.text("ab", max_size=5))),
    max_size=12,
)


@settings(deadline=None, max_examples=40)
@given(traces, st.integers(1, 4), st.randoms(use_true_random=False), st.integers(1, 5))
def test_the_most_different_of_each_group_whatever_the_order(rows, k, random, batch):
    rows = [
        {"row_id": f"r{i:04}", "problem_id": p, "sample_idx": s, "think": t} for i, (p, s, t) in enumerate(rows)
    ]
    shuffled = rows[:]
    random.shuffle(shuffled)
    out, dropped, counts = step(select(diverse="max_min", k=k), table(*rows))
    assert step(select(diverse="max_min", k=k), table(*shuffled), batch) == (out, dropped, counts)
    for problem in {r["problem_id"] for r in rows}:
        mine = [r for r in rows if r["problem_id"] == problem and r["think"] is not None]
        mine.sort(key=lambda r: (r["sample_idx"], r["row_id"]))
        chosen = max_min(distances([r["think"] for r in mine]), k)
        assert {r["row_id"] for r in out if r["problem_id"] == problem} == {mine[i]["row_id"] for i in chosen}
    assert reasons(dropped)["no_text"] == sum(r["think"] is None for r in rows)


# quotas and proportions


def test_quota_of_each_stratum_by_rank():
    rows = table(*({"domain": "math" if i % 3 else "science", "score": float(i)} for i in range(30)))
    out, dropped, _ = step(select(strata="domain", quota={"math": 3, "*": 1}, rank="score desc"), rows)
    assert ids(out) == ["r0026", "r0027", "r0028", "r0029"]
    assert reasons(dropped) == {"over_quota": 26}
    evidence = dropped[0]["evidence"]
    assert evidence == {"domain": "science", "rows": 1}
    assert Counter(r["domain"] for r in step(select(strata="domain", quota=2), rows)[0]) == {"math": 2, "science": 2}
    assert len(step(select(strata="domain", quota={"math": 0}), rows)[0]) == 10


def test_in_proportion_to_the_strata():
    rows = table(*({"domain": d, "level": v} for d, v, n in (("a", "x", 50), ("a", "y", 30), (None, "x", 20))
                   for _ in range(n)))  # fmt: skip
    out, dropped, counts = step(select(strata=["domain", "level"], n=10), rows)
    assert Counter((r["domain"], r["level"]) for r in out) == {("a", "x"): 5, ("a", "y"): 3, (None, "x"): 2}
    assert counts["short_by"] == 0
    assert reasons(dropped)["over_quota"] == 90
    assert step(select(strata="domain", n=500), rows)[2]["short_by"] == 400


def test_the_first_by_rank():
    rows = table(*({"score": float(i % 7)} for i in range(20)))
    out, _, counts = step(select(n=4, rank="score desc"), rows)
    assert ids(out) == ["r0005", "r0006", "r0012", "r0013"]
    assert counts["short_by"] == 0


# balanced


def test_domains_alike_and_long_rows_first():
    rows = table(*({"domain": d, "n_tokens": 10 * i} for d, n in (("a", 300), ("b", 30), ("c", 3)) for i in range(n)))
    out, dropped, counts = step(select(balanced="domain", n=60, seed=3), rows)
    found = Counter(r["domain"] for r in out)
    assert found["c"] == 3
    assert abs(found["a"] - found["b"]) < 25
    assert counts["short_by"] == 0
    assert min(r["n_tokens"] for r in out if r["domain"] == "a") > 2000
    assert reasons(dropped) == {"not_balanced": 273}
    weighted, _, _ = step(select(balanced="domain", n=10, weights={"a": 1}), rows)
    assert {r["domain"] for r in weighted} == {"a"}
    assert step(select(balanced="domain", n=999), rows)[2]["short_by"] == 666


# the control


def test_a_choice_by_likelihood_reports_what_length_alone_would_choose():
    rows = table(
        *({"problem_id": p, "logprob_mean": v, "n_tokens": n} for p, v, n in
          (("p", -0.1, 900), ("p", -0.9, 9), ("q", -0.1, 10), ("q", -0.9, 800)))
    )  # fmt: skip
    out, _, counts = step(select(best="logprob_mean desc"), rows)
    assert [r["n_tokens"] for r in out] == [900, 10]
    assert counts == {
        "control_picked": 2, "control_same_as_longest": 1, "control_same_as_shortest": 1,
        "control_mean_length_picked": 455, "control_mean_length_longest": 850, "control_mean_length_shortest": 9.5,
        "control_mean_length_offered": pytest.approx(429.75),
    }  # fmt: skip
    assert not any(c.startswith("control") for c in step(select(best="score desc"), rows)[2])
    named = rows.rename_columns([f"student_{c}" if c == "logprob_mean" else c for c in rows.column_names])
    assert step(select(best="student_logprob_mean / 2 desc", length="length(row_id)"), named)[2][
        "control_mean_length_picked"
    ] == 5  # fmt: skip
    with pytest.raises(CheckError, match="length-only control wants a length"):
        step(select(best="logprob_mean desc"), rows.drop_columns(["n_tokens"]))


# all of it


parts = st.sampled_from([
    {"chance": 0.5}, {"best": "score desc", "k": 2, "per": "domain"}, {"strata": "domain", "quota": 2},
    {"strata": ["domain", "level"], "n": 5}, {"balanced": "domain", "n": 6}, {"n": 4}, {"n": 4, "rank": "score"},
    {"where": "score > 1", "chance": 0.7, "best": "logprob_mean desc", "strata": "domain", "quota": {"a": 1}},
])  # fmt: skip
sample = st.fixed_dictionaries({
    "problem_id": st.sampled_from(["p", "q", "r", None]), "domain": st.sampled_from(["a", "b", None]),
    "level": st.sampled_from(["x", "y"]), "score": st.one_of(st.none(), st.integers(0, 3).map(float)),
    "n_tokens": st.integers(0, 3), "logprob_mean": st.sampled_from([-1.0, -0.5]),
})  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(st.lists(sample, max_size=14), parts, st.randoms(use_true_random=False), st.integers(0, 3))
def test_the_order_of_rows_and_shards_does_not_matter(rows, run, random, seed):
    rows = [{"row_id": f"r{i:04}", **r} for i, r in enumerate(rows)]
    shuffled = rows[:]
    random.shuffle(shuffled)
    one, two = step(select(**run, seed=seed), table(*rows), 2), step(select(**run, seed=seed), table(*shuffled), 7)
    assert one[:2] == two[:2]
    assert one[2] == pytest.approx(two[2])


def test_a_run_does_not_depend_on_its_shards(tmp_path):
    import pyarrow.parquet as pq

    import curator as cu
    from curator.run.local import run

    rows = [{"problem_id": f"p{i % 40}", "sample_idx": i // 40, "domain": "ab"[i % 2], "n_tokens": i * 7 % 90,
             "problem": "x", "trace": f"{i}"} for i in range(160)]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet")
    pipeline = (
        cu.read(str(tmp_path / "in.parquet")) | cu.select(chance=0.8) | cu.select(best="n_tokens desc", k=2)
        | cu.select(balanced="domain", n=20)
    )  # fmt: skip
    found = [
        run(pipeline, tmp_path / f"run{size}", workers=0, progress=False, shard_rows=size).table().to_arrow_table()
        for size in (7, 160)
    ]
    assert found[0].sort_by("row_id") == found[1].sort_by("row_id")
    assert len(found[0]) == 20


def test_waves_only_where_a_problem_s_fate_is_its_own():
    defaults = {s.name: s.default for s in find("select").settings}

    def enough(**given_):
        return find("select").enough({**defaults, **given_})

    assert enough(n=5) == enough(n=5, best="score") == enough(n=5, chance=0.5) == 5
    assert enough(n=5, rank="score") is None
    assert enough(n=5, best="score", per="domain") is None
    assert enough(n=5, strata="domain") is enough(n=5, balanced="domain") is None
    assert enough(n=5, chance=0.5, chance_by="domain") is None
    key = find("select").key
    assert key({**defaults, "chance": 0.5}) == ("problem_id",)
    assert key({**defaults, "strata": "domain", "quota": 1}) == ()


@pytest.mark.parametrize(("bad", "said"), [
    ({"quota": 3}, "set strata"), ({"strata": "domain"}, "wants n"), ({"chance": 1.5}, "between 0 and 1"),
    ({"chance": {"a": 0.5}}, "set strata"), ({"chance_where": "true", "n": 1}, "set chance"),
    ({"best": "score", "diverse": "max_min"}, "step of its own"), ({"balanced": "domain"}, "set n"),
    ({"weights": {"a": 1}, "n": 1}, "domains of balanced"), ({"rank": "score", "where": "true"}, "set one of them"),
    ({"strata": "domain", "quota": -1}, "0 or more"), ({}, "nothing to do"),
])  # fmt: skip
def test_settings_that_do_not_fit(bad, said):
    with pytest.raises(CheckError, match=said):
        select(**bad)
