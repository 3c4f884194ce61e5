"""The barrier: what is handed over, what comes back, and that neither is taken for another."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest

from curator.barrier import fingerprint, pass_barrier
from curator.errors import CheckError, InputError, OperatorError, Waiting


@pytest.fixture
def corpus(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    return folder


@pytest.fixture
def trainer(tmp_path):
    """A program that counts its runs and writes how much it was given."""
    script = tmp_path / "train.py"
    script.write_text(
        "import json, pathlib, sys\n"
        f"runs = pathlib.Path({str(tmp_path / 'runs')!r})\n"
        "runs.write_text(runs.read_text() + 'x' if runs.exists() else 'x')\n"
        "n = len((pathlib.Path(sys.argv[1]) / 'a.txt').read_text())\n"
        "pathlib.Path(sys.argv[2]).write_text(json.dumps({'score': n}))\n"
    )
    return f"{sys.executable} {script} {{corpus}} {{result}}"


def runs(tmp_path):
    return len((tmp_path / "runs").read_text()) if (tmp_path / "runs").exists() else 0


def test_it_waits_and_goes_on_once_the_result_is_there(tmp_path, corpus):
    at = tmp_path / "b"
    with pytest.raises(Waiting, match="waits for .*result.json, to be made from corpus") as told:
        pass_barrier(at, {"corpus": corpus})
    assert told.value.exit_code == 9
    assert json.loads((at / "manifest.json").read_text())["corpus"]["sha256"] == fingerprint(corpus)
    (at / "result.json").write_text("{}")
    assert pass_barrier(at, {"corpus": corpus}) == at / "result.json"
    assert json.loads((at / "receipt.json").read_text())["inputs"] == {"corpus": fingerprint(corpus)}


def test_a_result_is_not_taken_for_other_inputs(tmp_path, corpus):
    at = tmp_path / "b"
    at.mkdir()
    (at / "result.json").write_text("{}")
    pass_barrier(at, {"corpus": corpus})
    (corpus / "a.txt").write_text("two!")
    with pytest.raises(InputError, match="made from other inputs"):
        pass_barrier(at, {"corpus": corpus})


def test_a_command_runs_once_for_the_same_inputs(tmp_path, corpus, trainer):
    at = tmp_path / "b"
    for _ in range(2):
        assert json.loads(pass_barrier(at, {"corpus": corpus}, command=trainer).read_text()) == {"score": 3}
    assert runs(tmp_path) == 1
    (corpus / "a.txt").write_text("four")
    assert json.loads(pass_barrier(at, {"corpus": corpus}, command=trainer).read_text()) == {"score": 4}
    assert runs(tmp_path) == 2
    (at / "result.json").write_text('{"score": 99}')  # somebody wrote over it: it is no longer what the receipt says
    assert json.loads(pass_barrier(at, {"corpus": corpus}, command=trainer).read_text()) == {"score": 4}


def test_a_command_that_fails_is_told_with_its_last_words(tmp_path, corpus):
    bad = f"{sys.executable} -c \"import sys; print('{{corpus}} {{result}}'[:0] + 'out of memory'); sys.exit(3)\""
    with pytest.raises(OperatorError, match="code 3: out of memory"):
        pass_barrier(tmp_path / "b", {"corpus": corpus}, command=bad)
    assert not (tmp_path / "b/receipt.json").exists()


def test_a_command_that_writes_nothing_is_not_believed(tmp_path, corpus):
    at = tmp_path / "b"
    at.mkdir()
    (at / "result.json").write_text("{}")  # an old one must not pass for its work
    with pytest.raises(OperatorError, match="wrote no"):
        pass_barrier(at, {"corpus": corpus}, command="true {corpus} {result}")


def test_a_command_that_hangs_is_ended_with_its_children(tmp_path, corpus):
    mark = tmp_path / "pid"
    script = tmp_path / "hang.sh"
    script.write_text(f"sleep 60 &\necho $! > '{mark}'\nsleep 60\n")
    with pytest.raises(OperatorError, match="longer than 3 s and was ended"):
        pass_barrier(tmp_path / "b", {"corpus": corpus}, command=f"sh {script} {{corpus}} {{result}}", timeout=3)
    pid = int(mark.read_text())
    for _ in range(100):
        try:
            state = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0]  # noqa: SIM115, PTH123
        except FileNotFoundError:
            break
        if state == "Z":
            break
        time.sleep(0.05)
    else:
        os.kill(pid, 9)
        pytest.fail("the child of the command is still alive")


@pytest.mark.parametrize(
    ("command", "said"), [("train 'x", "does not parse"), ("train {corpus}", "{result}"), ("", "{corpus} and {result}")]
)
def test_commands_that_cannot_be(tmp_path, corpus, command, said):
    with pytest.raises(CheckError, match=said):
        pass_barrier(tmp_path / "b", {"corpus": corpus}, command=command)


def test_a_missing_input_and_a_result_that_is_none(tmp_path, corpus):
    with pytest.raises(InputError, match="cannot read"):
        pass_barrier(tmp_path / "b", {"corpus": tmp_path / "nowhere"})
    with pytest.raises(OperatorError, match="cannot run no-such-program"):
        pass_barrier(tmp_path / "c", {"corpus": corpus}, command="no-such-program {corpus} {result}")
