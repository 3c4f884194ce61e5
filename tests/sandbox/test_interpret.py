"""The interpreter: a name space over several blocks, what is printed, and ends that are told."""

import time

import pytest

from curator.sandbox.interpret import interpret
from curator.sandbox.judge import refusal

pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no isolation here: {refusal()}")
LIMITS = {"limit_s": 5.0, "memory_mb": 256, "most": 4000}


def ran(*blocks, **changed):
    return interpret(blocks, **{**LIMITS, **changed})


def test_names_live_on_and_only_the_last_block_is_heard():
    assert ran("x = 2\nprint('first')", "print(x + 1)") == ("3\n", "ok")


def test_the_value_of_the_last_line_is_shown():
    assert ran("def f(n):\n    return n * n", "f(5)") == ("25\n", "ok")
    assert ran("None") == ("", "ok")


def test_an_error_is_reported_and_keeps_what_was_done_before_it():
    text, status = ran("x = 1\ny = x / 0")
    assert status == "error"
    assert text.splitlines() == [
        "Traceback (most recent call last):", '  File "<code>", line 2, in <module>',
        "ZeroDivisionError: division by zero",
    ]  # fmt: skip
    assert ran("x = 1\ny = x / 0", "x") == ("1\n", "ok")
    assert ran("print(1)\n  print(2)").text.startswith("  File")
    assert ran("print(1)\n  print(2)").status == "error"


def test_chance_is_the_same_each_time_and_goes_on_between_blocks():
    first = ran("import random\nprint(random.random())")
    assert first == ran("import random\nprint(random.random())  # again")
    second = ran("import random\na = random.random()", "print(random.random())")
    assert second != first
    assert second == ran("import random\na = random.random()  # again", "print(random.random())")


@pytest.mark.parametrize(("code", "status"), [
    ("while True: pass", "timeout"),
    ("import time\ntime.sleep(60)", "timeout"),
    ("while True: print('x' * 100)", "cut"),
    ("import os\nos._exit(0)", "ended"),
    ("a = bytearray(1 << 30)", "error"),
    ("import socket\nsocket.socket()", "error"),
    ("open('/etc/passwd')", "error"),
    ("import subprocess\nsubprocess.run(['true'])", "error"),
    ("input()", "error"),
    ("import sys\nsys.exit(3)", "ok"),
    ("import nosuchmodule", "error"),
    ("'\ud800'", "error"),
    ("\0", "error"),
])  # fmt: skip
def test_hostile_and_odd_code_has_an_end(code, status):
    begun = time.monotonic()
    found = ran(code, limit_s=1.0)
    assert found.status == status, found
    assert len(found.text) <= LIMITS["most"]
    assert time.monotonic() - begun < 60


def test_earlier_blocks_print_nothing_by_the_usual_ways():
    noisy = "import sys\nprint('a')\nsys.stderr.write('b')\nsys.stdout.write('c')"
    assert ran(noisy, "print('d')") == ("d\n", "ok")
