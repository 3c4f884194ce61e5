"""The HTTP engine against a server that answers after 50 ms, beside plain aiohttp and the official client.

Asked: >= 0.9 of the ideal request rate (concurrency / 0.05 s) and <= 150 us of CPU a request, with the response store
and retries on. All contenders run in turns in this process; medians. CPU time is this process's alone, its start-up
and connections included; the server (`Server`, a process of its own) is counted apart. `bare` sends the same
bytes and does nothing else: what server, kernel and event loop allow. `curator` is what an operator gets: counted,
budgeted, paced, retried, stored; `curator, uvloop` is the same on that loop, where it is installed.

A round is long enough (8 s where the ideal is reached) that the first rounds of adaptive concurrency, about 0.15 s,
do not decide.

Run: python benchmarks/http_engine.py [requests] [rounds] [concurrency]
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import resource
import selectors
import socket
import statistics
import sys
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))
import serving

RESULTS = Path(__file__).resolve().parent / "results" / "http_engine.json"
PROBLEM = "Natalia sold clips to {n} of her friends, and then half as many. How many clips did she sell altogether?"
Contender = Callable[[str, int, int, int], Awaitable[None]]
DELAY = 0.05
TEXT = "Two and two make four, so the answer is \\boxed{4}. " * 8


def answer() -> bytes:
    """Return the response, with the headers that a uvicorn server sends."""
    message = {"role": "assistant", "content": TEXT}
    page = {
        "id": "x", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 100, "total_tokens": 130},
    }  # fmt: skip
    body = json.dumps(page).encode()
    head = (
        "HTTP/1.1 200 OK\r\ndate: Sat, 21 Nov 2026 10:00:00 GMT\r\nserver: uvicorn\r\n"
        f"content-length: {len(body)}\r\ncontent-type: application/json\r\n\r\n"
    )
    return head.encode() + body


def rest_of(data: bytes) -> bytes | None:
    """Return what follows the first request in `data`, or None where it is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    at = data.lower().find(b"content-length:", 0, end)
    length = int(data[at + 15 : data.find(b"\r\n", at)])
    return data[end + 4 + length :] if len(data) >= end + 4 + length else None


class Server:
    """Answers every request after `DELAY` with the same bytes.

    A bare selector loop in a process of its own, so that the server is not what is measured: no HTTP library, no
    event loop, one deque for what is due.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.listener, self.answer = listener, answer()
        self.selector = selectors.DefaultSelector()
        self.selector.register(listener, selectors.EVENT_READ, None)
        self.due: deque[tuple[float, socket.socket]] = deque()
        self.begun: dict[socket.socket, bytes] = {}

    def run(self) -> None:
        """Serve until killed."""
        while True:
            wait = max(0.0, self.due[0][0] - time.monotonic()) if self.due else None
            for key, _ in self.selector.select(wait):
                if key.data is None:
                    self.accept()
                else:
                    self.read(key.data)
            now = time.monotonic()
            while self.due and self.due[0][0] <= now:
                self.reply(self.due.popleft()[1])

    def accept(self) -> None:
        """Take a new connection."""
        sock, _ = self.listener.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(sock, selectors.EVENT_READ, sock)
        self.begun[sock] = b""

    def read(self, sock: socket.socket) -> None:
        """Read what has come; a whole request is due after the delay."""
        try:
            data = sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.selector.unregister(sock)
            del self.begun[sock]
            sock.close()
            return
        if self.begun[sock]:
            data = self.begun[sock] + data
        rest = rest_of(data)
        if rest is None:
            self.begun[sock] = data
        else:
            self.begun[sock] = rest
            self.due.append((time.monotonic() + DELAY, sock))

    def reply(self, sock: socket.socket) -> None:
        """Send the answer, if anybody is still there."""
        if sock in self.begun:
            try:
                sock.send(self.answer)
            except OSError:
                return


async def bounded(total: int, concurrency: int, ask: Callable[[int], Awaitable[object]]) -> None:
    """Ask `total` times from `concurrency` tasks."""
    numbers = iter(range(total))

    async def work() -> None:
        for n in numbers:
            await ask(n)

    await asyncio.gather(*(work() for _ in range(concurrency)))


async def ours(url: str, total: int, concurrency: int, round_: int) -> None:
    from curator.engines import open_engine
    from curator.engines.protocol import Message, Request
    from curator.engines.store import Store
    from curator.run.meter import Meter

    with tempfile.TemporaryDirectory() as folder:
        settings = {"model": "m", "base_url": url, "max_concurrency": concurrency}
        managed = open_engine("t", "openai", settings, store=Store(folder))
        engine = Meter(managed, lambda _alias, _use: None)

        async def ask(n: int) -> None:
            text = PROBLEM.format(n=round_ * total + n)
            (c,) = await engine.generate(Request((Message("user", text),)))
            assert c.text == TEXT

        await bounded(total, concurrency, ask)
        await managed.close()
        assert managed.statistics.requests == total == len(managed.store)


async def plain(url: str, total: int, concurrency: int, round_: int) -> None:
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(n: int) -> None:
            messages = [{"role": "user", "content": PROBLEM.format(n=n)}]
            async with session.post(url + "/chat/completions", json={"model": "m", "messages": messages}) as r:
                page = await r.json()
            assert page["choices"][0]["message"]["content"] == TEXT

        await bounded(total, concurrency, ask)


async def official(url: str, total: int, concurrency: int, round_: int) -> None:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=url, api_key="none") as client:

        async def ask(n: int) -> None:
            messages = [{"role": "user", "content": PROBLEM.format(n=n)}]
            page = await client.chat.completions.create(model="m", messages=messages)
            assert page.choices[0].message.content == TEXT

        await bounded(total, concurrency, ask)


async def bare(url: str, total: int, concurrency: int, round_: int) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": PROBLEM.format(n=round_)}]}).encode()
    data = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    port = int(url.rpartition(":")[2].partition("/")[0])
    left, done = iter(range(total)), asyncio.get_running_loop().create_future()
    living = concurrency

    class Client(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport
            self.next()

        def next(self) -> None:
            nonlocal living
            if next(left, None) is None:
                self.transport.close()
                living -= 1
                if living == 0:
                    done.set_result(None)
                return
            self.transport.write(data)

        def data_received(self, data: bytes) -> None:
            if data.endswith(b"}"):
                self.next()

    for _ in range(concurrency):
        await asyncio.get_running_loop().create_connection(Client, "127.0.0.1", port)
    await done


def measure(contender: Contender, runner: Callable[..., None], server: psutil.Process, *args: object) -> dict:
    """Return requests a second, microseconds of CPU a request here, and the server's."""
    total = args[1]
    served, before, start = sum(server.cpu_times()[:2]), resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    runner(contender(*args))
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    served = sum(server.cpu_times()[:2]) - served
    return {"rate": total / took, "cpu_us": cpu / total * 1e6, "server_us": served / total * 1e6}


def contenders(total: int, concurrency: int) -> dict[str, tuple[Contender, Callable[..., None], int]]:
    """Name -> what is asked, on which loop, how often."""
    slow = max(concurrency, total // 10)
    found = {
        "curator": (ours, asyncio.run, total),
        "aiohttp": (plain, asyncio.run, total),
        "AsyncOpenAI": (official, asyncio.run, slow),
        "bare": (bare, asyncio.run, total),
    }
    if importlib.util.find_spec("uvloop"):
        import uvloop

        found["curator, uvloop"] = (ours, uvloop.run, total)
    return found


def main(total: int, rounds: int, concurrency: int) -> None:
    known = contenders(total, concurrency)
    seen: dict[str, list[dict]] = {name: [] for name in known}
    with serving.own(__file__) as (url, pid):
        server = psutil.Process(pid)
        for contender, runner, _ in known.values():  # imports
            measure(contender, runner, server, url, concurrency, concurrency, 10**6)
        for round_ in range(rounds):
            for name, (contender, runner, n) in known.items():
                seen[name].append(measure(contender, runner, server, url, n, concurrency, round_))
    report(seen, total, rounds, concurrency)


def report(seen: dict[str, list[dict]], total: int, rounds: int, concurrency: int) -> None:
    ideal = concurrency / DELAY
    out = {"concurrency": concurrency, "delay_s": DELAY, "ideal_rate": ideal, "requests": total, "rounds": rounds,
           "cores": os.cpu_count(), "load_1min": round(os.getloadavg()[0], 1), "contenders": {}}  # fmt: skip
    for name, runs in seen.items():
        rate, cpu, served = (statistics.median(r[k] for r in runs) for k in ("rate", "cpu_us", "server_us"))
        out["contenders"][name] = {
            "requests_per_s": round(rate), "of_ideal": round(rate / ideal, 3), "cpu_us": round(cpu, 1),
            "server_cpu_us": round(served, 1),
        }  # fmt: skip
        print(
            f"{name:<16} {rate:6.0f} requests/s   {rate / ideal:.3f} of ideal   "
            f"{cpu:6.1f} us CPU a request   (server {served:5.1f})"
        )
    print(f"load {out['load_1min']} on {out['cores']} cores")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    if not serving.serve(sys.argv[1:], lambda listening: Server(listening).run()):
        given = [int(a) for a in sys.argv[1:]]
        main(*(given + [40000, 5, 256][len(given) :]))
