"""Machines that cannot isolate are told so; `unsafe` keeps the limits; ordinary users need no rights."""

# ruff: noqa: E501 - programs in a table
from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from curator.sandbox import keeper
from curator.sandbox.judge import judge_code, refusal
from curator.sandbox.task import CodeTask

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")


@pytest.fixture
def unsafe_judge(monkeypatch):
    """Judge as on a machine without user namespaces."""
    monkeypatch.setattr(keeper, "_refused", "no namespaces (as in a test)")
    monkeypatch.setattr(keeper, "_keepers", {})

    def run(program, tests, **keywords):
        return judge_code([CodeTask(program, tests)], unsafe=True, **keywords)[0]

    yield run
    for _, kept in keeper._keepers.values():
        kept.close()


def test_a_machine_without_namespaces_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(keeper, "_refused", None)
    monkeypatch.setattr(keeper, "_keepers", {})
    monkeypatch.setattr(
        keeper, "_CODE", keeper._CODE.replace("main(", "import curator.sandbox.kernel as k; k.unshare = bad; main(")
    )
    monkeypatch.setattr(
        keeper,
        "_CODE",
        "def bad(flags): raise PermissionError(1, 'unshare: Operation not permitted')\n"
        + keeper._CODE.replace("; ", "\n"),
    )
    text = refusal()
    assert text is not None
    assert "unshare: Operation not permitted" in text
    assert "unsafe: true" in text
    assert "\n" not in text
    with pytest.raises(keeper.Refused):
        judge_code([CodeTask("x = 1", ["assert x"])])


def test_other_systems_are_refused(monkeypatch):
    monkeypatch.setattr(keeper, "_refused", None)
    monkeypatch.setattr(keeper, "_keepers", {})
    monkeypatch.setattr(sys, "platform", "darwin")
    for unsafe in (False, True):
        with pytest.raises(keeper.Refused, match="only on Linux, this is darwin"):
            judge_code([CodeTask("x = 1", ["assert x"])], unsafe=unsafe)


def test_unsafe_judges_as_well(unsafe_judge):
    assert unsafe_judge("def f(x): return x * x", ["assert f(2) == 4"]).verdict == "correct"
    assert unsafe_judge("def f(x): return x", ["assert f(2) == 4"]).verdict == "incorrect"
    assert unsafe_judge("print(input())", {"inputs": ["a"], "outputs": ["a"]}).verdict == "correct"


def test_unsafe_keeps_limits_and_a_clean_environment(unsafe_judge, monkeypatch):
    monkeypatch.setenv("TRACE_SECRET", "1")
    assert unsafe_judge("while True: pass", ["assert f()"], limit_s=0.3).verdict == "timeout"
    assert unsafe_judge("def f(): return len('x' * (1 << 40))", ["assert f()"]).detail == "test 0: memory limit"
    look = "import os\ndef f(): return ['TRACE_SECRET' in os.environ, os.listdir('.'), 'curator-box-' in os.getcwd()]"
    assert unsafe_judge(look, ["assert f() == [False, [], True]"]).verdict == "correct"
    home = unsafe_judge("import os\ndef f(): return os.getcwd()", ["assert f() == 0"])
    assert home.verdict == "incorrect"


def test_unsafe_keeps_the_list_of_system_calls(unsafe_judge):
    for call in (
        "os.fork()",
        "__import__('socket').socket()",
        "os.kill(os.getppid(), 0)",
        "os.execv('/bin/true', ['true'])",
    ):
        program = f"import os\ndef f():\n    try: {call}\n    except OSError: return 'contained'"
        assert unsafe_judge(program, ["assert f() == 'contained'"]).verdict == "correct", call


def test_unsafe_leaves_no_folder(unsafe_judge, monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    for _ in range(5):  # the last one ends while the server is told to
        unsafe_judge("open('left', 'w').write('x' * 9)\ndef f(): return 1", ["assert f() == 1"])
    time.sleep(0.3)
    for _, kept in keeper._keepers.values():
        kept.close()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="only root can become somebody else")
def test_an_ordinary_user_needs_no_rights(tmp_path):
    """The same table of programs, as user 1234 without any capability."""
    package = tmp_path / "curator"
    shutil.copytree(ROOT / "curator", package, ignore=shutil.ignore_patterns("__pycache__", "model"))
    for path in [tmp_path, *tmp_path.parents][:-2]:
        path.chmod(0o755)
    code = (
        "import sys; sys.path[:0] = [sys.argv[1]]\n"
        "from curator.sandbox.judge import judge_code, refusal\nfrom curator.sandbox.task import CodeTask\n"
        "assert refusal() is None, refusal()\n"
        'p = \'import os\\ndef f(): return [os.path.exists("/etc/passwd"), os.path.exists("/proc/1"), os.uname().nodename]\\n\'\n'
        "print(judge_code([CodeTask(p, ['assert f() == [False, False, \"sandbox\"]'])])[0])\n"
    )
    python = Path("/usr/bin/python3")
    if (
        not python.exists()
        or subprocess.run([python, "-c", "import sys; assert sys.version_info >= (3, 11)"], check=False).returncode
    ):
        pytest.skip("no Python that another user may run")
    done = subprocess.run(
        ["setpriv", "--reuid", "1234", "--regid", "1234", "--clear-groups", "--inh-caps=-all", python, "-c", code, tmp_path],
        capture_output=True, text=True, cwd="/", check=False,
    )  # fmt: skip
    assert "verdict='correct'" in done.stdout, done.stdout + done.stderr
