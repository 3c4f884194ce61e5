import json
import os
import socket
import subprocess
import sys

import pytest
from run_stand_ins import chain, step

from curator.errors import FolderLocked
from curator.run.local import run
from curator.run.lock import hold


def test_a_second_holder_is_refused_and_told_who_holds_it(tmp_path):
    told = pytest.raises(FolderLocked, match=f"{tmp_path}.*process {os.getpid()} on")
    with hold(tmp_path / "lock"), told, hold(tmp_path / "lock"):
        pass
    with hold(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "lock").exists()


def write(tmp_path, **held):
    me = {"pid": os.getppid(), "host": socket.gethostname(), "start": None, "since": "now"}
    (tmp_path / "lock").write_text(json.dumps(me | held))


def gone():
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def test_a_lock_left_by_a_dead_process_is_taken_over(tmp_path):
    write(tmp_path, pid=gone())
    with hold(tmp_path / "lock"):
        assert json.loads((tmp_path / "lock").read_text())["pid"] == os.getpid()


def test_a_reused_process_number_is_not_its_old_owner(tmp_path):
    write(tmp_path, start="1")
    with hold(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_half_written_lock_holds_nobody_up(tmp_path, text):
    (tmp_path / "lock").write_text(text)
    with hold(tmp_path / "lock"):
        pass


def test_a_live_process_and_another_machine_are_respected(tmp_path):
    write(tmp_path)
    with pytest.raises(FolderLocked, match=str(os.getppid())), hold(tmp_path / "lock"):
        pass
    write(tmp_path, host="elsewhere", pid=gone())
    with pytest.raises(FolderLocked, match="elsewhere.*delete"), hold(tmp_path / "lock"):
        pass


def test_two_runs_in_one_folder(tmp_path):
    (tmp_path / "r").mkdir()
    with hold(tmp_path / "r/lock"), pytest.raises(FolderLocked):
        run(chain(step("t_numbers", count=3)), tmp_path / "r", workers=0)
    assert not (tmp_path / "r/run.json").exists()
