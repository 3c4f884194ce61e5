"""export_run: another format from a finished run, without running it again."""

import json

import pytest
from export_stand import files, read, some

import curator as cu
from curator.errors import CheckError, InputError, OutputError
from curator.export import export_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = tmp_path_factory.mktemp("run")
    (base / "rows.jsonl").write_text("\n".join(map(json.dumps, some(8))) + "\n", "utf-8")
    parts = {"train": 0.6, "test": 0.4}
    chain = cu.read(path=str(base / "rows.jsonl")) | cu.select(where="problem_id <> 'p-3'") | cu.export(split=parts)
    chain.run(base / "mine", progress=False)
    return base / "mine"


def test_the_run_itself_wrote_a_dataset(run):
    assert len(read(run / "out")) == 14
    card = (run / "out" / "README.md").read_text()
    assert "| select | where | 2 |" in card
    assert (run / "out" / "pipeline.yaml").read_text() == (run / "pipeline.yaml").read_text()


def test_the_same_format_gives_the_same_bytes_as_the_run(run, tmp_path):
    again = files(export_run(run, "trl", tmp_path / "d", split={"train": 0.6, "test": 0.4}))
    assert again == files(run / "out")


def test_another_format(run, tmp_path):
    out = export_run(run, ["verl-rl", "hf"], tmp_path / "a" / "d", verifier="math")
    assert out == tmp_path / "a" / "d"
    assert len(read(out)) == 7
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["d"]  # nothing left beside it


def test_a_folder_with_something_in_it_is_not_touched(run, tmp_path):
    (tmp_path / "x").write_text("mine")
    with pytest.raises(OutputError, match="exists and is not empty"):
        export_run(run, "trl", tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


def test_a_failure_leaves_nothing_behind(run, tmp_path):
    with pytest.raises(InputError, match="has no column|have no column 'own'"):
        export_run(run, "trl", tmp_path / "d", columns=("own",))
    with pytest.raises(CheckError, match="did you mean"):
        export_run(run, "tlr", tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_not_a_run(tmp_path):
    with pytest.raises(CheckError):
        export_run(tmp_path, "trl", tmp_path / "d")
