"""Each wall of the sandbox by itself: with the others taken away it still holds what is its own.

The list of system calls alone is in `test_refusal` (`unsafe` has no namespaces).
"""

from __future__ import annotations

import os
import socket
import sys

import pytest

from curator.sandbox import keeper
from curator.sandbox.judge import judge_code
from curator.sandbox.task import CodeTask

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux only")
NO_FILTER = "import curator.sandbox.box as b; b._filter = lambda **k: None; from curator.sandbox.zygote"
NO_LIMITS = NO_FILTER.replace("b._filter = ", "b._resources = lambda *a, **k: None; b._filter = ")


@pytest.fixture
def judge(monkeypatch):
    """Judge with walls taken away: `code` goes before the server's own import; `alone`: without namespaces too."""

    def run(code: str, programs: dict[str, str], *, alone: bool) -> dict[str, str | None]:
        monkeypatch.setattr(keeper, "_refused", "no namespaces (as in a test)" if alone else None)
        monkeypatch.setattr(keeper, "_keepers", {})
        monkeypatch.setattr(keeper, "_CODE", keeper._CODE.replace("from curator.sandbox.zygote", code))
        head, tail = "import os, socket\ndef f():\n try: ", "\n except (OSError, MemoryError): return 1"
        tasks = [CodeTask(head + p + tail, ["assert f() == 1"]) for p in programs.values()]
        said = judge_code(tasks, unsafe=alone, limit_s=10)
        return {n: v.detail for n, v in zip(programs, said, strict=True) if v.verdict != "correct"}

    yield run
    for _, kept in keeper._keepers.values():
        kept.close()


def test_namespaces_hold_without_the_list_of_calls_and_the_limits(judge, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        outside = {
            "connect": f"socket.create_connection(('127.0.0.1', {listener.getsockname()[1]}), 1)",
            "read": f"open({str(secret)!r}).read()",
            "write": f"open({str(tmp_path / 'made')!r}, 'w')",
            "signal": f"os.kill({os.getpid()}, 0)",
            "mount": "os.chroot('/tmp')",
        }
        assert judge(NO_LIMITS, outside, alone=False) == {}
        assert set(judge(NO_LIMITS, {"call": "socket.socket()"}, alone=False)) == {"call"}  # the list is gone indeed
    assert not (tmp_path / "made").exists()


def test_limits_hold_without_namespaces_and_the_list_of_calls(judge):
    over = {
        "memory": "bytearray(1 << 40)",
        "open files": "[os.dup(0) for _ in range(100)]",
        "file size": "open('big', 'wb').truncate(1 << 40)",
    }
    assert judge(NO_FILTER, over, alone=True) == {}
    assert set(judge(NO_LIMITS, {"open files": over["open files"]}, alone=True)) == {"open files"}
