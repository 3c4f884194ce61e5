"""What the kill -9 tests share: children that start at once, what they asked, and runs killed until they end."""

import json
import os
import random
import shutil
import signal
import sys
from collections import Counter
from contextlib import contextmanager, suppress
from multiprocessing import forkserver as running
from multiprocessing import get_context

from curator.engines.store import Store


@contextmanager
def forkserver(module):
    """Children start in milliseconds: forked from a process that has imported everything and started no thread.

    It finds `module` by PYTHONPATH: the server of Python 3.11 is told where to look and does not listen, and leaves out
    in silence what it does not find.
    """
    before = dict(os.environ)
    path = os.pathsep.join(filter(None, sys.path))
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    running._forkserver._stop()  # one of another file has imported other things
    context = get_context("forkserver")
    context.set_forkserver_preload([module, "curator.run.local"])
    first = context.Process(target=_loaded, args=(module,))  # the start is nobody's time
    first.start()
    first.join()
    assert first.exitcode == 0, "the server of the children has not imported what they run"
    yield context
    os.environ.clear()
    os.environ.update(before)


def _loaded(module):
    """Run in a child: whether it was forked with everything in it."""
    if module not in sys.modules:
        raise SystemExit(1)


def asked(log):
    return [tuple(json.loads(x)) for x in log.read_text().splitlines()] if log.exists() else []


def child_of(server, module, folder, source, log, *more):
    """Start `module.main` on the file `source`, with a store beside the run's folder; `more` are its last arguments."""
    args = (str(folder), str(source), str(folder.parent / f".store-{folder.name}"), str(log), *more)
    child = server.Process(target=module.main, args=args)
    child.start()
    return child


def killed_rounds(start, tmp_path, kills, seconds):
    """Yield (folder, questions) of each finished run, until `kills` were killed at random moments, resumed and ended.

    `start(folder, log)` starts a child. No question whose answer reached the store is asked again.
    """
    chance = random.Random(7)
    done = rounds = 0
    while done < kills:
        folder, log = tmp_path / f"r{rounds}", tmp_path / f"r{rounds}.log"
        seen: set = set()
        while True:
            stored = len(Store(tmp_path / f".store-r{rounds}"))
            before = len(asked(log))
            child = start(folder, log)
            child.join(chance.uniform(0, seconds) if done < kills else None)
            if child.exitcode is None:
                with suppress(ProcessLookupError):  # it has ended just now
                    os.kill(child.pid, signal.SIGKILL)
            child.join()
            done += child.exitcode == -signal.SIGKILL
            new = asked(log)[before:]
            assert max(Counter(new).values(), default=1) == 1
            # Killed between the model's answer and the store's write: at most these were never answered to us.
            assert len(seen & set(new)) <= len(seen) - stored
            seen |= set(new)
            if child.exitcode == 0:
                break
            assert child.exitcode == -signal.SIGKILL
        yield folder, seen
        shutil.rmtree(folder)
        rounds += 1
