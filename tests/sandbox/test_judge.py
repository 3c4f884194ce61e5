"""Verdicts: which word, which score, which detail, and that the same input gives the same verdict."""

# ruff: noqa: E501 - programs in a table
from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest
from leftovers import assert_nothing_left

from curator.sandbox import clock, keeper
from curator.sandbox.extract import assemble
from curator.sandbox.judge import judge_code, refusal
from curator.sandbox.task import CodeTask

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data" / "code"
pytestmark = pytest.mark.skipif(refusal() is not None, reason=f"no isolation here: {refusal()}")

SQUARE = "def f(x):\n    return x * x"
TESTS = ["assert f(2) == 4", "assert f(3) == 9", "assert f(-1) == 1"]


def judge(program, tests=TESTS, **keywords):
    settings = {k: keywords.pop(k) for k in ("mode", "tests", "limit_s", "memory_mb") if k in keywords}
    return judge_code([CodeTask(program, keywords.pop("given", tests), **keywords)], **settings)[0]


def words(verdict):
    return [t.verdict for t in verdict.tests]


def test_all_and_fraction():
    half = "def f(x):\n    return x * x if x != 3 else 0"
    strict, graded = judge(half), judge(half, mode="fraction")
    assert (strict.verdict, strict.score, words(strict)) == ("incorrect", 0.0, ["correct", "incorrect", "not_run"])
    assert (graded.verdict, graded.score) == ("incorrect", pytest.approx(2 / 3))
    assert words(graded) == ["correct", "incorrect", "correct"]
    assert judge(SQUARE, mode="fraction").score == 1.0


def test_only_the_first_tests_count():
    wrong_at_the_end = "def f(x):\n    return x * x if x > 0 else 0"
    verdict = judge_code([CodeTask(wrong_at_the_end, TESTS)], tests=2)[0]
    assert (verdict.verdict, len(verdict.tests)) == ("correct", 2)
    assert judge(wrong_at_the_end).verdict == "incorrect"


@pytest.mark.parametrize(
    ("program", "tests", "language", "word", "detail"),
    [
        (None, TESTS, "python", "unparseable", "no program found"),
        (" \n", TESTS, "python", "unparseable", "no program found"),
        (SQUARE, None, "python", "no_reference", "no tests"),
        (SQUARE, "", "python", "no_reference", "no tests"),
        (SQUARE, [], "python", "no_reference", "no tests"),
        (SQUARE, "[1, 2", "python", "error", "fault in the data: tests are not JSON"),
        (SQUARE, b"\xff\xfe", "python", "error", "fault in the data: bytes that are not UTF-8"),
        (SQUARE, ["assert f(2) ="], "python", "error", "fault in the data: test 0 is no Python"),
        (SQUARE, {"inputs": ["1"], "outputs": []}, "python", "error", "fault in the data: `inputs` and `outputs`"),
        (SQUARE, 7, "python", "error", "fault in the data: tests are a int"),
        (SQUARE, ["assert undefined_here(f(2)) == 4"], "python", "incorrect", "does not define undefined_here"),
        ("int main() {}", TESTS, "cpp", "error", "language not supported: cpp"),
        ("x", TESTS, "C++", "error", "language not supported: C++"),
        ("def f(x) return 1", TESTS, "python", "incorrect", "SyntaxError"),
        ("def f(x): return 1 / 0", TESTS, "Python3", "incorrect", "ZeroDivisionError: division by zero"),
        ("import numpy", TESTS, "python", "error", "needs the module 'numpy'"),
        ("def g(x): return 1", TESTS, "python", "incorrect", "does not define f"),
        ("\ud800", TESTS, "python", "incorrect", "UnicodeEncodeError"),
        ("def f(x): return x\x00", TESTS, "python", "incorrect", "null bytes"),
    ],
)  # fmt: skip
def test_each_fault_has_its_word(program, tests, language, word, detail):
    verdict = judge(program, given=tests, language=language)
    assert verdict.verdict == word, verdict
    assert detail in (verdict.detail or "")
    assert verdict.score is None or word == "incorrect"


def test_a_huge_program_and_a_huge_test():
    assert judge(SQUARE + "\n# " + "x" * (5 << 20)).verdict == "correct"
    assert judge("def f(x): return len(x)", given=[f"assert f({'a' * (5 << 20)!r}) == {5 << 20}"]).verdict == "correct"


def test_a_timeout_is_no_wrong_answer_and_costs_its_own_test_only():
    program = "def f(x):\n    while x == 3: pass\n    return x * x"
    graded = judge(program, mode="fraction", limit_s=0.3)
    assert (graded.verdict, graded.score, words(graded)) == ("timeout", None, ["correct", "timeout", "correct"])
    assert "CPU" in graded.tests[1].detail
    assert words(judge(program, limit_s=0.3)) == ["correct", "timeout", "not_run"]


def test_a_known_failure_beats_a_timeout():
    program = "def f(x):\n    while x == 2: pass\n    return 0"
    assert judge(program, mode="fraction", limit_s=0.3).verdict == "incorrect"


def test_a_crash_costs_its_own_test_only():
    program = "import os\ndef f(x):\n    if x == 3: os.abort()\n    return x * x"
    assert words(judge(program, mode="fraction")) == ["correct", "incorrect", "correct"]


def test_memory_is_limited_and_named():
    program = "def f(x):\n    return len(bytearray(x << 20)) >> 20"
    tests = ["assert f(100) == 100"]
    assert judge(program, given=tests, memory_mb=512).verdict == "correct"
    assert judge(program, given=tests, memory_mb=64).detail == "test 0: memory limit"
    script = {"inputs": [""], "outputs": ["100"]}
    whole = program + "\nprint(f(100))"
    assert judge(whole, given=script, memory_mb=64).detail == "test 0: memory limit"


STDIO = [
    ("n = int(input())\nprint(n + 1)", "correct"),
    ("import sys\nprint(int(sys.stdin.read()) + 1)", "correct"),
    ("import os\nn = os.read(0, os.fstat(0).st_size)\nprint(int(n) + 1)", "correct"),
    ("n = int(open(0).readline())\nprint(n + 1)", "correct"),
    ("n = int(open('/dev/stdin').readline())\nprint(n + 1)", "correct"),
    ("import sys\nsys.stdout.write('3')\nsys.exit()", "correct"),
    ("print(3)\nexit()", "correct"),
    ("import threading\ndef main(): print(int(input()) + 1)\nthreading.Thread(target=main).start()", "correct"),
    ("import atexit\natexit.register(lambda: print(3))", "correct"),
    ("if __name__ == '__main__':\n    print('3  \\n')", "correct"),
    ("import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\n"
     "def go(n): return 3 if n == 0 else go(n - 1)\nt = threading.Thread(target=lambda: print(go(50000)))\nt.start()\nt.join()",
     "correct"),
    ("import asyncio\nasync def main(): print(3)\nasyncio.run(main())", "correct"),
    ("from concurrent.futures import ThreadPoolExecutor as T\nwith T(4) as t: print(sum(t.map(int, '111')))", "correct"),
    ("import tempfile\nwith tempfile.TemporaryFile() as t: t.write(b'3'); t.seek(0); print(t.read().decode())", "correct"),
    ("print(4)", "incorrect"),
    ("print(3)\nraise SystemExit(1)", "incorrect"),
    ("print(3)\n1 / 0", "incorrect"),
    ("print(3, 3)", "incorrect"),
    ("import os\nprint(3)\nos._exit(0)", "incorrect"),  # printed into a buffer that nobody wrote
    ("input()\ninput()", "incorrect"),
]  # fmt: skip


def test_standard_input_and_output():
    items = [CodeTask(p, {"inputs": ["2\n"], "outputs": ["3\n"]}) for p, _ in STDIO]
    verdicts = judge_code(items)
    assert {p: v for (p, want), v in zip(STDIO, verdicts, strict=True) if v.verdict != want} == {}


def test_calls_by_name():
    tests = {"inputs": [[[1, 2], 3]], "outputs": [[1, 2, 3]], "fn_name": "g"}
    good = "class Solution:\n    def g(self, a, b):\n        return (*a, b)"
    assert judge(good, given=tests).verdict == "correct"
    assert judge("def g(a, b): return a + [b]", given=tests).verdict == "correct"
    assert judge("def g(a, b): yield from [*a, b]", given=tests).verdict == "correct"
    wrong = judge("def g(a, b): return a", given=tests)
    assert wrong.detail == "test 0: returned [1, 2], expected [1, 2, 3]"
    assert judge("def h(a, b): return a", given=tests).verdict == "incorrect"
    lines = [{"input": "[1, 2]\n3", "output": "[1, 2, 3]", "testtype": "functional", "fn_name": "g"}]
    assert judge(good, given=lines).verdict == "correct"


VALUES = [
    "None", "True", "2 ** 70", "1e-9", "float('inf')", "3 + 4j", "'\\ud800'", "'\\0'", "b'a'", "(1, (2,))", "[[], {}]",
    "{1, 2}", "frozenset({1})", "{(1, 2): [3], None: 4}", "range(5)", "...", "__import__('decimal').Decimal('1.10')",
    "__import__('fractions').Fraction(1, 3)", "__import__('datetime').date(2020, 2, 29)",
    "__import__('datetime').timedelta(1, 2, 3)", "__import__('collections').deque([1])",
    "__import__('collections').Counter('aab')", "__import__('collections').OrderedDict(a=1)", "int", "max",
    "__import__('math').sqrt", "[None] * 100000", "10 ** 5000",
]  # fmt: skip


def test_values_arrive_as_they_left():
    items = [CodeTask(f"def f(x): return x\ndef g(): return {v}", [f"assert f({v}) == {v}", f"assert g() == {v}"])
             for v in VALUES]  # fmt: skip
    verdicts = judge_code(items)
    assert {v: d.detail for v, d in zip(VALUES, verdicts, strict=True) if d.verdict != "correct"} == {}


SPEECH = [
    ("def f(l): l.sort()", "x = [3, 1]\nf(x)\nassert x == [1, 3]"),
    ("def f(d): d['a'] = 1", "d = {}\nf(d)\nassert d == {'a': 1}"),
    ("def f(g, x): return g(g(x))", "assert f(lambda x: x + 1, 1) == 3"),
    ("def f(g, x): return g(x)", "assert f(f.__name__ and (lambda y: f(len, y)), 'abc') == 3"),
    ("def f(x): raise ValueError('no')", "try:\n    f(1)\n    assert False\nexcept ValueError as e:\n    assert 'no' in str(e)"),
    ("class E(ValueError): pass\ndef f(x): raise E", "try:\n    f(1)\n    ok = False\nexcept ValueError:\n    ok = True\nassert ok"),
    ("def f(n):\n    for i in range(n): yield i", "assert list(f(3)) == [0, 1, 2]\nassert 2 in f(3)"),
    ("def f(n): return map(str, range(n))", "assert list(f(2)) == ['0', '1']"),
    ("class S:\n    def __init__(self): self.a = []\n    def push(self, x): self.a.append(x)\n    def __len__(self): return len(self.a)",
     "s = S()\ns.push(1)\nassert len(s) == 1\nassert s.a == [1]"),
    ("class N:\n    def __init__(self, v): self.v = v; self.n = None\ndef f(n): return n.v + (f(n.n) if n.n else 0)",
     "a = N(1)\na.n = N(2)\nassert f(a) == 3"),
    ("import math\ndef f(x): return math.pi", "assert math.isclose(f(1), 3.14159265, rel_tol=1e-6)"),
    ("from math import sqrt\ndef f(x): return x", "assert f(sqrt(4)) == 2"),
    ("def sum(a, b): return a + b", "assert sum(1, 2) == 3"),
    ("LIMIT = 5\ndef f(x): return x", "assert f(5) == LIMIT"),
    ("import re\ndef f(x): return re.match('a+', x)", "assert f('aab').group() == 'aa'\nassert f('b') is None"),
    ("from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)", "assert f() == (1, 2)"),
    ("import enum\nclass C(enum.IntEnum):\n    A = 1\ndef f(): return C.A", "assert f() == 1"),
    ("def f(*a, **k): return [a, k]", "assert f(1, b=2) == [(1,), {'b': 2}]"),
    ("async def f(): return 1", "import asyncio\nassert asyncio.iscoroutinefunction(f) in (True, False)"),
]  # fmt: skip


@pytest.mark.parametrize(("program", "test"), SPEECH)
def test_tests_speak_to_the_program_as_if_it_were_here(program, test):
    verdict = judge(program, given=test)
    assert verdict.verdict == "correct", verdict


def test_a_comparison_only_the_program_could_make_is_an_error():
    program = "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x\ndef f(x): return P(x)"
    verdict = judge(program, given=["assert f(1) == P(1)"])
    assert verdict.verdict == "error"
    assert "only the program could compare" in verdict.detail


def test_same_input_same_verdict():
    """Hash seed and random numbers are fixed: the second run finds what the first one left."""
    seen = judge(
        "import random\ndef f(): return [random.random(), list({'a', 'b', 'c', 'd'})]", given=["assert f() == 0"]
    )
    program = "import random\ndef f(): return repr([random.random(), list({'a', 'b', 'c', 'd'})])"
    first = judge_code([CodeTask(program, {"inputs": [[]], "outputs": [""], "fn_name": "f"})] * 3, parallel=3)
    assert len({v.detail for v in first}) == 1
    assert seen.verdict == "incorrect"


def test_from_threads_and_processes():
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert {v.verdict for v in pool.map(judge, [SQUARE] * 8)} == {"correct"}
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(1) as workers:
            assert workers.apply(judge, (SQUARE,)).verdict == "correct"


def test_a_dead_server_is_started_again():
    keeper.shared().process.kill()
    assert judge(SQUARE).verdict == "correct"


def test_a_server_that_hangs_up_is_dead_at_once():
    """Its end of the channel closes before its process is gone; whoever asks meanwhile gets a new server."""
    import psutil

    first = keeper.shared()
    outer = psutil.Process(first.process.pid)
    (inner,) = outer.children()
    outer.suspend()  # as slow as can be
    try:
        inner.kill()
        with pytest.raises(RuntimeError, match="server died"):
            first.ended(first.start("script", {}, memory=1 << 28, cpu_s=1, disk=1 << 20).number)
        assert judge(SQUARE).verdict == "correct"
    finally:
        outer.resume()
    assert first.process.wait(60) is not None


def test_a_box_that_cannot_be_watched_is_ended(monkeypatch):
    """No descriptor is left for it here, and it would sleep for ever: the server ends it, and a second try is made."""
    failed = []

    def box(self, number, received):
        if failed:
            return boxed(self, number, received)
        failed.append(number)
        for descriptor in received:
            os.close(descriptor)
        return boxed(self, number, [])  # as the kernel leaves it

    boxed = keeper.Keeper._boxed
    monkeypatch.setattr(keeper.Keeper, "_boxed", box)
    assert judge("import time\ntime.sleep(999)", limit_s=0.2).verdict == "timeout"
    assert failed
    assert_nothing_left()


def test_an_ended_box_keeps_its_clocks():
    """They are looked at when there is output to read, and the program may be gone by then."""
    work = {"setup": "", "program": "import time\nwhile time.process_time() < 0.3: pass\nprint(1)", "stdin": ""}
    read, write = os.pipe()
    with clock.job(work) as order:
        fds = {1: write, 2: write, clock.JOB: order}
        box = keeper.shared().start("script", fds, memory=1 << 28, cpu_s=9, disk=1 << 20)
    os.close(write)
    while box.clocks()[0] < 0.2:
        time.sleep(0.01)
    assert os.read(read, 9) == b"1\n"
    box.keeper.ended(box.number)
    assert box.clocks()[0] >= 0.2
    box.over = True
    box.leave()
    os.close(read)


def test_a_thread_that_waits_for_a_processor_makes_no_timeout():
    """The idiom of contests: the main thread only waits for the one that works, and a busy machine makes it wait long."""
    program = (
        "import threading, time\ndef main():\n    while time.process_time() < 0.6: pass\n    print(int(input()) + 1)\n"
        "t = threading.Thread(target=main)\nt.start()\nt.join()"
    )
    items = [CodeTask(program, {"inputs": ["1"], "outputs": ["2"]})] * 10
    verdicts = judge_code(items, limit_s=0.8, parallel=len(items))
    assert {(v.verdict, v.detail) for v in verdicts} == {("correct", None)}


def test_check_splits_into_its_asserts():
    tests = "METADATA = {}\n\ndef check(candidate):\n    x = 2\n    assert candidate(x) == 4\n    for i in range(3):\n        assert candidate(i) == i * i\n"
    verdict = judge(SQUARE, given=tests, entry_point="f")
    assert words(verdict) == ["correct", "correct"]
    assert judge("def f(x): return 4", given=tests, entry_point="f", mode="fraction").score == 0.5


def test_helpers_of_the_prompt_are_the_tasks_own():
    prompt = "def poly(x):\n    return x + 1\n\n\ndef f(x):\n    '''inverse of poly'''\n"
    tests = "def check(candidate):\n    assert poly(candidate(3)) == 3"
    right, cheat = "    return x - 1\n", "    return 0\n\ndef poly(x):\n    return 3\n"
    items = [CodeTask(assemble(prompt, c), tests, entry_point="f", prompt=prompt) for c in (right, cheat)]
    assert [v.verdict for v in judge_code(items)] == ["correct", "incorrect"]


def test_an_interrupted_judge_leaves_the_terminal_alone(tmp_path):
    """Nothing is printed by programs or by the server, whatever they write."""
    code = (
        "from curator.sandbox.judge import judge_code\nfrom curator.sandbox.task import CodeTask\n"
        'p = \'import os, sys\\nos.write(1, b"loud")\\nos.write(2, b"loud")\\nprint(1)\\ndef f(): print(2)\'\n'
        "print(judge_code([CodeTask(p, ['assert f() is None'])])[0].verdict)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("correct\n", "")


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
def test_a_sample_of_the_references_is_correct():
    import pyarrow.parquet as pq

    rows = pq.read_table(DATA / "mbpp_even.parquet").to_pylist()[::25]
    verdicts = judge_code([CodeTask(r["code"], r["test_list"]) for r in rows])
    assert {r["task_id"]: v for r, v in zip(rows, verdicts, strict=True) if v.verdict != "correct"} == {}


@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is absent")
def test_a_sample_of_the_recorded_verdicts_is_met():
    import pyarrow.parquet as pq

    tasks = {r["task_id"]: r for r in pq.read_table(DATA / "humaneval.parquet").to_pylist()}
    rows = pq.read_table(DATA / "humaneval_codegen16b_labelled_even_tasks.parquet").to_pylist()[::60]
    items = [
        CodeTask(assemble(t["prompt"], r["completion"]), t["test"], entry_point=t["entry_point"], prompt=t["prompt"])
        for r in rows
        for t in [tasks[r["task_id"]]]
    ]
    word = {"pass": "correct", "fail": "incorrect", "timeout": "timeout"}
    pairs = zip(rows, judge_code(items, limit_s=2), strict=True)
    assert [(r["task_id"], v) for r, v in pairs if r["result"] in word and word[r["result"]] != v.verdict] == []


def test_a_process_with_many_open_files_judges_as_well(tmp_path):
    """Descriptors above 1,023, which select() refuses."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2_000:
        pytest.skip(f"only {hard} files may be open at once here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2_000), hard))
    with (tmp_path / "any").open("wb") as one:
        many = [os.dup(one.fileno()) for _ in range(1_100)]
        try:
            (found,) = judge_code([CodeTask("def f(): return 1", ["assert f() == 1"])])
        finally:
            for number in many:
                os.close(number)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found.verdict == "correct"
