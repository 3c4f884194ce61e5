"""A server of scripted bytes on loopback, for tests of the HTTP client: what a library would never send as well."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Awaitable, Callable

Script = Callable[["Visit"], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def page(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Visit:
    """One connection. `number`: from 0, in order of arrival."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number, self.reader, self.writer = number, reader, writer
        self.asked, self.over = asyncio.Event(), asyncio.Event()  # a request was read; the script has ended

    async def request(self) -> bytes:
        """Read one request; returns its body. Raises IncompleteReadError where the client is gone."""
        self.head = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: *(\d+)", self.head, re.I)
        body = await self.reader.readexactly(int(length[1]) if length else 0)
        self.asked.set()
        return body

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> bool:
        """Wait until the client closes its side."""
        return await self.reader.read() == b""


class RawServer:
    """`async with RawServer(script) as server`: every connection runs `script(visit)`, then is closed."""

    def __init__(self, script: Script, tls: ssl.SSLContext | None = None) -> None:
        self.script, self.tls = script, tls
        self.visits: list[Visit] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> RawServer:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def asked(self, number: int) -> Visit:
        """Wait until a connection has asked something."""
        while len(self.visits) <= number:
            await asyncio.sleep(0.005)
        await self.visits[number].asked.wait()
        return self.visits[number]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        visit = Visit(len(self.visits), reader, writer)
        self.visits.append(visit)
        try:
            await self.script(visit)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            visit.over.set()
            self.tasks.discard(task)


async def answers(visit: Visit) -> None:
    """Answer every request with "ok"."""
    while True:
        await visit.request()
        await visit.send(OK)
