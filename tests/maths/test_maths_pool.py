from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import threading

import psutil
import pytest

from curator.maths import pool as pools
from curator.maths.judge import Verdict, judge
from curator.maths.pool import Pair, Pool, Reply

HARD = Pair(r"\sin^2 x", r"1-\cos^2 x")  # nothing but sympy decides it


@pytest.fixture(scope="module")
def pool():
    p = Pool()
    yield p
    p.close()


def hanging(monkeypatch, body: str) -> None:
    """Make new workers run `body` when they compare the reference `boom`."""
    code = pools._CODE.replace("main()", "")
    hook = (
        f"{code}\nfrom curator.maths import worker\n"
        "old = worker.answer\n"
        f"def answer(pair):\n    if pair['gold'] == 'boom':\n        {body}\n    return old(pair)\n"
        "worker.answer = answer\nworker.main()\n"
    )
    monkeypatch.setattr(pools, "_CODE", hook)


def test_replies_keep_the_order_of_the_pairs(pool):
    pairs = [Pair(r"\sin^2 x", rf"{n}-\cos^2 x") for n in (0, 1, 2)]
    assert [r.equal for r in pool.ask(pairs)] == [False, True, False]
    assert pool.ask([]) == []


IN_C = "\n        while True:\n            try: sum(iter(int, 1))\n            except BaseException: pass"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("while True: pass", "timeout"),  # Python code: the timer raises
        (IN_C, "timeout"),  # C code that never looks at signals: the kernel's CPU limit ends it
        ("import os; os._exit(3)", "the worker died (exit code 3)"),
        ("x = 'a' * (3 << 30)", "the worker died (exit code 1)"),  # over the address space
    ],
)
def test_a_pair_that_hangs_or_kills_costs_only_itself(monkeypatch, body, why):
    hanging(monkeypatch, body)
    p = Pool()
    replies = p.ask([HARD, Pair("boom", "1", limit_s=0.5), HARD])
    p.close()
    assert [r.equal for r in replies] == [True, None, True]
    assert replies[1].why == why


def test_a_worker_that_cannot_start_says_so(monkeypatch):
    monkeypatch.setattr(pools, "_CODE", "import sys; sys.exit(7)")
    with pytest.raises(RuntimeError, match="did not start .exit code 7"):
        Pool().ask([HARD])


def test_answers_larger_than_a_pipe_do_not_deadlock(pool):
    replies = pool.ask([Pair("x+1", f"{n} " + "words " * 300) for n in range(200)])
    assert [r.equal for r in replies] == [False] * 200


def test_from_threads():
    found: list[list[Verdict]] = []
    ask = [(HARD.gold, HARD.pred), ("x+1", "1+x"), (r"\sin^2 x", r"\cos^2 x")]
    threads = [threading.Thread(target=lambda: found.append(judge(ask))) for _ in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert [[v.verdict for v in f] for f in found] == [["correct", "correct", "incorrect"]] * 4


def _in_child(pairs, out):
    out.put(judge(pairs))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_from_daemonic_processes_forked_and_spawned(method):
    judge([(HARD.gold, HARD.pred)])  # the parent has a worker already: a fork must not use it
    ctx = multiprocessing.get_context(method)
    out = ctx.Queue()
    child = ctx.Process(target=_in_child, args=([(r"\cos^2 x", r"1-\sin^2 x")], out), daemon=True)
    child.start()
    assert out.get(timeout=120) == [Verdict("correct")]
    child.join()


def ended(pid: int) -> bool:
    """Is the process gone within half a minute (a zombie that nobody reaps counts as gone)?"""
    try:
        worker = psutil.Process(pid)
        return worker.status() == psutil.STATUS_ZOMBIE or psutil.wait_procs([worker], 30)[1] == []
    except psutil.NoSuchProcess:
        return True


START = (
    "import os, time, threading\nfrom curator.maths.pool import Pair, shared\n"
    "p = shared()\np.ask([Pair(r'\\sin^2 x', r'1-\\cos^2 x')])\nprint(p._free[0].process.pid, flush=True)\n"
)
BUSY = (
    "slow = [Pair('7', r'\\prod_{k=1}^{10^8} k', limit_s=4.0)]\n"
    "threading.Thread(target=p.ask, args=(slow,)).start()\ntime.sleep(0.3)\n"
)
FORKED = "if os.fork() == 0:\n    time.sleep(30)\n    os._exit(0)\n"  # the fork holds our end of the worker's pipe


@pytest.mark.parametrize("doing", ["", BUSY, FORKED], ids=["idle", "busy", "forked"])
@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"], ids=["exit", "kill -9"])
def test_no_worker_outlives_its_process(doing, end):
    out = subprocess.Popen([sys.executable, "-c", START + doing + end], stdout=subprocess.PIPE, text=True)
    assert out.stdout
    pid = int(out.stdout.readline())
    out.wait(timeout=120)
    assert ended(pid)


def test_from_a_script_on_stdin_without_a_file():
    """A notebook's `__main__` has no file that a spawned process could import again."""
    code = (
        "import asyncio\nfrom curator.maths.judge import judge\n"
        "async def cell():\n    return await asyncio.to_thread(judge, [(r'\\sin^2 x', r'1-\\cos^2 x')])\n"
        "print(asyncio.run(cell())[0].verdict)"
    )
    done = subprocess.run([sys.executable, "-"], input=code, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "correct", done.stderr


def test_beyond_1024_open_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1500:
        pytest.skip("the limit on open files cannot be raised")
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        p = Pool()
        assert [r.equal for r in p.ask([HARD])] == [True]
        p.close()
    finally:
        for f in files:
            os.close(f)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_worker_that_holds_too_much_memory_is_replaced(monkeypatch):
    hanging(monkeypatch, "worker.kept = b'x' * (200 << 20)")
    monkeypatch.setattr(pools, "RECYCLE_BYTES", 250 << 20)
    p = Pool()
    p.ask([HARD])
    first = p._free[0].process.pid
    replies = p.ask([HARD, Pair("boom", "1"), HARD, HARD])
    assert [r.equal for r in replies] == [True, False, True, True]
    assert p._free[0].process.pid != first
    p.close()


def test_a_worker_is_replaced_after_its_share(monkeypatch):
    monkeypatch.setattr(pools, "RECYCLE", 3)
    p = Pool()
    assert [r.equal for r in p.ask([HARD] * 5)] == [True] * 5
    assert p._free[0].served == 2
    p.close()


def test_two_workers_share_a_call_and_keep_its_order(monkeypatch):
    monkeypatch.setattr(pools, "SHARE", 2)
    p = Pool(2)
    replies = p.ask([Pair(r"\sin^2 x", rf"{n}-\cos^2 x") for n in (0, 1, 2, 1, 1)])
    assert [r.equal for r in replies] == [False, True, False, True, True]
    assert len(p._free) == 2
    p.close()


@pytest.mark.parametrize(
    ("gold", "pred", "verdict"),
    [
        ("1/2", "0.5", Verdict("correct")),
        ("1/2", "0.6", Verdict("incorrect")),
        (r"\frac{1", "x", Verdict("error", "reference does not parse")),
        ("x", r"\frac{1", Verdict("unparseable", "answer does not parse")),
        ("7", "x" * 5_000_000, Verdict("unparseable", "answer does not parse")),
        ("10^{10^{10}}", "2^{10^{10}}", Verdict("error", "too large to compute")),
        ("7", "no solution", Verdict("incorrect")),
        ("7", "", Verdict("unparseable", "answer does not parse")),
        ("7", "___", Verdict("unparseable", "answer does not parse")),
        ("", "7", Verdict("error", "reference does not parse")),
        ("___", "7", Verdict("error", "reference does not parse")),
        ("x" * 5_000_000, "7", Verdict("error", "reference does not parse")),
        ("7", "7\x00", Verdict("correct")),
        ("7", b"\xff7", Verdict("unparseable", "answer does not parse")),
        (None, "7", Verdict("error", "reference does not parse")),
        ("7", "\ud800", Verdict("unparseable", "answer does not parse")),
        ("7", "\u202e7\u202c", Verdict("correct")),
        ("7", "It takes 3 days and then 7 more", Verdict("unparseable", "answer does not parse")),
        ("7", "it cannot be determined", Verdict("incorrect")),
        ("7", "{" * 100_000 + "7" + "}" * 100_000, Verdict("unparseable", "answer does not parse")),
    ],
)
def test_verdicts_stay_apart(gold, pred, verdict):
    assert judge([(gold, pred)]) == [verdict]


def test_equal_pairs_are_compared_once(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "curator.maths.judge.shared",
        lambda _n: type("P", (), {"ask": lambda _s, p: asked.extend(p) or [Reply(True)] * len(p)})(),
    )
    judge([("\\sqrt{x^2}", "|x|")] * 5 + [("3", "3")] * 5)
    assert len(asked) == 1
