"""The HTTP engine against a server that answers after 50 ms, beside plain aiohttp and the official client.

Asked: >= 0.9 of the ideal request rate (concurrency / 0.05 s) and <= 150 us of CPU a request, with the response store
and retries on. The server runs in a process of its own, but shares the machine's cores: on two of them plain aiohttp
is the mark to compare with. All contenders run in turns in the same process; medians; CPU time is this process's alone.

Run: python benchmarks/http_engine.py [requests] [rounds] [concurrency]
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results" / "http_engine.json"
DELAY = 0.05
TEXT = "Two and two make four, so the answer is \\boxed{4}. " * 8
PROBLEM = "Natalia sold clips to {n} of her friends, and then half as many. How many clips did she sell altogether?"


def serve(port_file: str) -> None:
    """Answer every chat completion after 50 ms. A bare protocol: the server must not be what is measured."""
    message = {"role": "assistant", "content": TEXT}
    page = {
        "id": "x", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 30, "completion_tokens": 100, "total_tokens": 130},
    }  # fmt: skip
    body = json.dumps(page).encode()
    answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport, self.buffer = transport, b""

        def data_received(self, data: bytes) -> None:
            self.buffer += data
            while True:
                head, end, rest = self.buffer.partition(b"\r\n\r\n")
                if not end:
                    return
                at = head.lower().find(b"content-length:")
                length = int(head[at + 15 :].split(b"\r\n", 1)[0])
                if len(rest) < length:
                    return
                self.buffer = rest[length:]
                asyncio.get_running_loop().call_later(DELAY, self.reply)

        def reply(self) -> None:
            if not self.transport.is_closing():
                self.transport.write(answer)

    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
        Path(port_file).write_text(str(server.sockets[0].getsockname()[1]))
        await server.serve_forever()

    asyncio.run(main())


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

    with tempfile.TemporaryDirectory() as folder:
        settings = {"model": "m", "base_url": url, "max_concurrency": concurrency}
        engine = open_engine("t", "openai", settings, store=Store(folder))

        async def ask(n: int) -> None:
            text = PROBLEM.format(n=round_ * total + n)
            (c,) = await engine.generate(Request((Message("user", text),)))
            assert c.text == TEXT

        await bounded(total, concurrency, ask)
        await engine.close()
        assert engine.statistics.requests == total == len(engine.store)


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


def measure(contender: Callable[..., Awaitable[None]], url: str, total: int, concurrency: int, round_: int) -> dict:
    """Return requests a second and microseconds of CPU a request."""
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    asyncio.run(contender(url, total, concurrency, round_))
    took, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return {"rate": total / took, "cpu_us": cpu / total * 1e6}


def main(total: int, rounds: int, concurrency: int) -> None:
    contenders = {
        "curator": (ours, total),
        "aiohttp": (plain, total),
        "AsyncOpenAI": (official, max(concurrency, total // 10)),
    }
    ideal = concurrency / DELAY
    with tempfile.TemporaryDirectory() as folder:
        port_file = Path(folder) / "port"
        server = subprocess.Popen([sys.executable, __file__, "--serve", str(port_file)])
        try:
            while not port_file.exists() or not port_file.read_text():
                time.sleep(0.05)
            url = f"http://127.0.0.1:{port_file.read_text()}/v1"
            for contender, _ in contenders.values():  # imports, first connections
                measure(contender, url, concurrency, concurrency, 10**6)
            seen: dict[str, list[dict]] = {name: [] for name in contenders}
            for round_ in range(rounds):
                for name, (contender, n) in contenders.items():
                    seen[name].append(measure(contender, url, n, concurrency, round_))
        finally:
            server.terminate()
            server.wait()
    out = {"concurrency": concurrency, "delay_s": DELAY, "ideal_rate": ideal, "requests": total, "rounds": rounds,
           "cores": os.cpu_count(), "load_1min": round(os.getloadavg()[0], 1), "contenders": {}}  # fmt: skip
    for name, runs in seen.items():
        rate, cpu = (statistics.median(r[k] for r in runs) for k in ("rate", "cpu_us"))
        share = round(rate / ideal, 3)
        out["contenders"][name] = {"requests_per_s": round(rate), "of_ideal": share, "cpu_us": round(cpu, 1)}
        print(f"{name:<12} {rate:7.0f} requests/s   {rate / ideal:.3f} of ideal   {cpu:6.1f} us CPU a request")
    print(f"load {out['load_1min']} on {out['cores']} cores")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(out, indent=1) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
    else:
        given = [int(a) for a in sys.argv[1:]]
        main(*(given + [20000, 5, 256][len(given) :]))
