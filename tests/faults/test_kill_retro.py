"""kill -9 in the middle of a search: the same revised traces in the end, and no question that was answered twice."""

import json
import os
import random
import shutil
import signal
import time
from collections import Counter
from multiprocessing import get_context

import pytest
import retro_faults

from curator.engines.store import Store

KILLS = 5
TRACES = 16
DELAY = 0.01


@pytest.fixture(scope="module")
def server():
    """Children start in milliseconds: forked from a process that has imported everything and started no thread."""
    before = dict(os.environ)
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    context = get_context("forkserver")
    context.set_forkserver_preload(["retro_faults", "curator.run.local"])
    yield context
    os.environ.clear()
    os.environ.update(before)


def start(server, folder, traces, log):
    args = (str(folder), str(traces), str(folder.parent / f".store-{folder.name}"), str(log), DELAY, 0)
    child = server.Process(target=retro_faults.main, args=args)
    child.start()
    return child


def asked(log):
    return [tuple(json.loads(x)) for x in log.read_text().splitlines()] if log.exists() else []


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
    chance = random.Random(7)
    kills = rounds = 0
    while kills < KILLS:
        folder, log = tmp_path / f"r{rounds}", tmp_path / f"r{rounds}.log"
        seen: set = set()
        while True:
            stored = len(Store(tmp_path / f".store-r{rounds}"))
            before = len(asked(log))
            child = start(server, folder, traces, log)
            child.join(chance.uniform(0, seconds) if kills < KILLS else None)
            if child.exitcode is None:
                os.kill(child.pid, signal.SIGKILL)
                kills += 1
            child.join()
            new = asked(log)[before:]
            assert max(Counter(new).values(), default=1) == 1
            # Killed between the model's answer and the store's write: at most these were never answered to us.
            assert len(seen & set(new)) <= len(seen) - stored
            seen |= set(new)
            if child.exitcode == 0:
                break
            assert child.exitcode == -signal.SIGKILL
        assert seen == set(questions)  # no path but that of the whole run was searched
        assert (folder / "out/rows.jsonl").read_bytes() == rows
        shutil.rmtree(folder)
        rounds += 1
