"""Worker processes for row operators: one job each at a time, and a death names the step and the shard."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import struct
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from curator.errors import OperatorError
from curator.run.laws import Spec
from curator.run.worker import Job, Staged, perform

ATTEMPTS = 2  # a worker killed for memory may have been the victim of its neighbours; once more, then tell
CLOSING_S = 5.0  # between the end of a worker's pipe and its own
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_NUM_THREADS")


class Died(Exception):
    """A worker process ended in the middle of a job."""

    def __init__(self, label: str, code: int | None) -> None:
        super().__init__(label)
        self.label, self.code = label, code


class Pool:
    """`size` worker processes, started when first needed; 0 means threads of this process.

    Operators that cannot be sent to another process (defined in a script's own `__main__`, or in a function) run in
    threads of this process as well.
    """

    def __init__(self, specs: Mapping[str, Spec], size: int) -> None:
        self.specs = specs
        self.size = size if size and portable(specs) else 0
        self._functions: dict[str, Any] = {}
        self._local = asyncio.Lock()
        self._free: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        for _ in range(self.size):
            self._free.put_nowait(None)
        self._all: set[_Worker] = set()

    async def run(self, job: Job) -> list[Staged]:
        """Do `job`, on another worker once more if its worker died.

        Raises:
            CuratorError: what the job raised.
            OperatorError: its workers died.
        """
        if not self.size:
            async with self._local:  # operators need not be thread-safe: one at a time, as in a worker
                return await asyncio.to_thread(perform, job, self.specs, self._functions, lambda _label: None)
        for attempt in range(ATTEMPTS):
            worker = await self._free.get()
            try:
                if worker is None:
                    worker = await _Worker.start(self.specs)
                    self._all.add(worker)
                return await worker.do(job)
            except Died as e:
                self._forget(worker)
                worker = None
                if attempt + 1 == ATTEMPTS:
                    raise OperatorError(_obituary(self.specs, job, e)) from e
            except asyncio.CancelledError:
                self._forget(worker)  # it is still busy with a job nobody waits for
                worker = None
                raise
            finally:
                self._free.put_nowait(worker)
        raise AssertionError

    def _forget(self, worker: _Worker | None) -> None:
        if worker is not None:
            worker.kill()
            self._all.discard(worker)

    async def close(self) -> None:
        """End all workers."""
        workers = list(self._all)
        for worker in workers:
            self._forget(worker)
        for worker in workers:
            with suppress(ProcessLookupError):
                await worker.process.wait()


def portable(specs: Mapping[str, Spec]) -> bool:
    """Return whether all operators can be found again by another process."""
    try:
        pickle.dumps(dict(specs))
    except Exception:  # noqa: BLE001 - pickle raises whatever an object's own code raises
        return False
    return all(s.factory.__module__ != "__main__" for s in specs.values())


def _obituary(specs: Mapping[str, Spec], job: Job, death: Died) -> str:
    code = death.code
    how = f"exited with code {code}" if code is None or code >= 0 else f"was killed by {_signal(-code)}"
    who = specs[death.label].who if death.label in specs else f"step '{job.labels[0]}'"
    hint = "out of memory? use fewer workers" if code == -signal.SIGKILL else "its own words are above"
    return f"{who}, {job.where}: its worker process {how}, twice ({hint}); finished shards are kept, run again to go on"


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"


class _Worker:
    def __init__(self, process: Process) -> None:
        self.process = process

    @classmethod
    async def start(cls, specs: Mapping[str, Spec]) -> _Worker:
        """Start one process and tell it the steps."""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or str(Path.cwd()) for p in sys.path)}
        for name in ONE_THREAD:  # the pool is the parallelism
            environment.setdefault(name, "1")
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-c", "from curator.run.worker import main; main()",
            stdin=PIPE, stdout=PIPE, env=environment, start_new_session=True,
        )  # fmt: skip
        worker = cls(process)
        worker._send(pickle.dumps(dict(specs)))
        return worker

    def _send(self, message: Any) -> None:
        data = pickle.dumps(message)
        assert self.process.stdin is not None
        self.process.stdin.write(struct.pack("<Q", len(data)) + data)

    async def do(self, job: Job) -> list[Staged]:
        """Send the job and wait for its end. Raises Died, or what the job raised."""
        label = job.labels[0]
        try:
            self._send(job)
            while True:
                message = await self._receive()
                if message[0] == "done":
                    done: list[Staged] = message[1]
                    return done
                if message[0] == "error":
                    raise message[1] from RuntimeError(message[2])
                label = message[1]
        except (asyncio.IncompleteReadError, ConnectionError) as e:
            raise Died(label, await self._code()) from e

    async def _code(self) -> int:
        """Return how a process ended whose pipe has closed. Not killed at once: that asks for its code, and asyncio,
        which asks later, would be told 255."""
        with suppress(TimeoutError):
            return await asyncio.wait_for(self.process.wait(), CLOSING_S)
        self.kill()  # it closed its pipe and lives on
        return await self.process.wait()

    async def _receive(self) -> Any:
        assert self.process.stdout is not None
        (size,) = struct.unpack("<Q", await self.process.stdout.readexactly(8))
        return pickle.loads(await self.process.stdout.readexactly(size))  # noqa: S301 - from our own child

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        with suppress(ProcessLookupError):
            self.process.kill()
