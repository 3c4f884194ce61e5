"""The smoke test: corpora of the same problems, a training command or a file of results, and the wrong ones refused."""

from __future__ import annotations

import json
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tournament_rows import sample, three, written

from curator import barrier
from curator.errors import CheckError, InputError, OperatorError, Waiting
from curator.teachers import Asked, measure, smoke


@pytest.fixture
def held(tmp_path):
    file = written(tmp_path, three())
    counted = measure([file], Asked())
    return counted, smoke.corpora([file], counted, Asked(), tmp_path / "smoke")


def test_corpora_hold_the_same_problems_one_verified_trace_each(held):
    _, given = held
    assert list(given) == ["middling", "strong", "weak"]
    rows = {teacher: pq.read_table(path).to_pylist() for teacher, path in given.items()}
    ids = [[r["problem_id"] for r in found] for found in rows.values()]
    assert ids[0] == ids[1] == ids[2]
    assert sorted(ids[0]) == sorted(f"p{p}" for p in range(20) if p % 4 == 1)  # what the weakest solves
    first = rows["strong"][0]
    assert first["messages"][0] == {"role": "user", "content": f"What is {first['problem_id']}?"}
    assert first["messages"][1]["content"].endswith("it is True")


def test_the_size_of_the_corpora_is_bounded_and_does_not_hang_on_the_order(tmp_path, held):
    counted, _ = held
    file = written(tmp_path, list(three())[::-1], name="turned.parquet")
    one = smoke.corpora([tmp_path / "samples.parquet"], counted, Asked(), tmp_path / "a", size=2)
    two = smoke.corpora([file], counted, Asked(), tmp_path / "b", size=2)
    for teacher in one:
        assert pq.read_table(one[teacher]).num_rows == 2
        assert pq.read_table(one[teacher]).equals(pq.read_table(two[teacher]))


def trainer(tmp_path, body):
    script = tmp_path / "train.py"
    script.write_text(f"import json, pathlib, sys\ncorpus, out = map(pathlib.Path, sys.argv[1:])\n{body}\n")
    return f"{sys.executable} {script} {{corpus}} {{result}}"


def test_a_training_command_makes_the_scores(tmp_path, held):
    _, given = held
    command = trainer(tmp_path, "out.write_text(json.dumps({'bench': len(corpus.parent.name) / 100}))")
    scores = smoke.train(given, command, 60)
    assert scores == {t: {"bench": len(p.parent.name) / 100} for t, p in given.items()}
    for path in given.values():
        receipt = json.loads((path.parent / "receipt.json").read_text())
        assert receipt["inputs"] == {"corpus": barrier.fingerprint(path)}


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        ("sys.exit('no GPU here')", OperatorError, "no GPU here"),
        ("out.write_text('{}')", InputError, "holds no scores"),
        ("out.write_text('[1]')", InputError, "holds no scores"),
        ("out.write_text('{\"a\": NaN}')", InputError, "holds no scores"),
        ("out.write_text('{\"a\": true}')", InputError, "holds no scores"),
        ("out.write_text('loss: 3')", InputError, "not JSON"),
        ("out.write_text(json.dumps({corpus.parent.name: 1}))", InputError, "different benchmarks"),
    ],
)
def test_a_training_that_gives_no_scores_is_not_believed(tmp_path, held, body, error, said):
    with pytest.raises(error, match=said):
        smoke.train(held[1], trainer(tmp_path, body), 60)


def test_without_a_command_it_waits(held):
    with pytest.raises(Waiting, match="waits for"):
        smoke.train(held[1], None, 60)


def results(tmp_path, rows, name="results.json"):
    path = tmp_path / name
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        lines = [",".join(rows[0]), *(",".join(map(str, r.values())) for r in rows)]
        path.write_text("\n".join(lines) + "\n")
    else:
        path.write_text(json.dumps(rows))
    return path


GOOD = [{"teacher": t, "aime": 0.1 * i} for i, t in enumerate(("middling", "strong", "weak"))]


@pytest.mark.parametrize("name", ["r.json", "r.parquet", "r.csv"])
def test_a_file_of_results(tmp_path, held, name):
    scores = smoke.results(results(tmp_path, GOOD, name), held[0])
    assert scores == {r["teacher"]: {"aime": pytest.approx(r["aime"])} for r in GOOD}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (GOOD[:2], "other teachers: it lacks weak"),
        ([*GOOD, {"teacher": "gpt", "aime": 1}], "it knows gpt"),
        ([*GOOD, GOOD[0]], "it repeats middling"),
        ([{**r, "teacher": r["teacher"].upper()} for r in GOOD], "it lacks middling, strong, weak; it knows MIDDLING"),
        ([{"name": "x"}], "no column teacher"),
        ([{**r, "aime": None} for r in GOOD], "holds no scores"),
        ([{"teacher": r["teacher"]} for r in GOOD], "holds no scores"),
    ],
)
def test_results_of_the_wrong_teachers_are_refused(tmp_path, held, rows, said):
    with pytest.raises(InputError, match=said):
        smoke.results(results(tmp_path, rows), held[0])


def test_results_of_another_corpus_are_refused(tmp_path, held):
    counted, given = held
    rows = [{**r, "corpus_sha256": barrier.fingerprint(given[r["teacher"]])} for r in GOOD]
    assert set(smoke.results(results(tmp_path, rows), counted, given)) == set(given)
    rows[1]["corpus_sha256"] = rows[0]["corpus_sha256"]
    with pytest.raises(InputError, match="student of 'strong' saw another corpus"):
        smoke.results(results(tmp_path, rows), counted, given)


def test_what_cannot_be_read(tmp_path, held):
    with pytest.raises(InputError, match="is none of"):
        smoke.results(tmp_path / "r.txt", held[0])
    (tmp_path / "r.json").write_text("{{{")
    with pytest.raises(InputError, match="cannot read"):
        smoke.results(tmp_path / "r.json", held[0])


def test_no_problem_that_all_solve(tmp_path):
    rows = [sample("a", f"p{p}", p < 5) for p in range(10)] + [sample("b", f"p{p}", p >= 5) for p in range(10)]
    file = written(tmp_path, rows)
    with pytest.raises(InputError, match="no fair smoke test"):
        smoke.corpora([file], measure([file], Asked()), Asked(), tmp_path / "s")


def test_no_texts_to_train_on(tmp_path):
    file = written(tmp_path, three(), without=("trace",))
    with pytest.raises(CheckError, match="no column 'trace'"):
        smoke.corpora([file], measure([file], Asked()), Asked(), tmp_path / "s")


def test_hostile_names_stay_in_their_folder(tmp_path):
    rows = [sample(t, f"p{p}", True) for t in ("../../x", "../../y", "a/b") for p in range(3)]
    file = written(tmp_path, rows)
    given = smoke.corpora([file], measure([file], Asked()), Asked(), tmp_path / "s")
    assert len({path.parent for path in given.values()}) == 3
    assert all(path.parent.parent == tmp_path / "s" for path in given.values())
