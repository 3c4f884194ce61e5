"""kill -9 at random moments: the output stays byte-identical, and nothing that was answered is asked again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fault_pipeline
import pytest
from kills import asked, child_of, forkserver, killed_rounds

from curator.engines.store import Store
from curator.errors import FolderLocked
from curator.run.local import run

KILLS = 20
PROBLEMS = 40
DELAY = 0.02


@pytest.fixture(scope="module")
def server():
    with forkserver("fault_pipeline") as context:
        yield context


@pytest.fixture
def problems(tmp_path):
    path = tmp_path / "problems.jsonl"
    fault_pipeline.write_problems(path, PROBLEMS)
    return path


def start(server, folder, problems, log, workers=0):
    return child_of(server, fault_pipeline, folder, problems, log, DELAY, workers)


def undisturbed(server, tmp_path, problems):
    began = time.monotonic()
    child = start(server, tmp_path / "whole", problems, tmp_path / "whole.log")
    child.join()
    assert child.exitcode == 0
    out = tmp_path / "whole/out"
    return (out / "rows.jsonl").read_bytes(), (out / "facts.json").read_bytes(), time.monotonic() - began


def test_killed_at_twenty_random_moments(server, tmp_path, problems):
    rows, facts, seconds = undisturbed(server, tmp_path, problems)
    assert rows.count(b"\n") > PROBLEMS // 2

    def begin(folder, log):
        return start(server, folder, problems, log)

    for folder, _ in killed_rounds(begin, tmp_path, KILLS, seconds):
        assert (folder / "out/rows.jsonl").read_bytes() == rows
        assert (folder / "out/facts.json").read_bytes() == facts


def test_killed_with_worker_processes(server, tmp_path, problems, monkeypatch):
    rows, _, _ = undisturbed(server, tmp_path, problems)
    child = start(server, tmp_path / "r", problems, tmp_path / "r.log", workers=1)
    marks = tmp_path / "r/steps"
    until = time.monotonic() + 60
    while not list(marks.glob("*-verify/part-*.json")) and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    monkeypatch.setenv("FAULT_LOG", str(tmp_path / "r.log"))
    run(fault_pipeline.pipeline(problems, DELAY), tmp_path / "r", store=tmp_path / ".store-r", workers=1, shard_rows=7)
    assert (tmp_path / "r/out/rows.jsonl").read_bytes() == rows


def test_a_live_run_keeps_others_out_of_its_folder(server, tmp_path, problems):
    child = child_of(server, fault_pipeline, tmp_path / "r", problems, tmp_path / "r.log", 5 * DELAY, 0)
    while not (tmp_path / "r/run.json").exists():
        time.sleep(0.01)
    with pytest.raises(FolderLocked, match=str(child.pid)):
        run(fault_pipeline.pipeline(problems), tmp_path / "r", workers=0)
    child.join()
    assert child.exitcode == 0


def test_ctrl_c_keeps_what_succeeded_and_leaves_the_folder_free(tmp_path, problems, monkeypatch):
    here = Path(__file__).parent
    code = (
        "import fault_pipeline, sys\n"
        "try:\n    fault_pipeline.main(*sys.argv[1:5], 0.2, 0)\n"
        "except KeyboardInterrupt:\n    sys.exit(130)\n"
    )
    log = tmp_path / "r.log"
    path = os.pathsep.join([str(here), str(here.parent / "run"), *sys.path])
    args = [str(tmp_path / "r"), str(problems), str(tmp_path / ".store-r"), str(log)]
    child = subprocess.Popen([sys.executable, "-c", code, *args], env={**os.environ, "PYTHONPATH": path})
    while len(asked(log)) < 30 and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    assert child.wait(60) == 130
    assert not (tmp_path / "r/lock").exists()
    stored = len(Store(tmp_path / ".store-r"))
    before = len(asked(log))
    assert stored > 0
    monkeypatch.setenv("FAULT_LOG", str(log))
    done = run(fault_pipeline.pipeline(problems), tmp_path / "r", store=tmp_path / ".store-r", workers=0, shard_rows=7)
    again = set(asked(log)[:before]) & set(asked(log)[before:])
    assert len(again) <= before - stored
    assert done.receipts[-1]["out"] > PROBLEMS // 2
