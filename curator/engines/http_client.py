"""Our HTTP client: one server, a stack of kept connections, one timer for all deadlines.

Why not a library: beside a fast server the client is what limits a run, and general clients spend 3 to 30 times the
CPU on what a request to one known server does not need (see docs/decisions.md and benchmarks/http_engine.py).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from aiohappyeyeballs import start_connection

from curator.engines.http import CONNECT, KEPT, BrokenOff, Client, NotSent, Reply, TimedOut
from curator.engines.http_connection import Connection, Stale

if TYPE_CHECKING:
    import ssl

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_NAMES = 300.0  # seconds that a looked-up address is good for
# A generation may be silent for minutes; probes keep routers from forgetting the connection, and find dead peers.
_PROBES = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 5))


class ThinClient:
    """See `curator.engines.http.Client`."""

    def __init__(self, url: str, headers: Mapping[str, str], timeout: float) -> None:
        """Name the server; no connection is made yet."""
        parts = urlsplit(url)
        self._url, self._headers, self._timeout = url, headers, timeout
        self._host, self._tls = parts.hostname or "", parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._context: ssl.SSLContext | None = None
        host = f"[{self._host}]" if ":" in self._host else self._host.encode("idna").decode()
        lines = {"Host": f"{host}:{parts.port}" if parts.port else host, **headers}
        self._fixed = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        self._heads: dict[str, bytes] = {}
        self._idle: list[Connection] = []
        # Deadlines of what is under way, oldest first: all requests have the same time, so one timer on the first
        # entry serves for all.
        self._due: dict[Connection, float] = {}
        self._addresses: tuple[list[Any], float] = [], 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._other: Client | None = None

    async def post(self, path: str, data: bytes) -> Reply:
        """Send `data` to `path`; see `Client.post`."""
        if self._other is not None:
            return await self._other.post(path, data)
        head = self._heads.get(path) or self._head("POST", path)
        reply = await self._send(b"%s%d\r\n\r\n%s" % (head, len(data), data))
        if reply.status in _REDIRECTS:
            return await self._unusual().post(path, data)
        return reply

    async def get(self, path: str) -> Reply:
        """Ask for `path`; see `Client.get`."""
        if self._other is not None:
            return await self._other.get(path)
        reply = await self._send(self._head("GET", path) + b"0\r\n\r\n")
        return await self._unusual().get(path) if reply.status in _REDIRECTS else reply

    def _head(self, method: str, path: str) -> bytes:
        """Return a request up to the value of Content-Length; those of POST are kept."""
        target = quote(path, safe="/%:@!$&'()*+,;=~-._?")
        head = f"{method} {target} HTTP/1.1\r\n{self._fixed}Content-Length: ".encode("latin-1")
        if method == "POST":
            self._heads[path] = head
        return head

    def _unusual(self) -> Client:
        """Leave this server to aiohttp from now on: it redirects."""
        if self._other is None:
            from curator.engines.http_aiohttp import AiohttpClient

            self._other = AiohttpClient(self._url, self._headers, self._timeout, None)
        return self._other

    async def _send(self, data: bytes) -> Reply:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # connections of a loop that has ended (a second asyncio.run) are dead
            self._loop, self._idle, self._due, self._timer = loop, [], {}, None
        connection = self._kept(loop.time()) or await self._connect(loop)
        while True:
            self._due[connection] = deadline = loop.time() + self._timeout
            if self._timer is None:
                self._timer = loop.call_at(deadline, self._expire, loop)
            try:
                return await connection.ask(data, loop.create_future())
            except asyncio.CancelledError:
                connection.fail(BrokenOff("cancelled"))
                raise
            except Stale:
                # The server had closed it while it lay idle, and has seen no request: again, on a new one.
                pass
            finally:
                self._due.pop(connection, None)
            connection = await self._connect(loop)

    def _expire(self, loop: asyncio.AbstractEventLoop) -> None:
        """Fail what is overdue, and look again when the next one is."""
        self._timer = None
        while self._due:
            connection = next(iter(self._due))
            deadline = self._due[connection]
            if deadline > loop.time():
                self._timer = loop.call_at(deadline, self._expire, loop)
                return
            del self._due[connection]
            connection.fail(TimedOut(f"no answer within {self._timeout:g} s"))

    def _kept(self, now: float) -> Connection | None:
        """Return the connection used last that still lives: a stack, so that what is not needed grows old and goes."""
        idle = self._idle
        while idle:
            connection = idle.pop()
            if connection.alive and now - connection.free_at < KEPT:
                return connection
            connection.fail(BrokenOff("idle for too long"))
        return None

    def _keep(self, connection: Connection) -> None:
        connection.free_at = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if connection.free_at - self._idle[0].free_at > KEPT:
            self._idle.pop(0).fail(BrokenOff("idle for too long"))

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> Connection:
        where = f"cannot connect to {self._url}"
        limit = min(CONNECT, self._timeout)
        if self._tls and self._context is None:
            import ssl

            self._context = ssl.create_default_context()
        try:
            async with asyncio.timeout(limit):
                sock = await self._socket(loop)
                name = self._host if self._tls else None
                _, connection = await loop.create_connection(
                    lambda: Connection(self._keep), sock=sock, ssl=self._context, server_hostname=name
                )
        except TimeoutError as e:
            msg = f"{where} within {limit:g} s"
            raise NotSent(msg) from e
        except OSError as e:
            msg = f"{where} ({e.strerror or e})"
            raise NotSent(msg) from e
        return connection

    async def _socket(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        """Return a connected socket: all addresses of the server are tried, the second family a moment later."""
        addresses, found_at = self._addresses
        if not addresses or loop.time() - found_at > _NAMES:
            addresses = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._addresses = addresses, loop.time()
        sock = await start_connection(addresses, happy_eyeballs_delay=0.25)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _PROBES:
            if hasattr(socket, option):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        return sock

    async def close(self) -> None:
        """Close all connections; who still waits gets `BrokenOff`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in (*self._idle, *self._due):
            connection.fail(BrokenOff("closed"))
        self._idle.clear()
        await asyncio.sleep(0)  # the transports close their sockets in the loop's next round
        if self._other is not None:
            await self._other.close()
            self._other = None
