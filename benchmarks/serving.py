"""What the benchmarks around servers share: a server as a child process, and the way its address comes back.

A benchmark that is called with `--serve FILE` serves until it is killed and writes its port to FILE; see `own`. A vLLM
server is asked for its health until it answers; see `vllm`.
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

START_S = 60.0


@contextmanager
def own(script: str) -> Iterator[tuple[str, int]]:
    """Start `script --serve FILE` in a process of its own; yield its address and process id; end it.

    Raises:
        SystemExit: it ended before it served.
    """
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        child = subprocess.Popen([sys.executable, script, "--serve", str(port_file)])
        try:
            until = time.monotonic() + START_S
            while not port_file.exists() or not port_file.read_text():
                if child.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the server of {script} did not start (exit code {child.poll()})")
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port_file.read_text()}/v1", child.pid
        finally:
            child.terminate()
            child.wait()


def serve(arguments: list[str], run: Callable[[socket.socket], None]) -> bool:
    """Serve where the command line says so, and return whether it did: `run` gets a listening socket."""
    if arguments[:1] != ["--serve"]:
        return False
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    partial = Path(arguments[1] + ".part")
    partial.write_text(str(listening.getsockname()[1]))
    partial.rename(arguments[1])
    run(listening)
    return True


def vllm_environment() -> None:
    """Set what a vLLM on the CPU needs, where nothing else is said."""
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")


def has_vllm(name: str) -> bool:
    """Whether this interpreter has vLLM; where not, say so."""
    import importlib.util

    found = importlib.util.find_spec("vllm") is not None
    if not found:
        print(f"{name}: this interpreter has no vllm; run it with one that has (make test-vllm builds it)")
    return found


@asynccontextmanager
async def vllm(model: str, log: Path, *options: str) -> AsyncIterator[str]:
    """Start vLLM's server for `model`, served as "m"; yield its address; end it.

    Raises:
        SystemExit: it did not start; with its last words.
    """
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    command = [
        sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--port", str(port), "--host",
        "127.0.0.1", "--served-model-name", "m", "--uvicorn-log-level", "warning", *options,
    ]  # fmt: skip
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        await _up(server, port, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait()


async def _up(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    for _ in range(1200):
        if server.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2).close()
            return
        except OSError:
            await asyncio.sleep(0.5)
    raise SystemExit("the server did not start; it said:\n" + "\n".join(log.read_text().splitlines()[-20:]))
