from __future__ import annotations

import multiprocessing
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


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"])
def test_no_worker_outlives_its_process(end):
    code = (
        "import os\nfrom curator.maths.pool import Pair, shared\np = shared()\np.ask([Pair('x+1', '1+x')])\n"
        f"print(p._free[0].process.pid, flush=True)\n{end}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    worker = psutil.Process(int(done.stdout)) if psutil.pid_exists(int(done.stdout)) else None
    gone = worker is None or worker.status() == psutil.STATUS_ZOMBIE or psutil.wait_procs([worker], 10)[1] == []
    assert gone


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
