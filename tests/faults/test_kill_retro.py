"""kill -9 in the middle of a search: the same revised traces in the end, and no question that was answered twice."""

import json
import time
from collections import Counter

import pytest
import retro_faults
from kills import asked, child_of, forkserver, killed_rounds

KILLS = 5
TRACES = 16
DELAY = 0.01


@pytest.fixture(scope="module")
def server():
    with forkserver("retro_faults") as context:
        yield context


def start(server, folder, traces, log):
    return child_of(server, retro_faults, folder, traces, log, DELAY, 0)


def test_killed_in_the_middle_of_a_search(server, tmp_path):
    traces = tmp_path / "traces.jsonl"
    retro_faults.write_traces(traces, TRACES)
    began = time.monotonic()
    child = start(server, tmp_path / "whole", traces, tmp_path / "whole.log")
    child.join()
    seconds = time.monotonic() - began
    assert child.exitcode == 0
    rows = (tmp_path / "whole/out/rows.jsonl").read_bytes()
    found = [json.loads(x) for x in rows.splitlines()]
    assert sum(r["n_accepted"] for r in found) > TRACES / 2
    assert all(r["correct"] for r in found)
    questions = Counter(asked(tmp_path / "whole.log"))
    assert max(questions.values()) == 1

    def begin(folder, log):
        return start(server, folder, traces, log)

    for folder, seen in killed_rounds(begin, tmp_path, KILLS, seconds):
        assert seen == set(questions)  # no path but that of the whole run was searched
        assert (folder / "out/rows.jsonl").read_bytes() == rows
