"""What happens to one shard: read it, apply consecutive row operators, write what comes out.

`main` is a worker process: jobs come in on stdin, numbers go out on stdout. Workers are
started as programs and not forked or spawned from the parent's main module, so that a user's script needs no
`if __name__ == "__main__"` and no library state is inherited.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from curator import table
from curator.errors import CuratorError, OperatorError
from curator.run import laws
from curator.run.laws import Spec

Numbers = dict[str, Any]


@dataclass(frozen=True)
class Job:
    """Rows `start .. start+rows-1` of `source` through steps `labels`, into shard `number` of each of their folders."""

    source: Path
    start: int
    rows: int | None
    labels: tuple[str, ...]
    folders: tuple[Path, ...]
    number: int

    @property
    def where(self) -> str:
        """How messages call the shard."""
        return f"shard {self.number}"


@dataclass(frozen=True)
class Staged:
    """One step's result for one shard: temporary files to be renamed, and the numbers."""

    label: str
    files: tuple[tuple[Path, Path], ...]
    numbers: Numbers


Span = tuple[float, float]


def stage(spec: Spec, folder: Path, number: int, given: pa.Table, returned: Any, span: Span) -> tuple[pa.Table, Staged]:
    """Check what an operator returned for a shard and write it to temporary files; `span`: when it worked on it."""
    out, lost, numbers = laws.settle(spec, given, returned, f"shard {number}")
    path = folder / f"part-{number:05d}.parquet"
    files = [(table.stage_table(out, path), path)]
    if lost.num_rows:
        path = folder / f"dropped-{number:05d}.parquet"
        files.append((table.stage_table(lost, path), path))
    return out, Staged(spec.label, tuple(files), numbers | {"span": span})


def perform(job: Job, specs: Mapping[str, Spec], functions: dict[str, Any], at: Callable[[str], None]) -> list[Staged]:
    """Apply the row operators of `job` one after the other. `functions` keeps what the factories returned.

    Raises:
        CuratorError: as told in one line.
        OperatorError: an operator raised something else; its own error is the cause.
    """
    rows = table.read_table(job.source, job.start, job.rows)
    done = []
    for label, folder in zip(job.labels, job.folders, strict=True):
        at(label)
        spec = specs[label]
        begun = time.time()
        returned = call(spec, job.where, partial(_apply, spec, functions, rows))
        rows, staged = stage(spec, folder, job.number, rows, returned, (begun, time.time()))
        done.append(staged)
    pa.default_memory_pool().release_unused()
    return done


def _apply(spec: Spec, functions: dict[str, Any], rows: pa.Table) -> Any:
    if not rows.num_rows and spec.effect != "shapes":
        return laws.nothing(spec, rows.schema)
    return built(spec, functions)(rows)


def built(spec: Spec, functions: dict[str, Any]) -> Any:
    """Return the operator's function, calling its factory the first time."""
    if spec.label not in functions:
        functions[spec.label] = spec.factory(**spec.settings)
    return functions[spec.label]


def call(spec: Spec, where: str, function: Callable[[], Any]) -> Any:
    """Return `function()`; what is not a CuratorError becomes an OperatorError that names step and shard."""
    try:
        return function()
    except CuratorError:
        raise
    except Exception as e:
        raise raised(spec, where, e) from e


def raised(spec: Spec, where: str, error: BaseException) -> OperatorError:
    """Return the one-line error for an operator that raised."""
    text = " ".join(str(error).split())[:300]
    return OperatorError(f"{spec.who}, {where}: {type(error).__name__}: {text}")


def send(stream: BinaryIO, message: Any) -> None:
    """Write one length-prefixed pickle."""
    data = pickle.dumps(message)
    stream.write(struct.pack("<Q", len(data)) + data)
    stream.flush()


def receive(stream: BinaryIO) -> Any:
    """Read one length-prefixed pickle. Raises EOFError where the other side is gone."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(stream.read(struct.unpack("<Q", head)[0]))  # noqa: S301 - from our own parent process


def _listen(stream: BinaryIO, jobs: queue.SimpleQueue[Any]) -> None:
    """Hand jobs over; leave at once when the parent is gone, even in the middle of a hanging operator."""
    with contextlib.suppress(EOFError, OSError):
        while True:
            jobs.put(receive(stream))
    os._exit(0)


def main() -> None:
    """Serve jobs until the parent closes our stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    inbox, outbox = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what an operator prints must not end up between our messages
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, jobs), daemon=True).start()
    functions: dict[str, Any] = {}
    specs: Mapping[str, Spec] = {}
    while True:
        message = jobs.get()
        try:
            if isinstance(message, bytes):
                specs = pickle.loads(message)  # noqa: S301 - from our own parent process
                continue
            done = perform(message, specs, functions, lambda label: send(outbox, ("at", label)))
            send(outbox, ("done", done))
        except CuratorError as e:
            send(outbox, ("error", e, _details(e)))
        except Exception as e:  # noqa: BLE001 - a defect of ours; told to the parent, the worker lives on
            send(outbox, ("error", OperatorError(f"{type(e).__name__}: {e}"), _details(e)))


def _details(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))
