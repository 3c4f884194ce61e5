"""kill -9 between model and interpreter: the same traces in the end, and no question that was answered twice."""

import json
import time
from collections import Counter

import pytest
import tool_faults
from kills import asked, child_of, forkserver, killed_rounds

from curator.sandbox.judge import refusal

KILLS = 4
PROBLEMS = 16
DELAY = 0.02
pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no isolation here: {refusal()}")


@pytest.fixture(scope="module")
def server():
    with forkserver("tool_faults") as context:
        yield context


def start(server, folder, problems, log):
    return child_of(server, tool_faults, folder, problems, log, DELAY, 0)


def test_killed_in_the_middle_of_a_loop(server, tmp_path):
    problems = tmp_path / "problems.jsonl"
    tool_faults.write_problems(problems, PROBLEMS)
    began = time.monotonic()
    child = start(server, tmp_path / "whole", problems, tmp_path / "whole.log")
    child.join()
    seconds = time.monotonic() - began
    assert child.exitcode == 0
    rows = (tmp_path / "whole/out/rows.jsonl").read_bytes()
    found = [json.loads(x) for x in rows.splitlines()]
    assert sum(r["n_calls"] for r in found) > 2 * PROBLEMS
    assert {r["exit_reason"] for r in found} <= {"done", "budget"}
    questions = Counter(asked(tmp_path / "whole.log"))
    assert max(questions.values()) == 1

    def begin(folder, log):
        return start(server, folder, problems, log)

    for folder, seen in killed_rounds(begin, tmp_path, KILLS, seconds):
        assert seen == set(questions)  # the same outputs, so the same prefixes
        assert (folder / "out/rows.jsonl").read_bytes() == rows
