"""The worker process: reads pairs as JSON lines, answers each with a JSON line. Started by `pool`.

A pair has a CPU limit: a timer raises inside Python code, and the kernel kills the process one second later where C
code does not come back. Memory is bounded by the address space. Only JSON is read; no text is evaluated.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

MEMORY = 2 << 30  # bytes of address space: sympy takes 0.3 GiB, 5,000-digit numbers next to nothing
ORPHAN_S = 2.0  # how often a worker looks whether its parent still lives


class OutOfTime(BaseException):
    """CPU time of the pair is used up; not an Exception, so that no `except Exception` in a library swallows it."""


def _alarm(_signal: int, _frame: object) -> None:
    raise OutOfTime


def limits(seconds: float) -> None:
    """Arm the soft timer (CPU `seconds`, then every 0.2 s) and move the kernel's limit to one second later."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(used.ru_utime + used.ru_stime + seconds + 1), hard))
    signal.setitimer(signal.ITIMER_PROF, seconds, 0.2)


def answer(pair: dict[str, Any]) -> dict[str, Any]:
    """Compare one pair {gold, pred, rules}. Returns {equal: true|false|null, why}; why is null where decided."""
    from curator.maths import symbolic
    from curator.maths.bounds import TooBig
    from curator.maths.compare import equal
    from curator.maths.plain import NeedsSympy, Unreadable
    from curator.maths.rules import Rules

    try:
        rules = Rules(**pair["rules"])
        same = equal(pair["gold"], pair["pred"], rules, symbolic.leaf_equal, symbolic.relation_equal)
    except symbolic.Unparsable as e:
        side, why = e.args if len(e.args) == 2 else ("pred", str(e))
        return {"equal": None, "why": f"{side} does not parse", "note": why}
    except Unreadable as e:
        return {"equal": None, "why": f"{e.side} does not parse", "note": e.why}
    except (TooBig, MemoryError, NeedsSympy):
        return {"equal": None, "why": "too large to compute"}
    except (RecursionError, Exception) as e:  # a defect of a library on hostile text costs one row
        return {"equal": None, "why": f"{type(e).__name__} in the comparison"}
    return {"equal": same, "why": None}


def memory() -> int:
    """Bytes of memory this process holds now; its peak where the kernel does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def stop_when_orphaned() -> None:
    """End this process within seconds of its parent's: a fork of the parent may hold our pipe open after it."""
    parent = os.getppid()

    def look(_signal: int, _frame: object) -> None:
        if os.getppid() != parent:
            os._exit(0)

    signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, ORPHAN_S, ORPHAN_S)


def main() -> None:
    """Serve pairs from stdin until it closes."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the parent, which closes our stdin
    signal.signal(signal.SIGPROF, _alarm)
    stop_when_orphaned()
    try:
        serve()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)  # at its own end Python takes the handler away before the timer


def serve() -> None:
    """Answer line by line."""
    sys.setrecursionlimit(3000)
    out = sys.stdout
    sys.stdout = sys.stderr  # a library that prints must not write into the protocol
    from curator.maths import symbolic  # the import is not charged to the first pair

    symbolic.warm()
    print(json.dumps({"ready": True}), file=out, flush=True)  # noqa: T201
    for line in sys.stdin:
        pair = json.loads(line)
        try:
            limits(pair["limit_s"])
            result = answer(pair)
            signal.setitimer(signal.ITIMER_PROF, 0)
        except OutOfTime:
            result = {"equal": None, "why": "timeout"}
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps({**result, "memory": memory()}), file=out, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
