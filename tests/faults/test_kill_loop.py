"""kill -9 in the middle of a loop's rounds: the output stays byte-identical, and nothing answered is asked again."""

import time

import fault_loop
import fault_pipeline
import pytest
from kills import asked, child_of, forkserver, killed_rounds

from curator.run.local import run

KILLS = 12
DELAY = 0.02


@pytest.fixture(scope="module")
def server():
    with forkserver("fault_loop") as context:
        yield context


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    fault_pipeline.write_problems(path, 30)
    return path


def start(server, folder, problems, log):
    return child_of(server, fault_loop, folder, problems, log, DELAY)


def test_killed_in_the_middle_of_rounds(server, tmp_path, problems):
    began = time.monotonic()
    child = start(server, tmp_path / "whole", problems, tmp_path / "whole.log")
    child.join()
    assert child.exitcode == 0
    seconds = time.monotonic() - began
    rows, facts = ((tmp_path / "whole/out" / name).read_bytes() for name in ("rows.jsonl", "facts.json"))
    assert rows.count(b"\n") > 40
    assert rows.count(b'"round": 3') > 3

    def begin(folder, log):
        return start(server, folder, problems, log)

    for folder, _ in killed_rounds(begin, tmp_path, KILLS, seconds):
        assert (folder / "out/rows.jsonl").read_bytes() == rows
        assert (folder / "out/facts.json").read_bytes() == facts


def test_more_rounds_ask_only_for_themselves(tmp_path, problems, monkeypatch):
    log = tmp_path / "r.log"
    monkeypatch.setenv("FAULT_LOG", str(log))
    given = {"store": tmp_path / ".store", "workers": 0, "progress": False}
    run(fault_loop.pipeline(problems, rounds=2), tmp_path / "r", **given)
    two = asked(log)
    run(fault_loop.pipeline(problems, rounds=3), tmp_path / "r", **given)
    three = asked(log)[len(two) :]
    assert 0 < len(three) < len(two)
    run(fault_loop.pipeline(problems, rounds=3), tmp_path / "one-go", **given)
    assert len(asked(log)) == len(two) + len(three)
    one, other = ((tmp_path / name / "out/rows.jsonl").read_bytes() for name in ("r", "one-go"))
    assert one == other
