"""CPython 3.11's parser in threads: whatever a verifier's threads do, their trees are made one after the other."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from curator.sandbox.extract import extract_code
from curator.sandbox.suite import parse_tests

LONG = "[" + "f(1) + 2, " * 50 + "]"


class Cycle:
    """Garbage whose end runs Python code: the moment at which a thread in the parser gives way to another."""

    def __init__(self):
        self.me = self

    def __del__(self):
        for _ in range(200):
            pass


@pytest.fixture
def restless():
    """Threads change places, and the collector runs, all the time."""
    interval, threshold = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(5)
    yield
    sys.setswitchinterval(interval)
    gc.set_threshold(*threshold)


def read(depth):
    """Read programs and tests at a depth of calls of its own: the depth is what the parser keeps for all threads."""
    if depth:
        return read(depth - 1)
    found = []
    for _ in range(20):
        Cycle()
        found += [extract_code(f"x = {LONG}").how, len(parse_tests([f"assert {LONG}", "assert f(2)"]).cases)]
    return found


def test_threads_read_programs_and_tests_side_by_side(restless):
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == [["bare", 2] * 20] * 8
